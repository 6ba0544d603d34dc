//! The library's sockets on real ones: every transport, both sides, and what the world does to them.

mod endings;
mod foreign;
mod many;
mod paused;
mod reconnecting;
mod rig;
mod streams;
mod tls;
mod udp;
