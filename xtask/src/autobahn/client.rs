//! The other direction: a foreign fuzzing server, and the example `websocket_client` as the client that it judges.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{first_line, outcome, verdicts};
use crate::{
    judges,
    process::{command, finish},
    stage::Outcome,
};

/// How long the server may take to write its report once the client asked for it.
const REPORT: Duration = Duration::from_secs(20);

/// How often is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// Builds the example, lets it run all cases and reads what the judge reports. The judges are installed.
pub fn judge(root: &Path, deadline: Instant) -> Result<Outcome> {
    let build = command(root, "cargo", "build --release --locked --package wharf --example websocket_client");
    let built = finish(build, deadline)?;
    if !built.success {
        return Ok(Outcome::failed(built.output));
    }
    let folder = root.join("target/judges/autobahn-client");
    if folder.exists() {
        // An old report must not be taken for this run's.
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let mut cases = Command::new(judges::python(root).join("bin/kosoku"));
    cases.args(["--mode", "fuzzingserver", "--outdir"]).arg(&folder).arg("127.0.0.1:0");
    let server = FuzzingServer::start(cases)?;
    let mut client = Command::new(root.join("target/release/examples/websocket_client"));
    client.arg(&server.address);
    let finished = finish(client, deadline)?;
    if !finished.success {
        return Ok(Outcome::failed(finished.output));
    }
    server.write_report()?;
    match verdicts(&folder) {
        Ok(verdicts) => Ok(outcome(&verdicts)),
        Err(error) => Ok(Outcome::failed(format!("{error:#}\n{}", finished.output))),
    }
}

/// The judge, which ends with this.
struct FuzzingServer {
    child: Child,
    address: String,
}

impl FuzzingServer {
    /// Starts it on a port of the kernel's choice and waits until it says which.
    fn start(mut program: Command) -> Result<Self> {
        let name = program.get_program().to_string_lossy().into_owned();
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = program.spawn().with_context(|| format!("cannot start {name}"))?;
        let output = child.stderr.take();
        let mut server = Self { child, address: String::new() };
        let line = first_line(output);
        match line.trim_end().strip_prefix("fuzzingserver listening on ws://") {
            Some(address) => server.address = address.to_owned(),
            None => bail!("{name} did not say where it listens, but {line:?}"),
        }
        Ok(server)
    }

    /// Waits until it has ended, which it does when it has written its report; or for [`REPORT`], after which there
    /// is none. Its exit code tells nothing.
    fn write_report(mut self) -> Result<()> {
        let late = Instant::now() + REPORT;
        while self.child.try_wait()?.is_none() && Instant::now() < late {
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for FuzzingServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_that_does_not_listen_is_told() {
        let mut program = Command::new("sh");
        program.args(["-c", "echo no server >&2"]);
        let error = FuzzingServer::start(program).err().expect("sh does not listen").to_string();
        assert!(error.contains("did not say where it listens"), "{error}");
    }

    #[test]
    fn a_judge_that_listens_is_waited_for_to_its_end() {
        let folder = std::env::temp_dir().join(format!("wharf-xtask-fuzzing-server-{}", std::process::id()));
        let mut program = Command::new("sh");
        let script =
            "echo fuzzingserver listening on ws://127.0.0.1:1 >&2; echo more >&2; echo done > \"$0\"";
        program.args(["-c", script]).arg(&folder);
        let server = FuzzingServer::start(program).expect("it listens");
        assert_eq!(server.address, "127.0.0.1:1");
        server.write_report().expect("it can be waited for");
        let written = fs::read_to_string(&folder);
        fs::remove_file(&folder).expect("the file is removed");
        assert_eq!(written.expect("a report"), "done\n");
    }
}
