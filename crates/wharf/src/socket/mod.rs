//! Sockets that stay: one interface (open, read, write, close) over TCP, TLS, UDP and Unix paths, client and server side.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use wharf::socket::{Heartbeat, Reconnect, Socket};
//! use wharf_proto::framing::Lines;
//!
//! let socket = Socket::connect("tcp://meter.example:7000")
//!     .framing(Lines)
//!     .heartbeat(Heartbeat::every(Duration::from_secs(30)).saying("PING"))
//!     .reconnect(Reconnect::default().greeting(|_| vec!["LOGIN meter-1".into()]))
//!     .await?;
//! socket.write(b"42 kWh").await?;
//! while let Some(message) = socket.read().await? {
//!     println!("{message:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Each part is put on by itself: a framing ([`wharf_proto::wire::Framing`]: lines, or one of `wharf_proto::device`), a
//! [`Heartbeat`], [`Reconnect`], [`Bounds`], the kernel's own [`KernelWatch`], TLS ([`ClientTls`], [`ServerTls`]).
//! docs/sockets.md shows each in twenty lines.
//!
//! | file | knows |
//! |---|---|
//! | `machine` | one socket's state, without a socket or a clock: what waits, what is due, how it ends |
//! | `parts` | what can be put on a socket |
//! | `handle`, `shared` | what a program holds, and how it waits |
//! | `drive`, `io` | the task that moves bytes between a connection and the machine |
//! | `dial`, `tls`, `listener`, `udp` | where connections come from |

pub mod address;
mod builder;
mod dial;
mod drive;
mod end;
mod event;
mod handle;
mod io;
mod listener;
mod machine;
mod parts;
mod shared;
mod tls;
mod udp;

pub use self::{
    address::{Address, Transport},
    builder::{Binding, Builder, Dialling, Given, OpenError},
    end::{End, WriteError},
    event::Event,
    handle::{Reader, Socket, Writer},
    listener::Listener,
    machine::Tally,
    parts::{Bounds, Heartbeat, KernelWatch, Reconnect, Unsent},
    tls::{ClientTls, ServerTls},
};
