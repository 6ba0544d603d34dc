//! How many sockets a process may have, checked before a run rather than met in its middle.

use anyhow::{Context as _, bail};

use super::{callers::MOST_CALLERS, flags::Plan, run, wire::Transport};

/// Descriptors that a process has beside its connections, with room to spare.
const OTHERS: usize = 64;

/// Refuses a run that needs more descriptors than this process, and those it starts, may have. True: the sides must be
/// measured one after the other, since together they would need more than anybody may have here.
pub fn check(plan: &Plan) -> anyhow::Result<bool> {
    let limits = std::fs::read_to_string("/proc/self/limits")
        .context("the bench measures through /proc, which only Linux has")?;
    let (soft, hard) = parse_limits(&limits).context("/proc/self/limits names no limit of open files")?;
    let sides = if plan.scenario.takes_turns() { run::kinds(plan).len() } else { 1 };
    let beside = if plan.shape.transport == Transport::Sse { MOST_CALLERS } else { 0 };
    judge(plan.connections + beside, sides, soft, hard)
}

fn judge(connections: usize, sides: usize, soft: usize, hard: usize) -> anyhow::Result<bool> {
    let apart = connections * sides + OTHERS > hard;
    let needed = if apart { connections } else { connections * sides } + OTHERS;
    if needed <= soft {
        return Ok(apart);
    }
    let most = hard.saturating_sub(OTHERS);
    if needed <= hard {
        bail!(
            "{connections} connections need {needed} descriptors, and this process may have {soft}: \
             run `ulimit -n {needed}` first"
        );
    }
    bail!(
        "{connections} connections need {needed} descriptors, and `ulimit -n` goes up to {hard} here: ask for at most \
         --connections {most}"
    );
}

/// The soft and the hard limit of open files.
fn parse_limits(text: &str) -> Option<(usize, usize)> {
    let mut fields =
        text.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_ascii_whitespace();
    let mut limit = || match fields.next()? {
        "unlimited" => Some(usize::MAX),
        number => number.parse().ok(),
    };
    Some((limit()?, limit()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_open_files_are_found_among_the_others() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             95946                95946                processes \n\
                    Max open files            1024                 unlimited            files     \n";
        assert_eq!(parse_limits(text), Some((1024, usize::MAX)));
        assert_eq!(parse_limits("Max processes 1 2 processes\n"), None);
    }

    #[test]
    fn too_few_descriptors_are_refused_with_the_command_that_helps() {
        assert!(!judge(1_000, 2, 2_064, 20_000).expect("enough for both"));
        assert!(judge(10_000, 2, 20_000, 20_000).expect("enough for one"));
        let error = judge(1_000, 2, 2_063, 20_000).expect_err("one too few").to_string();
        assert!(error.ends_with("this process may have 2063: run `ulimit -n 2064` first"), "{error}");
        let error = judge(10_000, 2, 1_024, 20_000).expect_err("one too few").to_string();
        assert!(error.ends_with("this process may have 1024: run `ulimit -n 10064` first"), "{error}");
        let error = judge(20_000, 2, 20_000, 20_000).expect_err("too many").to_string();
        assert!(error.ends_with("goes up to 20000 here: ask for at most --connections 19936"), "{error}");
    }
}
