//! What the operator decided about sessions.

use crate::namespace::Namespaces;

/// What the operator decided about sessions; one for all sessions of a node.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What channels are like.
    pub namespaces: Namespaces,
    /// Tokens are ignored and everybody may connect.
    pub development: bool,
    /// Clients without a token may connect.
    pub allow_anonymous_connect: bool,
    /// RPC method `echo` answers its data.
    pub rpc_echo: bool,
    /// The most channels of one client.
    pub channels_per_client: usize,
    /// The most publications in one recovery or history reply.
    pub history_answer: usize,
    /// From the start of the session to a successful `connect`, in milliseconds.
    pub authenticate_ms: u64,
    /// Between pings, in milliseconds.
    pub ping_interval_ms: u64,
    /// From ping to pong, in milliseconds.
    pub pong_timeout_ms: u64,
    /// How long a presence entry or a session that is not renewed lives, in milliseconds.
    pub presence_lease_ms: u64,
    /// Between renewals of presence entries, in milliseconds.
    pub presence_renew_ms: u64,
    /// Told to clients.
    pub version: &'static str,
}
