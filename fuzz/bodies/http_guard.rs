//! What must hold of the HTTP guard for any bytes: pieces make no difference, what passes is read in the same
//! way by another parser, and what passed once passes again.

use wharf_proto::http::{BodyLength, Guard, GuardLimits, Refusal, Step};

/// Holds the guard to its promises on one connection's bytes, with its own limits and with small ones. Gives
/// what its own limits refuse.
pub fn run(bytes: &[u8]) -> Option<Refusal> {
    let small = GuardLimits {
        head_bytes: 120,
        header_fields: 4,
        target_bytes: 30,
        body_bytes: 20,
        chunk_line_bytes: 12,
        trailer_bytes: 24,
        trailer_fields: 2,
        leading_blank_lines: 1,
    };
    hold(small, bytes);
    hold(GuardLimits::default(), bytes)
}

fn hold(limits: GuardLimits, bytes: &[u8]) -> Option<Refusal> {
    let whole = feed(limits, [bytes]);
    for size in [1, 7, 64] {
        assert_eq!(feed(limits, bytes.chunks(size)), whole, "pieces of {size} make a difference");
    }
    assert_reads_alike(&whole);
    let again = feed(limits, [&whole.passed[..]]);
    assert_eq!(again.refusal, None, "what passed once is refused");
    assert_eq!((&again.passed, again.ends), (&whole.passed, whole.ends), "what passed once is changed");
    whole.refusal
}

/// What one connection's bytes came to, without regard to the pieces they came in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    pub heads: Vec<Head>,
    /// All that a parser behind the guard is given.
    pub passed: Vec<u8>,
    /// How many requests were whole.
    pub ends: usize,
    pub refusal: Option<Refusal>,
    /// What the guard still waits to see more of.
    pub left: Vec<u8>,
}

/// What the guard said of one head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub method: String,
    pub target: String,
    pub path: String,
    pub query: Option<String>,
    pub minor: u8,
    pub host: Option<String>,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: BodyLength,
    pub keeps_alive: bool,
    pub upgrade: bool,
    pub expects_continue: bool,
    /// How many bytes had passed before it.
    pub at: usize,
}

impl Head {
    fn from(head: &wharf_proto::http::Head<'_>, at: usize) -> Self {
        Self {
            method: head.method().to_owned(),
            target: head.target().to_owned(),
            path: head.path().to_owned(),
            query: head.query().map(str::to_owned),
            minor: head.minor_version(),
            host: head.host().map(|host| format!("{host:?}")),
            fields: head.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            body: head.body(),
            keeps_alive: head.keeps_alive(),
            upgrade: head.asks_for_upgrade(),
            expects_continue: head.expects_continue(),
            at,
        }
    }
}

/// Feeds `pieces` in order, as a connection's loop would.
pub fn feed<'p>(limits: GuardLimits, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let (mut guard, mut outcome) = (Guard::new(limits), Outcome::default());
    for piece in pieces {
        outcome.left.extend_from_slice(piece);
        drain(&mut guard, &mut outcome);
        if outcome.refusal.is_some() {
            break;
        }
        assert!(
            outcome.left.len() < limits.head_bytes.max(limits.chunk_line_bytes),
            "a buffer without a bound"
        );
    }
    outcome
}

fn drain(guard: &mut Guard, outcome: &mut Outcome) {
    let mut taken = 0;
    loop {
        let left = &outcome.left[taken..];
        let (take, pass) = match guard.step(left) {
            Ok(Step::NeedMore) => break,
            Ok(Step::Head(head)) => {
                assert_eq!(head.as_bytes(), &left[..head.len()]);
                outcome.heads.push(Head::from(&head, outcome.passed.len()));
                (head.len(), head.len())
            }
            Ok(Step::Bytes { take, pass }) => {
                assert!(pass <= take && take > 0 && take <= left.len(), "{take} {pass}");
                (take, pass)
            }
            Ok(Step::End) => {
                outcome.ends += 1;
                continue;
            }
            Err(refusal) => {
                outcome.refusal = Some(refusal);
                // How much is left depends on the pieces; nobody may look at it.
                taken = outcome.left.len();
                break;
            }
        };
        outcome.passed.extend_from_slice(&left[..pass]);
        taken += take;
    }
    outcome.left.drain(..taken);
}

/// Asserts that httparse reads the same heads, and finds the same bodies between them, in what passed.
pub fn assert_reads_alike(outcome: &Outcome) {
    for (index, head) in outcome.heads.iter().enumerate() {
        let end = outcome.heads.get(index + 1).map_or(outcome.passed.len(), |next| next.at);
        let request = &outcome.passed[head.at..end];
        let length = assert_head_reads_alike(head, request);
        assert_body_reads_alike(head.body, &request[length..], index < outcome.ends);
        assert!(head.keeps_alive || index + 1 == outcome.heads.len(), "a request behind the last one");
    }
}

fn assert_head_reads_alike(head: &Head, request: &[u8]) -> usize {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut read = httparse::Request::new(&mut fields);
    let length = match read.parse(request) {
        Ok(httparse::Status::Complete(length)) => length,
        other => panic!("{other:?} {head:?}"),
    };
    assert_eq!(read.method, Some(head.method.as_str()));
    assert_eq!(read.path, Some(head.target.as_str()));
    assert_eq!(read.version, Some(head.minor));
    let read_fields: Vec<_> =
        read.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
    assert_eq!(read_fields, head.fields);

    let shown = head.query.as_ref().map_or(head.path.clone(), |query| format!("{}?{query}", head.path));
    assert!(head.target.ends_with(&shown) || head.path == "/", "{shown} is not in {}", head.target);
    assert!(head.minor == 1 || !(head.upgrade || head.expects_continue), "HTTP/1.0 knows neither");
    assert!(head.minor == 0 || head.host.is_some(), "HTTP/1.1 without a host");
    length
}

fn assert_body_reads_alike(body: BodyLength, mut bytes: &[u8], whole: bool) {
    match body {
        BodyLength::None => assert!(bytes.is_empty()),
        BodyLength::Bytes(length) if whole => assert_eq!(bytes.len() as u64, length),
        BodyLength::Bytes(length) => assert!((bytes.len() as u64) < length),
        BodyLength::Chunked if whole => loop {
            let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(bytes) else {
                panic!("no chunk at {:?}", String::from_utf8_lossy(bytes));
            };
            let data = &bytes[line..];
            if size == 0 {
                return assert_eq!(data, b"\r\n", "a trailer passed");
            }
            // It is a whole body, so its chunks are in memory and their sizes fit.
            let (_, rest) = data.split_at(size as usize);
            bytes = rest.strip_prefix(b"\r\n").expect("a chunk ends with CR LF");
        },
        BodyLength::Chunked => {}
    }
}
