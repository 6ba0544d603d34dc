//! Each connection's end is written into the ledger: once, at the moment at which its session ends. What follows
//! (farewells, the peer's half) changes no verdict.

use std::borrow::Cow;

use super::{Worker, connection::Connection};
use crate::{
    ledger::{Cause, Ended, Facts, Ledger, Verdict, kept_user},
    node::unix_ms,
    transport::Vitals,
};

impl Worker {
    /// Writes an end down, with the code that was told or heard. Call it once for each connection, as it stops being open.
    pub(super) fn book(&mut self, index: u32, cause: Cause, code: u16, reason: Cow<'static, str>) {
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        let Connection { session, traffic, kind, .. } = &*connection;
        let vitals =
            connection.transport.as_ref().map_or_else(Vitals::default, |transport| transport.vitals());
        let verdict = Verdict::of(&Facts {
            cause,
            connected: session.info().is_some(),
            quiet_ms: traffic.quiet_ms(),
            survived_ms: traffic.survived_ms(),
            path: vitals.path,
        });
        let [opened, _, spoke] = traffic.moments();
        let ended = Ended {
            verdict,
            code,
            reason,
            kind: kind.name(),
            origin: connection.origin(),
            client: session.client(),
            user: session.info().map(|info| kept_user(&info.user)),
            opened,
            heard: connection.heard(now),
            spoke,
            ended: now,
            ended_unix_ms: unix_ms(),
            quiet_ms: traffic.quiet_ms(),
            survived_ms: traffic.survived_ms(),
            messages_in: traffic.messages_in,
            messages_out: traffic.messages_out,
            vitals,
        };
        let kind = *kind;
        tracing::debug!(client = %ended.client, kind = ended.kind, code, verdict = verdict.label(), "connection ends");
        self.metrics().closed(kind, code, verdict);
        self.note_killed(&ended);
        self.ledger.book(ended);
    }

    /// What became of the worker's connections.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
