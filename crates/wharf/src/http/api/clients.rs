//! `unsubscribe` and `disconnect`: what is done to clients, wherever they are connected.

use std::sync::Arc;

use serde::Deserialize;
use wharf_proto::{
    Disconnect,
    message::{ClientId, ErrorReply},
};

use super::{Failure, Outcome, channel, nothing};
use crate::{
    node::Node,
    worker::{Selector, SessionKey, ToWorker},
};

#[derive(Deserialize)]
pub struct UnsubscribeParams {
    #[serde(default)]
    channel: String,
    user: Option<String>,
    client: Option<String>,
    session: Option<String>,
}

#[derive(Deserialize)]
pub struct DisconnectParams {
    user: Option<String>,
    client: Option<String>,
    session: Option<String>,
    #[serde(default)]
    whitelist: Vec<String>,
    disconnect: Option<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    code: u16,
    #[serde(default)]
    reason: String,
}

/// Removes a user, client or session from a channel.
pub fn unsubscribe(params: UnsubscribeParams, node: &Node) -> Outcome {
    let (channel, _) = channel(&params.channel, node)?;
    let selector = selector(params.user, params.client, params.session, &[])?;
    let request = |selector: &Arc<Selector>| ToWorker::Unsubscribe {
        channel: channel.clone(),
        selector: selector.clone(),
    };
    tell(selector, node, request)
}

/// Ends the connections of a user, or one client's or session's.
pub fn disconnect(params: DisconnectParams, node: &Node) -> Outcome {
    let disconnect = match params.disconnect {
        None => Disconnect::FORCE_NO_RECONNECT,
        // Centrifuge protocol: 3000-3999 are the server's and 4000-4999 the application's.
        Some(Reason { code: code @ 3000..=4999, reason }) => {
            Disconnect { code, reason: "".into() }.with_reason(reason)
        }
        Some(Reason { code, .. }) => {
            return Err(bad(format!("disconnect code {code} is not between 3000 and 4999")));
        }
    };
    let selector = selector(params.user, params.client, params.session, &params.whitelist)?;
    let request = |selector: &Arc<Selector>| ToWorker::Disconnect {
        selector: selector.clone(),
        disconnect: disconnect.clone(),
    };
    tell(selector, node, request)
}

fn selector(
    user: Option<String>,
    client: Option<String>,
    session: Option<String>,
    spared: &[String],
) -> Result<Selector, Failure> {
    // An empty user is the anonymous one only where it is all that is said.
    let (client, session) = (client.filter(|text| !text.is_empty()), session.filter(|text| !text.is_empty()));
    let user = user.filter(|user| !user.is_empty() || (client.is_none() && session.is_none()));
    if user.is_none() && client.is_none() && session.is_none() {
        return Err(bad("say whom: user, client or session".to_owned()));
    }
    let parse =
        |text: &str| text.parse::<ClientId>().map_err(|()| bad(format!("{text:?} is no client's id")));
    Ok(Selector {
        user: user.map(Into::into),
        client: client.as_deref().map(parse).transpose()?,
        session: session
            .map(|text| {
                SessionKey::decode(&text).ok_or_else(|| bad("session is no session's key".to_owned()))
            })
            .transpose()?,
        spared: spared.iter().map(|text| parse(text)).collect::<Result<_, _>>()?,
    })
}

fn bad(message: String) -> Failure {
    ErrorReply::BAD_REQUEST.with_message(message).into()
}

/// Tells every worker, or the one that owns the session.
fn tell(selector: Selector, node: &Node, request: impl Fn(&Arc<Selector>) -> ToWorker) -> Outcome {
    let only = selector.session.map(|session| usize::from(session.worker));
    let selector = Arc::new(selector);
    for (index, inbox) in node.workers.iter().enumerate() {
        if only.is_none_or(|only| only == index) && inbox.send(request(&selector)).is_err() {
            let message = "a worker has too much to do; ask again in a second";
            return Err(ErrorReply::INTERNAL.with_message(message).into());
        }
    }
    Ok(nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn nobody_is_not_everybody() {
        assert!(selector(None, None, None, &[]).is_err());
        assert!(selector(None, text(""), text(""), &[]).is_err());
    }

    #[test]
    fn an_empty_user_is_the_anonymous_one_unless_a_client_is_named() {
        assert_eq!(selector(text(""), None, None, &[]).unwrap().user.as_deref(), Some(""));
        let id = ClientId::from_random(7);
        let chosen = selector(text(""), text(&id.to_string()), None, &[]).unwrap();
        assert_eq!((chosen.user, chosen.client), (None, Some(id)));
    }

    #[test]
    fn ids_that_cannot_be_are_refused() {
        assert!(selector(text("u"), text("no id"), None, &[]).is_err());
        assert!(selector(text("u"), None, text("no key"), &[]).is_err());
        assert!(selector(text("u"), None, None, &["no id".to_owned()]).is_err());
    }
}
