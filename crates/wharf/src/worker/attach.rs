//! Takes a connection in: from here on the worker owns it.

use bytes::{Bytes, BytesMut};
use wharf_core::{
    liveness::{Heartbeat, Policy},
    session::Session,
    time::Millis,
};
use wharf_proto::{
    Disconnect,
    message::{Command, PingWish, Request},
    wire::DeframeLimits,
};

use super::{
    Worker,
    connection::{Connection, Rare, State},
    device::Device,
    moment::Moment,
    outbox::Outbox,
    request::{Attachment, Opening, Parts, SessionKey},
    traffic::Traffic,
};
use crate::{
    ledger::Origin,
    metrics::Kind,
    node::{Node, random_bits, random_client},
};

/// What holds of the heartbeats of a new session on a connection of this kind, for which the client may have a wish.
///
/// Pings are skipped during traffic where nobody waits for them: those of the framing, and on JSON lines, which are this
/// server's own.
pub fn heartbeat_policy(
    node: &Node,
    heartbeat: Heartbeat,
    kind: &str,
    origin: Origin,
    wish: Option<PingWish>,
    now: Millis,
) -> Policy {
    let policy = node.rules.heartbeat_policy(heartbeat);
    if !heartbeat.is_ours() {
        return policy;
    }
    let (_, timeout_ms) = node.settings.beat_ms(kind);
    let policy = Policy {
        timeout_ms: u32::try_from(timeout_ms).unwrap_or(u32::MAX),
        skips: policy.skips || matches!(kind, "tcp" | "unix"),
        ..ping_interval_for(node, policy, kind, origin, now)
    };
    let wished = wish.map(|wish| node.rules.wished_interval_ms(&policy, wish));
    Policy { interval_ms: wished.unwrap_or(policy.interval_ms), ..policy }.bounded()
}

/// How often a new session is pinged that wishes nothing. All that is known of paths belongs here: `is_longest` keeps
/// wishes from more.
fn ping_interval_for(node: &Node, policy: Policy, kind: &str, origin: Origin, now: Millis) -> Policy {
    let (interval_ms, _) = node.settings.beat_ms(kind);
    let usual_ms = u32::try_from(interval_ms).unwrap_or(u32::MAX);
    let found_ms = node.paths.as_ref().and_then(|paths| paths.interval_ms(origin, usual_ms, now));
    Policy { interval_ms: found_ms.unwrap_or(usual_ms), is_longest: found_ms.is_some(), ..policy }
}

impl Worker {
    /// Owns the connection. One that cannot be registered is dropped, which closes it.
    pub(super) fn attach(&mut self, attachment: Attachment) {
        let key = self.connections.next_key();
        let Attachment { mut transport, wire, prelude, leftover, opening, kind, deflate, .. } = attachment;
        transport.attached(key);
        let is_watched = transport.source().is_some();
        if let Err(error) = self.world.register(&mut *transport, key) {
            tracing::warn!(%error, kind, "a connection could not be watched and was dropped");
            return;
        }
        let client = random_client(&mut self.rng);
        let rules = &self.node.rules;
        let policy = attachment.policy.unwrap_or_else(|| {
            heartbeat_policy(&self.node, attachment.heartbeat, kind, transport.origin(), None, self.now)
        });
        let end_at = attachment
            .max_age_ms
            .map_or(Moment::NEVER, |age_ms| Moment::not_before(self.now.after_ms(age_ms)));
        let kind = Kind::named(kind);
        let (Parts { deframer, conversation }, deflater) = match attachment.parts {
            Some(parts) => (parts, None),
            None => {
                let (deframer, deflater) = self.compressor.open(wire, self.deframe_limits(), deflate);
                (Parts { deframer, conversation: wire.dialect().open() }, deflater)
            }
        };
        let shares_broadcasts = conversation.shares_broadcasts() && deflater.is_none();
        let secret = attachment.emulated.then(|| random_bits(&mut self.rng));
        let device = attachment.device.map(|origin| Box::new(Device::new(origin)));
        let is_rare = secret.is_some() || deflater.is_some() || device.is_some();
        self.connections.insert(Connection {
            transport: Some(transport),
            session: Session::new(client, policy, attachment.one_way, rules, self.now),
            deframer,
            shares_broadcasts,
            conversation,
            outbox: Outbox::default(),
            rare: is_rare.then(|| Box::new(Rare { secret, deflater, device, ..Rare::default() })),
            end_at,
            scheduled_at: Moment::NEVER,
            traffic: Traffic::opened(self.now),
            kind,
            wire,
            state: State::Open,
            read_closed: false,
            one_way: attachment.one_way,
        });
        self.metrics().kind(kind).opened.bump();
        self.metrics().compressed.opened.add(u64::from(wire.compresses()));
        self.inbox().count_connections(self.connections.len());
        let index = super::slab::index_of(key);
        self.push(index, prelude);
        self.open(index, opening);
        self.receive_leftover(index, &leftover);
        if self.draining {
            self.end_connection(index, &Disconnect::SHUTDOWN);
        }
        self.schedule(index);
        if !is_watched {
            // What came before it had an entry was told to nobody.
            self.unread.push_back(key);
        }
    }

    fn open(&mut self, index: u32, opening: Opening) {
        match opening {
            Opening::Peer => {}
            Opening::Message(message) => self.receive_message(index, &message),
            Opening::Connect(request) => {
                self.handle_command(index, Command { id: 1, request: Request::Connect(request) });
            }
        }
    }

    fn receive_leftover(&mut self, index: u32, leftover: &Bytes) {
        if !leftover.is_empty() {
            self.receive(index, &mut BytesMut::from(&leftover[..]));
        }
    }

    pub(super) fn deframe_limits(&self) -> DeframeLimits {
        let limits = &self.node.settings.limits;
        DeframeLimits { message_bytes: limits.message_bytes, fragments: limits.fragments_per_message }
    }

    /// The key by which requests on other connections reach this session.
    pub(super) fn session_key(&mut self, index: u32) -> Option<SessionKey> {
        let secret = self.connections.at(index)?.rare.as_ref()?.secret?;
        Some(SessionKey { worker: self.index, entry: self.connections.key_of(index), secret })
    }

    /// The entry of a session key, if its secret is right.
    pub(super) fn resolve_session(&mut self, key: SessionKey) -> Option<u32> {
        let index = self.connections.resolve(key.entry)?;
        let secret = self.connections.at(index)?.rare.as_ref()?.secret?;
        let same = subtle::ConstantTimeEq::ct_eq(&secret.to_le_bytes()[..], &key.secret.to_le_bytes()[..]);
        bool::from(same).then_some(index)
    }
}
