//! `/connection/poll`: a session that is asked for again and again. The worker that owns it answers; this carries
//! the question there and the answer back.

use http::{HeaderMap, HeaderValue, header::HeaderName, request::Parts};
use tokio::sync::oneshot;

use super::{
    Context,
    answer::{self, Answer},
    body::Body,
    long_lived,
    service::Way,
};
use crate::worker::{PollAnswer, PollRequest, SessionKey, ToWorker};

pub const PATH: &str = "/connection/poll";

const SESSION: HeaderName = HeaderName::from_static("wharf-session");
const ACK: HeaderName = HeaderName::from_static("wharf-ack");
const SEQ: HeaderName = HeaderName::from_static("wharf-seq");

const LINES: &str = "application/x-ndjson";
/// How long a poll waits that does not say. RELIABILITY.md, limits: the long-poll wait.
const DEFAULT_WAIT_S: u64 = 25;

/// What the request's head says.
struct Asked {
    session: Option<SessionKey>,
    ack: Option<u64>,
    wait_ms: u64,
}

/// Answers one poll.
pub async fn answer(head: &Parts, body: Body<'_>, way: &Way, context: &Context) -> Answer {
    let node = &context.node;
    let asked = match read_head(head, node.settings.times.poll_wait_max_ms) {
        Ok(asked) => asked,
        Err(answer) => return *answer,
    };
    let worker = asked.session.map_or(context.worker, |session| usize::from(session.worker));
    let Some(inbox) = node.workers.get(worker) else {
        return unknown_session();
    };
    // Row 67: streamed, and refused at the message limit.
    let body = match body.read(node.settings.limits.message_bytes).await {
        Ok(body) => body,
        Err(error) => return error.answer(),
    };
    let only_waits = body.trim_ascii().is_empty();
    let (answer, answered) = oneshot::channel();
    let Asked { session, ack, wait_ms } = asked;
    if inbox.send(ToWorker::Poll(PollRequest { session, ack, body, wait_ms, answer })).is_err() {
        return answer::busy("the server has too much to do; ask again in a second");
    }
    // When the client goes, the receiver is dropped: the worker sees that nobody waits, and keeps what there is to
    // say. A client that only ended its half counts as gone while it waits, but is told what its commands came to.
    let answered = async {
        match way {
            Way::Alone(peer) if only_waits => tokio::select! {
                biased;
                answer = answered => Some(answer),
                () = peer.gone() => None,
            },
            _ => Some(answered.await),
        }
    };
    match answered.await {
        None => answer::whole(200, LINES, ""),
        Some(Ok(answer)) => say(answer),
        Some(Err(_)) => {
            answer::error(500, "the session's worker gave no answer; connect anew, and recover by position")
        }
    }
}

fn read_head(head: &Parts, longest_ms: u64) -> Result<Asked, Box<Answer>> {
    let session = match single(&head.headers, &SESSION)? {
        None => None,
        Some(text) => Some(SessionKey::decode(text).ok_or_else(|| Box::new(unknown_session()))?),
    };
    let ack = match single(&head.headers, &ACK)? {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|_| bad("Wharf-Ack must be the number that Wharf-Seq said"))?)
        }
    };
    let wait_s = match long_lived::parameter(head, "wait") {
        None => DEFAULT_WAIT_S,
        Some(text) => {
            text.parse().map_err(|_| bad("wait must be whole seconds, such as ?wait=25; 0 does not wait"))?
        }
    };
    Ok(Asked { session, ack, wait_ms: wait_s.saturating_mul(1_000).min(longest_ms) })
}

/// A header that may stand once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Box<Answer>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| bad("a Wharf- header is not ASCII")),
        (Some(_), Some(_)) => Err(bad("a Wharf- header is sent more than once; send it once")),
    }
}

fn bad(message: &str) -> Box<Answer> {
    Box::new(answer::error(400, message))
}

fn unknown_session() -> Answer {
    answer::error(
        404,
        "the session is not known, or its lease ran out; connect anew, and recover by position",
    )
}

fn say(said: PollAnswer) -> Answer {
    match said {
        PollAnswer::Lines { session, seq, body } => {
            let mut answer = answer::whole(200, LINES, body);
            let headers = answer.headers_mut();
            if let Ok(session) = HeaderValue::from_str(&session.encode()) {
                headers.insert(SESSION, session);
            }
            headers.insert(SEQ, HeaderValue::from(seq));
            answer
        }
        PollAnswer::Ended { body } => answer::whole(200, LINES, body),
        PollAnswer::UnknownSession => unknown_session(),
        PollAnswer::Refused(disconnect) => {
            answer::coded_error(400, u32::from(disconnect.code), &disconnect.reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(uri: &str, headers: &[(&str, &str)]) -> Result<Asked, u16> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        read_head(&head, 60_000).map_err(|answer| answer.status().as_u16())
    }

    #[test]
    fn the_wait_is_25_seconds_unless_said_and_60_at_most() {
        assert_eq!(asked(PATH, &[]).unwrap().wait_ms, 25_000);
        assert_eq!(asked("/connection/poll?wait=0", &[]).unwrap().wait_ms, 0);
        assert_eq!(asked("/connection/poll?wait=7", &[]).unwrap().wait_ms, 7_000);
        assert_eq!(asked("/connection/poll?wait=18446744073709551615", &[]).unwrap().wait_ms, 60_000);
        assert_eq!(asked("/connection/poll?wait=-1", &[]).err(), Some(400));
    }

    // Row 68.
    #[test]
    fn a_session_that_is_no_key_is_unknown_and_a_doubled_header_is_refused() {
        let key = SessionKey { worker: 1, entry: 7, secret: 9 }.encode();
        let found = asked(PATH, &[("wharf-session", &key), ("wharf-ack", "3")]).unwrap();
        assert!(found.session.is_some_and(|session| session.entry == 7));
        assert_eq!(found.ack, Some(3));
        assert_eq!(asked(PATH, &[("wharf-session", "guess")]).err(), Some(404));
        assert_eq!(asked(PATH, &[("wharf-session", &key), ("wharf-session", &key)]).err(), Some(400));
        assert_eq!(asked(PATH, &[("wharf-ack", "three")]).err(), Some(400));
    }
}
