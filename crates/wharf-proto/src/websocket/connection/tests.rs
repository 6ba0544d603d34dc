use super::*;
use crate::websocket::{
    WebsocketEvent,
    handshake::{AnswerError, ClientRequest, MAX_REQUEST_HEAD_BYTES, OrdinaryAnswer, Policy, Refusal},
    write_close, write_frame,
};

const LIMITS: DeframeLimits = DeframeLimits { message_bytes: 100_000, fragments: 8 };
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const KEY: [u8; 16] = *b"sixteen of bytes";

fn server() -> Connection {
    Connection::server(LIMITS)
}

fn client() -> Connection {
    Connection::client(LIMITS, || MASK)
}

/// Hands over what one wants written, in pieces of `piece` bytes. Both must have been polled to the end.
fn carry(from: &mut Connection, to: &mut Connection, piece: usize) -> Vec<Event> {
    let bytes = from.output().split();
    let mut events = Vec::new();
    for piece in bytes.chunks(piece) {
        to.receive(piece);
        events.extend(std::iter::from_fn(|| to.poll_event()));
    }
    events
}

/// The bytes of frames that a client writes.
fn masked(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    write(&mut out);
    out
}

/// What the output holds, read by the other role.
fn written(connection: &mut Connection) -> Vec<String> {
    let role = if connection.role() == Role::Client { Role::Server } else { Role::Client };
    let mut found = Vec::new();
    let mut sink = |event: WebsocketEvent<'_>| found.push(format!("{event:?}"));
    let limits = DeframeLimits { fragments: 1, ..LIMITS };
    WebsocketDeframer::new(role, limits).feed(&mut connection.output().split(), &mut sink).unwrap();
    found
}

fn closed(code: u16, reason: &str) -> Event {
    Event::Ended(End::Closed { code: CloseCode::new(code), reason: reason.into() })
}

#[test]
fn messages_and_pings_cross_in_both_directions_in_any_pieces() {
    for piece in [1, 2, 3, 7, 1_000] {
        for (mut one, mut other) in [(server(), client()), (client(), server())] {
            one.send_text("ahoy").unwrap();
            one.ping(b"tick").unwrap();
            one.send(MessageKind::Binary, &[7; 300]).unwrap();
            let events = carry(&mut one, &mut other, piece);
            let message = |kind, payload: &[u8]| Event::Message { kind, payload: payload.to_vec().into() };
            let expected = [
                message(MessageKind::Text, b"ahoy"),
                Event::Ping(b"tick".to_vec().into()),
                message(MessageKind::Binary, &[7; 300]),
            ];
            assert_eq!(events, expected, "pieces of {piece}");
            assert_eq!(carry(&mut other, &mut one, piece), [Event::Pong(b"tick".to_vec().into())]);
            assert_eq!((one.state(), other.state()), (State::Open, State::Open));
        }
    }
}

// RFC 6455 section 7.1.1.
#[test]
fn the_server_ends_the_stream_first_whoever_closes() {
    for server_begins in [true, false] {
        let (mut server, mut client) = (server(), client());
        let (first, second) =
            if server_begins { (&mut server, &mut client) } else { (&mut client, &mut server) };
        first.close(CloseCode::GOING_AWAY, "tide");
        assert_eq!(first.state(), State::Closing);
        assert_eq!(carry(first, second, 1), [closed(1001, "tide")]);
        assert_eq!(carry(second, first, 1), [closed(1001, "")]);
        assert_eq!((server.state(), client.state()), (State::Finished, State::Closing));
        client.receive(b"");
        assert_eq!(client.poll_event(), None);
        assert_eq!(client.state(), State::Finished);
    }
}

#[test]
fn both_may_close_at_once() {
    let (mut server, mut client) = (server(), client());
    server.close(CloseCode::NORMAL, "one");
    client.close(CloseCode::GOING_AWAY, "other");
    let (from_server, from_client) = (server.output().split(), client.output().split());
    client.receive(&from_server);
    server.receive(&from_client);
    assert_eq!(server.poll_event(), Some(closed(1001, "other")));
    assert_eq!(client.poll_event(), Some(closed(1000, "one")));
    assert!(server.output().is_empty() && client.output().is_empty(), "a second close frame");
    assert_eq!((server.state(), client.state()), (State::Finished, State::Closing));
}

#[test]
fn a_close_without_a_code_is_answered_by_one_without_a_code() {
    let mut server = server();
    server.receive(&masked(|out| write_close(out, None, "", Some(MASK))));
    let event = server.poll_event().unwrap();
    assert!(matches!(&event, Event::Ended(end) if end.code() == 1005), "{event:?}");
    assert_eq!(server.output()[..], [0x88, 0]);
}

