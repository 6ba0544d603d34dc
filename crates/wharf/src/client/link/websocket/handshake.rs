//! Asks for a WebSocket over a stream, and says in plain words what an answer means that opens none.

use bytes::BytesMut;
use rand::{RngExt, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use wharf_proto::websocket::{
    ClientHandshake, Connection as Codec,
    handshake::{AnswerError, ClientRequest, OrdinaryAnswer},
};

use super::{
    super::{HttpAnswer, LinkError, REFUSAL_BYTES, REFUSAL_TIMEOUT, STEP_TIMEOUT, Wire},
    WebsocketOptions,
};
use crate::client::event::Ending;

/// Bytes that are read at once of an answer; most have no more.
const ANSWER_BYTES: usize = 1_024;

/// Shakes hands, all of it within [`STEP_TIMEOUT`].
pub(super) async fn shake_hands(
    stream: &mut Box<dyn Wire>,
    host: &str,
    target: &str,
    options: &WebsocketOptions,
) -> Result<Codec, LinkError> {
    let shaking = ask(stream, host, target, options);
    let late = |_| LinkError::Ended(Ending::no_answer(&format!("the WebSocket handshake on {target}")));
    timeout(STEP_TIMEOUT, shaking).await.map_err(late)?
}

async fn ask(
    stream: &mut Box<dyn Wire>,
    host: &str,
    target: &str,
    options: &WebsocketOptions,
) -> Result<Codec, LinkError> {
    let subprotocols: Vec<_> = options.subprotocols.iter().map(String::as_str).collect();
    let headers: Vec<_> =
        options.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = ClientRequest {
        host,
        target,
        // RFC 6455 section 4.1: a nonce, chosen at random for each connection.
        key: rand::random(),
        subprotocols: &subprotocols,
        deflate: options.deflate,
        headers: &headers,
    };
    let faulty = |error: &dyn std::error::Error| LinkError::Handshake(error.to_string());
    let mut handshake = ClientHandshake::new(request).map_err(|error| faulty(&error))?;
    let cut = |error| LinkError::unanswered(target, Some(&error));
    stream.write_all(&handshake.output().split()).await.map_err(cut)?;
    let mut bytes = [0; ANSWER_BYTES];
    loop {
        let read = stream.read(&mut bytes).await.map_err(cut)?;
        match handshake.receive(&bytes[..read]) {
            Ok(true) => break,
            Ok(false) => {}
            Err(AnswerError::Ended) => return Err(LinkError::unanswered(target, None)),
            Err(AnswerError::Status(_)) => {
                return Err(refusal(stream, handshake.received().into(), target).await);
            }
            Err(error) => return Err(faulty(&error)),
        }
    }
    // RFC 6455 section 5.3: a mask comes from a strong source of entropy, new for each frame.
    let mut masks: StdRng = rand::make_rng();
    let codec = handshake.open(options.limits, move || masks.random()).map_err(|error| faulty(&error))?;
    Ok(codec.compressing_from(options.min_deflated_bytes))
}

/// What an ordinary answer says, the beginning of its body included if it comes soon.
async fn refusal(stream: &mut Box<dyn Wire>, mut received: BytesMut, target: &str) -> LinkError {
    let body = match OrdinaryAnswer::read(&received) {
        Some(answer) if !answer.is_coded => {
            let whole = answer.head_bytes + answer.content_length.unwrap_or(REFUSAL_BYTES).min(REFUSAL_BYTES);
            let begun = answer.head_bytes;
            let reading = async {
                while received.len() < whole
                    && stream.read_buf(&mut received).await.is_ok_and(|read| read > 0)
                {}
            };
            // The status stands for itself where the body does not come.
            let _ = timeout(REFUSAL_TIMEOUT, reading).await;
            begun..received.len().min(whole)
        }
        _ => 0..0,
    };
    let Some(answer) = OrdinaryAnswer::read(&received) else {
        return LinkError::Handshake(AnswerError::Malformed.to_string());
    };
    let said = HttpAnswer::message_of(&received[body]);
    LinkError::Refused { target: target.to_owned(), status: answer.status, message: explain(&answer, &said) }
}

/// What the status means where a WebSocket was asked for, with what the server says of it.
fn explain(answer: &OrdinaryAnswer<'_>, said: &str) -> String {
    let speaks_ours = |versions: &str| versions.split(',').any(|version| version.trim() == "13");
    let mut text = match (answer.status, answer.versions) {
        (400 | 426, Some(versions)) if !speaks_ours(versions) => {
            format!("it speaks version {versions} of WebSocket, and this client 13")
        }
        (200..=299, _) => {
            "an ordinary page is there, or a proxy on the way took the Upgrade off; try an HTTP transport"
                .into()
        }
        (300..=399, _) => match answer.location {
            Some(location) => {
                format!("it points to {location}; this client follows no redirect, so give that address")
            }
            None => "a redirect to nowhere; give the address that is meant".to_owned(),
        },
        (401, _) => "it wants credentials, and these are missing or wrong".into(),
        (403, _) => "it forbids this to the client or to its Origin".into(),
        (404 | 410, _) => "there is no WebSocket at this address".into(),
        (407, _) => "a proxy on the way wants credentials".into(),
        (426, _) => {
            "no Upgrade came through to it, as when a proxy on the way takes it off; use an HTTP transport"
                .into()
        }
        (429, _) => "it takes no more from this client for now".into(),
        (500..=599, _) => "the server, or a proxy before it, has a fault; try again later".into(),
        _ => "is this the address of a WebSocket?".to_owned(),
    };
    if !said.is_empty() {
        text.push_str("; it says: ");
        text.push_str(said);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(status: u16, location: Option<&str>, versions: Option<&str>, said: &str) -> String {
        let answer = OrdinaryAnswer {
            head_bytes: 0,
            status,
            content_length: None,
            is_coded: false,
            location,
            versions,
        };
        explain(&answer, said)
    }

    #[test]
    fn every_refusal_is_told_in_words_of_its_own() {
        for (status, words) in [
            (200, "an ordinary page"),
            (302, "a redirect"),
            (401, "wants credentials"),
            (403, "Origin"),
            (404, "no WebSocket at this address"),
            (407, "a proxy on the way wants"),
            (418, "is this the address"),
            (426, "use an HTTP transport"),
            (429, "for now"),
            (503, "try again later"),
        ] {
            let text = explained(status, None, None, "");
            assert!(text.contains(words), "{status}: {text}");
        }
    }

    #[test]
    fn a_redirect_names_its_end_and_a_foreign_version_itself() {
        let text = explained(301, Some("https://other/ws"), None, "");
        assert!(text.contains("points to https://other/ws"), "{text}");
        let text = explained(426, None, Some("7, 8"), "");
        assert!(text.contains("version 7, 8") && text.contains("this client 13"), "{text}");
        assert!(explained(426, None, Some("8, 13"), "").contains("use an HTTP transport"));
    }

    #[test]
    fn the_servers_own_words_are_passed_on() {
        assert!(
            explained(403, None, None, "the origin x is not allowed")
                .ends_with("; it says: the origin x is not allowed")
        );
    }
}
