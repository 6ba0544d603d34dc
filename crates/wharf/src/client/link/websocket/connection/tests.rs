use bytes::{Bytes, BytesMut};
use wharf_proto::websocket::{
    Opcode, Role, WebsocketDeframer, WebsocketEvent,
    connection::PONG_BYTES,
    deflate::{Agreement, Compression, Parameters, WindowBits},
    write_close, write_frame, write_header,
};
use wharf_proto::wire::DeframeLimits;

use super::*;

const LIMITS: DeframeLimits = DeframeLimits { message_bytes: 1_000_000, fragments: 4 };

/// A connection and a clock that stands until it is moved.
struct Bench {
    connection: Connection,
    now: Instant,
    /// What a server reads of it.
    server: WebsocketDeframer,
    got: Vec<Incoming>,
}

impl Bench {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(deflate: Option<Parameters>) -> Self {
        let mut server = WebsocketDeframer::new(Role::Server, LIMITS);
        let mut codec = Codec::client(LIMITS, || [0x37, 0xfa, 0x21, 0x3d]);
        if let Some(parameters) = deflate {
            server = server.with_inflater(Agreement::new(parameters).into_halves(Role::Server).0);
            codec = codec.with_deflate(Agreement::new(parameters));
        }
        Self { connection: Connection::new(codec), now: Instant::now(), server, got: Vec::new() }
    }

    /// The server says this.
    fn hear(&mut self, bytes: &[u8]) {
        self.connection.handle_bytes(bytes);
        self.got.extend(std::iter::from_fn(|| self.connection.poll_incoming(self.now)));
    }

    fn hear_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut bytes = BytesMut::new();
        write_frame(&mut bytes, opcode, payload, None);
        self.hear(&bytes);
    }

    fn hear_close(&mut self, code: u16, reason: &str) {
        let mut bytes = BytesMut::new();
        write_close(&mut bytes, CloseCode::new(code), reason, None);
        self.hear(&bytes);
    }

    /// Writes all there is, and says what a server finds in it.
    fn written(&mut self) -> Vec<String> {
        let mut bytes = self.connection.output().to_vec();
        self.connection.handle_written(bytes.len(), self.now);
        let mut found = Vec::new();
        let result = self.server.feed(&mut bytes, &mut |event| {
            found.push(match event {
                WebsocketEvent::Message { payload, .. } => format!("message of {}", payload.len()),
                WebsocketEvent::Ping(payload) => format!("ping {}", String::from_utf8_lossy(payload)),
                WebsocketEvent::Pong(payload) => format!("pong {}", String::from_utf8_lossy(payload)),
                WebsocketEvent::Close { code, reason } => {
                    format!("close {} {reason}", code.map_or(0, CloseCode::number))
                }
            });
        });
        result.expect("a client of ours breaks no rule");
        found
    }

    fn received(&mut self) -> Vec<Incoming> {
        std::mem::take(&mut self.got)
    }

    fn close(&mut self) {
        self.connection.close(CloseCode::NORMAL, "", self.now);
        assert_eq!(self.written(), ["close 1000 "]);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }

    /// How it has ended.
    fn ending(&self) -> (u32, String) {
        let ending = self.connection.ending().expect("it has ended");
        (ending.code, ending.reason.clone())
    }

    fn is_over(&self) -> bool {
        self.connection.ending().is_some()
    }
}

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_close_of_the_servers_is_answered_once_and_its_end_awaited() {
    let mut bench = Bench::new();
    bench.hear_close(3001, "shutdown");
    assert_eq!(bench.written(), ["close 3001 "]);
    assert!(
        !bench.is_over() && bench.connection.wants_input(),
        "RFC 6455 section 7.1.1: the server ends TCP"
    );
    bench.hear_close(3001, "again");
    bench.hear_frame(Opcode::Text, b"data after a close");
    bench.hear_frame(Opcode::Ping, b"late");
    assert_eq!((bench.written().len(), bench.received().len()), (0, 0));
    bench.connection.handle_end(bench.now);
    assert_eq!(bench.ending(), (3001, "shutdown".to_owned()));
}

#[test]
fn a_server_that_closes_and_never_ends_is_left_in_time() {
    let mut bench = Bench::new();
    bench.hear_close(1000, "");
    bench.written();
    bench.pass(END_TIMEOUT - MOMENT);
    assert!(!bench.is_over());
    bench.pass(MOMENT);
    assert_eq!(bench.ending().0, 1000);
    assert!(!bench.connection.wants_input());
}

