//! The guard from outside: what it lets through, what it refuses, and that pieces make no difference.

mod accepted;
#[path = "../../../../fuzz/bodies/http_guard.rs"]
mod body;
mod equivalence;
mod refused;

use body::{Head, Outcome, feed};
use wharf_proto::http::{GuardLimits, Refusal};

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
