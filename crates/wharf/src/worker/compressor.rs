//! Messages become frames, compressed where a connection agreed on it.
//!
//! A connection that remembers nothing (no context takeover) is written by the worker's one deflater, on a context
//! that the thread lends for the time of a message: it holds no compressor, and its bytes are those of everybody on
//! its wire. One whose agreement that deflater does not keep (takeover, a smaller window) has a deflater of its own.

use bytes::{Bytes, BytesMut};
use wharf_core::hub::SharedBroadcast;
use wharf_proto::{
    framing::websocket::WebsocketFraming,
    websocket::{
        Role,
        deflate::{Agreement, Deflater},
    },
    wire::{DeframeLimits, Deframer, Inexpressible, MessageKind, WireId},
};

use crate::{metrics::WorkerMetrics, settings::Compression};

/// One worker's part in compression.
pub struct Compressor {
    settings: Compression,
    /// Writes for everybody who agreed on its window or a larger one.
    shared: Deflater,
}

impl Compressor {
    /// Holds no memory for any connection.
    pub fn new(settings: Compression) -> Self {
        Self { settings, shared: settings.shared_deflater() }
    }

    /// The reading side of a new connection, and its own deflater if the worker's does not do.
    pub fn open(
        &self,
        wire: WireId,
        limits: DeframeLimits,
        agreement: Option<Agreement>,
    ) -> (Box<dyn Deframer>, Option<Deflater>) {
        let Some(agreement) = agreement else { return (wire.framing().deframer(limits), None) };
        let server = agreement.parameters().server;
        let shares = !server.context_takeover && self.shared.serves(server);
        let (inflater, deflater) = agreement.into_halves(Role::Server);
        let own = (!shares).then(|| self.settings.tune(deflater));
        (WebsocketFraming::inflating(limits, inflater), own)
    }

    /// The bytes of a broadcast for everybody on this wire; none where its dialect has no words for it.
    pub fn encode(
        &mut self,
        broadcast: &SharedBroadcast,
        wire: WireId,
        metrics: &WorkerMetrics,
    ) -> Result<Bytes, Inexpressible> {
        broadcast.encoded(wire, |kind, message, out| {
            metrics.shared_encodings.bump();
            self.writer(wire, None, metrics).frame(kind, message, out);
        })
    }

    /// What frames messages for this wire: for one connection by its own deflater, if it has one.
    pub fn writer<'w>(
        &'w mut self,
        wire: WireId,
        own: Option<&'w mut Deflater>,
        metrics: &'w WorkerMetrics,
    ) -> Writer<'w> {
        Writer { wire, deflater: own.unwrap_or(&mut self.shared), metrics }
    }
}

/// Frames messages for one wire, and counts what compression wins.
pub struct Writer<'w> {
    wire: WireId,
    deflater: &'w mut Deflater,
    metrics: &'w WorkerMetrics,
}

impl Writer<'_> {
    /// Appends a message, compressed if the wire is and the message wins by it.
    pub fn frame(&mut self, kind: MessageKind, message: &[u8], out: &mut BytesMut) {
        let start = out.len();
        if self.wire.framing().frame_deflated(kind, message, self.deflater, out) {
            self.metrics.deflated_messages.bump();
            self.metrics.deflate_in_bytes.add(message.len() as u64);
            self.metrics.deflate_out_bytes.add((out.len() - start) as u64);
        }
    }
}
