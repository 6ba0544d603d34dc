//! What one role of a conversation writes, by the choices of an input: messages in any fragments, compressed or not,
//! control frames between them, a close. Beside it stands what is meant, for the reader to be compared with.

use bytes::BytesMut;
use wharf_proto::websocket::{
    CloseCode, FrameHeader, Opcode, Role, apply_mask, deflate::Deflater, write_close, write_frame,
};

use super::{Choices, Said};

/// What one role writes, and what it means by it.
pub struct Speech {
    masks: bool,
    deflater: Option<Deflater>,
    /// Of a small generator, for masks and cuts.
    state: u32,
    out: BytesMut,
    pub said: Vec<Said>,
}

impl Speech {
    /// One role that has said nothing yet. Random numbers follow from `seed`.
    pub fn new(writer: Role, deflater: Option<Deflater>, seed: u8) -> Self {
        let masks = writer == Role::Client;
        Self { masks, deflater, state: seed.into(), out: BytesMut::new(), said: Vec::new() }
    }

    fn mask(&mut self) -> Option<[u8; 4]> {
        let key = draw(&mut self.state).to_be_bytes();
        self.masks.then_some(key)
    }

    /// A message of up to 130,000 bytes: text or binary, compressed or not, in one frame or several, with control
    /// frames between them.
    pub fn say_message(&mut self, choices: &mut Choices<'_>) {
        let flags = choices.byte();
        let (binary, compress) = (flags & 1 != 0, flags & 2 != 0);
        let (fragments, interrupts) = (1 + usize::from(flags >> 2 & 7), flags & 32 != 0);
        let piece = choices.bytes();
        let times = 1 + 2 * usize::from(choices.byte());
        let (opcode, message) = match binary {
            true => (Opcode::Binary, piece.repeat(times)),
            // Three bytes may take the place of one that is not UTF-8.
            false => (Opcode::Text, String::from_utf8_lossy(piece).repeat(times).into_bytes()),
        };
        if fragments == 1 {
            let mask = self.mask();
            match self.deflater.as_mut().filter(|_| compress) {
                Some(deflater) => deflater.write_frame(&mut self.out, opcode, &message, mask),
                None => write_frame(&mut self.out, opcode, &message, mask),
            }
        } else {
            let mut deflated = BytesMut::new();
            let deflater = self.deflater.as_mut().filter(|_| compress);
            let rsv1 = deflater.is_some_and(|deflater| deflater.deflate(&message, &mut deflated));
            let payload = if rsv1 { &deflated[..] } else { &message };
            self.say_fragments(opcode, rsv1, payload, fragments, interrupts);
        }
        self.said.push(match binary {
            true => Said::Binary(message),
            false => Said::Text(String::from_utf8(message).expect("it was made of text")),
        });
    }

    /// RFC 6455 section 5.4: a message in pieces of any size, none included, and control frames between them.
    fn say_fragments(
        &mut self,
        opcode: Opcode,
        rsv1: bool,
        payload: &[u8],
        fragments: usize,
        interrupts: bool,
    ) {
        let mut cuts: Vec<_> =
            (1..fragments).map(|_| draw(&mut self.state) as usize % (payload.len() + 1)).collect();
        cuts.extend([0, payload.len()]);
        cuts.sort_unstable();
        for (at, ends) in cuts.windows(2).enumerate() {
            let piece = &payload[ends[0]..ends[1]];
            let header = FrameHeader {
                fin: at + 1 == fragments,
                rsv1: rsv1 && at == 0,
                opcode: if at == 0 { opcode } else { Opcode::Continuation },
                mask: self.mask(),
                payload_len: piece.len() as u64,
            };
            header.write(&mut self.out);
            let start = self.out.len();
            self.out.extend_from_slice(piece);
            apply_mask(&mut self.out[start..], header.mask.unwrap_or_default(), 0);
            if interrupts && !header.fin {
                self.say_control(at, &piece[..piece.len().min(125)]);
            }
        }
    }

    fn say_control(&mut self, at: usize, payload: &[u8]) {
        let mask = self.mask();
        let (opcode, said) = match at % 2 {
            0 => (Opcode::Ping, Said::Ping(payload.to_vec())),
            _ => (Opcode::Pong, Said::Pong(payload.to_vec())),
        };
        match &mut self.deflater {
            // RFC 7692 section 5: control frames are never compressed.
            Some(deflater) => deflater.write_frame(&mut self.out, opcode, payload, mask),
            None => write_frame(&mut self.out, opcode, payload, mask),
        }
        self.said.push(said);
    }

    /// A close with any code that may be sent, or none, and any reason; behind it what nobody looks at.
    pub fn say_close(&mut self, choices: &mut Choices<'_>) {
        let code = CloseCode::new(u16::from_be_bytes([choices.byte(), choices.byte()]));
        let reason = choices.text();
        let mask = self.mask();
        write_close(&mut self.out, code, &reason, mask);
        // RFC 6455 section 5.5: 125 bytes, of which the code takes two.
        let heard = if code.is_some() { &reason[..reason.floor_char_boundary(123)] } else { "" };
        self.said.push(Said::Close(code, heard.to_owned()));
        self.out.extend_from_slice(b"\xff\xff\xff");
    }

    /// All that was written: whole, or in pieces of 0 to 15 bytes, and longer ones where it is long.
    pub fn pieces(&mut self, whole: bool) -> Vec<&mut [u8]> {
        let mut stream = &mut self.out[..];
        let longest = 16 + stream.len() / 64;
        let mut pieces = Vec::new();
        while !stream.is_empty() {
            let length = if whole { stream.len() } else { draw(&mut self.state) as usize % longest };
            let (piece, rest) = stream.split_at_mut(length.min(stream.len()));
            pieces.push(piece);
            stream = rest;
        }
        pieces
    }
}

/// The next number of a small generator; its upper bits are the better ones.
fn draw(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    state.rotate_left(16)
}
