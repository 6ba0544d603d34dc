//! What must hold when any bytes are taken for a client's messages, a server's, an event stream or a cursor.

use bytes::BytesMut;
use wharf_proto::{
    PeerError,
    dialect::{
        centrifuge_json::{CentrifugeJson, client, payload},
        centrifuge_uni::CentrifugeUni,
        events::{CURSOR_BYTES, CURSOR_CHANNELS, Cursor},
    },
    framing::{Lines, Sse, sse_reader::SseReader},
    message::{Command, Data, Request},
    wire::{Conversation, DeframeLimits, Deframer, Dialect, Framing, Incoming, MessageKind},
};

/// The longest line and block of an event stream that the body accepts, so that small inputs reach the limit.
pub const LIMIT: usize = 200;

/// Takes `input` for everything that a dialect reads, and answers how many commands it holds as one frame of
/// Centrifuge JSON.
pub fn run(input: &[u8]) -> Result<usize, PeerError> {
    lines_are_the_same_in_pieces(input);
    event_streams_are_the_same_in_pieces(input);
    framed_events_read_back(input);
    cursors_have_one_spelling(input);
    payloads_fit_a_line(input);
    one_way_clients_ask_once(input);
    // What a hostile server says may be refused, and that is all.
    let _refused = client::decode_frame(input, &mut Vec::new());
    let _refused = client::answer::decode_bare_frame(input, &mut Vec::new());

    let mut commands = Vec::new();
    let outcome = CentrifugeJson.decode(MessageKind::Text, input, &mut commands);
    for command in &commands {
        command_is_sound(command);
    }
    outcome.map(|()| commands.len())
}

/// Its data can be passed on, and it reads the same when it is written anew.
fn command_is_sound(command: &Command) {
    if let Request::Publish { data, .. } | Request::Rpc { data, .. } | Request::Send { data } =
        &command.request
    {
        data_is_sound(data);
    }
    if let Request::Connect(request) = &command.request {
        request.data.iter().for_each(data_is_sound);
    }
    if command.request == Request::Unsupported {
        return; // Has no form on the wire.
    }
    let (mut message, mut read) = (BytesMut::new(), Vec::new());
    client::encode_command(command, &mut message).expect("JSON data can be said in JSON");
    CentrifugeJson.decode(MessageKind::Text, &message, &mut read).expect("what we write can be read");
    assert_eq!(read.len(), 1);
    assert_eq!(&read[0], command);
}

fn data_is_sound(data: &Data) {
    let Data::Json(json) = data else { panic!("binary data out of JSON") };
    if !json.is_empty() {
        let text = std::str::from_utf8(json).expect("JSON is text");
        assert!(!text.contains(['\r', '\n']), "a raw line end in a payload");
        assert_eq!(payload::parse(text).as_ref(), Ok(json), "a payload does not pass a second time");
    }
}

fn payloads_fit_a_line(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(json) = payload::parse(text) {
        data_is_sound(&Data::Json(json));
    }
}

fn one_way_clients_ask_once(input: &[u8]) {
    let mut conversation = CentrifugeUni.open();
    let mut commands = Vec::new();
    if conversation.decode(MessageKind::Text, input, &mut commands).is_ok() {
        assert_eq!(commands.len(), 1);
        command_is_sound(&commands[0]);
        conversation.decode(MessageKind::Text, input, &mut commands).expect("nothing more is looked at");
        assert_eq!(commands.len(), 1);
    }
}

fn cursors_have_one_spelling(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(cursor) = Cursor::decode(text) {
        assert!(text.len() <= CURSOR_BYTES && cursor.entries().len() <= CURSOR_CHANNELS);
        assert_eq!(cursor.encode().as_deref(), Some(text));
    }
}

/// Pieces of lengths that the input itself decides.
fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let mut rest = input;
    let mut pieces = Vec::new();
    while let Some(first) = rest.first() {
        let (piece, after) = rest.split_at((usize::from(*first) % 7 + 1).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fn lines_are_the_same_in_pieces(input: &[u8]) {
    let read = |pieces: &[&[u8]]| {
        let limits = DeframeLimits { message_bytes: LIMIT, fragments: 1 };
        let mut deframer: Box<dyn Deframer> = Lines.deframer(limits);
        let mut lines = Vec::new();
        let outcome = pieces.iter().try_for_each(|piece| {
            let outcome = deframer.feed(&mut piece.to_vec(), &mut |incoming| match incoming {
                Incoming::Message(_, line) => lines.push(line.to_vec()),
                other => panic!("not a line: {other:?}"),
            });
            assert!(deframer.held_bytes() <= LIMIT + 1, "more is held than a line and its CR");
            outcome
        });
        (outcome, lines)
    };
    let whole = read(&[input]);
    assert_eq!(read(&pieces(input)), whole);
    assert!(whole.1.iter().all(|line| !line.is_empty() && line.len() <= LIMIT && !line.contains(&b'\n')));
}

fn event_streams_are_the_same_in_pieces(input: &[u8]) {
    let read = |pieces: &[&[u8]]| {
        let mut reader = SseReader::new(LIMIT);
        let mut events = Vec::new();
        let outcome = pieces.iter().try_for_each(|piece| reader.feed(piece, &mut |event| events.push(event)));
        (outcome, events, reader.last_event_id().to_owned(), reader.retry_ms())
    };
    assert_eq!(read(&pieces(input)), read(&[input]));
}

/// Whatever a message holds, it is one event with nothing but data, its line ends made LF.
fn framed_events_read_back(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut stream = BytesMut::new();
    Sse.frame(MessageKind::Text, input, &mut stream);
    let mut reader = SseReader::new(usize::MAX);
    let mut events = Vec::new();
    reader.feed(&stream, &mut |event| events.push(event)).expect("what we write can be read");
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].event.as_str(), reader.last_event_id()), ("message", ""));
    assert_eq!(events[0].data, text.replace("\r\n", "\n").replace('\r', "\n"));
}