#[test]
fn messages_that_were_under_way_still_come_after_our_close() {
    let (mut server, mut client) = (server(), client());
    client.send_text("crossing").unwrap();
    client.ping(b"there?").unwrap();
    server.close(CloseCode::NORMAL, "");
    assert_eq!(carry(&mut client, &mut server, 1_000).len(), 2);
    // RFC 6455 sections 5.5.1 and 5.5.2: no data follows our close frame, but the ping is answered.
    assert_eq!(server.send_text("late"), Err(SendError::Closing));
    assert_eq!(server.ping(b""), Err(SendError::Closing));
    assert_eq!(server.output()[..], *b"\x88\x02\x03\xe8\x8a\x06there?");
}

#[test]
fn nothing_is_looked_at_after_the_peers_close() {
    let mut server = server();
    let bytes = masked(|out| {
        write_close(out, Some(CloseCode::NORMAL), "", Some(MASK));
        write_frame(out, Opcode::Text, b"late", Some(MASK));
    });
    server.receive(&bytes);
    server.receive(&bytes);
    assert_eq!(server.poll_event(), Some(closed(1000, "")));
    assert_eq!(server.poll_event(), None);
    assert_eq!(written(&mut server).len(), 1);
    assert_eq!(server.send_text("late"), Err(SendError::Closing));
}

// RFC 6455 section 7.1.7.
#[test]
fn a_broken_rule_is_told_to_the_peer_and_ends_the_connection() {
    for mut one in [server(), client()] {
        // Masked where it must not be, and not masked where it must.
        let mask = (one.role() == Role::Client).then_some(MASK);
        one.receive(&masked(|out| write_frame(out, Opcode::Text, b"ahoy", mask)));
        let fault = if mask.is_some() { FrameError::Masked } else { FrameError::Unmasked };
        assert_eq!(one.poll_event(), Some(Event::Ended(End::Failed(fault))));
        assert_eq!(one.state(), State::Finished);
        let said = written(&mut one);
        assert!(said[0].contains("1002") && said[0].contains(&fault.to_string()), "{said:?}");
    }
}

#[test]
fn a_rule_broken_while_closing_is_told_by_no_second_close_frame() {
    let mut server = server();
    server.close(CloseCode::NORMAL, "");
    server.receive(&[0x81, 0]);
    assert_eq!(server.poll_event(), Some(Event::Ended(End::Failed(FrameError::Unmasked))));
    assert_eq!(written(&mut server).len(), 1);
}

#[test]
fn a_stream_that_ends_without_a_close_frame_is_lost_after_what_came() {
    for closes in [false, true] {
        let mut server = server();
        if closes {
            server.close(CloseCode::NORMAL, "");
        }
        server.receive(&masked(|out| write_frame(out, Opcode::Text, b"last", Some(MASK))));
        server.receive(&[0x81]); // The beginning of another.
        server.receive(b"");
        assert!(matches!(server.poll_event(), Some(Event::Message { .. })));
        let event = server.poll_event().unwrap();
        assert_eq!(event, Event::Ended(End::Lost));
        assert!(matches!(event, Event::Ended(end) if end.code() == 1006));
        assert_eq!((server.poll_event(), server.state()), (None, State::Finished));
    }
}

#[test]
fn a_close_frame_before_the_end_of_the_stream_counts() {
    let mut client = client();
    client.receive(&masked(|out| write_close(out, Some(CloseCode::NORMAL), "", None)));
    client.receive(b"");
    assert_eq!(client.poll_event(), Some(closed(1000, "")));
    assert_eq!(client.state(), State::Finished);
}

#[test]
fn a_timeout_ends_each_wait_once() {
    let mut silent = server();
    silent.close(CloseCode::NORMAL, "");
    assert_eq!(silent.handle_timeout(), Some(Event::Ended(End::TimedOut)));
    assert_eq!((silent.handle_timeout(), silent.state()), (None, State::Finished));
    // The client has told of its end already when the server does not end the stream.
    let mut client = client();
    client.receive(&masked(|out| write_close(out, Some(CloseCode::NORMAL), "", None)));
    assert!(client.poll_event().is_some());
    assert_eq!(client.state(), State::Closing);
    assert_eq!((client.handle_timeout(), client.state()), (None, State::Finished));
}

