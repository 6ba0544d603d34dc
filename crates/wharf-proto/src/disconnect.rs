//! Every reason for which the server ends a connection, in one table (Centrifuge protocol, disconnect codes).

use std::borrow::Cow;

pub use crate::websocket::MAX_REASON_BYTES;

/// The code and reason with which a connection ends.
///
/// A client reconnects after 3000-3499 and 4000-4499, and stays away after 3500-3999 and 4500-4999. The reason
/// is at most 123 bytes, so that it fits a WebSocket close frame, and is never valid JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {reason}")]
pub struct Disconnect {
    /// See the table below.
    pub code: u16,
    /// For people.
    pub reason: Cow<'static, str>,
}

macro_rules! disconnects {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal;)*) => {
        impl Disconnect {
            $($(#[$doc])* pub const $name: Self = Self { code: $code, reason: Cow::Borrowed($reason) };)*
            /// The whole table, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

disconnects! {
    /// The client closed the connection; never sent.
    CONNECTION_CLOSED = 3000 "connection closed";
    /// The server is going away; reconnect.
    SHUTDOWN = 3001 "shutdown";
    /// A fault of the server's; reconnect.
    SERVER_ERROR = 3004 "internal server error";
    /// The connection's permission has run out.
    EXPIRED = 3005 "connection expired";
    /// The permission of a server-side subscription has run out.
    SUBSCRIPTION_EXPIRED = 3006 "subscription expired";
    /// The client does not read as fast as its channels speak.
    SLOW = 3008 "slow";
    /// Writing to the client failed; never received.
    WRITE_ERROR = 3009 "write error";
    /// A server-side subscription lost its position.
    INSUFFICIENT_STATE = 3010 "insufficient state";
    /// The operator asked for a reconnect.
    FORCE_RECONNECT = 3011 "force reconnect";
    /// No pong came in time.
    NO_PONG = 3012 "no pong";
    /// Slow down.
    TOO_MANY_REQUESTS = 3013 "too many requests";
    /// The device has another connection, which its listener keeps; it may come back when that has ended.
    ALREADY_CONNECTED = 3420 "already connected";
    /// The token is not valid.
    INVALID_TOKEN = 3500 "invalid token";
    /// The client broke the protocol.
    BAD_REQUEST = 3501 "bad request";
    /// The client did not connect in time.
    STALE = 3502 "stale";
    /// The operator ended the connection.
    FORCE_NO_RECONNECT = 3503 "force disconnect";
    /// Too many connections.
    CONNECTION_LIMIT = 3504 "connection limit";
    /// Too many channels.
    CHANNEL_LIMIT = 3505 "channel limit";
    /// Binary data for a client that speaks JSON only.
    INAPPROPRIATE_PROTOCOL = 3506 "inappropriate protocol";
    /// The client may not connect.
    PERMISSION_DENIED = 3507 "permission denied";
    /// The client used what this server does not offer.
    NOT_AVAILABLE = 3508 "not available";
    /// The client made too many errors.
    TOO_MANY_ERRORS = 3509 "too many errors";
    /// A newer connection of the same device has come.
    REPLACED = 3520 "replaced by a newer connection";
}

impl Disconnect {
    /// The same code with a reason that says more. Cut to 123 bytes at a character's boundary.
    pub fn with_reason(&self, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > MAX_REASON_BYTES {
            reason = Cow::Owned(reason[..reason.floor_char_boundary(MAX_REASON_BYTES)].to_owned());
        }
        Self { code: self.code, reason }
    }

    /// The table's entry with this code; another code gets no reason.
    pub fn of_code(code: u16) -> Self {
        let known = Self::ALL.iter().find(|known| known.code == code);
        known.cloned().unwrap_or(Self { code, reason: Cow::Borrowed("") })
    }

    /// Whether a client is meant to come back.
    pub fn reconnects(&self) -> bool {
        !matches!(self.code, 3500..=3999 | 4500..=4999)
    }
}