#[test]
fn a_server_that_closes_and_takes_no_answer_is_left_in_time() {
    let mut bench = Bench::new();
    bench.hear_close(1001, "");
    bench.connection.handle_end(bench.now);
    assert!(!bench.is_over(), "its half has ended, and ours has something to say");
    bench.pass(END_TIMEOUT);
    assert_eq!(bench.ending().0, 1001);
}

#[test]
fn a_server_that_ends_its_half_with_its_close_still_hears_the_answer() {
    let mut bench = Bench::new();
    bench.hear_close(3000, "");
    bench.connection.handle_end(bench.now);
    assert_eq!(bench.written(), ["close 3000 "]);
    assert_eq!(bench.ending().0, 3000);
}

#[test]
fn a_close_without_a_code_counts_as_1005_and_is_answered_without_one() {
    let mut bench = Bench::new();
    bench.hear(&[0x88, 0]);
    assert_eq!(bench.written(), ["close 0 "]);
    bench.connection.handle_end(bench.now);
    assert_eq!(bench.ending().0, 1005);
}

#[test]
fn our_close_waits_for_the_servers_and_then_for_its_end() {
    let mut bench = Bench::new();
    bench.close();
    assert!(!bench.connection.send(MessageKind::Text, b"late", bench.now), "RFC 6455 section 5.5.1");
    bench.hear_frame(Opcode::Text, b"said before it heard");
    bench.pass(CLOSE_TIMEOUT - MOMENT);
    bench.hear_close(1000, "");
    assert_eq!(bench.written().len(), 0, "a close that answers is not answered");
    bench.pass(END_TIMEOUT - MOMENT);
    assert!(!bench.is_over());
    bench.connection.handle_end(bench.now);
    assert_eq!(bench.ending().0, 1000);
    assert_eq!(bench.received().len(), 1);
}

#[test]
fn a_server_that_never_answers_our_close_is_left_in_time() {
    let mut bench = Bench::new();
    bench.close();
    for _ in 0..100 {
        bench.pass((CLOSE_TIMEOUT - MOMENT) / 100);
        bench.hear_frame(Opcode::Text, b"still talking");
    }
    assert!(!bench.is_over());
    bench.pass(MOMENT * 2);
    let (code, reason) = bench.ending();
    assert!(code == 1006 && reason.contains("did not answer our close frame within 5 s"), "{code} {reason}");
}

#[test]
fn a_server_that_answers_our_close_and_never_ends_is_left_in_time() {
    let mut bench = Bench::new();
    bench.close();
    bench.hear_close(1000, "");
    bench.pass(END_TIMEOUT);
    assert_eq!(bench.ending().0, 1000);
}

#[test]
fn both_may_close_at_once() {
    let mut bench = Bench::new();
    bench.connection.close(CloseCode::NORMAL, "", bench.now);
    bench.hear_close(3001, "shutdown");
    assert_eq!(bench.written(), ["close 1000 "], "one close frame of ours is enough");
    bench.connection.close(CloseCode::NORMAL, "", bench.now);
    assert_eq!(bench.written().len(), 0);
    bench.connection.handle_end(bench.now);
    assert_eq!(bench.ending(), (3001, "shutdown".to_owned()));
}

#[test]
fn an_end_without_a_close_is_1006() {
    let mut bench = Bench::new();
    bench.hear_frame(Opcode::Text, b"last words");
    bench.connection.handle_end(bench.now);
    assert_eq!(bench.received().len(), 1);
    let (code, reason) = bench.ending();
    assert!(code == 1006 && reason.contains("without a close frame"), "{code} {reason}");

    let mut bench = Bench::new();
    bench.close();
    bench.connection.handle_end(bench.now);
    let (code, reason) = bench.ending();
    assert!(code == 1006 && reason.contains("without an answer to our close"), "{code} {reason}");

    let mut bench = Bench::new();
    bench.connection.handle_read_error(&io::ErrorKind::ConnectionReset.into(), bench.now);
    let (code, reason) = bench.ending();
    assert!(code == 1006 && reason.contains("cut: connection reset"), "{code} {reason}");
}

#[test]
fn a_reset_after_both_closes_is_no_fault() {
    let mut bench = Bench::new();
    bench.hear_close(1000, "bye");
    bench.connection.handle_read_error(&io::ErrorKind::ConnectionReset.into(), bench.now);
    assert_eq!(bench.ending(), (1000, "bye".to_owned()));
}