#[test]
fn a_ping_is_at_most_125_bytes() {
    let mut server = server();
    assert_eq!(server.ping(&[0; 125]), Ok(()));
    server.output().clear();
    assert_eq!(server.ping(&[0; 126]), Err(SendError::PingTooLong(126)));
    assert!(server.output().is_empty());
}

/// Pings a connection so often, while nothing is written, and says what the pong to the last is.
fn flood(connection: &mut Connection, times: u8) -> String {
    let mask = (connection.role() == Role::Server).then_some(MASK);
    for at in 0..times {
        connection.receive(&masked(|out| write_frame(out, Opcode::Ping, &[b'a' + at % 26; 125], mask)));
        assert!(matches!(connection.poll_event(), Some(Event::Ping(_))));
    }
    format!("{:?}", WebsocketEvent::Pong(&[b'a' + (times - 1) % 26; 125]))
}

// RFC 6455 section 5.5.3.
#[test]
fn a_flood_of_pings_costs_a_bounded_number_of_pongs_and_the_latest_is_answered() {
    let most = PONG_BYTES + 2 * 131;
    for mut one in [server(), client()] {
        let last = flood(&mut one, 200);
        assert!((PONG_BYTES..most).contains(&one.output().len()));
        assert_eq!(written(&mut one).last(), Some(&last));

        // A peer that takes a byte now and then gets no more of them for it.
        for round in 1..=200 {
            flood(&mut one, 1 + round);
            let waiting = one.output().len();
            assert!(waiting < most, "{waiting}");
            if waiting > PONG_BYTES {
                one.output().advance(1);
            }
        }
        // Its last ping is answered all the same, once there is room.
        let mut waiting = 0;
        while one.output().len() != waiting {
            waiting = one.output().len();
            flood(&mut one, 1);
        }
        let last = flood(&mut one, 7);
        assert_eq!(one.output().len(), waiting);
        one.output().advance(waiting);
        assert_eq!(written(&mut one), [last]);
        assert!(one.output().is_empty());
    }
}

#[test]
fn a_ping_that_waits_for_its_pong_is_answered_before_a_close() {
    let mut server = server();
    let last = flood(&mut server, 200);
    server.close(CloseCode::NORMAL, "");
    let said = written(&mut server);
    assert_eq!(said[said.len() - 2], last);
    assert!(said[said.len() - 1].contains("1000"), "{said:?}");
}

#[test]
fn an_answer_to_a_message_goes_out_before_what_the_bytes_behind_it_bring() {
    let mut client = client();
    client.receive(b"\x81\x02hi\x89\x00\xf1\x00");
    assert!(matches!(client.poll_event(), Some(Event::Message { .. })));
    assert_eq!(client.unread_bytes(), 4);
    client.send_text("hi too").unwrap();
    assert_eq!(client.poll_event(), Some(Event::Ping(Default::default())));
    let event = client.poll_event();
    assert_eq!(event, Some(Event::Ended(End::Failed(FrameError::ReservedBits))));
    let said = written(&mut client);
    assert!(said[0].contains("Message") && said[1].contains("Pong") && said[2].contains("1002"), "{said:?}");
    assert_eq!(client.unread_bytes(), 0);
}

#[test]
fn a_close_that_came_before_the_socket_broke_is_still_heard() {
    for mut one in [server(), client()] {
        let mask = (one.role() == Role::Server).then_some(MASK);
        one.send_text("into the void").unwrap();
        one.handle_write_error();
        assert!(one.output().is_empty());
        assert_eq!(one.send_text("more"), Err(SendError::Unwritable));
        assert_eq!(one.ping(b""), Err(SendError::Unwritable));
        one.receive(&masked(|out| {
            write_frame(out, Opcode::Text, b"last", mask);
            write_frame(out, Opcode::Ping, b"", mask);
            write_close(out, CloseCode::new(3005), "moved", mask);
        }));
        assert!(matches!(one.poll_event(), Some(Event::Message { .. })));
        assert!(matches!(one.poll_event(), Some(Event::Ping(_))));
        assert_eq!(one.poll_event(), Some(closed(3005, "moved")));
        assert!(one.output().is_empty());
        assert_eq!(one.send_text("late"), Err(SendError::Closing));
    }
    let mut silent = server();
    silent.handle_write_error();
    silent.close(CloseCode::NORMAL, "");
    assert!(silent.output().is_empty());
    silent.receive(b"");
    assert_eq!(silent.poll_event(), Some(Event::Ended(End::Lost)));
}

