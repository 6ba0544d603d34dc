//! `paths`: how long idle connections live, by listener and client network, and how often clients are pinged for that.

use bytes::BytesMut;
use wharf_proto::json::{Object, display, number};

use super::array;
use crate::node::Node;

/// `{"enabled":true,"ping_ms":N,"paths":[{"listener":..,"network":..,"ping_ms":N,"kills_at_ms":N,..}]}`. Paths on which
/// nobody dies are not among them.
pub fn paths(node: &Node) -> BytesMut {
    let estimates = node.paths.as_ref().map(|paths| paths.estimates()).unwrap_or_default();
    let mut out = BytesMut::new();
    let mut object = Object::open(&mut out);
    object.key("enabled").extend_from_slice(if node.paths.is_some() { b"true" } else { b"false" });
    object.number("ping_ms", node.settings.times.ping_interval_ms);
    array(estimates, object.key("paths"), |(origin, estimate), out| {
        let mut path = Object::open(out);
        if let Some(name) = node.listener_name(origin.listener) {
            path.text("listener", &name);
        }
        if let Some(network) = origin.network {
            display(network, path.key("network"));
        }
        for (name, value) in [
            ("ping_ms", estimate.interval_ms),
            ("kills_at_ms", estimate.kills_at_ms),
            ("deaths", estimate.deaths),
            ("survivals", estimate.survivals),
        ] {
            number(value.into(), path.key(name));
        }
        path.close();
    });
    object.close();
    out
}
