//! Processes, seen from outside: their processor time and memory as the kernel counts them (Linux), and children
//! that serve.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};

use super::wire::device;

/// Ticks a second in which `/proc/PID/stat` counts: the same for every Linux program, whatever the kernel's own are.
const USER_TICKS_A_SECOND: u64 = 100;

/// What a server prints when it is ready; its address follows.
pub const ANNOUNCEMENT: &str = "wharf: listening on ";

/// What the name of a worker's thread begins with; its number follows.
const WORKER_THREAD: &str = "wharf-worker-";

/// How long a process may take to become quiet before it is measured as it is.
const SETTLE_AT_MOST: Duration = Duration::from_secs(2);
/// A process is quiet when it uses less than this in [`SETTLE_STEP`].
const QUIET_NS: u64 = 200_000;
const SETTLE_STEP: Duration = Duration::from_millis(10);

/// What a process holds in memory, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All that is resident, shared program text included.
    pub resident_kib: u64,
    /// What is its own and has no file behind it: heap and stacks.
    pub anonymous_kib: u64,
}

/// Processor time that a process has used in user and kernel mode, in nanoseconds.
///
/// The scheduler's own count of each thread is exact; the process's count in ticks includes threads that ended, and
/// stands in where the kernel keeps no other.
pub fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let stat = read(pid, "stat")?;
    let ticks = parse_stat(&stat).ok_or_else(|| anyhow!("/proc/{pid}/stat cannot be read: {stat:?}"))?;
    let mut exact = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        // A thread may end between the two reads; what it used is in the ticks.
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        exact += parse_schedstat(&text).unwrap_or(0);
    }
    Ok(exact.max(ticks * (1_000_000_000 / USER_TICKS_A_SECOND)))
}

/// Processor time of each worker of a Wharf, in nanoseconds, in the order of their numbers; of another server none.
pub fn workers_cpu_ns(pid: u32) -> Vec<u64> {
    let mut workers = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let file = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let number =
            file("comm").trim().strip_prefix(WORKER_THREAD).and_then(|number| number.parse::<u16>().ok());
        workers.extend(number.zip(parse_schedstat(&file("schedstat"))));
    }
    workers.sort_unstable();
    workers.into_iter().map(|(_, ns)| ns).collect()
}

/// What the process holds in memory now.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let text = read(pid, "smaps_rollup")?;
    parse_smaps_rollup(&text).ok_or_else(|| anyhow!("/proc/{pid}/smaps_rollup lacks Rss or Anonymous"))
}

/// Waits until the process is quiet, or for long enough. `pass` lets a time pass.
pub fn settle(pid: u32, mut pass: impl FnMut(Duration) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut last = cpu_ns(pid)?;
    while begun.elapsed() < SETTLE_AT_MOST {
        pass(SETTLE_STEP)?;
        let now = cpu_ns(pid)?;
        if now - last.min(now) < QUIET_NS {
            break;
        }
        last = now;
    }
    Ok(())
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}"))
        .with_context(|| format!("process {pid} cannot be measured; is it running here, as this user?"))
}

/// User and system ticks of `/proc/PID/stat`, its fields 14 and 15. The second field, in parentheses, is the
/// program's name and may hold anything.
fn parse_stat(text: &str) -> Option<u64> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Nanoseconds on a processor: the first of the three fields.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn parse_smaps_rollup(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok())
    };
    Some(Memory { resident_kib: field("Rss:")?, anonymous_kib: field("Anonymous:")? })
}

/// A child process that serves. It ends when this is dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens for devices.
    pub devices: Option<SocketAddr>,
    /// A floor ends with its standard input, also when this process is killed; and neither may meet a closed pipe.
    _pipes: (Option<ChildStdin>, BufReader<ChildStdout>),
}

impl Served {
    /// Starts this same program as a server in development mode, with what these variables configure.
    pub fn wharf(workers: u16, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let workers = workers.to_string();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--workers", &workers, "--log-level", "error"];
        Self::start(&arguments, variables)
    }

    /// Starts the floor.
    pub fn floor() -> anyhow::Result<Self> {
        Self::start(&["bench", "floor-server"], &[])
    }

    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program is not known")?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WHARF_") {
                command.env_remove(name);
            }
        }
        // Neither the environment's configuration nor that of the working directory is to be measured.
        command.envs(variables.iter().copied());
        command.args(arguments).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the server to measure cannot be started")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("a child's output is piped")?;
        let address = ([127, 0, 0, 1], 0).into();
        let mut served = Self { child, address, devices: None, _pipes: (stdin, BufReader::new(stdout)) };
        served.address = served.announced()?;
        Ok(served)
    }

    fn announced(&mut self) -> anyhow::Result<SocketAddr> {
        let mut line = String::new();
        loop {
            line.clear();
            if self._pipes.1.read_line(&mut line)? == 0 {
                bail!("the server to measure ended before it listened; run `wharf serve` to see why");
            }
            let read = |address: &str| {
                address.trim().parse().with_context(|| format!("the server announced {line:?}"))
            };
            // Devices come before the others.
            if let Some(address) = line.strip_prefix(device::ANNOUNCEMENT) {
                self.devices = Some(read(address)?);
            }
            if let Some(address) = line.strip_prefix(ANNOUNCEMENT) {
                return read(address);
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_does_not_shift_the_fields_of_stat() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194304 179 0 0 0 31 11 0 0 20 0 1 0 9 2 3 4";
        assert_eq!(parse_stat(text), Some(42));
        assert_eq!(parse_stat("42 (wharf) S 1"), None);
    }

    #[test]
    fn schedstat_counts_nanoseconds_on_a_processor_first() {
        assert_eq!(parse_schedstat("92287 78658 2\n"), Some(92_287));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn smaps_rollup_names_resident_and_anonymous_memory() {
        let text = "55d0-7ffc ---p 0 00:00 0 [rollup]\nRss:      4276 kB\nPss:       990 kB\nAnonymous:       724 kB\n\
                    AnonHugePages:         0 kB\n";
        assert_eq!(parse_smaps_rollup(text), Some(Memory { resident_kib: 4276, anonymous_kib: 724 }));
        assert_eq!(parse_smaps_rollup("Rss: 1 kB\n"), None);
    }

    #[test]
    fn workers_are_known_by_the_names_of_their_threads() {
        let (stop, waiting) = std::sync::mpsc::channel::<()>();
        let work = move || assert!(waiting.recv().is_err(), "nothing is sent");
        let worker =
            std::thread::Builder::new().name(format!("{WORKER_THREAD}0")).spawn(work).expect("a thread");
        // The kernel names it only once it runs.
        while workers_cpu_ns(std::process::id()).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(workers_cpu_ns(std::process::id()).len(), 1);
        drop(stop);
        worker.join().expect("it ends");
        assert!(workers_cpu_ns(u32::MAX).is_empty());
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = std::process::id();
        let before = cpu_ns(pid).expect("its time");
        let begun = Instant::now();
        let mut turns = 0_u64;
        while begun.elapsed() < Duration::from_millis(60) {
            turns = std::hint::black_box(turns + 1);
        }
        assert!(cpu_ns(pid).expect("its time") > before, "{turns} turns took no time");
        let memory = memory(pid).expect("its memory");
        assert!(memory.anonymous_kib > 0 && memory.resident_kib > memory.anonymous_kib, "{memory:?}");
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = format!("{:#}", cpu_ns(u32::MAX).expect_err("no such process"));
        assert!(error.contains("process 4294967295 cannot be measured"), "{error}");
    }
}
