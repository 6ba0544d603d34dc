//! The bytes of Wharf: what a message is, where it ends, and what it means on the wire.
//!
//! This crate is told things and asked for bytes. It knows no socket, no runtime and no clock, and has no
//! randomness of its own: whoever drives it brings these.
//!
//! | module | what | feature |
//! |---|---|---|
//! | [`websocket`] | the WebSocket codec (RFC 6455), complete in itself | `websocket` |
//! | [`websocket::deflate`] | its compression (RFC 7692) | `deflate` |
//! | [`http`] | the byte-level guard in front of an HTTP parser | `http` |
//! | [`message`] | the words that every dialect shares: Command, Reply, Push, Publication, Position | `dialect` |
//! | [`wire`] | Dialect and Framing, and the small number that names a pair of them | `dialect` |
//! | [`framing`] | where a message ends on streams other than WebSocket | `dialect` |
//! | [`dialect`] | what a message means | `dialect` |
//! | [`device`] | kinds of devices: framing, login, heartbeat and messages as a description says | `dialect` |
//! | [`json`] | appends JSON to buffers | `dialect` |
//!
//! All features are on by default. A program that wants the WebSocket codec alone depends on
//! `wharf-proto = { version = "0.1", default-features = false, features = ["websocket"] }`.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// The pages name what any feature has; published are those of all.
#![cfg_attr(
    not(all(feature = "deflate", feature = "dialect", feature = "http")),
    allow(rustdoc::broken_intra_doc_links, rustdoc::private_intra_doc_links)
)]

#[cfg(feature = "dialect")]
pub mod device;
#[cfg(feature = "dialect")]
pub mod dialect;
#[cfg(feature = "dialect")]
pub mod disconnect;
#[cfg(feature = "dialect")]
pub mod error;
#[cfg(feature = "dialect")]
pub mod framing;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "dialect")]
pub mod json;
#[cfg(feature = "dialect")]
pub mod message;
#[cfg(feature = "websocket")]
pub mod websocket;
#[cfg(feature = "dialect")]
pub mod wire;

#[cfg(feature = "dialect")]
pub use disconnect::Disconnect;
#[cfg(feature = "dialect")]
pub use error::PeerError;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
