//! A client of Wharf, and of any server of the Centrifuge protocol in JSON.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use wharf::client::{Client, Event};
//!
//! let mut client = Client::to("http://127.0.0.1:8000".parse()?).subscribe("news", Default::default()).start().await?;
//! while let Some(event) = client.next_event().await {
//!     if let Event::Publication { channel, publication } = event {
//!         println!("{channel} {} {:?}", publication.offset, publication.data);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A client tries its transports in order, comes back after each loss with full jitter between half a second and
//! twenty, and resumes every channel from its position: each publication is told once and in order, or
//! [`Event::Subscribed`] tells that some were lost.
//!
//! * [`address`]: where a server is.
//! * [`conversation`]: the protocol, without a socket or a clock.
//! * [`link`]: one connection, whatever carries it.

pub mod address;
pub mod backoff;
pub mod conversation;
pub mod event;
pub mod link;
mod run;

pub use self::{
    address::{Endpoint, Scheme, ServerAddress},
    conversation::{Position, SubscribeOptions},
    event::{Ending, Event},
    link::{LinkError, TransportKind, WebsocketOptions},
    run::{Builder, Client},
};
