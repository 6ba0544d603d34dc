//! Every rule of framing that a peer can break, with the close code that tells it so.

/// A rule of RFC 6455 that the peer broke. The text names the rule and fits a close frame's reason.
///
/// No more messages are read. Say [`close_code`](Self::close_code) in a close frame, then close the connection (RFC
/// 6455 section 7.1.7: fail the WebSocket connection): at once, or when the peer has answered, if that can still be
/// heard ([`leaves_boundaries`](Self::leaves_boundaries)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// RFC 6455 section 5.1: a server closes the connection when it receives a frame that is not masked.
    #[error("a client frame must be masked")]
    Unmasked,
    /// RFC 6455 section 5.1: a client closes the connection when it receives a masked frame.
    #[error("a server frame must not be masked")]
    Masked,
    /// RFC 6455 section 5.2: RSV1 to RSV3 are zero unless an extension was agreed on that gives them a meaning;
    /// RFC 7692 section 6.1 gives RSV1 one on the first frame of a message, and on no other.
    #[error("a reserved bit is set without an extension that allows it on this frame")]
    ReservedBits,
    /// RFC 6455 section 5.2: opcodes 3-7 and 11-15 are reserved.
    #[error("opcode {0} is reserved")]
    ReservedOpcode(u8),
    /// RFC 6455 section 5.5: a control frame's payload is at most 125 bytes.
    #[error("a control frame must not be longer than 125 bytes")]
    ControlTooLong,
    /// RFC 6455 section 5.5: control frames are not fragmented.
    #[error("a control frame must not be fragmented")]
    ControlFragmented,
    /// RFC 6455 section 5.4: the fragments of one message are not interleaved with another message.
    #[error("a new message must not begin before the last fragment of the one before")]
    Interleaved,
    /// RFC 6455 section 5.4: a continuation frame follows a frame without FIN.
    #[error("a continuation frame without a message to continue")]
    StrayContinuation,
    /// RFC 6455 section 5.2: the minimal number of bytes must be used to encode the length.
    #[error("the payload length is not encoded in the fewest bytes")]
    NonMinimalLength,
    /// RFC 6455 section 5.2: the most significant bit of a 64-bit length is zero.
    #[error("the top bit of a 64-bit payload length must be zero")]
    LengthTopBit,
    /// RFC 6455 section 10.4: implementations limit the size of a message after its fragments are joined.
    #[error("the message is longer than the limit of {limit} bytes")]
    MessageTooLong {
        /// [`DeframeLimits::message_bytes`](super::DeframeLimits::message_bytes).
        limit: usize,
    },
    /// RFC 6455 section 10.4, as above: a message in too many pieces costs time instead of memory.
    #[error("the message has more than the limit of {limit} fragments")]
    TooManyFragments {
        /// [`DeframeLimits::fragments`](super::DeframeLimits::fragments).
        limit: u32,
    },
    /// RFC 7692 section 7.2.2: a compressed message is DEFLATE data that refers to nothing before its window.
    #[error("a compressed message must be whole DEFLATE data")]
    InvalidDeflate,
    /// RFC 6455 section 8.1: a text message is valid UTF-8.
    #[error("a text message must be valid UTF-8")]
    InvalidUtf8,
    /// RFC 6455 section 5.5.1: a close frame's body is empty or begins with a code of two bytes.
    #[error("a close frame's body must be empty or begin with a code of two bytes")]
    CloseTruncated,
    /// RFC 6455 section 7.4: codes below 1000, 1004-1006, 1015-2999 and from 5000 never stand in a close frame.
    #[error("{0} is not a close code that may be sent")]
    CloseCode(u16),
    /// RFC 6455 section 5.5.1: the reason of a close frame is UTF-8.
    #[error("the reason of a close frame must be valid UTF-8")]
    CloseReasonUtf8,
}

impl FrameError {
    /// The close code that says it (RFC 6455 section 7.4.1).
    ///
    /// Too many fragments is 1009 like too many bytes, and not 1008: the section keeps 1008 for what no other
    /// code suits, and the mend is the same for both, to send a smaller message. What cannot be inflated is 1007:
    /// data that is not of the type that the message claims.
    pub fn close_code(self) -> u16 {
        match self {
            Self::InvalidDeflate | Self::InvalidUtf8 | Self::CloseReasonUtf8 => 1007,
            Self::MessageTooLong { .. } | Self::TooManyFragments { .. } => 1009,
            _ => 1002,
        }
    }

    /// Whether it is still known where the peer's frames begin and end, since not a frame but what was in it is
    /// wrong: then the peer's close frame can be told from what comes before it.
    ///
    /// Not so for what is wrong with a close frame: no other follows it (RFC 6455 section 5.5.1). Nor for fragments
    /// out of their order: a peer that breaks rules of framing is trusted in none.
    pub fn leaves_boundaries(self) -> bool {
        matches!(
            self,
            Self::MessageTooLong { .. }
                | Self::TooManyFragments { .. }
                | Self::InvalidDeflate
                | Self::InvalidUtf8
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::MAX_REASON_BYTES;

    #[test]
    fn every_text_fits_the_reason_of_a_close_frame_at_its_longest() {
        let longest = [
            FrameError::Unmasked,
            FrameError::Masked,
            FrameError::ReservedBits,
            FrameError::ReservedOpcode(15),
            FrameError::ControlTooLong,
            FrameError::ControlFragmented,
            FrameError::Interleaved,
            FrameError::StrayContinuation,
            FrameError::NonMinimalLength,
            FrameError::LengthTopBit,
            FrameError::MessageTooLong { limit: usize::MAX },
            FrameError::TooManyFragments { limit: u32::MAX },
            FrameError::InvalidDeflate,
            FrameError::InvalidUtf8,
            FrameError::CloseTruncated,
            FrameError::CloseCode(u16::MAX),
            FrameError::CloseReasonUtf8,
        ];
        for error in longest {
            let text = error.to_string();
            assert!(text.len() <= MAX_REASON_BYTES, "{text:?} has {} bytes", text.len());
        }
    }
}
