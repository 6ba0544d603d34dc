//! Server-sent events (WHATWG HTML, section 9.2): the framing, and the writer of single blocks for dialects
//! that use more than `data:`. The client's half is in [`super::sse_reader`].

use bytes::{BufMut, BytesMut};

use super::plain::Discard;
use crate::wire::{DeframeLimits, Deframer, Framing, MessageKind};

/// A message in `data:` lines and an empty line. The line ends inside a message arrive as LF. What the client
/// sends is discarded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sse;

impl Framing for Sse {
    fn name(&self) -> &'static str {
        "sse"
    }

    fn frame(&self, _kind: MessageKind, message: &[u8], out: &mut BytesMut) {
        Block { data: Some(message), ..Block::default() }.write(out);
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn deframer(&self, _limits: DeframeLimits) -> Box<dyn Deframer> {
        Box::new(Discard)
    }
}

/// One block of an event stream. Whatever its parts hold, they stay in their own fields: no text of a peer's
/// can end the block or begin another field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Block<'a> {
    /// What an EventSource sends back as `Last-Event-ID`. CR, LF and NUL are left out.
    pub id: Option<&'a str>,
    /// The type of the event; a client takes none as `message`. CR, LF and NUL are left out.
    pub event: Option<&'a str>,
    /// After how many milliseconds a client is to reconnect.
    pub retry_ms: Option<u32>,
    /// The content. Without any, a client takes over the id and the time, and delivers nothing.
    pub data: Option<&'a [u8]>,
}

impl Block<'_> {
    /// Appends the block and the empty line that ends it. The id comes last: there are clients (npm `eventsource`
    /// until version 2) that take it over when they read its line, so before the data it would lose the event if
    /// the stream is cut between the two.
    pub fn write(&self, out: &mut BytesMut) {
        if let Some(event) = self.event {
            field(b"event: ", event, out);
        }
        if let Some(retry_ms) = self.retry_ms {
            field(b"retry: ", itoa::Buffer::new().format(retry_ms), out);
        }
        if let Some(data) = self.data {
            data_lines(data, out);
        }
        if let Some(id) = self.id {
            field(b"id: ", id, out);
        }
        out.put_u8(b'\n');
    }
}

/// Appends a comment and an empty line. It keeps the path open and is not seen by the client's program. CR, LF
/// and NUL are left out.
pub fn comment(text: &str, out: &mut BytesMut) {
    field(b":", text, out);
    out.put_u8(b'\n');
}

fn field(name: &[u8], value: &str, out: &mut BytesMut) {
    out.put_slice(name);
    // A line end would begin a field of the value's choosing; an id with NUL is ignored by clients.
    for part in value.split(['\r', '\n', '\0']) {
        out.put_slice(part.as_bytes());
    }
    out.put_u8(b'\n');
}

/// WHATWG HTML, section 9.2.5: a line ends with CR LF, LF or CR; each line of the content gets its own field.
fn data_lines(data: &[u8], out: &mut BytesMut) {
    out.reserve(data.len() + 8);
    let mut rest = data;
    loop {
        out.put_slice(b"data: ");
        let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else {
            out.put_slice(rest);
            out.put_u8(b'\n');
            return;
        };
        out.put_slice(&rest[..end]);
        out.put_u8(b'\n');
        let line_end = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + line_end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> String {
        let mut out = BytesMut::new();
        Sse.frame(MessageKind::Text, message, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn written(block: Block<'_>) -> String {
        let mut out = BytesMut::new();
        block.write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_message_is_a_data_line_and_an_empty_line() {
        assert_eq!(framed(b"{}"), "data: {}\n\n");
        assert_eq!(framed(b""), "data: \n\n");
    }

    // Row 64.
    #[test]
    fn every_line_of_a_message_is_prefixed_whatever_ends_it() {
        assert_eq!(framed(b"a\nb\r\nc\rd\n"), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
        assert_eq!(
            framed(b"x\n\nid: 7\r\r\nevent: e"),
            "data: x\ndata: \ndata: id: 7\ndata: \ndata: event: e\n\n"
        );
    }

    // Rows 63 and 64.
    #[test]
    fn an_id_or_event_cannot_begin_another_field() {
        let block = Block { id: Some("1\ndata: x"), event: Some("e\r\n\0data: y"), ..Block::default() };
        assert_eq!(written(block), "event: edata: y\nid: 1data: x\n\n");
        let mut out = BytesMut::new();
        comment("hi\n\ndata: z", &mut out);
        assert_eq!(&out[..], b":hidata: z\n\n");
    }

    #[test]
    fn the_id_stands_in_the_block_of_its_data() {
        let block = Block { id: Some("c1"), event: Some("news"), retry_ms: Some(3_000), data: Some(b"{}") };
        assert_eq!(written(block), "event: news\nretry: 3000\ndata: {}\nid: c1\n\n");
    }

    #[test]
    fn an_empty_comment_is_a_keep_alive() {
        let mut out = BytesMut::new();
        comment("", &mut out);
        assert_eq!(&out[..], b":\n\n");
    }
}
