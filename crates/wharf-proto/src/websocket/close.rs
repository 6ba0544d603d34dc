//! Close frames (RFC 6455 sections 5.5.1 and 7.4): a code, and a reason for people.

use bytes::BytesMut;

use super::{FrameError, FrameHeader, Opcode, apply_mask};

/// The longest reason of a close frame: a control frame carries at most 125 bytes (RFC 6455 section 5.5), of which
/// the code takes two (section 5.5.1). LIMITS.md: `max_reason_bytes`.
pub const MAX_REASON_BYTES: usize = 123;

/// A code that may stand in a close frame: 1000-1003, 1007-1014 and 3000-4999 (RFC 6455 section 7.4 and the
/// IANA registry it opens).
///
/// 1005 (no code came), 1006 (no close frame came) and 1015 (TLS failed) are words of an interface for what was
/// never sent; they cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down or a page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a rule of the protocol was broken.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1011: the server cannot fulfil the request because of a fault of its own.
    pub const INTERNAL_ERROR: Self = Self(1011);

    /// Checks a number and makes it a code.
    pub fn new(number: u16) -> Option<Self> {
        matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(number))
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0
    }
}

/// Reads the payload of a close frame, mask taken off: the code, if there is one, and the reason.
pub fn parse_close(payload: &[u8]) -> Result<(Option<CloseCode>, &str), FrameError> {
    match payload {
        [] => Ok((None, "")),
        [_] => Err(FrameError::CloseTruncated),
        [high, low, reason @ ..] => {
            let number = u16::from_be_bytes([*high, *low]);
            let code = CloseCode::new(number).ok_or(FrameError::CloseCode(number))?;
            let reason = simdutf8::basic::from_utf8(reason).map_err(|_| FrameError::CloseReasonUtf8)?;
            Ok((Some(code), reason))
        }
    }
}

/// Appends a close frame. Without a code there is no place for a reason, and none is written; a reason longer
/// than 123 bytes is cut at a character's boundary. A client gives a mask, a server none.
pub fn write_close(out: &mut BytesMut, code: Option<CloseCode>, reason: &str, mask: Option<[u8; 4]>) {
    let reason = match code {
        Some(_) => &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)],
        None => "",
    };
    let code_len = if code.is_some() { 2 } else { 0 };
    let payload_len = (code_len + reason.len()) as u64;
    FrameHeader { fin: true, rsv1: false, opcode: Opcode::Close, mask, payload_len }.write(out);
    let start = out.len();
    if let Some(code) = code {
        out.extend_from_slice(&code.0.to_be_bytes());
    }
    out.extend_from_slice(reason.as_bytes());
    if let Some(key) = mask {
        apply_mask(&mut out[start..], key, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(code: u16, reason: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes()[..], reason].concat()
    }

    // Row 24.
    #[test]
    fn refuses_every_code_that_may_not_be_sent_and_no_other() {
        for number in 0..=u16::MAX {
            let valid = match number {
                0..=999 | 1004..=1006 | 1015..=2999 | 5000.. => false,
                1000..=1003 | 1007..=1014 | 3000..=4999 => true,
            };
            let expected =
                if valid { Ok((Some(CloseCode(number)), "")) } else { Err(FrameError::CloseCode(number)) };
            assert_eq!(parse_close(&body(number, b"")), expected, "{number}");
        }
    }

    // Row 24.
    #[test]
    fn refuses_a_body_of_one_byte_and_accepts_none() {
        assert_eq!(parse_close(&[3]), Err(FrameError::CloseTruncated));
        assert_eq!(parse_close(&[]), Ok((None, "")));
    }

    // Row 25.
    #[test]
    fn refuses_a_reason_that_is_not_utf8_with_1007() {
        let error = parse_close(&body(1000, b"caf\xc3")).unwrap_err();
        assert_eq!((error, error.close_code()), (FrameError::CloseReasonUtf8, 1007));
        assert_eq!(parse_close(&body(1000, "café".as_bytes())), Ok((Some(CloseCode::NORMAL), "café")));
    }

    #[test]
    fn cuts_a_long_reason_between_characters_so_that_the_frame_stays_a_control_frame() {
        // 61 characters of two bytes make 122: the 62nd would reach 124.
        let mut out = BytesMut::new();
        write_close(&mut out, CloseCode::new(3001), &"é".repeat(100), None);
        assert_eq!(out[..4], [0x88, 124, 0x0b, 0xb9]);
        assert_eq!(parse_close(&out[2..]), Ok((CloseCode::new(3001), &*"é".repeat(61))));
    }

    #[test]
    fn writes_no_reason_where_there_is_no_code() {
        let mut out = BytesMut::new();
        write_close(&mut out, None, "lost", None);
        assert_eq!(out[..], [0x88, 0]);
    }

    #[test]
    fn masks_the_body_for_a_client() {
        let mut out = BytesMut::new();
        write_close(&mut out, Some(CloseCode::NORMAL), "bye", Some([1, 2, 3, 4]));
        assert_eq!(out[..6], [0x88, 0x80 | 5, 1, 2, 3, 4]);
        let mut payload = out[6..].to_vec();
        apply_mask(&mut payload, [1, 2, 3, 4], 0);
        assert_eq!(parse_close(&payload), Ok((Some(CloseCode::NORMAL), "bye")));
    }
}
