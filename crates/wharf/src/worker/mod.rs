//! A worker: one thread that owns connections, its members of each channel, and an inbox.

pub mod request;

pub use request::{Attachment, Opening, PollAnswer, PollRequest, SessionKey, ToWorker};
