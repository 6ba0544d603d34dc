//! Server-sent events, as a client reads them (WHATWG HTML, section 9.2.6).

use bytes::BytesMut;

use super::{CLIENT_MESSAGE_BYTES, LinkError};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The type; empty for `message`.
    pub event: String,
    /// The data, its lines joined by LFs.
    pub data: String,
    /// The last event id, as of this event.
    pub id: String,
}

/// Cuts a stream into events. Feeding the same bytes in any pieces gives the same events.
#[derive(Debug, Default)]
pub struct SseReader {
    input: BytesMut,
    event: SseEvent,
    /// Whether the event has data, which may be empty.
    has_data: bool,
    /// The last line ended with CR, so that a LF that follows belongs to it.
    after_cr: bool,
}

impl SseReader {
    /// Takes what came and appends the events that ended in it.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), LinkError> {
        self.input.extend_from_slice(bytes);
        while !self.input.is_empty() {
            if std::mem::take(&mut self.after_cr) && self.input[0] == b'\n' {
                let _ = self.input.split_to(1);
                continue;
            }
            let Some(end) = self.input.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else { break };
            let line = self.input.split_to(end + 1);
            self.after_cr = line[end] == b'\r';
            self.read_line(&String::from_utf8_lossy(&line[..end]), events);
        }
        let held = self.input.len() + self.event.data.len();
        if held > CLIENT_MESSAGE_BYTES { Err(LinkError::too_long()) } else { Ok(()) }
    }

    fn read_line(&mut self, line: &str, events: &mut Vec<SseEvent>) {
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                events.push(self.event.clone());
            }
            // The id outlives the event; type and data do not.
            self.event.event.clear();
            self.event.data.clear();
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.event.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.event.id),
            // Comments begin with the colon; everything else is passed over.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let (mut reader, mut events) = (SseReader::default(), Vec::new());
        for piece in pieces {
            reader.feed(piece, &mut events).expect("short events");
        }
        events
    }

    fn event(event: &str, data: &str, id: &str) -> SseEvent {
        SseEvent { event: event.to_owned(), data: data.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn reads_events_however_the_bytes_come() {
        let text = "\r\n: hello\nid: 1\n\ndata: {\"a\":1}\n\nevent: x\r\ndata:one\r\ndata: two\r\n\r\nid\rdata: z\r\rdata: cut\n";
        let expected = [event("", "{\"a\":1}", "1"), event("x", "one\ntwo", "1"), event("", "z", "")];
        for at in 0..text.len() {
            assert_eq!(read(&[&text.as_bytes()[..at], &text.as_bytes()[at..]]), expected, "split at {at}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_bounded() {
        let mut reader = SseReader::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; CLIENT_MESSAGE_BYTES], b"\n"].concat();
        reader.feed(&line, &mut Vec::new()).expect("as long as allowed");
        assert!(reader.feed(b"data: y\n", &mut Vec::new()).is_err());
    }
}
