//! The crates under test, each driven as its documentation advises. What a crate lets its user choose is chosen
//! alike: a reading buffer of 128 KiB, text checked, the mask's generator `rand`'s.

pub mod fastwebsockets;
pub mod tokio_websockets;
pub mod tungstenite;
pub mod wharf;
pub mod yawc;

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::{
    input::{Direction, Kind},
    pipe::Pipe,
};

/// The reading buffer, where a crate's user may choose one.
pub const READ_BUFFER_BYTES: usize = 128 * 1024;

/// The reading side of a connection.
pub trait Reader: Sized {
    /// Reads what goes in `direction`.
    fn new(direction: Direction, pipe: Pipe) -> Self;
    /// Reads as many messages and returns the sum of their lengths.
    fn read(&mut self, messages: usize) -> usize;
}

/// The writing side of a connection. The payload stays the caller's: what is sent may be sent again.
pub trait Writer: Sized {
    /// Writes `payload` in `direction`, in one frame.
    fn new(direction: Direction, kind: Kind, payload: &[u8], pipe: Pipe) -> Self;
    /// Writes as many messages, as one piece where the crate can, and flushes them.
    fn write(&mut self, messages: usize);
}

/// Carries out what is asynchronous in its form alone: a [`Pipe`] never makes anybody wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("waits for a stream that is always ready"),
    }
}
