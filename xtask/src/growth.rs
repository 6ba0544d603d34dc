//! `cargo xtask growth [--quick]`: runs `wharf bench` many times and writes down how cost and memory grow with
//! subscribers, channels, connections and workers, for each wire, in `docs/growth.json`; then draws it ([`crate::plot`]).
//! It wants a quiet machine, and takes about seven minutes after the release build. `--quick` takes a minute, shows that
//! everything works, and its figures are worth nothing.

pub mod data;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::data::{Compression, Growth, Machine, Run, Side};
use crate::{
    plot,
    process::{command, said, target},
};

/// Between two looks at the kernel's memory.
const LOOK: Duration = Duration::from_millis(100);

/// The wires, by which their runs are told apart.
pub const WIRES: [&str; 4] = ["websocket", "tcp", "sse", "poll"];
/// Subscribers of the one channel.
pub const MEMBERS: [u64; 4] = [10, 100, 1_000, 10_000];
/// Connections that wait.
pub const IDLE: [u64; 3] = [1_000, 5_000, 15_000];
/// The idle connections whose heartbeats are measured.
pub const HEARTBEATS: u64 = 10_000;
/// The pings' interval, in seconds. Their cost is measured over two of them.
pub const PING_INTERVAL_S: u64 = 25;

/// One run that is to be made.
#[derive(Debug)]
struct Planned {
    chart: &'static str,
    line: &'static str,
    x: u64,
    arguments: String,
}

/// `cargo xtask growth`.
pub fn run(root: &Path, words: &[&str]) -> Result<bool> {
    let quick = match words {
        [] => false,
        ["--quick"] => true,
        _ => bail!("usage: cargo xtask growth [--quick]"),
    };
    println!("builds wharf");
    if !command(root, "cargo", "build --release --locked --package wharf-server").status()?.success() {
        bail!("wharf does not build");
    }
    let planned = planned(quick);
    let begun = Instant::now();
    let mut machine = None;
    let mut runs = Vec::new();
    let count = planned.len();
    for (at, planned) in planned.iter().enumerate() {
        let Planned { chart, line, x, arguments } = planned;
        let s = begun.elapsed().as_secs();
        println!(
            "[{}/{}, {}:{:02}] {chart}, {line}, {x}: wharf bench {arguments}",
            at + 1,
            count,
            s / 60,
            s % 60
        );
        let (report, kernel_kib) = measured(root, arguments).or_else(|error| {
            // Minutes of measuring are not to be lost by one connection.
            println!("    {error:#}; once again");
            measured(root, arguments)
        })?;
        machine = Some(machine_of(&report)?);
        let run = Run {
            kernel_kib: kernel_kib.filter(|_| *chart == "memory" && *line == "websocket"),
            ..run_of(planned, &report)?
        };
        println!("    {}", run.words());
        runs.push(run);
    }
    let machine = machine.context("nothing was planned")?;
    let growth = Growth { measured: said(root, "date", "-u +%Y-%m-%d"), quick, machine, runs };
    growth.write(root)?;
    println!("wrote {} in {:.1} minutes", data::FILE, begun.elapsed().as_secs_f64() / 60.0);
    plot::run(root)
}

/// All runs, the floor beside them where it is to be drawn.
fn planned(quick: bool) -> Vec<Planned> {
    let time = |full: &str| if quick { "-d 200ms --rounds 1".to_owned() } else { full.to_owned() };
    let mut all = Vec::new();
    let mut plan = |chart, line, x, arguments: String| all.push(Planned { chart, line, x, arguments });
    for x in MEMBERS {
        for line in WIRES {
            // About as many deliveries a second whatever the number of subscribers, each by itself.
            let rate = (5_000 / x).max(2);
            let time = time("-d 3s --rounds 3");
            plan("members", line, x, format!("fanout -n {x} --rate {rate} --transport {line} {time}"));
        }
        let time = time("-d 2s --rounds 2");
        plan("members", "saturated", x, format!("fanout -n {x} --saturate {time}"));
    }
    for (x, connections, each) in [(1, 10, 1), (1_000, 1_000, 10), (100_000, 10_000, 100)] {
        let time = time("-d 3s --rounds 3");
        let shape = format!("-n {connections} --channels {x} --subscriptions {each}");
        plan("channels", "websocket", x, format!("fanout {shape} --rate 500 {time}"));
    }
    for x in IDLE {
        for line in WIRES {
            let floor = if line == "websocket" { "" } else { " --floor no" };
            let time = time("-d 2s");
            plan("memory", line, x, format!("idle -n {x} --transport {line} {time}{floor}"));
        }
    }
    let few = time("-d 2s --rounds 2");
    let some = time("-d 3s --rounds 3");
    plan("workers", "sparse", 2, format!("fanout -n 1000 --rate 5 --workers 2 {some}"));
    plan("workers", "saturated", 2, format!("fanout -n 1000 --saturate --workers 2 {few}"));
    plan("costs", "compressed", 1, format!("fanout --compress --payload 1024 {some}"));
    plan("costs", "echo", 1, format!("echo {few}"));
    plan("costs", "open", 1, format!("open {few}"));
    plan("costs", "open in one frame", 1, format!("open --one-frame {few}"));
    plan("costs", "publish", 1, format!("publish {few}"));
    let long = if quick { "1s".to_owned() } else { format!("{}s", 2 * PING_INTERVAL_S) };
    plan("costs", "idle", HEARTBEATS, format!("idle -n {HEARTBEATS} -d {long} --floor no"));
    all
}

