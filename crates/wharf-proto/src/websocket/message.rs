//! What a message is, and the bounds within which one is read.

/// Whether a message is text or binary (RFC 6455 section 5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Valid UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// The bounds of a deframer.
#[derive(Debug, Clone, Copy)]
pub struct DeframeLimits {
    /// The longest message, in bytes, after all its fragments are joined.
    pub message_bytes: usize,
    /// The most fragments of one message.
    pub fragments: u32,
}

impl Default for DeframeLimits {
    /// LIMITS.md: `message_bytes`, `fragments_per_message`.
    fn default() -> Self {
        Self { message_bytes: 65_536, fragments: 1_024 }
    }
}