#[test]
fn a_close_that_came_before_the_socket_broke_is_still_heard() {
    let mut bench = Bench::new();
    bench.connection.send(MessageKind::Text, b"into the void", bench.now);
    bench.connection.handle_write_error(&io::ErrorKind::BrokenPipe.into(), bench.now);
    assert!(bench.connection.output().is_empty());
    bench.hear_close(3005, "moved");
    assert!(bench.connection.output().is_empty());
    bench.connection.handle_end(bench.now);
    assert_eq!(bench.ending(), (3005, "moved".to_owned()));

    let mut bench = Bench::new();
    bench.connection.handle_write_error(&io::ErrorKind::BrokenPipe.into(), bench.now);
    bench.pass(END_TIMEOUT);
    let (code, reason) = bench.ending();
    assert!(code == 1006 && reason.contains("broken pipe"), "{code} {reason}");
}

#[test]
fn a_broken_rule_is_told_with_its_code_and_nothing_more_is_read() {
    let too_long = [0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 0];
    for (bytes, code, words) in [
        (&b"\x81\x80\x01\x02\x03\x04"[..], 1002, "must not be masked"),
        (b"\xc1\x00", 1002, "reserved bit"),
        (b"\x81\x02\xc3\x28", 1007, "UTF-8"),
        (&too_long, 1009, "more than this client takes"),
        (b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1009, "more than this client takes"),
    ] {
        let mut bench = Bench::new();
        bench.hear(bytes);
        bench.hear_frame(Opcode::Text, b"more");
        assert_eq!(bench.received().len(), 0);
        let told = bench.written();
        assert!(told.len() == 1 && told[0].starts_with(&format!("close {code} ")), "{told:?}");
        assert!(!bench.is_over(), "the server ends TCP");
        bench.pass(END_TIMEOUT);
        assert!(bench.ending().1.contains(words), "{:?}", bench.ending());
        assert!(!bench.connection.ending().expect("it has ended").reconnects);
    }
}

#[test]
fn a_close_may_have_a_reason_of_123_bytes_and_codes_of_both_ranges() {
    for code in [1000, 1003, 1007, 1014, 3000, 4999] {
        let mut bench = Bench::new();
        let reason = "é".repeat(61) + "e";
        bench.hear_close(code, &reason);
        assert_eq!(bench.written(), [format!("close {code} ")]);
        bench.connection.handle_end(bench.now);
        assert_eq!(bench.ending(), (code.into(), reason));
    }
    for body in [&b"\x88\x01\x03"[..], b"\x88\x02\x03\xed", b"\x88\x02\x07\xd0", b"\x88\x02\x13\x88"] {
        let mut bench = Bench::new();
        bench.hear(body);
        assert!(bench.written()[0].starts_with("close 1002 "), "{body:?}");
    }
    let mut bench = Bench::new();
    bench.hear(b"\x88\x04\x03\xe8\xc3\x28");
    assert!(bench.written()[0].starts_with("close 1007 "));
}

#[test]
fn pings_are_answered_within_a_message_and_while_our_close_waits() {
    let mut bench = Bench::new();
    bench.hear(b"\x01\x03one");
    bench.hear_frame(Opcode::Ping, b"a");
    assert_eq!(bench.written(), ["pong a"]);
    bench.hear(b"\x80\x03two");
    assert_eq!(
        bench.received(),
        [
            Incoming::Ping(Bytes::from_static(b"a")),
            Incoming::Message(MessageKind::Text, Bytes::from_static(b"onetwo"))
        ]
    );
    bench.close();
    bench.hear_frame(Opcode::Ping, b"b");
    // RFC 6455 section 5.5.2: unless a close frame was received. The bench's server looks at nothing after ours.
    assert_eq!(bench.connection.output()[..2], [0x8a, 0x81]);
}

#[test]
fn a_flood_of_pings_costs_a_bounded_number_of_pongs_and_the_latest_is_answered() {
    let mut bench = Bench::new();
    for at in 0..1_000 {
        bench.hear_frame(Opcode::Ping, format!("{at:0125}").as_bytes());
        bench.received();
    }
    let waiting = bench.connection.output().len();
    assert!((PONG_BYTES..PONG_BYTES + 2 * 131).contains(&waiting), "{waiting}");
    bench.written();
    assert_eq!(bench.written(), [format!("pong {:0125}", 999)]);
    bench.hear_frame(Opcode::Ping, b"after");
    assert_eq!(bench.written(), ["pong after"]);
}

#[test]
fn what_nobody_takes_is_bounded_and_read_on_once_there_is_room() {
    let mut bench = Bench::new();
    let mut frame = BytesMut::new();
    write_frame(&mut frame, Opcode::Binary, &[1; 100_000], None);
    let mut frames = 0;
    while bench.connection.wants_input() {
        bench.connection.handle_bytes(&frame);
        frames += 1;
    }
    assert!(bench.connection.codec.unread_bytes() < BACKLOG_BYTES + frame.len());
    bench.connection.handle_end(bench.now);
    assert!(!bench.is_over(), "the end stands behind messages that were not taken");
    bench.hear(b"");
    assert_eq!((bench.received().len(), bench.ending().0), (frames, 1006));
}

