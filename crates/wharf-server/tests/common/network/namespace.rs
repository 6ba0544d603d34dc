//! One network namespace: a machine of its own, as far as its network goes.

use std::{
    fs::{self, File},
    io::Write,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Where iproute2 keeps the names of namespaces.
const NAMES: &str = "/run/netns";
/// What the names of all namespaces of these tests begin with; the number of the test's process follows.
const PREFIX: &str = "wharf-test-";

/// How many namespaces this process has made.
static MADE: AtomicUsize = AtomicUsize::new(0);
/// The first of all namespaces makes the folder of their names, which two must not do at once.
static MAKING: Mutex<()> = Mutex::new(());
static SWEPT: Once = Once::new();

/// A namespace, which is removed with this value.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one whose name ends so, with a loopback that works.
    #[track_caller]
    pub fn make(role: &str) -> Self {
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        SWEPT.call_once(sweep);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{role}", std::process::id());
        succeeds(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self { name };
        namespace.run("ip link set lo up");
        namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a thread enters it by.
    pub fn path(&self) -> PathBuf {
        Path::new(NAMES).join(&self.name)
    }

    /// Runs a command in it, whose words are parted by spaces, and which must succeed.
    #[track_caller]
    pub fn run(&self, words: &str) {
        succeeds(self.command("env").args(words.split(' ')));
    }

    /// Reads rules of nftables in it.
    #[track_caller]
    pub fn rules(&self, rules: &str) {
        let mut command = self.command("nft");
        let mut child = command.args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft is installed");
        child.stdin.take().expect("it is piped").write_all(rules.as_bytes()).expect("nft reads");
        assert!(child.wait().is_ok_and(|status| status.success()), "nft refuses {rules}");
    }

    /// A program that is to run in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Where it fails the next run sweeps it away.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Does something on a thread that is in the namespace at `path`. Sockets stay in the namespace in which they were
/// made, so that what is returned may be used from outside.
#[track_caller]
pub fn within<T: Send>(path: &Path, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let entered = scope.spawn(|| {
            let namespace = File::open(path).expect("the namespace is there");
            // SAFETY: the descriptor is open, and the call changes the namespace of this thread alone, which ends
            // with the closure.
            let outcome = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(outcome, 0, "cannot enter {path:?}: {}", std::io::Error::last_os_error());
            act()
        });
        entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Removes what test processes left that were killed before they could.
fn sweep() {
    let entries = fs::read_dir(NAMES).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            // Another test process may sweep at the same time.
            let _ = Command::new("ip").args(["netns", "del", &name]).stderr(Stdio::null()).status();
        }
    }
}

#[track_caller]
fn succeeds(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output =
        output.unwrap_or_else(|error| panic!("{command:?}: {error}; `cargo xtask test` installs it"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed, for which one must be root: {words}");
}
