//! `wharf bench` against a real server, small: that each load runs to its end and that what it says is true, where
//! that can be known. How fast anything is belongs to a benchmark run, and is not asserted here.

mod common;

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Output, Stdio},
};

use common::{
    program::{Running, text, wharf},
    server::{Server, Setup},
    suite,
};
use serde_json::Value;

/// The ways by which clients come.
const TRANSPORTS: [&str; 4] = ["websocket", "tcp", "sse", "poll"];
/// And by which those come that have one channel at most, and recover nothing.
const ALL_TRANSPORTS: [&str; 5] = ["websocket", "tcp", "sse", "poll", "device"];

fn run(arguments: &[&str]) -> Output {
    wharf(&[&["bench"], arguments].concat()).output().expect("wharf runs")
}

/// Runs a load with 20 connections for 0.3 s; returns its table and its numbers.
fn tiny(arguments: &[&str]) -> (String, Value) {
    saved(&[arguments, &["--connections", "20", "--duration", "300ms"]].concat())
}

/// Runs a load; returns its table and its numbers.
fn saved(arguments: &[&str]) -> (String, Value) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("numbers.json");
    let mut all = arguments.to_vec();
    let path = file.to_string_lossy().into_owned();
    all.extend(["--json", &path]);
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
    assert!(table.contains("channels: 4") && table.contains("window: 8"), "{table}");
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

#[test]
fn compressed_fanout_is_measured_beside_the_uncompressed_and_the_floor() {
    let (table, numbers) =
        tiny(&["fanout", "--compress", "--payload", "1024", "--rate", "50", "--rounds", "3"]);
    assert_compared(&table, &numbers, 3);
    assert!(table.starts_with("fanout, sparse and compressed: 20 connections"), "{table}");
    for (side, deflated) in [("server", 300.0), ("uncompressed", 0.0), ("floor", 0.0)] {
        assert_eq!(number(&numbers, &format!("/{side}/operations")), 300.0, "{side}");
        assert_eq!(number(&numbers, &format!("/{side}/deflated")), deflated, "{side}");
        assert!(number(&numbers, &format!("/{side}/cpu_us")) > 0.0, "{side}");
    }
    assert!(table.contains("x uncompressed. One compression ("), "{table}");
    assert_eq!(number(&numbers, "/compression/deliveries"), 20.0);
    assert!(
        number(&numbers, "/compression/deflated_bytes")
            < number(&numbers, "/compression/message_bytes") * 0.6
    );
    assert!(
        number(&numbers, "/compression/ratio_without_compressing") < number(&numbers, "/compression/ratio")
    );
}

