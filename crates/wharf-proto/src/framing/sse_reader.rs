//! Reads an event stream as an EventSource does (WHATWG HTML, section 9.2.6), for Wharf's own clients.

use crate::PeerError;

/// What a block of the stream said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The event's type; `message` where the block names none.
    pub event: String,
    /// The content, its lines joined by LF.
    pub data: String,
}

/// Cuts an event stream into events. Feeding the same bytes in any pieces gives the same events. Holds at most
/// one block, of at most the limit's bytes.
#[derive(Debug)]
pub struct SseReader {
    limit: usize,
    line: Vec<u8>,
    block_bytes: usize,
    at_start: bool,
    after_cr: bool,
    event: String,
    data: String,
    has_data: bool,
    last_event_id: String,
    pending_id: Option<String>,
    retry_ms: Option<u64>,
}

impl SseReader {
    /// For blocks of at most `limit` bytes, line ends not counted.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            block_bytes: 0,
            at_start: true,
            after_cr: false,
            event: String::new(),
            data: String::new(),
            has_data: false,
            last_event_id: String::new(),
            pending_id: None,
            retry_ms: None,
        }
    }

    /// The id of the last whole block that had one, to be sent as `Last-Event-ID`; empty before.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The time after which the server wishes a reconnect, in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Takes all of `input` and calls `sink` for each event. A block that the stream breaks off is never seen.
    pub fn feed(&mut self, input: &[u8], sink: &mut dyn FnMut(SseEvent)) -> Result<(), PeerError> {
        let mut rest = input;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
            self.hold(&rest[..end])?;
            self.end_line(sink)?;
            let (line_end, after) = (rest[end], &rest[end + 1..]);
            rest = after;
            if line_end == b'\r' {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.hold(rest)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        self.block_bytes += bytes.len();
        if self.block_bytes > self.limit {
            return Err(PeerError::MessageTooLong { limit: self.limit });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, sink: &mut dyn FnMut(SseEvent)) -> Result<(), PeerError> {
        let bytes = std::mem::take(&mut self.line);
        let mut line = simdutf8::basic::from_utf8(&bytes)
            .map_err(|_| PeerError::Undecodable("the event stream is not valid UTF-8".into()))?;
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(sink);
            return Ok(());
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                self.has_data = true;
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => self.event = value.to_owned(),
            "id" if !value.contains('\0') => self.pending_id = Some(value.to_owned()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok().or(self.retry_ms);
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, sink: &mut dyn FnMut(SseEvent)) {
        self.block_bytes = 0;
        if let Some(id) = self.pending_id.take() {
            self.last_event_id = id;
        }
        let mut event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return;
        }
        data.pop(); // The LF of the last line.
        if event.is_empty() {
            event.push_str("message");
        }
        sink(SseEvent { event, data });
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::framing::sse::Block;

    /// Reads whole and split in two at every byte; all must agree.
    fn read(input: &[u8]) -> (Vec<(String, String)>, String, Option<u64>) {
        let outcome = |pieces: &[&[u8]]| {
            let mut reader = SseReader::new(1_000);
            let mut events = Vec::new();
            for piece in pieces {
                reader.feed(piece, &mut |event| events.push((event.event, event.data))).unwrap();
            }
            (events, reader.last_event_id().to_owned(), reader.retry_ms())
        };
        let whole = outcome(&[input]);
        for at in 0..=input.len() {
            assert_eq!(outcome(&[&input[..at], &input[at..]]), whole, "split at {at}");
        }
        whole
    }

    #[test]
    fn reads_events_ids_and_times_with_every_line_end() {
        let input = "\u{feff}: hello\r\nretry: 3000\rid: a1\n\nevent: news\r\ndata: x\r\ndata:y\r\n\r\ndata\n\ndata: z\r\r";
        let (events, id, retry_ms) = read(input.as_bytes());
        let expected = [("news", "x\ny"), ("message", ""), ("message", "z")];
        assert_eq!(events, expected.map(|(event, data)| (event.to_owned(), data.to_owned())));
        assert_eq!((id.as_str(), retry_ms), ("a1", Some(3_000)));
    }

    #[test]
    fn a_block_that_breaks_off_is_not_seen_and_its_id_not_kept() {
        let (events, id, _) = read(b"id: 1\ndata: a\n\nid: 2\ndata: b\n");
        assert_eq!(events.len(), 1);
        assert_eq!(id, "1");
    }

    #[test]
    fn ignores_what_an_event_source_ignores() {
        let (events, id, retry_ms) = read(b"id: x\0y\nretry: -5\nretry: 1e3\nfoo: bar\nevent: lost\n\n");
        assert_eq!((events.len(), id.as_str(), retry_ms), (0, "", None));
    }

    #[test]
    fn a_block_over_the_limit_is_refused() {
        let mut reader = SseReader::new(10);
        let error = reader.feed(b"data: 12345\n", &mut |_| ()).unwrap_err();
        assert_eq!(error, PeerError::MessageTooLong { limit: 10 });
        let mut reader = SseReader::new(10);
        reader.feed(b"data: 1234\n\ndata: 1234\n\n", &mut |_| ()).unwrap();
    }

    #[test]
    fn reads_what_the_writer_wrote() {
        let mut out = BytesMut::new();
        Block { id: Some("c"), event: Some("e"), retry_ms: Some(5), data: Some(b"one\n\n  two\n") }
            .write(&mut out);
        let (events, id, retry_ms) = read(&out);
        assert_eq!(events, [("e".to_owned(), "one\n\n  two\n".to_owned())]);
        assert_eq!((id.as_str(), retry_ms), ("c", Some(5)));
    }
}