// RFC 6455 section 5.3.
#[test]
fn every_frame_of_a_client_has_a_mask_of_its_own() {
    let mut mask = [0; 4];
    let mut client = Connection::client(LIMITS, move || {
        mask[3] += 1;
        mask
    });
    client.send_text("").unwrap();
    client.ping(b"").unwrap();
    client.receive(b"\x89\x00");
    client.poll_event();
    client.close(CloseCode::NORMAL, "");
    let frames = client.output().split();
    let ends: Vec<_> = [6, 12, 18, 26].into_iter().zip([6, 6, 6, 8]).collect();
    let masks: Vec<_> = ends.into_iter().map(|(end, len)| frames[end - len + 5]).collect();
    assert_eq!((masks, frames.len()), (vec![1, 2, 3, 4], 26));
}

#[test]
fn a_connection_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Connection>();
    is_send::<ServerHandshake>();
    is_send::<ClientHandshake<'static>>();
}

fn request() -> ClientRequest<'static> {
    ClientRequest { subprotocols: &["chat", "mqtt"], ..ClientRequest::new("a.example", "/dock?at=1", KEY) }
}

/// Opens both ends over pieces of `piece` bytes. Each says something at once, behind its half of the handshake.
fn shake_hands(
    request: ClientRequest<'static>,
    policy: &Policy<'_>,
    piece: usize,
) -> (Connection, Connection) {
    let mut asking = ClientHandshake::new(request).unwrap();
    let mut asked = ServerHandshake::new();
    // Nothing forbids a client to write behind its request, as long as it is accepted.
    let sent = [&asking.output().split()[..], &masked(|out| write_frame(out, Opcode::Ping, b"", Some(MASK)))];
    let sent = sent.concat();
    let mut pieces = sent.chunks(piece);
    while !asked.receive(pieces.next().expect("a whole request")).unwrap() {}
    assert_eq!(asked.request().map(|request| request.target().to_owned()), Some("/dock?at=1".to_owned()));
    let mut server = asked.accept(policy, LIMITS).unwrap();
    pieces.for_each(|rest| server.receive(rest));
    assert_eq!(server.poll_event(), Some(Event::Ping(Default::default())));

    server.send_text(&"ahoy ".repeat(100)).unwrap();
    let answer = server.output().split();
    let mut pieces = answer.chunks(piece);
    while !asking.receive(pieces.next().expect("a whole answer")).unwrap() {}
    let mut client = asking.open(LIMITS, || MASK).unwrap();
    pieces.for_each(|rest| client.receive(rest));
    assert_eq!(client.poll_event(), Some(Event::Pong(Default::default())));
    let message = Event::Message { kind: MessageKind::Text, payload: "ahoy ".repeat(100).into() };
    assert_eq!(client.poll_event(), Some(message));
    (server, client)
}

#[test]
fn a_handshake_opens_both_ends_and_loses_nothing_behind_it() {
    for piece in [1, 2, 3, 64, 100_000] {
        let policy = Policy { subprotocols: &["mqtt"], ..Policy::default() };
        let (server, client) = shake_hands(request(), &policy, piece);
        assert_eq!((server.subprotocol(), client.subprotocol()), (Some("mqtt"), Some("mqtt")));
        assert!(!server.compresses() && !client.compresses());
    }
}

#[cfg(feature = "deflate")]
#[test]
fn messages_are_compressed_where_both_agreed() {
    use crate::websocket::deflate::{DeflateOffer, DeflatePolicy};
    let deflate = Some(DeflatePolicy::default());
    let offer = Some(DeflateOffer::default());
    for (offer, deflate, compressed) in [(offer, deflate, true), (None, deflate, false), (offer, None, false)]
    {
        let request = ClientRequest { deflate: offer, ..request() };
        let (mut server, mut client) = shake_hands(request, &Policy { deflate, ..Policy::default() }, 7);
        assert_eq!((server.compresses(), client.compresses()), (compressed, compressed));
        let message = "ship in sight ".repeat(100);
        let expected = [Event::Message { kind: MessageKind::Text, payload: message.clone().into() }];
        server.send_text(&message).unwrap();
        assert_eq!(server.output().len() < 100, compressed);
        assert_eq!(carry(&mut server, &mut client, 5), expected);
        client.send_text(&message).unwrap();
        assert_eq!(client.output().len() < 100, compressed);
        assert_eq!(carry(&mut client, &mut server, 5), expected);
    }
}

