use super::*;
use crate::cli::bench::side::tests::sample;

fn report(operation: Option<&str>, server: Figures, floor: Option<Figures>) -> Report {
    let setup = Setup {
        connections: 1000,
        channels: 1,
        payload_bytes: 128,
        transport: "websocket".into(),
        facts: [("rate".to_owned(), 20.0)].into(),
        duration_s: 5.0,
        rounds: 3,
    };
    let machine =
        Machine { processor: "Abacus 9".into(), cores: 2, kernel: "6.1".into(), wharf: "0.1.0".into() };
    Report {
        load: "fanout, sparse".into(),
        operation: operation.map(str::to_owned),
        setup,
        machine,
        server,
        floor,
        uncompressed: None,
        compression: None,
        ratio: Some(1.05),
        ratio_of_rounds: vec![1.07, 1.02, 1.06],
        warnings: Vec::new(),
    }
}

fn memory(resident_kib: u64, anonymous_kib: u64) -> Option<Memory> {
    Some(Memory { resident_kib, anonymous_kib })
}

#[test]
fn the_table_stands_in_columns_with_the_floor_below_the_server() {
    let server = Figures::new(&sample(100_000, 7, 0.123), [None; 2], 0);
    let floor = Figures::new(&sample(90_000, 6, 0.1), [None; 2], 0);
    let text = report(Some("delivery"), server, Some(floor)).table();
    let expected = "\
fanout, sparse: 1000 connections by websocket, channels: 1, 128-byte payloads, rate: 20/s, 5 s a side, rounds: 3
wharf 0.1.0, Linux 6.1, 2 cores of Abacus 9

        us a delivery     x  delivery/s  p50 us  p99 us  p999 us  max us  CPU %  KiB a conn.  generator %
server           7.00  1.05      100000     200     200      200     200   70.0            -         12.3
floor            6.00  1.00       90000     200     200      200     200   54.0            -         10.0

x of single rounds: 1.02 to 1.07, median 1.06
";
    assert_eq!(text, expected);
}

#[test]
fn compression_and_several_workers_have_lines_of_their_own() {
    let figures = |cpu_us| Figures::new(&sample(100_000, cpu_us, 0.1), [None; 2], 0);
    let mut report = report(Some("delivery"), figures(8), Some(figures(4)));
    report.server.workers_cpu_percent = vec![60.0, 20.0];
    report.uncompressed = Some(figures(6));
    report.compression = Some(Compressed {
        message_bytes: 1_080,
        deflated_bytes: 480,
        one_us: 12.3,
        deliveries: 1_000.0,
        ratio: Some(1.333),
        ratio_without_compressing: Some(1.331),
    });
    let text = report.table();
    assert!(text.contains("\nuncompressed           6.00  1.50 "), "{text}");
    let words = "compressed is 1.33 x uncompressed. One compression (1080 bytes to 480) takes 12.3 us, which is 0.012 us of \
                 each of its 1000 deliveries: without it 1.33 x\n";
    assert!(text.contains(words), "{text}");
    assert!(text.contains("of the workers' time each had: 75 %, 25 %\n"), "{text}");
}

#[test]
fn an_idle_table_shows_memory_of_a_connection_and_processor_time() {
    let sample = Sample { operations: 0, ..sample(10, 500, 0.0) };
    let server = Figures::new(&sample, [memory(5_000, 1_000), memory(11_000, 5_500)], 10_000);
    let text = report(None, server, None).table();
    assert!(text.contains("        KiB a connection  resident KiB  CPU %\n"), "{text}");
    assert!(text.contains("server              0.45          0.60    0.5\n"), "{text}");
}

