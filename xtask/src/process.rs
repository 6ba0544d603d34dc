//! Runs a command to its end, or to a deadline, and keeps what it printed.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// How long a finished command's own children may keep its output open.
const LINGER: Duration = Duration::from_secs(5);

/// A command that ended.
#[derive(Debug)]
pub struct Finished {
    pub success: bool,
    /// Standard output and error, in the order in which they were written.
    pub output: String,
}

/// Starts building a command that runs in `folder`, with arguments separated by white space.
pub fn command(folder: &Path, program: &str, arguments: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments.split_whitespace());
    command
}

/// Runs `command` without standard input. At the deadline it and its children are killed, and that is a
/// failure whose output says so. An error means that it could not be started.
pub fn finish(mut command: Command, deadline: Instant) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let child = command.spawn().with_context(|| format!("cannot start {name}; is it installed?"))?;
    drop(command); // It holds the writing end, without whose end the reader does not end.

    let output = Arc::new(Mutex::new(Vec::new()));
    let read_to_end = collect(reader, Arc::clone(&output));
    let group = child.id();
    let ended = wait(child);
    let mut success = false;
    let mut remark = String::new();
    match ended.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(outcome) => success = outcome,
        Err(_) => {
            // The group's number is the child's, which is not reaped before the waiting thread says so.
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
            remark = format!("\n{name} was stopped: it ran into the stage's deadline\n");
        }
    }
    let _ = read_to_end.recv_timeout(LINGER);
    let bytes = std::mem::take(&mut *output.lock().unwrap_or_else(PoisonError::into_inner));
    let output = String::from_utf8_lossy(&bytes).into_owned() + &remark;
    Ok(Finished { success, output })
}

/// Whether a command can be started and succeeds, within ten seconds.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments);
    finish(command, Instant::now() + Duration::from_secs(10)).is_ok_and(|finished| finished.success)
}

/// Where cargo puts what it builds.
pub fn target(root: &Path) -> PathBuf {
    root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// What a program says in one line, or nothing.
pub fn said(root: &Path, program: &str, arguments: &str) -> String {
    let output = command(root, program, arguments).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Appends all of `reader` to `output`; the channel hears of the end.
fn collect(mut reader: io::PipeReader, output: Arc<Mutex<Vec<u8>>>) -> mpsc::Receiver<()> {
    let (done, read_to_end) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut buffer = [0; 16_384];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            output.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
        }
        let _ = done.send(());
    });
    read_to_end
}

/// Waits for the child; the channel hears whether it succeeded.
fn wait(mut child: std::process::Child) -> mpsc::Receiver<bool> {
    let (done, ended) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let _ = done.send(child.wait().is_ok_and(|status| status.success()));
    });
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> Finished {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        finish(command, Instant::now() + deadline).expect("sh starts")
    }

    #[test]
    fn keeps_both_outputs_in_their_order() {
        let finished = shell("echo one; echo two >&2; echo three", Duration::from_secs(20));
        assert!(finished.success);
        assert_eq!(finished.output, "one\ntwo\nthree\n");
    }

    #[test]
    fn a_failing_command_is_a_failure() {
        assert!(!shell("echo lost; exit 3", Duration::from_secs(20)).success);
    }

    #[test]
    fn a_hanging_command_is_stopped_with_its_children() {
        let start = Instant::now();
        let finished = shell("echo begun; sleep 600 & sleep 600; wait", Duration::from_millis(300));
        assert!(!finished.success);
        assert!(finished.output.contains("begun") && finished.output.contains("deadline"));
        assert!(start.elapsed() < LINGER, "the children kept the output open");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = finish(Command::new("no-such-program"), Instant::now()).expect_err("it does not exist");
        assert!(error.to_string().contains("no-such-program"));
    }
}
