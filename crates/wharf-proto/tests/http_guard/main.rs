//! The guard from outside: what it lets through, what it refuses, and that pieces make no difference.

mod accepted;
mod equivalence;
mod refused;

use wharf_proto::http::{BodyLength, Guard, GuardLimits, Refusal, Step};

/// What one connection's bytes came to, without regard to the pieces they came in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Outcome {
    heads: Vec<Head>,
    /// All that a parser behind the guard is given.
    passed: Vec<u8>,
    /// How many requests were whole.
    ends: usize,
    refusal: Option<Refusal>,
    /// What the guard still waits to see more of.
    left: Vec<u8>,
}

/// What the guard said of one head.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    method: String,
    target: String,
    path: String,
    query: Option<String>,
    minor: u8,
    host: Option<String>,
    fields: Vec<(String, Vec<u8>)>,
    body: BodyLength,
    keeps_alive: bool,
    upgrade: bool,
    expects_continue: bool,
    /// How many bytes had passed before it.
    at: usize,
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
fn feed<'p>(limits: GuardLimits, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let (mut guard, mut outcome) = (Guard::new(limits), Outcome::default());
    for piece in pieces {
        outcome.left.extend_from_slice(piece);
        drain(&mut guard, &mut outcome);
    }
    outcome
}

fn drain(guard: &mut Guard, outcome: &mut Outcome) {
    loop {
        let (take, pass) = match guard.step(&outcome.left) {
            Ok(Step::NeedMore) => return,
            Ok(Step::Head(head)) => {
                assert_eq!(head.as_bytes(), &outcome.left[..head.len()]);
                outcome.heads.push(Head::from(&head, outcome.passed.len()));
                (head.len(), head.len())
            }
            Ok(Step::Bytes { take, pass }) => {
                assert!(pass <= take && take > 0 && take <= outcome.left.len(), "{take} {pass}");
                (take, pass)
            }
            Ok(Step::End) => {
                outcome.ends += 1;
                continue;
            }
            Err(refusal) => {
                outcome.refusal = Some(refusal);
                // How much is left depends on the pieces; it is never looked at.
                outcome.left.clear();
                return;
            }
        };
        outcome.passed.extend_from_slice(&outcome.left[..pass]);
        outcome.left.drain(..take);
    }
}

/// Feeds `bytes` whole, split in two at every byte, and byte by byte; asserts that all come to the same.
#[track_caller]
fn feed_every_way(limits: GuardLimits, bytes: &[u8]) -> Outcome {
    let whole = feed(limits, [bytes]);
    for at in 1..bytes.len() {
        let (one, two) = bytes.split_at(at);
        assert_eq!(feed(limits, [one, two]), whole, "split at {at} of {:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(feed(limits, bytes.chunks(1)), whole, "byte by byte {:?}", String::from_utf8_lossy(bytes));
    whole
}

/// Asserts that `request` is refused so, however it is split, and that not a byte of its head passes.
#[track_caller]
fn assert_refused(request: impl AsRef<[u8]>, refusal: Refusal) {
    let outcome = feed_every_way(GuardLimits::default(), request.as_ref());
    let text = String::from_utf8_lossy(request.as_ref());
    assert_eq!(outcome.refusal, Some(refusal), "{text:?}");
    assert_eq!((outcome.passed.len(), outcome.heads.len()), (0, 0), "something of {text:?} passed");
}

/// Asserts that `request` passes unchanged and whole, however it is split, and gives its heads.
#[track_caller]
fn assert_passes(request: impl AsRef<[u8]>) -> Vec<Head> {
    assert_becomes(request.as_ref(), request.as_ref())
}

/// Asserts that of `request` exactly `passed` passes, however it is split, and gives its heads.
#[track_caller]
fn assert_becomes(request: impl AsRef<[u8]>, passed: impl AsRef<[u8]>) -> Vec<Head> {
    let outcome = feed_every_way(GuardLimits::default(), request.as_ref());
    assert_eq!(outcome.refusal, None, "{:?}", String::from_utf8_lossy(request.as_ref()));
    assert_eq!(String::from_utf8_lossy(&outcome.passed), String::from_utf8_lossy(passed.as_ref()));
    assert_eq!(outcome.ends, outcome.heads.len(), "every request is whole");
    assert!(outcome.left.is_empty(), "nothing is left over");
    outcome.heads
}

/// A GET with these header lines, each ended with CR LF.
fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// A chunked POST with this body.
fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}
