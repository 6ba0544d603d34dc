//! `info`: the node itself.

use bytes::BytesMut;
use wharf_proto::json::{Object, number, string};

use super::{Outcome, array};
use crate::{http::VERSION, node::Node};

/// What runs: `{"nodes":[{"uid":..,"name":..,"version":..,"num_clients":N,..}]}`. Users are not counted.
pub fn info(node: &Node) -> Outcome {
    let clients: usize = node.workers.iter().map(|worker| worker.connections()).sum();
    let counts = [
        ("num_clients", clients as u64),
        ("num_users", 0),
        ("num_channels", node.directory.channel_count() as u64),
        ("num_subs", node.directory.subscription_count() as u64),
        // The node's clock starts with it.
        ("uptime", node.now().0 / 1_000),
    ];
    let mut out = BytesMut::new();
    let mut object = Object::open(&mut out);
    array([node], object.key("nodes"), |node, out| {
        let mut entry = Object::open(out);
        entry.text("uid", &node.id);
        string(&node.settings.node_name, entry.key("name"));
        entry.text("version", VERSION);
        for (name, count) in counts {
            number(count.into(), entry.key(name));
        }
        entry.close();
    });
    object.close();
    Ok(out)
}
