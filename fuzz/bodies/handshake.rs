//! Both halves of the WebSocket handshake, given any bytes as a request and as an answer: no answer says more than
//! was asked for, and no piece of a head is judged otherwise than the whole.

use bytes::BytesMut;
use wharf_proto::websocket::handshake::{
    Accepted, Answer, AnswerError, ClientRequest, MAX_ANSWER_HEAD_BYTES, Policy, Refusal, accept,
};

const SUBPROTOCOLS: [&str; 2] = ["centrifuge-json", "chat"];

/// The request of RFC 6455 section 1.3, so that a fixed answer can be right.
const REQUEST: ClientRequest<'static> = ClientRequest {
    host: "server.example.com",
    target: "/chat",
    key: *b"the sample nonce",
    subprotocols: &SUBPROTOCOLS,
    deflate: None,
    headers: &[],
};

/// What both halves said.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// `None`: the bytes are not the whole head of a request.
    pub request: Option<Result<Accepted<'static>, Refusal>>,
    pub answer: Result<Option<Answer<'static>>, AnswerError>,
}

/// Returns what was said, for the test that replays the corpus; panics where a promise is broken.
pub fn run(data: &[u8]) -> Outcome {
    Outcome { request: judge_request(data), answer: judge_answer(data) }
}

fn judge_request(data: &[u8]) -> Option<Result<Accepted<'static>, Refusal>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    if !request.parse(data).is_ok_and(|status| status.is_complete()) {
        return None;
    }
    let policy = Policy {
        subprotocols: &SUBPROTOCOLS,
        origin_allowed: &|origin| matches!(origin, None | Some("http://example.com")),
        deflate: None,
    };
    let fields = request.headers.iter().map(|header| (header.name, header.value));
    let outcome = accept(request.method?, request.version?, fields, &policy);
    match &outcome {
        Ok(accepted) => check_accepted(accepted, request.headers),
        Err(refusal) => {
            assert!(matches!(refusal.status(), 400 | 403 | 405 | 426));
            let versions =
                refusal.headers().iter().filter(|(name, _)| *name == "Sec-WebSocket-Version").count();
            assert_eq!(versions == 1, refusal.status() == 426);
        }
    }
    Some(outcome)
}

/// The answer is one head, and names a subprotocol only if the client offered it.
fn check_accepted(accepted: &Accepted<'_>, headers: &[httparse::Header<'_>]) {
    let mut head = BytesMut::new();
    accepted.write_response(&mut head);
    let text = std::str::from_utf8(&head).expect("the head is ASCII");
    assert_eq!(text.find("\r\n\r\n"), Some(text.len() - 4));
    assert_eq!(text.lines().count(), 5 + usize::from(accepted.subprotocol().is_some()));
    if let Some(chosen) = accepted.subprotocol() {
        let offers =
            headers.iter().filter(|header| header.name.eq_ignore_ascii_case("sec-websocket-protocol"));
        let mut offered = offers.flat_map(|header| header.value.split(|byte| *byte == b','));
        assert!(offered.any(|name| name.trim_ascii() == chosen.as_bytes()));
    }
}

fn judge_answer(data: &[u8]) -> Result<Option<Answer<'static>>, AnswerError> {
    let outcome = REQUEST.check(data);
    let judged = match &outcome {
        Ok(None) => data.len(),
        Ok(Some(answer)) => answer.head_bytes,
        Err(AnswerError::TooLong) => MAX_ANSWER_HEAD_BYTES,
        // All other errors are found in a whole head, which may stand behind interim answers.
        Err(_) => ends_of_heads(data)
            .find(|end| REQUEST.check(&data[..*end]) != Ok(None))
            .expect("the head has an end"),
    };
    assert!(judged <= MAX_ANSWER_HEAD_BYTES);
    assert_eq!(REQUEST.check(&data[..judged]), outcome, "without what follows the head");
    if judged > 0 {
        assert_eq!(REQUEST.check(&data[..judged - 1]), Ok(None), "without the head's last byte");
    }
    outcome
}

fn ends_of_heads(data: &[u8]) -> impl Iterator<Item = usize> {
    data.windows(4).enumerate().filter(|(_, end)| end == b"\r\n\r\n").map(|(at, _)| at + 4)
}
