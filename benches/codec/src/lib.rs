//! What the benchmarks of the WebSocket codec are made of: the same bytes for every crate, an in-memory stream, and
//! for each crate a reader and a writer that drive it as its documentation advises.
#![forbid(unsafe_code)]

pub mod codecs;
pub mod input;
pub mod pipe;
