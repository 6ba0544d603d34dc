//! Devices among the connections: their names are claimed, and what the server API asks them is asked and answered.

use std::sync::Arc;

use tokio::sync::oneshot;
use wharf_core::{session::Phase, time::Millis};
use wharf_proto::{
    Disconnect,
    message::{Data, Push},
    wire::{Encoded, Event},
};

use super::{
    Worker,
    connection::{Connection, NEVER},
    request::{AskFailure, DeviceAsk, DeviceOrigin},
};
use crate::{
    devices::{ASKS_A_DEVICE, Claimed, Place},
    ledger::Cause,
};

/// The most bytes before the login. LIMITS.md, `login_bytes`.
pub(super) const LOGIN_BYTES: usize = 16 * 1024;

/// So long the answer to a question that ran out is still taken for that, and not for another's. LIMITS.md, `LATE_MS`.
const LATE_MS: u64 = 5_000;

/// What is kept for a connection of a device listener.
pub struct Device {
    /// Where it came in.
    origin: DeviceOrigin,
    asks: Vec<Ask>,
    next_ask: u32,
}

/// A question that the device has not answered.
struct Ask {
    id: u32,
    /// When whoever asked is told that no answer came; after that, when none is expected any more.
    due: Millis,
    /// None once whoever asked was told so.
    answer: Option<oneshot::Sender<Result<Data, AskFailure>>>,
}

impl Device {
    pub fn new(origin: DeviceOrigin) -> Self {
        Self { origin, asks: Vec::new(), next_ask: 1 }
    }

    /// When the first question runs out.
    pub fn deadline(&self) -> Millis {
        self.asks.iter().map(|ask| ask.due).min().unwrap_or(NEVER)
    }
}

impl Connection {
    pub fn device(&self) -> Option<&Device> {
        self.rare.as_ref()?.device.as_deref()
    }

    pub fn device_mut(&mut self) -> Option<&mut Device> {
        self.rare.as_mut()?.device.as_deref_mut()
    }
}

impl Worker {
    /// The connection is to be the only one of the device.
    pub(super) fn claim(&mut self, index: u32, device: &Arc<str>) {
        let Some((listener, place)) = self.device_place(index) else { return };
        let node = Arc::clone(&self.node);
        let Some(settings) = node.settings.devices.get(usize::from(listener)) else { return };
        let origin = self.connections.at(index).and_then(|connection| Some(&connection.device()?.origin));
        let names = origin.and_then(|origin| origin.names.as_deref());
        if names.is_some_and(|names| names.iter().all(|name| **name != **device)) {
            let reason = format!("the certificate is not that of device {device:?}");
            node.devices.refusals.tell(&settings.name, &reason, self.now);
            return self.turn_away(index, &Disconnect::PERMISSION_DENIED.with_reason(reason));
        }
        match self.node.devices.registry.claim(listener, device, place, settings.replaces) {
            Claimed::Free => {}
            Claimed::From(other) => {
                self.node.devices.replaced.bump();
                if other.worker == self.index {
                    self.replaced(other.entry);
                } else {
                    self.node.workers[usize::from(other.worker)].replace(other.entry);
                }
            }
            Claimed::Kept => {
                let reason = format!("device {device:?} has a connection already");
                self.node.devices.refusals.tell(&settings.name, &reason, self.now);
                self.turn_away(index, &Disconnect::ALREADY_CONNECTED);
            }
        }
    }

    /// The device is not this connection's. What its login led to beside the claim is not carried out, and nobody is
    /// told that it leaves: whoever looks on knows the real device by the same name.
    fn turn_away(&mut self, index: u32, disconnect: &Disconnect) {
        self.queue.retain(|(at, _)| *at != index);
        let Some(connection) = self.connections.at(index) else { return };
        connection.session.end_unclaimed();
        self.farewell(index, disconnect, Cause::Ended(disconnect.code));
    }

    /// A newer connection of the same device has come.
    pub(super) fn replaced(&mut self, entry: u64) {
        if let Some(index) = self.connections.resolve(entry) {
            self.end_connection(index, &Disconnect::REPLACED);
        }
    }

    /// A connection ends with these words. Tells the operator of devices that were not let in.
    pub(super) fn note_refusal(&mut self, index: u32, disconnect: &Disconnect) {
        let Some(connection) = self.connections.at(index) else { return };
        let Some(device) = connection.device() else { return };
        let was_let_in = connection.session.info().is_some();
        if was_let_in || disconnect.code == Disconnect::SHUTDOWN.code {
            return;
        }
        let Some(listener) = self.node.settings.devices.get(usize::from(device.origin.listener)) else {
            return;
        };
        self.node.devices.refusals.tell(&listener.name, &disconnect.to_string(), self.now);
    }