#[test]
fn a_busy_generator_and_an_unmeasured_server_are_told() {
    let mut warnings = Vec::new();
    Figures::new(&sample(10, 1, 0.84), [None; 2], 0).warn("the server", &mut warnings);
    assert!(warnings.is_empty(), "{warnings:?}");
    Figures::new(&Sample { cpu_ns: None, ..sample(10, 1, 0.9) }, [None; 2], 0)
        .warn("the floor", &mut warnings);
    assert!(
        warnings[0].starts_with("the generator was busy for 90 % of the time on the floor"),
        "{warnings:?}"
    );
    assert!(warnings[0].contains("Ask for less (a --rate"), "{warnings:?}");
    assert!(warnings[1].contains("--pid"), "{warnings:?}");
    warnings.clear();
    Figures::new(&Sample { left_out: 7, ..sample(10, 1, 0.1) }, [None; 2], 0)
        .warn("the server", &mut warnings);
    assert!(warnings[0].contains("7 operations were due and not asked even"), "{warnings:?}");
}

#[test]
fn json_holds_every_number_under_a_name_with_its_unit() {
    let server = Figures::new(&sample(100, 7, 0.5), [memory(5_000, 1_000), memory(6_000, 1_500)], 1_000);
    let json = serde_json::to_value(report(Some("delivery"), server, None)).expect("JSON");
    for (pointer, expected) in [
        ("/load", "fanout, sparse".into()),
        ("/operation", "delivery".into()),
        ("/setup/payload_bytes", 128.into()),
        ("/setup/rate", 20.0.into()),
        ("/machine/cores", 2.into()),
        ("/server/operations", 100.into()),
        ("/server/operations_a_second", 100.0.into()),
        ("/server/cpu_us", 7.0.into()),
        ("/server/generator_cpu_percent", 50.0.into()),
        ("/server/anonymous_kib/1", 1_500.into()),
        ("/server/anonymous_kib_a_connection", 0.5.into()),
        ("/floor", serde_json::Value::Null),
        ("/ratio", 1.05.into()),
        ("/ratio_of_rounds/2", 1.06.into()),
    ] {
        assert_eq!(json.pointer(pointer), Some(&expected), "{pointer} in {json}");
    }
    assert!(json.pointer("/setup/window").is_none());
    let p999 =
        json.pointer("/server/latency_us/p999").and_then(serde_json::Value::as_f64).expect("a latency");
    assert!((p999 - 200.0).abs() < 1.0, "{p999}");
}

#[test]
fn figures_keep_the_digits_that_mean_something() {
    for (value, text) in
        [(1234.5, "1234"), (12.34, "12.3"), (6.666, "6.67"), (0.0061, "0.006"), (0.0, "0.00")]
    {
        assert_eq!(spell(value), text);
    }
}

#[test]
fn a_saved_report_is_read_back_and_its_change_is_shown() {
    let figures = |cpu_us| Figures::new(&sample(100_000, cpu_us, 0.1), [None; 2], 0);
    let text = serde_json::to_string(&report(Some("delivery"), figures(8), None)).expect("JSON");
    let saved: Report = serde_json::from_str(&text).expect("what was saved");
    let changes = report(Some("delivery"), figures(6), None).changes(&saved);
    let row = changes.lines().find(|line| line.starts_with("us of processor, each delivery")).expect("a row");
    assert_eq!(row.split_ascii_whitespace().skip(5).collect::<Vec<_>>(), ["8.00", "6.00", "-25.0", "%"]);
    assert!(!changes.contains("warning"), "{changes}");
    assert!(!changes.contains("KiB"), "neither run has it: {changes}");
}

#[test]
fn runs_that_differ_are_compared_with_a_warning() {
    let figures = || Figures::new(&sample(100_000, 8, 0.1), [None; 2], 0);
    let saved = report(Some("delivery"), figures(), None);
    let mut now = report(Some("delivery"), figures(), None);
    now.setup.payload_bytes = 256;
    now.setup.facts = [("window".to_owned(), 64.0)].into();
    now.machine.processor = "Abacus 10".into();
    let changes = now.changes(&saved);
    for words in [
        "payload_bytes was \"128\" and is \"256\"",
        "rate was \"20.0\" and is \"none\"",
        "window was \"none\" and is \"64.0\"",
        "the processor was \"Abacus 9\" and is \"Abacus 10\"",
    ] {
        assert!(changes.contains(words), "{words} in {changes}");
    }
}
