//! The motion of Wharf: workers that own connections, the transports that move bytes, HTTP, and clients.
//!
//! A [`node::Node`] is what all workers share. A [`client::Client`] is the other end.

pub mod client;
pub mod devices;
pub mod http;
pub mod ledger;
pub mod listener;
pub mod metrics;
pub mod node;
mod patience;
pub mod ring;
pub mod server;
pub mod settings;
pub mod socket;
pub mod tls;
pub mod transport;
mod watched;
pub mod worker;
