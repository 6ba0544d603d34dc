//! From bytes to commands: cuts a frame into commands, and says where one is broken. What serde reads stands in
//! `command_shape`.

use super::{
    command_shape::{CommandShape, ConnectShape, Object},
    payload,
};
use crate::{
    PeerError,
    message::{Command, ConnectRequest, Request},
};

/// Reads one frame: commands joined by exactly one LF, with or without one at the end.
pub fn commands(frame: &[u8], commands: &mut Vec<Command>) -> Result<(), PeerError> {
    let text = utf8(frame)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.is_empty() {
        return Err(PeerError::Empty);
    }
    for (at, line) in text.split('\n').enumerate() {
        commands.push(command(line).map_err(|error| error.into_peer_error(at + 1))?);
    }
    Ok(())
}

/// Reads one bare connect request, as one-way endpoints take it. Nothing, white space and `null` are an empty
/// request.
pub fn connect_request(text: &[u8]) -> Result<ConnectRequest, PeerError> {
    let text = utf8(text)?;
    if text.trim_ascii().is_empty() {
        return Ok(ConnectRequest::default());
    }
    serde_json::from_str::<Object<ConnectShape<'_>>>(text)
        .map_err(CommandError::Grammar)
        .and_then(|shape| shape.0.map_or_else(|| Ok(ConnectRequest::default()), |shape| shape.read(text)))
        .map_err(|error| error.into_peer_error(1))
}

fn utf8(bytes: &[u8]) -> Result<&str, PeerError> {
    simdutf8::basic::from_utf8(bytes)
        .map_err(|_| PeerError::Undecodable("the text is not valid UTF-8; send JSON as UTF-8".into()))
}

fn command(line: &str) -> Result<Command, CommandError> {
    let shape: Object<CommandShape<'_>> = serde_json::from_str(line).map_err(CommandError::Grammar)?;
    let shape = shape.0.ok_or(CommandError::Incomplete)?;
    let id = shape.id;
    let Some(request) = shape.read(line)? else {
        // Centrifuge protocol, command handling: the empty command is the pong.
        return if id == 0 {
            Ok(Command { id, request: Request::Pong })
        } else {
            Err(CommandError::Incomplete)
        };
    };
    if id == 0 && !matches!(request, Request::Send { .. }) {
        return Err(CommandError::Incomplete);
    }
    Ok(Command { id, request })
}

/// Why one command of a frame cannot be read.
pub(super) enum CommandError {
    /// Not JSON, or a field of the wrong type.
    Grammar(serde_json::Error),
    /// A payload that must not be passed on, which begins at `column`, counted from 1.
    Payload { error: payload::PayloadError, column: usize },
    /// No number or no request.
    Incomplete,
}

/// The most of a reader's message that is kept; the message may quote the peer.
const QUOTED_BYTES: usize = 160;

impl CommandError {
    /// Names the place: the command counted from 1, and the byte in it counted from 1.
    fn into_peer_error(self, number: usize) -> PeerError {
        match self {
            Self::Incomplete => PeerError::IncompleteCommand,
            Self::Payload { error, column } => {
                PeerError::Undecodable(format!("command {number}, column {column}: {error}").into())
            }
            Self::Grammar(error) => {
                let text = error.to_string();
                // The place is said once, in our own words.
                let text = text.split(" at line ").next().unwrap_or_default();
                let text = &text[..text.floor_char_boundary(QUOTED_BYTES)];
                let column = error.column();
                PeerError::Undecodable(format!("command {number}, column {column}: {text}").into())
            }
        }
    }
}