#[test]
fn a_server_that_does_not_compress_is_told_from_one_that_does() {
    let server = Server::start();
    let output = run(&["fanout", "-n", "5", "--compress", "--server", &server.url(), "--floor", "no"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("declined to compress") && error.contains("[compression]"), "{error}");

    let server = Setup::new()
        .configuration("development = true\n[compression]\nenabled = true\nmin_deflated_bytes = 1000\n")
        .start();
    let url = server.url();
    let compressed = ["fanout", "--compress", "--rate", "50", "--server", &url];
    let (_, numbers) = alone(&[&compressed[..], &["--payload", "1024"]].concat());
    assert_eq!(number(&numbers, "/server/deflated"), 300.0);
    assert!(numbers["uncompressed"].is_null() && numbers["compression"]["ratio"].is_null());
    // Shorter than what the server compresses.
    let (table, _) = alone(&[&compressed[..], &["--payload", "20"]].concat());
    assert!(table.contains("of 300 deliveries 0 came compressed"), "{table}");
}

#[test]
fn a_connection_may_have_several_channels() {
    for transport in TRANSPORTS {
        let several = ["--channels", "8", "--subscriptions", "2", "--transport", transport];
        let (table, numbers) = alone(&[&["fanout", "--rate", "80"], &several[..]].concat());
        assert!(table.contains("channels: 8") && table.contains("subscriptions: 2"), "{table}");
        // 24 publications, and each channel has 5 of the 40 subscriptions.
        assert_eq!(number(&numbers, "/server/operations"), 120.0, "{transport}");
    }
    let (_, numbers) =
        tiny(&["fanout", "--rate", "80", "--channels", "200", "--subscriptions", "128", "--rounds", "1"]);
    assert!(number(&numbers, "/floor/operations") > 0.0);
    assert_eq!(number(&numbers, "/floor/operations"), number(&numbers, "/server/operations"));
}

#[test]
fn connect_and_subscribe_go_in_one_frame() {
    let (table, numbers) = tiny(&["open", "--one-frame", "--rounds", "2"]);
    assert_compared(&table, &numbers, 2);
    assert!(table.starts_with("open and subscribe in one frame: 20 connections"), "{table}");
}

#[test]
fn the_time_of_several_workers_is_told_apart() {
    let (table, numbers) = alone(&["fanout", "--rate", "80", "--workers", "2"]);
    assert!(table.contains("workers: 2") && table.contains("of the workers' time each had: "), "{table}");
    let shares = numbers.pointer("/server/workers_cpu_percent").and_then(Value::as_array).expect("shares");
    assert_eq!(shares.len(), 2);
    assert!(shares.iter().all(|share| share.as_f64().is_some_and(|share| share > 0.0)), "{shares:?}");
    assert_eq!(number(&numbers, "/server/operations"), 480.0);
}

/// Server alone, which is enough to see that each message is counted.
fn alone(arguments: &[&str]) -> (String, Value) {
    tiny(&[arguments, &["--rounds", "1", "--floor", "no"]].concat())
}

#[test]
fn bursts_deliver_each_publication_by_every_transport() {
    for transport in ALL_TRANSPORTS {
        let (table, numbers) = alone(&["fanout", "--rate", "80", "--burst", "8", "--transport", transport]);
        assert!(table.starts_with(&format!("fanout, in bursts: 20 connections by {transport}")), "{table}");
        // 0.3 s are 3 bursts of 8, and 20 subscribers hear each.
        assert_eq!(number(&numbers, "/server/operations"), 480.0, "{transport}");
        assert_eq!(number(&numbers, "/server/left_out"), 0.0, "{transport}");
        assert!(numbers["floor"].is_null() && numbers["ratio"].is_null());
        assert!(!table.lines().any(|line| line.starts_with("floor")), "{table}");
    }
}

#[test]
fn connections_open_and_wait_by_every_transport() {
    for transport in ALL_TRANSPORTS {
        let (_, numbers) = alone(&["open", "--transport", transport]);
        assert!(number(&numbers, "/server/operations") >= 20.0, "{transport}");
        let (_, numbers) = alone(&["idle", "--transport", transport]);
        assert!(number(&numbers, "/server/anonymous_kib/1") > 0.0, "{transport}");
    }
}

#[test]
fn an_echo_by_schedule_is_asked_as_often_as_it_is_due() {
    for transport in ["websocket", "tcp"] {
        let (table, numbers) = alone(&["echo", "--rate", "200", "--transport", transport]);
        assert!(table.contains("rate: 200/s"), "{table}");
        assert_eq!(number(&numbers, "/server/operations"), 60.0, "{transport}");
    }
}

#[test]
fn publish_asks_the_http_api_and_all_publications_are_in_the_history() {
    let server = Server::start();
    let (table, numbers) =
        alone(&["publish", "--batch", "4", "--channels", "2", "--rate", "100", "--server", &server.url()]);
    assert!(table.contains("us a publication") && table.contains("batch: 4"), "{table}");
    // 0.3 s are 30 requests, and the warm-up before it 3.
    assert_eq!(number(&numbers, "/server/operations"), 120.0);
    let stored = |channel: &str| {
        let history = server.api("history", &serde_json::json!({"channel": channel, "limit": 0}));
        history["offset"].as_u64().expect("an offset")
    };
    assert_eq!([stored("bench-0"), stored("bench-1")], [68, 64], "every other of 33 requests, 4 each");
}

#[test]
fn clients_and_devices_publish_as_often_as_it_is_due() {
    for transport in ["websocket", "tcp", "device"] {
        for channels in ["1", "20"] {
            let (table, numbers) =
                alone(&["publish", "--rate", "200", "--transport", transport, "--channels", channels]);
            assert!(table.starts_with(&format!("publish: 20 connections by {transport}")), "{table}");
            assert!(!table.contains("batch"), "{table}");
            assert_eq!(number(&numbers, "/server/operations"), 60.0, "{transport}");
        }
    }
}

#[test]
fn publications_of_clients_are_in_the_history() {
    let server = Server::start();
    let publish = ["publish", "--rate", "100", "--transport", "tcp", "--channels", "2"];
    let (_, numbers) = alone(&[&publish[..], &["--server", &server.url()]].concat());
    assert_eq!(number(&numbers, "/server/operations"), 30.0);
    let stored = |channel: &str| {
        let history = server.api("history", &serde_json::json!({"channel": channel, "limit": 0}));
        history["offset"].as_u64().expect("an offset")
    };
    // The warm-up before it is 3. Whoever was answered last asks next, so that the channels have no equal parts.
    assert_eq!(stored("bench-0") + stored("bench-1"), 33);
}

#[test]
fn devices_are_compared_with_the_floor() {
    let (table, numbers) = tiny(&["publish", "--transport", "device", "--rounds", "2"]);
    assert_compared(&table, &numbers, 2);
    let (table, numbers) = tiny(&["fanout", "--saturate", "--transport", "device", "--rounds", "2"]);
    assert_compared(&table, &numbers, 2);
    assert_eq!(number(&numbers, "/server/operations") % 20.0, 0.0);
    // Each device has a channel of its own.
    let (_, numbers) = alone(&["fanout", "--rate", "80", "--channels", "20", "--transport", "device"]);
    assert_eq!(number(&numbers, "/server/operations"), 24.0);
}

#[test]
fn a_storm_of_devices_recovers_nothing() {
    let (_, numbers) = alone(&["storm", "--missed", "0", "--transport", "device"]);
    assert_eq!(number(&numbers, "/server/operations") % 20.0, 0.0);
    let output = run(&["storm", "--transport", "device", "-n", "5", "--floor", "no"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("--missed 0 without recovery"), "{error}");
}

#[test]
fn publish_is_compared_with_a_floor_of_its_own() {
    let (table, numbers) = tiny(&["publish", "--rounds", "2"]);
    assert_compared(&table, &numbers, 2);
}

#[test]
fn after_a_storm_all_are_back_and_have_what_they_missed() {
    for transport in TRANSPORTS {
        // The run fails if a subscriber lacks one of the three publications.
        let (table, numbers) =
            alone(&["storm", "--missed", "3", "--channels", "2", "--transport", transport]);
        assert!(table.contains("all were back within"), "{table}");
        assert!(number(&numbers, "/server/operations") >= 20.0, "{transport}");
        assert_eq!(number(&numbers, "/server/operations") % 20.0, 0.0, "{transport}");
    }
}

#[test]
fn a_storm_is_compared_with_the_floor_and_keeps_its_connections() {
    let (table, numbers) = tiny(&["storm", "--rounds", "2"]);
    assert_compared(&table, &numbers, 2);
    assert!(number(&numbers, "/server/anonymous_kib_a_connection") >= 0.0);
}

/// A server as an operator sets it up, with a key and without history.
fn configured() -> Server {
    let toml = "[api]\nkeys = [\"a-key-of-sixteen\"]\n[client]\nanonymous = true\n\
                [channel.without_namespace]\nallow_subscribe_for_client = true\nallow_subscribe_for_anonymous = true\n";
    Setup::new().configuration(toml).start()
}

#[test]
fn a_storm_without_history_to_recover_from_says_what_to_do() {
    let server = configured();
    let url = server.url();
    let key = ["--server", &url, "--api-key", "a-key-of-sixteen"];
    let output = run(&[&["storm", "-n", "5", "--floor", "no"], &key[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("keeps no history") && error.contains("--missed 0"), "{error}");
    let (_, numbers) = alone(&[&["storm", "--missed", "0"], &key[..]].concat());
    assert_eq!(number(&numbers, "/server/operations") % 20.0, 0.0);
}

#[test]
fn publications_go_through_the_api_where_there_is_a_key_for_it() {
    let server = configured();
    let url = server.url();
    let fanout = ["fanout", "--rate", "50", "--server", &url];
    let (_, numbers) = alone(&[&fanout[..], &["--api-key", "a-key-of-sixteen"]].concat());
    assert_eq!(number(&numbers, "/server/operations"), 300.0);
    // Clients may not publish there.
    let output = run(&[&fanout[..], &["-n", "5"]].concat());
    assert!(text(&output.stderr).contains("permission denied"), "{}", text(&output.stderr));
    let output = run(&["publish", "--server", &url]);
    assert!(text(&output.stderr).contains("give --api-key"), "{}", text(&output.stderr));
}

/// The floor takes longer for its round than the server waits for a pong.
#[test]
fn pings_are_answered_while_the_other_side_is_measured() {
    let server = Setup::new().quick_pings().start();
    let output = run(&["fanout", "-n", "10", "-d", "5s", "--rounds", "1", "--server", &server.url()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A server of somebody else's, which sends messages back; it has printed its address.
fn foreign(mut command: Command) -> (Running, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let server = Running::start(command);
    let url = server.line();
    (server, url)
}

fn npm_ws(arguments: &[&str]) -> (Running, String) {
    let mut command = Command::new("node");
    command.arg(suite::script("js/echo_server.mjs")).args(arguments);
    command.env("WHARF_JUDGES_JS", suite::folder("WHARF_JUDGES_JS"));
    foreign(command)
}

fn pypi_websockets() -> (Running, String) {
    let mut command = Command::new(suite::folder("WHARF_JUDGES_PYTHON").join("bin/python"));
    command.arg(suite::script("python/echo_server.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    foreign(command)
}

#[test]
fn plain_servers_of_others_are_measured_by_echo_and_idle() {
    for (server, url) in [npm_ws(&[]), pypi_websockets()] {
        let pid = server.child.id().to_string();
        let there = ["--plain", "--server", &url, "--pid", &pid];
        let (table, numbers) = tiny(&[&["echo", "--rounds", "1"], &there[..]].concat());
        assert!(table.starts_with("plain echo: 20 connections"), "{table}");
        assert_compared(&table, &numbers, 1);
        let (_, numbers) = alone(&[&["echo", "--rate", "100"], &there[..]].concat());
        assert_eq!(number(&numbers, "/server/operations"), 30.0);
        let (_, numbers) = alone(&[&["idle"], &there[..]].concat());
        assert!(number(&numbers, "/server/anonymous_kib/1") > 0.0);
    }
}

#[test]
fn whoever_meets_a_busy_server_comes_again() {
    let (_server, url) = npm_ws(&["7"]);
    let (_, numbers) = alone(&["echo", "--plain", "--server", &url, "--rate", "100"]);
    assert_eq!(number(&numbers, "/server/operations"), 30.0);
    // Before it is measured all are there; this one never is.
    let (_server, url) = npm_ws(&["1000000"]);
    let output = run(&["echo", "--plain", "--server", &url, "--floor", "no", "-n", "5"]);
    let error = text(&output.stderr);
    assert!(
        error.contains("of 5 connections 0 opened") && error.contains("times the server had too much"),
        "{error}"
    );
}

#[test]
fn pings_of_a_plain_server_are_answered() {
    let (_server, url) = pypi_websockets();
    // Twice the time after which that server ends a connection that does not answer.
    let output = run(&["idle", "--plain", "-n", "5", "-d", "3s", "--floor", "no", "--server", &url]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A server that stands still for half a second delays not one echo, but all that were due in that time. A generator
/// that waited for it would have asked one, and found 1 of 400 late.
#[test]
fn a_delay_of_the_servers_shows_in_all_that_was_due_meanwhile() {
    let (_server, url) = npm_ws(&["0", "100", "500"]);
    let (_, numbers) = saved(&[
        "echo", "--plain", "--server", &url, "--rate", "200", "-n", "1", "-d", "2s", "--rounds", "1",
        "--floor", "no",
    ]);
    assert_eq!(number(&numbers, "/server/operations"), 400.0);
    let latency = |quantile: &str| number(&numbers, &format!("/server/latency_us/{quantile}"));
    assert!(latency("p99") > 300_000.0, "{numbers:#}");
    assert!(latency("max") > 490_000.0, "{numbers:#}");
}

#[test]
fn a_run_is_compared_with_a_saved_one() {
    let server = Server::start();
    let (url, pid) = (server.url(), server.pid().to_string());
    let file = server.file("saved.json").to_string_lossy().into_owned();
    let echo = ["echo", "--rate", "100", "-d", "300ms", "--rounds", "1", "--server", &url, "--pid", &pid];
    let first = run(&[&echo[..], &["-n", "20", "--json", &file]].concat());
    assert!(first.status.success(), "{}", text(&first.stderr));
    let again = text(&run(&[&echo[..], &["-n", "10", "--compare", &file]].concat()).stdout);
    let (_, changes) = again.split_once("change to the saved run").expect("a comparison");
    for row in ["x ", "us of processor, each echo", "echo/s", "p99 us", "KiB a connection"] {
        let line = changes.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("{row} in {changes}"));
        assert!(line.ends_with('%') || line.ends_with('-'), "{line}");
    }
    assert!(changes.contains("connections was \"20\" and is \"10\""), "{changes}");
    let strange = run(&["echo", "--compare", "/dev/null"]);
    assert_eq!(strange.status.code(), Some(1));
    assert!(text(&strange.stderr).contains("/dev/null is not what `wharf bench --json`"));
}

/// A floor as a server that runs already.
struct Floor {
    child: Child,
    url: String,
}

impl Floor {
    fn start() -> Self {
        let mut command = wharf(&["bench", "floor-server"]);
        command.stdin(Stdio::piped()).stderr(Stdio::inherit());
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
    let script = format!("ulimit -S -n 256 && exec {} bench echo", env!("CARGO_BIN_EXE_wharf"));
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("1000 connections need 2064 descriptors"), "{error}");
    assert!(error.contains("ulimit -n"), "{error}");
}

#[test]
fn sides_that_do_not_fit_together_are_measured_one_after_the_other() {
    let bench = "bench fanout -n 100 -d 200ms --rounds 2 --rate 20";
    let script = format!("ulimit -n 256 && ulimit -Hn 256 && exec {} {bench}", env!("CARGO_BIN_EXE_wharf"));
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(
        table.contains("measured one after the other") && table.contains("x of single rounds"),
        "{table}"
    );
}
