//! Wharf on a real network: a client's machine, a router and a server's machine in network namespaces, the router
//! with nftables and conntrack. Whatever happens between the two, each end knows in the time that is stated.
//!
//! Needs root, and Debian's iproute2, nftables and conntrack, which `cargo xtask test` installs.

#[path = "../common/mod.rs"]
mod common;

mod checker;
mod clients;
mod crowd;
mod faults;
mod flood;
mod library;
mod nat;
mod peers;
