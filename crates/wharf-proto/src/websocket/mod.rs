//! The WebSocket codec (RFC 6455), sans-IO, for both roles.

/// A rule of RFC 6455 that the peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// RFC 6455 section 5.1.
    #[error("a client frame must be masked")]
    Unmasked,
}

impl FrameError {
    /// The close code that says it (RFC 6455 section 7.4.1).
    pub fn close_code(self) -> u16 {
        1002
    }
}
