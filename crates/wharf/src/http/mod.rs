//! What comes and goes: accepted sockets, TLS handshakes, HTTP requests. All of it runs as tasks of the worker's
//! runtime; what stays (WebSocket, streams, JSON lines) is handed to the worker as an [`Attachment`].
//!
//! ```text
//! gate ── first bytes ──┬─ TLS ── handshake, then the gate again
//!                       ├─ HTTP/1 ── guarded ─┬─ service (hyper): requests that end
//!                       │                     ├─ whole: POSTs that end and are all here, without hyper
//!                       │                     └─ takeover: long-lived requests never enter hyper
//!                       ├─ HTTP/2 ── service (hyper) ─┬─ streams by a body transport
//!                       │                             └─ extended_connect: WebSockets by a tunnel
//!                       └─ `{` ── JSON lines
//! ```
//!
//! [`Attachment`]: crate::worker::Attachment

pub mod access;
mod answer;
mod api;
mod body;
mod date;
mod emulation;
mod extended_connect;
pub mod gate;
mod guarded;
mod http1;
mod http2;
mod long_lived;
mod metrics;
mod page;
mod peer;
mod poll;
mod service;
mod stream;
mod takeover;
mod whole;

use std::sync::Arc;

use crate::{ledger::Origin, node::Node};

/// Where a request is served: the node, the worker whose runtime this is, and where the connection came from.
#[derive(Clone)]
struct Context {
    node: Arc<Node>,
    worker: usize,
    origin: Origin,
}

/// What Wharf calls itself.
const VERSION: &str = env!("CARGO_PKG_VERSION");