#[cfg(feature = "deflate")]
#[test]
fn short_messages_are_compressed_where_the_caller_wants_it() {
    use crate::websocket::deflate::{Agreement, Compression, Parameters, WindowBits};
    let side = Compression { context_takeover: false, window_bits: WindowBits::MAX };
    let agreement = || Agreement::new(Parameters { server: side, client: side });
    for (mut server, first_byte) in [
        (server().with_deflate(agreement()), 0x81),
        (server().with_deflate(agreement()).compressing_from(0), 0xc1),
        (server().compressing_from(0), 0x81),
    ] {
        server.send_text(&"a".repeat(100)).unwrap();
        assert_eq!(server.output()[0], first_byte);
    }
}

#[test]
fn a_refused_request_has_its_answer() {
    let mut asked = ServerHandshake::new();
    assert_eq!(asked.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(true));
    let refusal = asked.accept(&Policy::default(), LIMITS).unwrap_err();
    assert_eq!(refusal, Refusal::NoUpgrade);
    let answer = String::from_utf8(refusal.response()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{head}");
    for header in ["Upgrade: websocket", "Connection: Upgrade, close", "Sec-WebSocket-Version: 13"] {
        assert!(head.lines().any(|line| line == header), "{header}: {head}");
    }
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert_eq!(body, format!("{refusal}\n"));
}

#[test]
fn what_a_refusal_says_is_there_to_be_told() {
    let mut asking = ClientHandshake::new(request()).unwrap();
    let refusal = Refusal::Origin.response();
    assert_eq!(asking.receive(&refusal), Err(AnswerError::Status(403)));
    let answer = OrdinaryAnswer::read(asking.received()).unwrap();
    let said = &asking.received()[answer.head_bytes..];
    assert_eq!(said, format!("{}\n", Refusal::Origin).as_bytes());
}

#[test]
fn pages_connect_only_where_the_policy_says_so() {
    let headers: &[_] = &[("Origin", "https://a.example")];
    let mut asking = ClientHandshake::new(ClientRequest { headers, ..request() }).unwrap();
    let sent = asking.output().split();
    let asked = || {
        let mut asked = ServerHandshake::new();
        assert_eq!(asked.receive(&sent), Ok(true));
        asked
    };
    assert_eq!(asked().accept(&Policy::default(), LIMITS).unwrap_err(), Refusal::Origin);
    let any = Policy { origin_allowed: &|_| true, ..Policy::default() };
    assert!(asked().accept(&any, LIMITS).is_ok());
}

#[test]
fn a_request_longer_than_its_bound_is_refused_when_it_is_reached() {
    let mut asked = ServerHandshake::new();
    for _ in 1..MAX_REQUEST_HEAD_BYTES {
        assert_eq!(asked.receive(b"a"), Ok(false));
    }
    assert_eq!(asked.receive(b"a"), Err(Refusal::HeadTooLong));
    assert_eq!(Refusal::HeadTooLong.status(), 431);
}

#[test]
fn what_comes_behind_a_whole_head_keeps_it_whole() {
    let mut asking = ClientHandshake::new(request()).unwrap();
    let mut asked = ServerHandshake::new();
    assert_eq!(asked.receive(&asking.output().split()), Ok(true));
    for behind in [&masked(|out| write_frame(out, Opcode::Ping, b"", Some(MASK)))[..], b""] {
        assert_eq!(asked.receive(behind), Ok(true));
    }
    let mut server = asked.accept(&Policy::default(), LIMITS).unwrap();
    assert_eq!(server.poll_event(), Some(Event::Ping(Default::default())));

    let answer = server.output().split();
    let head_bytes = answer.len() - 2; // A pong is behind it.
    assert_eq!(asking.receive(&answer[..head_bytes]), Ok(true));
    for behind in [&answer[head_bytes..], b""] {
        assert_eq!(asking.receive(behind), Ok(true));
    }
    let mut client = asking.open(LIMITS, || MASK).unwrap();
    assert_eq!(client.poll_event(), Some(Event::Pong(Default::default())));
}

#[test]
fn a_handshake_that_is_cut_off_is_an_error_in_both_roles() {
    let mut asked = ServerHandshake::new();
    assert_eq!(asked.receive(b"GET / HT"), Ok(false));
    assert!(asked.request().is_none());
    assert_eq!(asked.receive(b""), Err(Refusal::Malformed));
    assert_eq!(asked.accept(&Policy::default(), LIMITS).unwrap_err(), Refusal::Malformed);

    let mut asking = ClientHandshake::new(request()).unwrap();
    assert_eq!(asking.receive(b"HTTP/1.1 101 Swi"), Ok(false));
    assert_eq!(asking.receive(b""), Err(AnswerError::Ended));
    assert_eq!(asking.open(LIMITS, || MASK).unwrap_err(), AnswerError::Ended);
}
