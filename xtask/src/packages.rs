//! Debian's packages that the tests need: installed where we are root, else named to whoever is.

use std::{path::Path, time::Instant};

use anyhow::Result;

use crate::{
    process::{command, finish, succeeds},
    stage::Outcome,
};

/// A program that the tests run, how to see that it is there, and the package that brings it.
struct Need {
    package: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

/// Without these the run fails.
const NEEDS: &[Need] = &[
    Need { package: "curl", program: "curl", arguments: &["--version"] },
    // The tour needs the OpenBSD kind: it speaks to Unix paths and ends at the end of its input.
    Need { package: "netcat-openbsd", program: "sh", arguments: &["-c", "nc -h 2>&1 | grep -q OpenBSD"] },
    Need { package: "openssl", program: "openssl", arguments: &["version"] },
    Need { package: "nodejs", program: "node", arguments: &["--version"] },
    Need { package: "npm", program: "npm", arguments: &["--version"] },
    Need { package: "python3-venv", program: "python3", arguments: &["-c", "import ensurepip, venv"] },
];

/// Judges that are programs of Debian's, and not to be had everywhere: without them the run says loudly what it
/// left out. A network of our own also takes root and a kernel that has all of it, so these are tried in earnest,
/// in a namespace that is gone with the trial.
const JUDGES: &[Need] = &[
    Need { package: "chromium", program: "chromium", arguments: &["--version"] },
    Need { package: "nginx", program: "nginx", arguments: &["-v"] },
    Need { package: "iproute2", program: "sh", arguments: &["-c", NAMESPACE] },
    Need { package: "nftables", program: "unshare", arguments: &["--net", "nft", TRANSLATION] },
    Need { package: "conntrack", program: "unshare", arguments: &["--net", "conntrack", "-L"] },
    // It judges our own code by what that costs.
    Need { package: "valgrind", program: "valgrind", arguments: &["--version"] },
];

/// Makes a namespace with a name, and a pair of interfaces in it.
const NAMESPACE: &str = "name=wharf-trial-$$; ip netns add $name || exit 1
    ip -n $name link add one type veth peer name other; outcome=$?
    ip netns del $name; exit $outcome";
/// Address translation, and connections that are tracked.
const TRANSLATION: &str = "add table t; add chain t c { type nat hook postrouting priority 0; };
    add rule t c ct state new masquerade";

/// Installs what is missing. Nothing is asked of the network where nothing is missing.
pub fn install(root: &Path, deadline: Instant) -> Result<Outcome> {
    let (missing, judges) = (missing(NEEDS), missing(JUDGES));
    if missing.is_empty() && judges.is_empty() {
        return Ok(Outcome::passed("all there"));
    }
    let may_install = is_root() && succeeds("apt-get", &["--version"]);
    if !missing.is_empty() && !may_install {
        let packages = missing.join(" ");
        return Ok(Outcome::failed(format!(
            "missing: {packages}\nAs root on Debian: apt-get install {packages}\nElsewhere install what these \
             packages bring, then run this again.\n"
        )));
    }
    let mut output = String::new();
    if may_install {
        // Old lists may be good enough; where they are not, the cause comes first in what is printed.
        output = finish(apt_get(root, "update -q"), deadline)?.output;
        // Apart from each other, since one package that is not there takes all with it.
        for packages in [&missing, &judges] {
            if !packages.is_empty() {
                let mut install = apt_get(root, "install -q -y --no-install-recommends");
                install.args(packages);
                output += &finish(install, deadline)?.output;
            }
        }
    }
    let (still_missing, left_out) = (self::missing(NEEDS), left_out());
    if !still_missing.is_empty() {
        return Ok(Outcome::failed(output));
    }
    if !left_out.is_empty() {
        let left_out = left_out.join(" and ");
        return Ok(Outcome::left_out(format!(
            "nothing is judged by {left_out}, which cannot be installed or used here"
        )));
    }
    Ok(Outcome::passed(format!("installed {}", [missing, judges].concat().join(" "))))
}

/// The judges that are not there.
pub fn left_out() -> Vec<&'static str> {
    missing(JUDGES)
}

fn missing(needs: &[Need]) -> Vec<&'static str> {
    needs.iter().filter(|need| !succeeds(need.program, need.arguments)).map(|need| need.package).collect()
}

fn apt_get(root: &Path, arguments: &str) -> std::process::Command {
    let mut command = command(root, "apt-get", arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    succeeds("sh", &["-c", "test \"$(id -u)\" = 0"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_asked_for_once() {
        let mut names: Vec<_> = NEEDS.iter().chain(JUDGES).map(|need| need.package).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NEEDS.len() + JUDGES.len());
    }

    #[test]
    fn names_the_programs_that_are_not_there() {
        let needs = [
            Need { package: "there", program: "true", arguments: &[] },
            Need { package: "absent", program: "no-such-program", arguments: &[] },
            Need { package: "of another kind", program: "false", arguments: &[] },
        ];
        assert_eq!(missing(&needs), ["absent", "of another kind"]);
    }
}
