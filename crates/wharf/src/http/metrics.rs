//! `/metrics`: the node's counters in the Prometheus text format, added up when asked.

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::answer::{self, Answer};
use crate::{
    devices::Devices,
    metrics::{KINDS, WorkerMetrics},
    node::Node,
};

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = [(&'static str, String); 1];
type EndLabels = [(&'static str, &'static str); 2];

/// The counters as they are now.
pub fn answer(node: &Node) -> Answer {
    let mut text = String::new();
    // Writing into a string fails only if a metric cannot be formatted, and all of them are numbers.
    match encode(&mut text, &registry(node)) {
        Ok(()) => answer::whole(200, TYPE, text),
        Err(_) => answer::error(500, "the metrics could not be written"),
    }
}

fn registry(node: &Node) -> Registry {
    let mut registry = Registry::with_prefix("wharf");
    connections(node, &mut registry);
    traffic(node, &mut registry);
    compression(node, &mut registry);
    front(node, &mut registry);
    devices(node, &mut registry);
    registry
}

fn connections(node: &Node, registry: &mut Registry) {
    let (open, opened) = (Family::<Labels, Gauge>::default(), Family::<Labels, Counter>::default());
    for kind in KINDS {
        let labels = [("kind", kind.to_owned())];
        let (total, now) = node.metrics.connections(kind);
        opened.get_or_create(&labels).inc_by(total);
        open.get_or_create(&labels).set(i64::try_from(now).unwrap_or(i64::MAX));
    }
    registry.register("connections", "Connections that workers own now", open);
    registry.register("connections_opened", "Connections that workers have owned", opened);
    let closed = Family::<Labels, Counter>::default();
    for (code, count) in node.metrics.closed_by_code() {
        let name = if code == 0 { "other".to_owned() } else { code.to_string() };
        closed.get_or_create(&[("code", name)]).inc_by(count);
    }
    registry.register("connections_closed", "Connections that ended, by code", closed);
    let ended = Family::<EndLabels, Counter>::default();
    for (kind, verdict, count) in node.metrics.ended() {
        ended.get_or_create(&[("kind", kind), ("verdict", verdict)]).inc_by(count);
    }
    registry.register("connections_ended", "Connections that ended, by what became of them", ended);
    gauge(registry, "channels", "Channels with members on this node", node.directory.channel_count());
    let subscriptions = node.directory.subscription_count();
    gauge(registry, "subscriptions", "Members of all channels on this node", subscriptions);
}

/// What workers count, each with its name and explanation.
type Traffic = (&'static str, &'static str, fn(&WorkerMetrics) -> &crate::metrics::Counter);

const TRAFFIC: [Traffic; 13] = [
    ("messages_received", "Messages from clients", |worker| &worker.messages_in),
    ("messages_sent", "Messages to clients", |worker| &worker.messages_out),
    ("deliveries", "Broadcasts put on a member's outbox", |worker| &worker.deliveries),
    ("received_bytes", "Bytes read from connections", |worker| &worker.bytes_in),
    ("sent_bytes", "Bytes that connections took", |worker| &worker.bytes_out),
    ("client_publications", "Publications by clients", |worker| &worker.publications),
    ("private_encodings", "Broadcasts encoded for one connection alone", |worker| &worker.private_encodings),
    ("shared_encodings", "Broadcasts encoded for all members on a wire", |worker| &worker.shared_encodings),
    ("deflated_messages", "Messages to clients compressed, for one or for many", |worker| {
        &worker.deflated_messages
    }),
    ("deflate_in_bytes", "Bytes of those messages before", |worker| &worker.deflate_in_bytes),
    ("deflate_out_bytes", "Bytes of those messages after, with their frames", |worker| {
        &worker.deflate_out_bytes
    }),
    ("inbox_overflows", "Broadcasts and requests refused by a full inbox", |worker| &worker.inbox_overflows),
    ("slow_closes", "Connections ended as slow", |worker| &worker.slow_closes),
];

fn traffic(node: &Node, registry: &mut Registry) {
    for (name, help, counter) in TRAFFIC {
        count(registry, name, help, node.metrics.sum(counter));
    }
}

/// Who is compressed for, and what that takes.
fn compression(node: &Node, registry: &mut Registry) {
    let (opened, open) = node.metrics.compressed_connections();
    let open = usize::try_from(open).unwrap_or(usize::MAX);
    gauge(registry, "compressed_connections", "WebSockets that agreed on compression", open);
    let name = "compressed_connections_opened";
    count(registry, name, "WebSockets that have agreed on compression", opened);
    let used = node.compressors.used_bytes();
    gauge(registry, "compressor_bytes", "Memory set aside for connections with context takeover", used);
    let name = "compressor_refusals";
    count(
        registry,
        name,
        "Connections without takeover for want of that memory",
        node.compressors.refusals(),
    );
}

fn front(node: &Node, registry: &mut Registry) {
    let metrics = &node.metrics;
    for (name, help, counter) in [
        ("accepted", "Connections taken from the kernel", &metrics.accepted),
        ("turned_away", "Connections turned away at a limit", &metrics.turned_away),
        (
            "accept_exhausted",
            "Accepts that failed for want of descriptors or memory",
            &metrics.accept_exhausted,
        ),
        ("tls_failures", "TLS handshakes that failed", &metrics.tls_failures),
        ("http_requests", "HTTP requests that end", &metrics.http_requests),
        ("http_refusals", "HTTP requests refused as malformed", &metrics.http_refusals),
        ("http_timeouts", "Connections whose first bytes or head came too late", &metrics.http_timeouts),
        ("api_publications", "Publications by the server API", &metrics.api_publications),
        ("stood_still_milliseconds", "Time in which the process did not run", &metrics.stood_still_ms),
    ] {
        count(registry, name, help, counter.total());
    }
}

/// Where devices are listened to. Listeners are a few, named by the operator; devices are many, and never a label.
fn devices(node: &Node, registry: &mut Registry) {
    let Devices {
        refusals,
        replaced,
        asked,
        unanswered,
        lost_datagrams,
        strange_datagrams,
        wrong_datagrams,
        ..
    } = &node.devices;
    for (name, help, counter) in [
        ("device_refusals", "Devices that were not let in", &refusals.total),
        ("device_replacements", "Connections of devices that a newer one has replaced", replaced),
        ("device_requests", "Requests to devices by the server API", asked),
        ("device_requests_unanswered", "Those that a device did not answer in time", unanswered),
        ("device_datagrams_lost", "UDP datagrams thrown away for want of room", &**lost_datagrams),
        ("device_datagrams_strange", "UDP datagrams of strangers that did not log in", strange_datagrams),
        (
            "device_datagrams_wrong",
            "UDP datagrams from devices that they may not send, or forged",
            wrong_datagrams,
        ),
    ] {
        count(registry, name, help, counter.total());
    }
    let connected = Family::<Labels, Gauge>::default();
    let (junk, bad) = (Family::<Labels, Counter>::default(), Family::<Labels, Counter>::default());
    let unmatched = Family::<Labels, Counter>::default();
    let undeliverable = Family::<Labels, Counter>::default();
    for (index, listener) in node.settings.devices.iter().enumerate() {
        let labels = [("listener", listener.name.to_string())];
        let devices = node.devices.registry.count(index as u16);
        connected.get_or_create(&labels).set(i64::try_from(devices).unwrap_or(i64::MAX));
        let counts = listener.profile.counts();
        junk.get_or_create(&labels).inc_by(counts.junk_bytes);
        bad.get_or_create(&labels).inc_by(counts.bad_checksums);
        unmatched.get_or_create(&labels).inc_by(counts.unmatched);
        undeliverable.get_or_create(&labels).inc_by(counts.undeliverable);
    }
    registry.register("devices", "Devices that are connected now", connected);
    registry.register("device_junk_bytes", "Bytes of devices that were no frame", junk);
    registry.register("device_bad_checksums", "Frames of devices with a wrong checksum", bad);
    registry.register("device_unmatched", "Frames of devices that no rule means", unmatched);
    registry.register("device_undeliverable", "Messages that no template can carry", undeliverable);
}

fn count(registry: &mut Registry, name: &str, help: &str, total: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(total);
    registry.register(name, help, counter);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, now: usize) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(now).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}
