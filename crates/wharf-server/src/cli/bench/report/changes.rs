//! What changed since a run that was saved.

use std::fmt::Write as _;

use super::{Figures, Latency, Report, align, spell};

impl Report {
    /// A table of the figures that both runs have: before, now and the change. Above it stands in what the runs
    /// differ, since figures of different loads or machines say nothing about the server.
    pub fn changes(&self, saved: &Self) -> String {
        let mut text = String::from("\nchange to the saved run\n");
        for difference in self.differences(saved) {
            let _ = writeln!(text, "warning: {difference}");
        }
        let mut rows = vec![["", "saved", "now", "change"].map(str::to_owned).to_vec()];
        let operation = self.operation.as_deref().unwrap_or("operation");
        for (name, figure) in figures(operation) {
            let (Some(before), Some(now)) = (figure(saved), figure(self)) else { continue };
            let change =
                if before > 0.0 { format!("{:+.1} %", (now / before - 1.0) * 100.0) } else { "-".to_owned() };
            rows.push(vec![name, spell(before), spell(now), change]);
        }
        align(&rows, &mut text);
        text
    }

    fn differences(&self, saved: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut differ = |what: &str, before: &str, now: &str| {
            if before != now {
                differences.push(format!("{what} was {before:?} and is {now:?}; repeat it alike to compare"));
            }
        };
        differ("the load", &saved.load, &self.load);
        let fields = |report: &Self| match serde_json::to_value(&report.setup) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (before, now) = (fields(saved), fields(self));
        for name in before.keys().chain(now.keys().filter(|name| !before.contains_key(*name))) {
            let spelled = |value: Option<&serde_json::Value>| match value {
                Some(serde_json::Value::String(text)) => text.clone(),
                value => value.map_or("none".to_owned(), ToString::to_string),
            };
            differ(name, &spelled(before.get(name)), &spelled(now.get(name)));
        }
        differ("the processor", &saved.machine.processor, &self.machine.processor);
        differ("the kernel", &saved.machine.kernel, &self.machine.kernel);
        differences
    }
}

type Figure = Box<dyn Fn(&Report) -> Option<f64>>;

/// All figures that can be compared, by their names.
fn figures(operation: &str) -> Vec<(String, Figure)> {
    let server =
        |figure: fn(&Figures) -> Option<f64>| -> Figure { Box::new(move |report| figure(&report.server)) };
    let latency = |quantile: fn(Latency) -> f64| -> Figure {
        Box::new(move |report| report.server.latency_us.map(quantile))
    };
    vec![
        ("x".to_owned(), Box::new(|report: &Report| report.ratio) as Figure),
        (format!("us of processor, each {operation}"), server(|figures| figures.cpu_us)),
        (
            format!("{operation}/s"),
            server(|figures| (figures.operations > 0).then_some(figures.operations_a_second)),
        ),
        ("p50 us".to_owned(), latency(|latency| latency.p50)),
        ("p99 us".to_owned(), latency(|latency| latency.p99)),
        ("p999 us".to_owned(), latency(|latency| latency.p999)),
        ("max us".to_owned(), latency(|latency| latency.max)),
        ("CPU %".to_owned(), server(|figures| figures.server_cpu_percent)),
        ("KiB a connection".to_owned(), server(|figures| figures.anonymous_kib_a_connection)),
    ]
}