#[test]
fn an_answer_to_a_message_goes_out_before_what_the_bytes_behind_it_bring() {
    let mut bench = Bench::new();
    bench.connection.handle_bytes(b"\x81\x02hi\x89\x00\xf1\x00");
    assert!(matches!(bench.connection.poll_incoming(bench.now), Some(Incoming::Message(..))));
    assert!(bench.connection.send(MessageKind::Text, b"hi", bench.now), "the broken rule was not met yet");
    bench.hear(b"");
    let written = bench.written();
    assert_eq!((&*written[0], &*written[1]), ("message of 2", "pong "));
    assert!(written[2].starts_with("close 1002 "), "{written:?}");
}

#[test]
fn a_server_that_takes_nothing_is_left_in_time() {
    let mut bench = Bench::new();
    assert_eq!(bench.connection.poll_timeout(), None, "nothing is expected of a connection at rest");
    bench.connection.send(MessageKind::Binary, &[0; 10_000], bench.now);
    bench.pass(STEP_TIMEOUT - MOMENT);
    bench.connection.handle_written(1, bench.now);
    bench.pass(STEP_TIMEOUT - MOMENT);
    assert!(!bench.is_over(), "one byte is progress");
    bench.pass(MOMENT);
    let (code, reason) = bench.ending();
    assert!(code == 1006 && reason.contains("took no byte for 10 s"), "{code} {reason}");
}

#[test]
fn messages_are_compressed_in_both_directions_with_takeover_on_either_side() {
    for (ours, theirs) in [(true, true), (true, false), (false, true), (false, false)] {
        let side = |context_takeover| Compression { context_takeover, window_bits: WindowBits::MAX };
        let parameters = Parameters { client: side(ours), server: side(theirs) };
        let mut bench = Bench::with(Some(parameters));
        let mut server = Agreement::new(parameters).into_halves(Role::Server).1;
        let message = "the same words again and again, ".repeat(20);
        let (mut sizes, mut echoed) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            bench.connection.send(MessageKind::Text, message.as_bytes(), bench.now);
            sizes.push(bench.connection.output().len());
            assert_eq!(bench.written(), [format!("message of {}", message.len())]);
            let mut bytes = BytesMut::new();
            server.write_frame(&mut bytes, Opcode::Text, message.as_bytes(), None);
            bench.hear(&bytes);
            echoed.extend(bench.received());
        }
        assert!(sizes[0] < message.len() / 4, "{sizes:?}");
        assert_eq!(sizes[1] < sizes[0], ours, "takeover remembers the message before: {sizes:?}");
        let expected = Incoming::Message(MessageKind::Text, Bytes::from(message));
        assert_eq!(echoed, vec![expected; 3]);
    }
}

#[test]
fn a_message_that_unfolds_past_the_limit_is_1009() {
    let side = Compression { context_takeover: false, window_bits: WindowBits::MAX };
    let parameters = Parameters { client: side, server: side };
    let mut bench = Bench::with(Some(parameters));
    let mut server = Agreement::new(parameters).into_halves(Role::Server).1;
    let mut bytes = BytesMut::new();
    server.write_frame(&mut bytes, Opcode::Binary, &vec![0; LIMITS.message_bytes + 1], None);
    assert!(bytes.len() < 10_000);
    bench.hear(&bytes);
    assert!(bench.written()[0].starts_with("close 1009 "));
    assert_eq!(bench.received().len(), 0);
}

#[test]
fn bytes_may_come_in_any_pieces() {
    let mut bytes = BytesMut::new();
    write_frame(&mut bytes, Opcode::Text, "naïve".as_bytes(), None);
    write_frame(&mut bytes, Opcode::Ping, b"p", None);
    write_header(&mut bytes, Opcode::Binary, 200, None);
    bytes.extend_from_slice(&[9; 200]);
    write_close(&mut bytes, CloseCode::new(4000), "done", None);
    let mut whole = Bench::new();
    whole.hear(&bytes);
    let (received, written) = (whole.received(), whole.written());
    assert_eq!((received.len(), written.len()), (3, 2));
    for at in 0..=bytes.len() {
        let mut split = Bench::new();
        split.hear(&bytes[..at]);
        split.hear(&bytes[at..]);
        assert_eq!((split.received(), split.written()), (received.clone(), written.clone()), "split at {at}");
    }
}