    /// The session of a device has ended.
    pub(super) fn release(&mut self, index: u32, device: &str) {
        let Some((listener, place)) = self.device_place(index) else { return };
        self.node.devices.registry.release(listener, device, place);
        let Some(device) = self.connections.at(index).and_then(Connection::device_mut) else { return };
        for ask in device.asks.drain(..) {
            if let Some(answer) = ask.answer {
                let _ = answer.send(Err(AskFailure::Ended)); // Whoever asked may be gone.
            }
        }
    }

    fn device_place(&mut self, index: u32) -> Option<(u16, Place)> {
        let listener = self.connections.at(index)?.device()?.origin.listener;
        Some((listener, Place { worker: self.index, entry: self.connections.key_of(index) }))
    }

    /// The server API asks a device. An ask that cannot be asked is answered with why.
    pub(super) fn ask(&mut self, ask: DeviceAsk) {
        let DeviceAsk { entry, data, timeout_ms, answer } = ask;
        let index = self.connections.resolve(entry);
        let asked = index.ok_or(AskFailure::Ended).and_then(|index| self.begin_ask(index, data));
        match (index, asked) {
            (Some(index), Ok(id)) => {
                let due = self.now.after_ms(timeout_ms);
                if let Some(device) = self.connections.at(index).and_then(Connection::device_mut) {
                    device.asks.push(Ask { id, due, answer: Some(answer) });
                }
                self.schedule(index);
            }
            (_, asked) => {
                let _ = answer.send(Err(asked.err().unwrap_or(AskFailure::Ended)));
            }
        }
    }

    fn begin_ask(&mut self, index: u32, data: Data) -> Result<u32, AskFailure> {
        let connection = self.connections.at(index).ok_or(AskFailure::Ended)?;
        if !connection.is_open() || connection.session.phase() != Phase::Connected {
            return Err(AskFailure::Ended);
        }
        let device = connection.device_mut().ok_or(AskFailure::Ended)?;
        let listener = usize::from(device.origin.listener);
        let profile = &self.node.settings.devices.get(listener).ok_or(AskFailure::Ended)?.profile;
        let at_once = ASKS_A_DEVICE.min(profile.questions_at_once());
        if device.asks.len() >= at_once {
            return Err(AskFailure::TooMany { at_once });
        }
        // An answer says no more of the number than the device gives back. Fewer questions are open than that tells apart.
        let mut id = device.next_ask;
        while device.asks.iter().any(|ask| profile.shown_number(ask.id) == profile.shown_number(id)) {
            id = id.checked_add(1).unwrap_or(1);
        }
        device.next_ask = id.checked_add(1).unwrap_or(1);
        let push = Push::Ask { id, data };
        if let Ok(Encoded::Message(_)) = self.try_say(index, Event::Push(&push), true) {
            return Ok(id);
        }
        let (Push::Ask { data, .. }, Some(listener)) = (push, self.node.settings.devices.get(listener))
        else {
            return Err(AskFailure::Ended);
        };
        let why = listener.profile.check_request(&data).err();
        Err(AskFailure::NoWords(why.unwrap_or_else(|| "the device cannot be told this".to_owned()).into()))
    }

    /// The device answered. An answer that nobody waits for any more came too late, and makes room for a question.
    pub(super) fn answered(&mut self, index: u32, id: u32, data: Data) {
        let Some(device) = self.connections.at(index).and_then(Connection::device_mut) else { return };
        let Some(at) = device.asks.iter().position(|ask| ask.id == id) else { return };
        if let Some(answer) = device.asks.swap_remove(at).answer {
            let _ = answer.send(Ok(data)); // Whoever asked may be gone.
        }
    }

    /// Tells those who waited for too long, and forgets questions whose answers cannot be expected any more.
    pub(super) fn end_overdue_asks(&mut self, index: u32) {
        let now = self.now;
        let Some(connection) = self.connections.at(index) else { return };
        let Some(device) = connection.rare.as_mut().and_then(|rare| rare.device.as_deref_mut()) else {
            return;
        };
        if device.deadline() > now {
            return;
        }
        for ask in device.asks.iter_mut().filter(|ask| ask.due <= now) {
            let Some(answer) = ask.answer.take() else { continue };
            ask.due = now.after_ms(LATE_MS);
            self.node.devices.unanswered.bump();
            let _ = answer.send(Err(AskFailure::TimedOut));
        }
        for ask in device.asks.extract_if(.., |ask| ask.due <= now) {
            connection.conversation.forget_question(ask.id);
        }
    }
}
