//! `wharf bench` against a real server, small: that each load runs to its end and says what it measured. How fast
//! anything is belongs to a benchmark run, and is not asserted here.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

fn wharf() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WHARF_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    wharf().arg("bench").args(arguments).output().expect("wharf runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a load with 20 connections for 0.3 s; returns its table and its numbers.
fn tiny(arguments: &[&str]) -> (String, Value) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("numbers.json");
    let mut all = arguments.to_vec();
    let path = file.to_string_lossy().into_owned();
    all.extend(["--connections", "20", "--duration", "300ms", "--json", &path]);
    let output = run(&all);
    assert!(output.status.success(), "{all:?}: {}", text(&output.stderr));
    let numbers = std::fs::read(&file).expect("the file that --json names");
    (text(&output.stdout), serde_json::from_slice(&numbers).expect("JSON"))
}

fn number(numbers: &Value, pointer: &str) -> f64 {
    let number = numbers.pointer(pointer).and_then(Value::as_f64);
    number.unwrap_or_else(|| panic!("{pointer} is no number in {numbers:#}"))
}

/// Server and floor were both loaded, and both measured.
fn assert_compared(table: &str, numbers: &Value, rounds: usize) {
    for side in ["server", "floor"] {
        assert!(table.lines().any(|line| line.starts_with(side)), "{table}");
        assert!(number(numbers, &format!("/{side}/operations")) > 0.0);
        assert!(number(numbers, &format!("/{side}/cpu_us")) > 0.0);
        assert!(number(numbers, &format!("/{side}/anonymous_kib/1")) > 0.0);
        let latency = |quantile: &str| number(numbers, &format!("/{side}/latency_us/{quantile}"));
        assert!(
            0.0 < latency("p50") && latency("p50") <= latency("p99") && latency("p999") <= latency("max")
        );
    }
    assert!(number(numbers, "/ratio") > 0.0);
    let of_rounds = numbers.pointer("/ratio_of_rounds").and_then(Value::as_array).expect("ratios");
    assert_eq!(of_rounds.len(), rounds);
}

#[test]
fn sparse_fanout_delivers_each_publication_to_each_subscriber() {
    let (table, numbers) = tiny(&["fanout", "--rate", "50", "--rounds", "3"]);
    assert_compared(&table, &numbers, 3);
    assert!(table.starts_with("fanout, sparse: 20 connections"), "{table}");
    // Three rounds of 0.1 s are 5 publications each, whatever the machine's speed; 20 subscribers hear each.
    assert_eq!(number(&numbers, "/server/operations"), 300.0);
    assert_eq!(number(&numbers, "/floor/operations"), 300.0);
}

#[test]
fn saturated_fanout_spreads_over_channels() {
    let (table, numbers) =
        tiny(&["fanout", "--saturate", "--channels", "4", "--window", "8", "--rounds", "2"]);
    assert_compared(&table, &numbers, 2);
    assert!(table.contains("channels: 4") && table.contains("8 in flight"), "{table}");
    assert_eq!(number(&numbers, "/server/operations") % 5.0, 0.0, "each channel has 5 subscribers");
}

#[test]
fn echo_asks_on_each_connection() {
    let (table, numbers) = tiny(&["echo", "--payload", "1000", "--rounds", "2"]);
    assert_compared(&table, &numbers, 2);
    assert!(number(&numbers, "/server/operations") >= 40.0, "20 connections in two rounds");
}

#[test]
fn open_connects_and_subscribes_from_several_addresses() {
    let (table, numbers) = tiny(&["open", "--window", "5", "--source-addresses", "3", "--rounds", "2"]);
    assert_compared(&table, &numbers, 2);
    assert_eq!(number(&numbers, "/server/operations") % 20.0, 0.0);
    assert!(numbers.pointer("/server/anonymous_kib_a_connection").is_some_and(Value::is_null));
}

#[test]
fn idle_measures_memory_of_a_connection_and_processor_time() {
    let (table, numbers) = tiny(&["idle"]);
    assert!(table.contains("KiB a connection") && table.contains("CPU %"), "{table}");
    assert!(number(&numbers, "/server/anonymous_kib_a_connection") >= 0.0);
    assert!(number(&numbers, "/server/server_cpu_percent") >= 0.0);
    assert_eq!(number(&numbers, "/server/operations"), 0.0);
}

/// A floor as a server that runs already.
struct Floor {
    child: Child,
    url: String,
}

impl Floor {
    fn start() -> Self {
        let mut command = wharf();
        command.args(["bench", "floor-server"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("wharf runs");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("wharf: listening on ").expect("an address");
        Self { url: format!("http://{address}"), child }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_that_runs_already_is_measured_by_its_process() {
    let floor = Floor::start();
    let pid = floor.child.id().to_string();
    let (table, numbers) = tiny(&["echo", "--server", &floor.url, "--pid", &pid, "--rounds", "1"]);
    assert_compared(&table, &numbers, 1);

    let (table, numbers) = tiny(&["echo", "--server", &floor.url, "--rounds", "1"]);
    assert!(table.contains("name its process by --pid"), "{table}");
    assert!(numbers.pointer("/server/cpu_us").is_some_and(Value::is_null));
    assert!(number(&numbers, "/server/operations_a_second") > 0.0);
}

#[test]
fn the_floor_ends_with_who_started_it() {
    let mut floor = Floor::start();
    drop(floor.child.stdin.take());
    assert!(floor.child.wait().expect("it ends").success());
}

#[test]
fn nobody_listening_is_told_at_once() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("http://{}", free.expect("a port that was free"));
    let output = run(&["echo", "--server", &url]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("refused") && error.contains("server"), "{error}");
}

#[test]
fn too_few_descriptors_name_the_command_that_allows_more() {
    let script = format!("ulimit -n 256 && exec {} bench echo", env!("CARGO_BIN_EXE_wharf"));
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("1000 connections need 2064 descriptors"), "{error}");
    assert!(error.contains("ulimit -n"), "{error}");
}
