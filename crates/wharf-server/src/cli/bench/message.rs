//! What the generator says and hears: Centrifuge JSON in WebSocket frames, encoded before the run. What is heard is
//! read only so far as counting, time stamps and the opening of a connection need.

use bytes::BytesMut;
use memchr::{memchr, memmem};
use wharf_proto::websocket::{FrameError, FrameHeader, Opcode, ReservedBits, Role, write_frame};

/// Stands before the time stamp of a payload, and nowhere else in a message.
const STAMP_MARK: u8 = b'@';
/// A time stamp is written in so many hexadecimal digits.
const STAMP_DIGITS: usize = 16;

/// The shortest payload: a JSON string that holds a time stamp.
pub const LEAST_PAYLOAD_BYTES: usize = STAMP_DIGITS + 3;
/// The longest payload: with the envelope around it, it fits the server's default message of 64 KiB.
pub const MOST_PAYLOAD_BYTES: usize = 60_000;

/// The `id` of each kind of command. Clients' ids need not be unique.
pub const CONNECT_ID: u8 = b'1';
pub const SUBSCRIBE_ID: u8 = b'2';
pub const ECHO_ID: u8 = b'3';
pub const PUBLISH_ID: u8 = b'4';
/// Where that digit stands in a command.
pub const ID_AT: usize = b"{\"id\":".len();

/// What a channel's name begins with; its number follows.
pub const CHANNEL_PREFIX: &str = "bench-";

/// The most channels of a run. LIMITS.md: `MOST_CHANNELS`.
pub const MOST_CHANNELS: usize = 100_000;

/// The command that opens a session.
pub const CONNECT: &str = r#"{"id":1,"connect":{"name":"wharf-bench"}}"#;

/// The command that subscribes to the channel of this number.
pub fn subscribe(channel: u32) -> String {
    format!(r#"{{"id":2,"subscribe":{{"channel":"{CHANNEL_PREFIX}{channel}"}}}}"#)
}

/// A command whose payload carries the time at which it was sent.
#[derive(Debug)]
pub struct Template {
    text: Vec<u8>,
    stamp_at: usize,
}

impl Template {
    /// An RPC that is answered with its own payload.
    pub fn echo(payload_bytes: usize) -> Self {
        Self::new(r#"{"id":3,"rpc":{"method":"echo","data":"#.to_owned(), payload_bytes)
    }

    /// A publication to the channel of this number.
    pub fn publish(channel: u32, payload_bytes: usize) -> Self {
        let head = format!(r#"{{"id":4,"publish":{{"channel":"{CHANNEL_PREFIX}{channel}","data":"#);
        Self::new(head, payload_bytes)
    }

    fn new(mut text: String, payload_bytes: usize) -> Self {
        text.push('"');
        text.push(char::from(STAMP_MARK));
        let stamp_at = text.len();
        text.extend(std::iter::repeat_n('0', STAMP_DIGITS));
        text.extend(std::iter::repeat_n('x', payload_bytes.saturating_sub(LEAST_PAYLOAD_BYTES)));
        text.push_str("\"}}");
        Self { text: text.into_bytes(), stamp_at }
    }

    /// Appends the command as one masked frame, stamped with a time.
    pub fn write(&mut self, stamp_ns: u64, mask: [u8; 4], out: &mut BytesMut) {
        for (at, digit) in self.text[self.stamp_at..][..STAMP_DIGITS].iter_mut().enumerate() {
            let shift = 4 * (STAMP_DIGITS - 1 - at);
            *digit = b"0123456789abcdef"[(stamp_ns >> shift) as usize & 0xf];
        }
        write_frame(out, Opcode::Text, &self.text, Some(mask));
    }
}

/// One message of the server's.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// The server asks whether the client is there.
    Ping,
    /// A publication or an echo, with the time at which it was sent.
    Stamped(u64),
    /// The answer to a command without a stamp, by its id.
    Reply(u8),
    /// A command was refused, or the session ended.
    Refused(&'a [u8]),
    /// A push that nobody asked for.
    Other,
}

/// Says what one message is. Looks no further than it must.
pub fn hear(message: &[u8]) -> Heard<'_> {
    if message == b"{}" {
        return Heard::Ping;
    }
    if let Some(at) = memchr(STAMP_MARK, message)
        && let Some(stamp) = parse_stamp(&message[at + 1..])
    {
        return Heard::Stamped(stamp);
    }
    if memmem::find(message, b"\"error\":{").is_some() || memmem::find(message, b"\"disconnect\":{").is_some()
    {
        return Heard::Refused(message);
    }
    match message.strip_prefix(b"{\"id\":") {
        Some([id, ..]) => Heard::Reply(*id),
        _ => Heard::Other,
    }
}

fn parse_stamp(digits: &[u8]) -> Option<u64> {
    let mut stamp = 0;
    for digit in digits.first_chunk::<STAMP_DIGITS>()? {
        stamp = stamp << 4 | u64::from(char::from(*digit).to_digit(16)?);
    }
    Some(stamp)
}

/// The messages of a frame: a frame may join several by line ends.
pub fn messages(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (message, after) = match memchr(b'\n', rest) {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            rest = after;
            if !message.is_empty() {
                return Some(message);
            }
        }
        None
    })
}

