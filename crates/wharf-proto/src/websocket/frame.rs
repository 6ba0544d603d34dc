//! The header of a frame (RFC 6455 section 5.2): reading it as strictly as the text allows, writing it in the
//! fewest bytes. Knows nothing of the message that the frame belongs to; that is the deframer's.

use bytes::BytesMut;

use super::{FrameError, Role, mask::append_masked};

/// The longest header: two bytes, a length of eight, a mask of four.
pub const MAX_HEADER_BYTES: usize = 14;

/// RFC 6455 section 5.5: the longest payload of a control frame.
pub const MAX_CONTROL_BYTES: usize = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message (section 5.4).
    Continuation = 0,
    /// A message of UTF-8, or its first fragment (section 5.6).
    Text = 1,
    /// A message of bytes, or its first fragment (section 5.6).
    Binary = 2,
    /// The end of what the peer says (section 5.5.1).
    Close = 8,
    /// A question whether the peer is there (section 5.5.2).
    Ping = 9,
    /// The answer to it, or an unasked sign of life (section 5.5.3).
    Pong = 10,
}

impl Opcode {
    /// Close, ping and pong: at most 125 bytes, never fragmented, and allowed between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    fn from_bits(bits: u8) -> Result<Self, FrameError> {
        match bits {
            0 => Ok(Self::Continuation),
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            reserved => Err(FrameError::ReservedOpcode(reserved)),
        }
    }
}

/// Which reserved bits a peer may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReservedBits {
    /// None: no extension was agreed on.
    #[default]
    Forbidden,
    /// RSV1, on the first frame of a message: the mark of a compressed message (RFC 7692 section 6.1).
    Rsv1,
}

/// The header of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The last fragment of its message.
    pub fin: bool,
    /// The mark that an extension gave this message.
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The key that the payload is masked with; a client's frames have one, a server's have none.
    pub mask: Option<[u8; 4]>,
    /// The payload's length, in bytes.
    pub payload_len: u64,
}

impl FrameHeader {
    /// Reads a header at the start of `bytes`, sent to one who plays `role`. Returns it and its length, or
    /// `None` if more bytes are needed.
    ///
    /// A rule is found broken at the first byte that breaks it, so a peer's fault does not wait for the rest of
    /// the header, and is the same however the bytes come.
    pub fn parse(
        bytes: &[u8],
        role: Role,
        reserved: ReservedBits,
    ) -> Result<Option<(Self, usize)>, FrameError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (fin, rsv1, opcode) = parse_first(first, reserved)?;
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let masked = second & MASKED != 0;
        let short_len = second & !MASKED;
        match (role, masked) {
            (Role::Server, false) => return Err(FrameError::Unmasked),
            (Role::Client, true) => return Err(FrameError::Masked),
            _ => {}
        }
        if opcode.is_control() && usize::from(short_len) > MAX_CONTROL_BYTES {
            return Err(FrameError::ControlTooLong);
        }
        let Some((payload_len, length_end)) = parse_length(short_len, bytes)? else { return Ok(None) };
        let (mask, header_len) = if masked {
            let Some(&key) = bytes[length_end..].first_chunk::<4>() else { return Ok(None) };
            (Some(key), length_end + 4)
        } else {
            (None, length_end)
        };
        Ok(Some((Self { fin, rsv1, opcode, mask, payload_len }, header_len)))
    }

    /// Appends the header, its length encoded in the fewest bytes.
    pub fn write(&self, out: &mut BytesMut) {
        let fin = if self.fin { FIN } else { 0 };
        let rsv1 = if self.rsv1 { RSV1 } else { 0 };
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        let mut header = [0; MAX_HEADER_BYTES];
        header[0] = fin | rsv1 | self.opcode as u8;
        // The patterns hold that each length fits its type.
        let (short_len, mut end) = match self.payload_len {
            0..=125 => (self.payload_len as u8, 2),
            126..=0xffff => {
                header[2..4].copy_from_slice(&(self.payload_len as u16).to_be_bytes());
                (LENGTH_16, 4)
            }
            _ => {
                header[2..10].copy_from_slice(&self.payload_len.to_be_bytes());
                (LENGTH_64, 10)
            }
        };
        header[1] = masked | short_len;
        if let Some(key) = self.mask {
            header[end..end + 4].copy_from_slice(&key);
            end += 4;
        }
        out.extend_from_slice(&header[..end]);
    }
}

