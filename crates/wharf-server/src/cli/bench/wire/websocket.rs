//! WebSocket: a message is a line of a frame.

use std::borrow::Cow;

use anyhow::bail;
use wharf_proto::websocket::{
    CloseCode, FrameError, FrameHeader, Opcode, ReservedBits, Role,
    deflate::DeflateOffer,
    handshake::{AnswerError, ClientRequest},
    parse_close, write_frame,
};

use super::{Busy, Out, Target, Unit};

const PATH: &str = "/connection/websocket";

pub struct Websocket {
    open: bool,
    /// Offers compression, and wants it.
    deflate: bool,
    key: [u8; 16],
    /// One mask serves all frames: nobody stands between a bench and what it measures.
    mask: [u8; 4],
}

impl Websocket {
    pub fn new(deflate: bool) -> Self {
        Self { open: false, deflate, key: rand::random(), mask: rand::random() }
    }

    /// Asks for the upgrade.
    pub fn greet(&self, target: &Target, out: &mut Out) -> anyhow::Result<()> {
        Ok(self.request(target).write(&mut out.here)?)
    }

    fn request<'a>(&self, target: &'a Target) -> ClientRequest<'a> {
        let (host, target) = (target.host.as_str(), target.path.as_deref().unwrap_or(PATH));
        // Without takeover a message is compressed once for all, and nothing need be remembered in order to read it.
        let deflate = self.deflate.then(|| DeflateOffer {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            ..DeflateOffer::default()
        });
        ClientRequest { host, target, key: self.key, subprotocols: &[], deflate, headers: &[] }
    }

    pub fn take<'a>(
        &mut self,
        bytes: &'a [u8],
        target: &Target,
        out: &mut Out,
    ) -> anyhow::Result<Option<(Unit<'a>, usize)>> {
        if !self.open {
            let answer = match self.request(target).check(bytes) {
                Err(AnswerError::Status(503)) => bail!(Busy),
                answer => answer?,
            };
            let Some(answer) = answer else { return Ok(None) };
            if self.deflate && answer.deflate.is_none() {
                bail!(
                    "the server declined to compress: switch it on there (Wharf: `enabled = true` in [compression])"
                );
            }
            self.open = true;
            return Ok(Some((Unit::Upgraded, answer.head_bytes)));
        }
        let reserved = if self.deflate { ReservedBits::Rsv1 } else { ReservedBits::Forbidden };
        let Some(Frame { header, payload, length }) = first_frame(bytes, reserved)? else { return Ok(None) };
        let unit = match header.opcode {
            Opcode::Text | Opcode::Binary if header.fin && header.rsv1 => Unit::Deflated(payload),
            Opcode::Text | Opcode::Binary if header.fin => Unit::Messages(Cow::Borrowed(payload)),
            Opcode::Ping => {
                write_frame(&mut out.here, Opcode::Pong, payload, Some(self.mask));
                Unit::Handled
            }
            Opcode::Pong => Unit::Handled,
            Opcode::Close => {
                let (code, reason) = parse_close(payload)?;
                let code = code.map_or(1005, CloseCode::number);
                bail!("the server closed a connection with code {code}: {reason}")
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                bail!("the server sent a message in fragments, and the bench reads whole frames")
            }
        };
        Ok(Some((unit, length)))
    }

    pub fn say(&self, command: &[u8], out: &mut Out) {
        write_frame(&mut out.here, Opcode::Text, command, Some(self.mask));
    }
}

/// One whole frame.
#[derive(Debug)]
struct Frame<'a> {
    header: FrameHeader,
    payload: &'a [u8],
    /// The bytes of both.
    length: usize,
}

/// The first frame in what a server sent; `None` if it is not whole yet.
fn first_frame(bytes: &[u8], reserved: ReservedBits) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((header, head)) = FrameHeader::parse(bytes, Role::Client, reserved)? else {
        return Ok(None);
    };
    let length = usize::try_from(header.payload_len).ok().and_then(|payload| head.checked_add(payload));
    Ok(length.and_then(|length| Some(Frame { header, payload: bytes.get(head..length)?, length })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::message::{Heard, hear, messages};
    use bytes::BytesMut;

    /// What a server pushes for `count` publications, `joined` in a frame.
    fn pushed(count: u64, joined: usize) -> Vec<u8> {
        let lines: Vec<String> = (0..count)
            .map(|at| {
                format!(r#"{{"push":{{"channel":"bench-0","pub":{{"data":"@{at:016x}","offset":{at}}}}}}}"#)
            })
            .collect();
        let mut out = BytesMut::new();
        for frame in lines.chunks(joined) {
            write_frame(&mut out, Opcode::Text, frame.join("\n").as_bytes(), None);
        }
        out.to_vec()
    }

    fn stamps(bytes: &[u8]) -> (Vec<u64>, usize) {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(frame) =
            first_frame(&bytes[at..], ReservedBits::Forbidden).expect("frames of a server")
        {
            assert_eq!(frame.header.opcode, Opcode::Text);
            found.extend(messages(frame.payload).map(|message| match hear(message) {
                Heard::Stamped(stamp) => stamp,
                other => panic!("{other:?}"),
            }));
            at += frame.length;
        }
        (found, at)
    }

    #[test]
    fn counts_each_message_once_wherever_the_bytes_are_cut() {
        for joined in [1, 3] {
            let bytes = pushed(7, joined);
            for cut in 0..=bytes.len() {
                let (mut found, used) = stamps(&bytes[..cut]);
                let (rest, _) = stamps(&bytes[used..]);
                found.extend(rest);
                assert_eq!(found, (0..7).collect::<Vec<_>>(), "cut at {cut}, {joined} in a frame");
            }
        }
    }

    #[test]
    fn a_ping_is_answered_with_its_payload_and_a_close_ends_the_run_with_its_reason() {
        let (target, mut out) = (Target::loopback(1), Out::default());
        let mut websocket = Websocket { open: true, ..Websocket::new(false) };
        let mut frames = BytesMut::new();
        write_frame(&mut frames, Opcode::Ping, b"here?", None);
        let taken = websocket.take(&frames, &target, &mut out).expect("a ping");
        assert_eq!(taken, Some((Unit::Handled, frames.len())));
        let (header, head) = FrameHeader::parse(&out.here, Role::Server, ReservedBits::Forbidden)
            .expect("a frame of a client")
            .expect("a whole one");
        assert_eq!((header.opcode, header.payload_len, out.here.len()), (Opcode::Pong, 5, head + 5));
        let close = [0x88, 9, 0x0b, 0xc4, b'n', b'o', b' ', b'p', b'o', b'n', b'g'];
        let error = websocket.take(&close, &target, &mut out).expect_err("the end").to_string();
        assert!(error.contains("3012: no pong"), "{error}");
    }
}
