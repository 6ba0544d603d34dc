//! Client against server: both halves of the handshake agree, and what one role writes the other reads as it was
//! meant, in both directions, however the bytes come.
//!
//! Input: choices, taken a byte at a time in the order in which [`Choices`] is asked; past the input's end every
//! choice is 0. First those of the handshake, then the client's messages, then the server's.

mod speech;

use bytes::BytesMut;
use wharf_proto::{
    http::{Guard, GuardLimits, Step},
    websocket::{
        CloseCode, DeframeLimits, MessageKind, Role, WebsocketDeframer, WebsocketEvent,
        deflate::{
            Agreement, CompressorBudget, DeflateOffer, DeflatePolicy, Deflater, Inflater, Parameters,
            WindowBits,
        },
        handshake::{Accepted, ClientRequest, Policy, accept},
    },
};

use self::speech::Speech;

/// What a whole conversation came to.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub subprotocol: Option<&'static str>,
    pub deflate: Option<Parameters>,
    pub by_client: Vec<Said>,
    pub by_server: Vec<Said>,
}

/// What one role says, and the other hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseCode>, String),
}

/// More than any message here has. A fragment may be empty, and there are at most eight.
const LIMITS: DeframeLimits = DeframeLimits { message_bytes: 1 << 19, fragments: 8 };

/// Returns what was said, for the test that replays the corpus; panics where the roles do not understand each other.
/// `None`: the client found its own request wrong, and wrote nothing.
pub fn run(data: &[u8]) -> Option<Outcome> {
    let mut choices = Choices(data);
    let (subprotocol, server, client) = shake_hands(&mut choices)?;
    let deflate = client.as_ref().map(Agreement::parameters);
    let halves = |agreement: Option<Agreement>, role| match agreement {
        Some(agreement) => {
            let (inflater, deflater) = agreement.into_halves(role);
            (Some(inflater), Some(deflater))
        }
        None => (None, None),
    };
    let (server_reads, server_writes) = halves(server, Role::Server);
    let (client_reads, client_writes) = halves(client, Role::Client);
    let by_client = converse(&mut choices, Role::Client, client_writes, server_reads);
    let by_server = converse(&mut choices, Role::Server, server_writes, client_reads);
    Some(Outcome { subprotocol, deflate, by_client, by_server })
}

/// The choices that an input stands for.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// A length of at most 255, and so many bytes, as far as there are.
    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// 15 for a choice of 0.
    fn window_bits(&mut self) -> WindowBits {
        WindowBits::new(15 - self.byte() % 8).expect("8 to 15 bits")
    }
}

const HOSTS: [&str; 4] = ["server.example", "server.example:8000", "127.0.0.1:80", "[::1]:8443"];
const SUBPROTOCOLS: [&str; 3] = ["centrifuge-json", "chat", "chat.v2"];
const HEADERS: [&str; 6] =
    ["Origin", "Authorization", "User-Agent", "x-!#$%&'*+-.^_`|~", "Host", "Sec-WebSocket-Key"];

/// Those of [`SUBPROTOCOLS`] whose bits are set.
fn subprotocols(bits: u8) -> Vec<&'static str> {
    let chosen = |(at, name): (usize, &&'static str)| (bits & 1 << at != 0).then_some(*name);
    SUBPROTOCOLS.iter().enumerate().filter_map(chosen).collect()
}

/// A handshake, and what both sides take from it. `None` if the client refuses to write its request.
fn shake_hands(
    choices: &mut Choices<'_>,
) -> Option<(Option<&'static str>, Option<Agreement>, Option<Agreement>)> {
    let flags = choices.byte();
    let (offered, spoken) = (subprotocols(choices.byte()), subprotocols(choices.byte()));
    let offer = DeflateOffer {
        server_no_context_takeover: flags & 4 != 0,
        client_no_context_takeover: flags & 8 != 0,
        server_max_window_bits: choices.window_bits(),
        client_max_window_bits: choices.window_bits(),
    };
    // Half of the servers have memory to remember by.
    let budget = CompressorBudget::new(if flags & 64 == 0 { 1 << 30 } else { 0 });
    let deflate = DeflatePolicy {
        budget: Some(&budget),
        server_context_takeover: flags & 16 == 0,
        client_context_takeover: flags & 32 == 0,
        server_max_window_bits: choices.window_bits(),
        client_max_window_bits: choices.window_bits(),
    };
    let host = HOSTS[choices.below(HOSTS.len())];
    let target = format!("/{}", choices.text());
    let mut key = [0; 16];
    key.fill_with(|| choices.byte());
    let headers: Vec<_> =
        (0..choices.below(3)).map(|_| (HEADERS[choices.below(6)], choices.text())).collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let request = ClientRequest {
        host,
        target: &target,
        key,
        subprotocols: &offered,
        deflate: (flags & 1 != 0).then_some(offer),
        headers: &headers,
    };
    let mut head = BytesMut::new();
    if let Err(error) = request.write(&mut head) {
        assert!(head.is_empty(), "half a request is written: {error}");
        return None;
    }
    // Two are the caller's fault: which headers it adds to the handshake's own is its own matter.
    let two_origins = headers.iter().filter(|(name, _)| *name == "Origin").count() > 1;
    let policy = Policy {
        subprotocols: &spoken,
        origin_allowed: &|_| true,
        deflate: (flags & 2 != 0).then_some(deflate),
    };
    let accepted = judge(&head, &request, &policy, two_origins)?;
    Some(check_answer(&request, accepted))
}