/// The rules that the first byte alone can break.
fn parse_first(first: u8, reserved: ReservedBits) -> Result<(bool, bool, Opcode), FrameError> {
    let (fin, rsv1) = (first & FIN != 0, first & RSV1 != 0);
    if first & RSV2_RSV3 != 0 || rsv1 && reserved == ReservedBits::Forbidden {
        return Err(FrameError::ReservedBits);
    }
    let opcode = Opcode::from_bits(first & 0x0f)?;
    // RFC 7692 section 6.1: RSV1 is set on the first fragment only, and section 5: never on control frames.
    if rsv1 && !matches!(opcode, Opcode::Text | Opcode::Binary) {
        return Err(FrameError::ReservedBits);
    }
    if opcode.is_control() && !fin {
        return Err(FrameError::ControlFragmented);
    }
    Ok((fin, rsv1, opcode))
}

/// The payload's length and where its encoding ends in the header, or `None` if more bytes are needed.
fn parse_length(short_len: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, FrameError> {
    match short_len {
        LENGTH_16 => {
            let Some(&length) = bytes[2..].first_chunk::<2>() else { return Ok(None) };
            let length = u16::from_be_bytes(length);
            if length <= MAX_CONTROL_BYTES as u16 {
                return Err(FrameError::NonMinimalLength);
            }
            Ok(Some((u64::from(length), 4)))
        }
        LENGTH_64 => {
            // The first byte can break a rule of its own, so it is not kept waiting for the other seven.
            if bytes.get(2).is_some_and(|byte| byte & 0x80 != 0) {
                return Err(FrameError::LengthTopBit);
            }
            let Some(&length) = bytes[2..].first_chunk::<8>() else { return Ok(None) };
            let length = u64::from_be_bytes(length);
            if length <= u64::from(u16::MAX) {
                return Err(FrameError::NonMinimalLength);
            }
            Ok(Some((length, 10)))
        }
        length => Ok(Some((u64::from(length), 2))),
    }
}

/// Appends the header of a frame that is a whole message or a control frame; the payload goes out after it from
/// where it lies. With a mask, the payload must be masked with the same key.
pub fn write_header(out: &mut BytesMut, opcode: Opcode, payload_len: usize, mask: Option<[u8; 4]>) {
    FrameHeader { fin: true, rsv1: false, opcode, mask, payload_len: payload_len as u64 }.write(out);
}

/// Appends a frame that is a whole message or a control frame. A client gives a mask of four random bytes, new
/// and unpredictable for each frame (RFC 6455 section 5.3); a server gives none.
///
/// # Panics
/// If a control frame is given a payload of more than [`MAX_CONTROL_BYTES`].
pub fn write_frame(out: &mut BytesMut, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    assert!(
        !opcode.is_control() || payload.len() <= MAX_CONTROL_BYTES,
        "a control frame of {} bytes: RFC 6455 section 5.5 allows {MAX_CONTROL_BYTES}",
        payload.len()
    );
    out.reserve(MAX_HEADER_BYTES + payload.len());
    write_header(out, opcode, payload.len(), mask);
    match mask {
        Some(key) => append_masked(out, payload, key, 0),
        None => out.extend_from_slice(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, FrameError> {
        FrameHeader::parse(bytes, Role::Server, ReservedBits::Forbidden)
    }

    #[test]
    fn writes_and_reads_back_every_width_of_length_in_the_fewest_bytes() {
        let widths = [(0, 2), (125, 2), (126, 4), (0xffff, 4), (0x1_0000, 10), (u64::MAX >> 1, 10)];
        for (payload_len, expected) in widths {
            for mask in [None, Some([9, 8, 7, 6])] {
                let role = if mask.is_some() { Role::Server } else { Role::Client };
                let header = FrameHeader { fin: true, rsv1: false, opcode: Opcode::Text, mask, payload_len };
                let mut out = BytesMut::new();
                header.write(&mut out);
                assert_eq!(out.len(), expected + mask.map_or(0, |_| 4));
                for end in 0..out.len() {
                    let partial = FrameHeader::parse(&out[..end], role, ReservedBits::Forbidden);
                    assert_eq!(partial, Ok(None), "{payload_len}, first {end} bytes");
                }
                let whole = FrameHeader::parse(&out, role, ReservedBits::Forbidden);
                assert_eq!(whole, Ok(Some((header, out.len()))));
            }
        }
    }

    #[test]
    fn writes_the_examples_of_the_rfc() {
        // RFC 6455 section 5.7.
        let mut out = BytesMut::new();
        write_frame(&mut out, Opcode::Text, b"Hello", None);
        assert_eq!(out[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        out.clear();
        write_frame(&mut out, Opcode::Text, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]));
        assert_eq!(out[..], [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    // Row 15.
    #[test]
    fn refuses_an_unmasked_frame_of_a_client_and_a_masked_one_of_a_server_by_the_second_byte() {
        assert_eq!(parse(&[0x81, 0x05]), Err(FrameError::Unmasked));
        let masked = FrameHeader::parse(&[0x81, 0x85], Role::Client, ReservedBits::Forbidden);
        assert_eq!(masked, Err(FrameError::Masked));
    }

    // Row 16.
    #[test]
    fn refuses_each_reserved_bit_by_the_first_byte() {
        for bit in [0x40, 0x20, 0x10] {
            assert_eq!(parse(&[0x81 | bit]), Err(FrameError::ReservedBits), "{bit:#x}");
        }
    }

    // Row 17.
    #[test]
    fn refuses_rsv1_on_control_and_continuation_even_where_it_is_allowed() {
        for opcode in [Opcode::Continuation, Opcode::Close, Opcode::Ping, Opcode::Pong] {
            let first = FIN | RSV1 | opcode as u8;
            let refused = FrameHeader::parse(&[first], Role::Server, ReservedBits::Rsv1);
            assert_eq!(refused, Err(FrameError::ReservedBits), "{opcode:?}");
        }
        for bit in [0x20, 0x10] {
            let refused = FrameHeader::parse(&[0x81 | bit], Role::Server, ReservedBits::Rsv1);
            assert_eq!(refused, Err(FrameError::ReservedBits), "{bit:#x}");
        }
        let allowed = FrameHeader::parse(&[0xc1, 0x80, 1, 2, 3, 4], Role::Server, ReservedBits::Rsv1);
        assert!(allowed.is_ok_and(|found| found.is_some_and(|(header, _)| header.rsv1)));
    }

    // Row 18.
    #[test]
    fn refuses_every_reserved_opcode() {
        for bits in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            assert_eq!(parse(&[0x80 | bits]), Err(FrameError::ReservedOpcode(bits)));
        }
    }

    // Row 19.
    #[test]
    fn refuses_control_frames_over_125_bytes_before_their_length_is_known() {
        for opcode in [0x88, 0x89, 0x8a] {
            assert_eq!(parse(&[opcode, 0x80 | 126]), Err(FrameError::ControlTooLong));
            assert_eq!(parse(&[opcode, 0x80 | 127]), Err(FrameError::ControlTooLong));
            assert_eq!(parse(&[opcode, 0x80 | 125]), Ok(None));
        }
    }

    // Row 20.
    #[test]
    fn refuses_fragmented_control_frames() {
        for opcode in [0x08, 0x09, 0x0a] {
            assert_eq!(parse(&[opcode]), Err(FrameError::ControlFragmented));
        }
    }

    // Row 26.
    #[test]
    fn refuses_the_top_bit_of_a_64_bit_length_by_its_first_byte() {
        assert_eq!(parse(&[0x82, 0xff, 0x80]), Err(FrameError::LengthTopBit));
    }

    // Row 28.
    #[test]
    fn refuses_lengths_that_fit_fewer_bytes() {
        assert_eq!(parse(&[0x82, 0xfe, 0, 125]), Err(FrameError::NonMinimalLength));
        assert_eq!(parse(&[0x82, 0xfe, 0, 126]), Ok(None));
        assert_eq!(parse(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), Err(FrameError::NonMinimalLength));
        assert_eq!(parse(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]), Ok(None));
    }

    #[test]
    #[should_panic(expected = "a control frame of 126 bytes")]
    fn does_not_write_a_control_frame_that_a_peer_must_refuse() {
        write_frame(&mut BytesMut::new(), Opcode::Ping, &[0; 126], None);
    }
}