/// Makes one run; its report, and what the kernel took for each connection meanwhile, in KiB for each of its two ends.
fn measured(root: &Path, arguments: &str) -> Result<(Value, Option<f64>)> {
    let file = target(root).join("growth-run.json");
    let program = target(root).join("release/wharf");
    let (json, program) = (file.to_string_lossy(), program.to_string_lossy());
    // A shell, since only it raises the number of descriptors for what it starts.
    let script = format!("ulimit -n \"$(ulimit -Hn)\" && exec '{program}' bench {arguments} --json '{json}'");
    let before = slab_kib();
    let mut shell = Command::new("sh");
    shell.current_dir(root).args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = shell.spawn().context("sh cannot be started")?;
    let most = watched(&mut child)?;
    if !child.wait()?.success() {
        bail!("wharf bench {arguments} failed");
    }
    let report: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let ends = 2.0 * report["setup"]["connections"].as_f64().context("a report names its connections")?;
    let kernel_kib = before.zip(most).map(|(before, most)| most.saturating_sub(before) as f64 / ends);
    Ok((report, kernel_kib))
}

/// Waits for the end; the most that the kernel had taken for its own objects.
fn watched(child: &mut Child) -> Result<Option<u64>> {
    let mut most = None;
    while child.try_wait()?.is_none() {
        most = most.max(slab_kib());
        thread::sleep(LOOK);
    }
    Ok(most)
}

/// Memory of the kernel's own objects: sockets, files, entries of event sets.
fn slab_kib() -> Option<u64> {
    slab_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn slab_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn machine_of(report: &Value) -> Result<Machine> {
    serde_json::from_value(report["machine"].clone()).context("a report names its machine")
}

fn run_of(planned: &Planned, report: &Value) -> Result<Run> {
    let side = |name: &str| {
        let side = &report[name];
        let numbers = |key: &str| side[key].as_array().into_iter().flatten().filter_map(Value::as_f64);
        side.is_object().then(|| Side {
            us: side["cpu_us"].as_f64(),
            rate: side["operations_a_second"].as_f64().unwrap_or(0.0),
            cpu_percent: side["server_cpu_percent"].as_f64(),
            workers_percent: numbers("workers_cpu_percent").collect(),
            generator_percent: side["generator_cpu_percent"].as_f64().unwrap_or(0.0),
            kib: side["anonymous_kib_a_connection"].as_f64(),
        })
    };
    let compression = &report["compression"];
    let number = |key: &str| compression[key].as_f64();
    let compression = || {
        Some(Compression {
            one_us: number("one_us")?,
            ratio: number("ratio")?,
            ratio_without_compressing: number("ratio_without_compressing")?,
        })
    };
    let ratios = report["ratio_of_rounds"].as_array().into_iter().flatten();
    Ok(Run {
        chart: planned.chart.to_owned(),
        line: planned.line.to_owned(),
        x: planned.x,
        command: format!("wharf bench {}", planned.arguments),
        server: side("server").context("a report has a server")?,
        floor: side("floor"),
        ratio: report["ratio"].as_f64(),
        ratio_of_rounds: ratios.filter_map(Value::as_f64).collect(),
        compression: compression(),
        kernel_kib: None,
    }
    .rounded())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_run_has_a_place_of_its_own() {
        for quick in [true, false] {
            let mut places: Vec<_> = planned(quick).iter().map(|run| (run.chart, run.line, run.x)).collect();
            let count = places.len();
            places.sort_unstable();
            places.dedup();
            assert_eq!((places.len(), count), (43, 43));
        }
    }

    /// The time of rounds alone, by both sides. Opening connections comes to it.
    #[test]
    fn the_measuring_itself_takes_at_most_six_minutes() {
        let seconds = |run: &Planned| -> f64 {
            let time = run.arguments.split(" -d ").nth(1).and_then(|rest| rest.split('s').next());
            let time: f64 = time.and_then(|time| time.parse().ok()).expect("seconds");
            let sides = if run.arguments.contains("--floor no") { 1.0 } else { 2.0 };
            time * if run.arguments.contains("--compress") { 3.0 } else { sides }
        };
        let whole: f64 = planned(false).iter().map(seconds).sum();
        assert!((120.0..=360.0).contains(&whole), "{whole} s");
    }

    #[test]
    fn what_a_report_says_is_kept_with_digits_that_mean_something() {
        let report = json!({
            "server": {"cpu_us": 9.123_456, "operations_a_second": 5_000.4, "server_cpu_percent": 12.5,
                "workers_cpu_percent": [6.0, 6.5], "generator_cpu_percent": 7.0,
                "anonymous_kib_a_connection": null},
            "floor": null, "ratio": null, "ratio_of_rounds": [1.0, 1.25],
            "compression": {"one_us": 10.0, "ratio": 1.2, "ratio_without_compressing": 1.1},
        });
        let planned = Planned { chart: "members", line: "tcp", x: 10, arguments: "fanout".into() };
        let run = run_of(&planned, &report).expect("a report");
        assert_eq!((run.server.us, run.server.rate, run.server.kib), (Some(9.123), 5_000.0, None));
        assert_eq!((run.server.workers_percent.len(), run.floor.is_none()), (2, true));
        assert_eq!(run.compression.expect("compressed").ratio_without_compressing, 1.1);
        assert_eq!(run.command, "wharf bench fanout");
    }

    #[test]
    fn the_kernels_own_objects_are_found_in_meminfo() {
        assert_eq!(slab_of("MemTotal:  9 kB\nSlab:     80184 kB\n"), Some(80_184));
        assert_eq!(slab_of("MemTotal:  9 kB\n"), None);
    }
}