/// What the server says of a request: nothing is wrong with it, and it holds what the client put there.
fn judge<'p>(
    head: &[u8],
    request: &ClientRequest<'_>,
    policy: &Policy<'p>,
    two_origins: bool,
) -> Option<Accepted<'p>> {
    match Guard::new(GuardLimits::default()).step(head) {
        Ok(Step::Head(judged)) => assert_eq!(judged.len(), head.len(), "one head"),
        other => panic!("the server's guard says {other:?} of {:?}", String::from_utf8_lossy(head)),
    }
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut fields);
    assert_eq!(parsed.parse(head), Ok(httparse::Status::Complete(head.len())));
    assert_eq!(parsed.path, Some(request.target));
    let own = parsed.headers.len() - request.headers.len();
    for (sent, (name, value)) in parsed.headers[own..].iter().zip(request.headers) {
        assert_eq!((sent.name, sent.value), (*name, value.trim_matches([' ', '\t']).as_bytes()));
    }
    let fields = parsed.headers.iter().map(|field| (field.name, field.value));
    match accept("GET", 1, fields, policy) {
        Ok(accepted) => Some(accepted),
        Err(refusal) => {
            assert!(two_origins, "the server refuses a request of our client: {refusal}");
            None
        }
    }
}

/// The client takes the server's answer for what it says, as soon as it is whole and not before.
fn check_answer(
    request: &ClientRequest<'_>,
    accepted: Accepted<'_>,
) -> (Option<&'static str>, Option<Agreement>, Option<Agreement>) {
    let mut head = BytesMut::new();
    accepted.write_response(&mut head);
    for end in 0..head.len() {
        assert_eq!(request.check(&head[..end]), Ok(None), "the first {end} bytes");
    }
    let length = head.len();
    head.extend_from_slice(b"\x81\x00");
    let answer = request.check(&head).expect("what our server answers").expect("all of it");
    assert_eq!(answer.head_bytes, length);
    assert_eq!(answer.subprotocol, accepted.subprotocol());
    assert_eq!(answer.deflate, accepted.deflate().map(Agreement::parameters), "both sides agree on the same");
    let subprotocol = SUBPROTOCOLS.into_iter().find(|name| accepted.subprotocol() == Some(name));
    (subprotocol, accepted.into_deflate(), answer.deflate.map(Agreement::new))
}

/// One role's messages, written, read by the other whole or in pieces, and checked to be the same.
fn converse(
    choices: &mut Choices<'_>,
    writer: Role,
    deflater: Option<Deflater>,
    inflater: Option<Inflater>,
) -> Vec<Said> {
    let (seed, level) = (choices.byte(), choices.byte());
    let deflater = deflater.map(|deflater| deflater.with_level(level).with_min_bytes(0));
    let mut speech = Speech::new(writer, deflater, seed);
    for _ in 0..choices.below(8) {
        speech.say_message(choices);
    }
    let flags = choices.byte();
    if flags & 1 != 0 {
        speech.say_close(choices);
    }
    let reader = match writer {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    };
    let mut deframer = WebsocketDeframer::new(reader, LIMITS);
    if let Some(inflater) = inflater {
        deframer = deframer.with_inflater(inflater);
    }
    let mut heard = Vec::new();
    for piece in speech.pieces(flags & 2 != 0) {
        deframer.feed(piece, &mut |event| heard.push(event.into())).expect("a role breaks no rule");
    }
    assert_eq!(heard, speech.said, "what one wrote the other reads");
    assert_eq!(deframer.held_bytes(), 0, "nothing is left over");
    heard
}

impl From<WebsocketEvent<'_>> for Said {
    fn from(event: WebsocketEvent<'_>) -> Self {
        match event {
            WebsocketEvent::Message { kind: MessageKind::Text, payload, .. } => {
                Self::Text(String::from_utf8(payload.to_vec()).expect("text is UTF-8"))
            }
            WebsocketEvent::Message { kind: MessageKind::Binary, payload, .. } => {
                Self::Binary(payload.to_vec())
            }
            WebsocketEvent::Ping(payload) => Self::Ping(payload.to_vec()),
            WebsocketEvent::Pong(payload) => Self::Pong(payload.to_vec()),
            WebsocketEvent::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}