/// One whole frame.
#[derive(Debug)]
pub struct Frame<'a> {
    pub header: FrameHeader,
    pub payload: &'a [u8],
    /// The bytes of both.
    pub length: usize,
}

/// The first frame in what a server sent; `None` if it is not whole yet.
pub fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((header, head)) = FrameHeader::parse(bytes, Role::Client, ReservedBits::Forbidden)? else {
        return Ok(None);
    };
    let length = usize::try_from(header.payload_len).ok().and_then(|payload| head.checked_add(payload));
    Ok(length.and_then(|length| Some(Frame { header, payload: bytes.get(head..length)?, length })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_proto::websocket::apply_mask;

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
        while let Some(frame) = first_frame(&bytes[at..]).expect("frames of a server") {
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
    fn a_command_has_the_payload_that_was_asked_for_and_carries_its_time() {
        for bytes in [LEAST_PAYLOAD_BYTES, 128, MOST_PAYLOAD_BYTES] {
            for mut template in [Template::echo(bytes), Template::publish(3, bytes)] {
                let mut out = BytesMut::new();
                template.write(0x0123_4567_89ab_cdef, [1, 2, 3, 4], &mut out);
                let parsed = FrameHeader::parse(&out, Role::Server, ReservedBits::Forbidden);
                let (header, head) = parsed.expect("a frame of a client").expect("a whole one");
                let mut text = out[head..].to_vec();
                apply_mask(&mut text, header.mask.expect("a mask"), 0);
                assert_eq!(hear(&text), Heard::Stamped(0x0123_4567_89ab_cdef));
                let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
                let data = json.pointer("/rpc/data").or(json.pointer("/publish/data")).expect("data");
                assert_eq!(data.to_string().len(), bytes);
                assert!([ECHO_ID, PUBLISH_ID].contains(&text[ID_AT]));
            }
        }
    }

    #[test]
    fn pings_replies_and_refusals_are_told_apart() {
        assert_eq!(hear(b"{}"), Heard::Ping);
        assert_eq!(
            hear(br#"{"id":1,"connect":{"client":"c","ping":25,"pong":true}}"#),
            Heard::Reply(CONNECT_ID)
        );
        assert_eq!(hear(br#"{"id":2,"subscribe":{}}"#), Heard::Reply(SUBSCRIBE_ID));
        let refused = br#"{"id":3,"error":{"code":108,"message":"not available"}}"#;
        assert_eq!(hear(refused), Heard::Refused(refused));
        assert_eq!(hear(br#"{"push":{"channel":"c","join":{"info":{}}}}"#), Heard::Other);
        assert_eq!(hear(br#"{"push":{"channel":"a@b","join":{}}}"#), Heard::Other);
    }
}
