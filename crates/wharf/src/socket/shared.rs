//! What a socket's handles and its task share: the machine, and three bells.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};
use wharf_core::time::Millis;

use super::{
    end::{End, WriteError},
    event::Event,
    machine::Machine,
};

/// One socket, as its handles and its task see it.
pub struct Shared {
    machine: Mutex<Machine>,
    about: Mutex<About>,
    epoch: Instant,
    /// Rung for whoever reads.
    arrived: Notify,
    /// Rung for whoever writes, or waits for what was written to be sent.
    room: Notify,
    /// Rung for the task.
    work: Notify,
}

/// The two ends of the connection that there is.
#[derive(Debug, Clone, Default)]
pub struct About {
    pub local: Option<SocketAddr>,
    pub peer: Option<SocketAddr>,
    /// The peer's own certificate, DER.
    pub certificate: Option<Bytes>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let About { local, peer, .. } = self.about();
        formatter.debug_struct("Shared").field("local", &local).field("peer", &peer).finish_non_exhaustive()
    }
}

impl Shared {
    /// Moments count from now.
    pub fn new(machine: Machine) -> Arc<Self> {
        Arc::new(Self {
            machine: Mutex::new(machine),
            about: Mutex::default(),
            epoch: Instant::now(),
            arrived: Notify::new(),
            room: Notify::new(),
            work: Notify::new(),
        })
    }

    /// The time, on the runtime's clock, which tests may stop.
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The runtime's word for a moment.
    pub fn instant(&self, at: Millis) -> Instant {
        self.epoch + std::time::Duration::from_millis(at.0)
    }

    /// Looks at the machine, or asks it for something that rings no bell.
    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        // A closure of the user's that panicked left the machine between two calls, where it is whole.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the machine and rings for whom that matters.
    pub fn with<T>(&self, change: impl FnOnce(&mut Machine, Millis) -> T) -> T {
        let now = self.now();
        let mut machine = self.machine();
        let outcome = change(&mut machine, now);
        let (has_news, has_room) = (machine.has_news(), machine.has_room() || machine.is_sent());
        drop(machine);
        if has_news {
            self.arrived.notify_waiters();
        }
        if has_room {
            self.room.notify_waiters();
        }
        outcome
    }

    /// The same, on behalf of a handle or another task: this socket's task looks at it as well.
    pub fn ask<T>(&self, change: impl FnOnce(&mut Machine, Millis) -> T) -> T {
        let outcome = self.with(change);
        self.work.notify_one();
        outcome
    }

    /// Waits until somebody asked for something since the last wait.
    pub async fn asked(&self) {
        self.work.notified().await;
    }

    pub fn about(&self) -> About {
        self.about.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_about(&self, about: About) {
        *self.about.lock().unwrap_or_else(PoisonError::into_inner) = about;
    }

    /// The next event; none after a clean end.
    pub async fn next_event(&self) -> Result<Option<Event>, End> {
        loop {
            // Made before the machine is looked at, so that a bell in between is heard.
            let arrived = self.arrived.notified();
            {
                let mut machine = self.machine();
                let read_before = machine.wants_read();
                if let Some(event) = machine.poll_event() {
                    if machine.wants_read() != read_before {
                        self.work.notify_one();
                    }
                    return Ok(Some(event));
                }
                match machine.poll_end() {
                    Some(end) if end.is_clean() => return Ok(None),
                    Some(end) => return Err(end),
                    None => {}
                }
            }
            arrived.await;
        }
    }

    /// Hands a message over, as soon as there is room.
    pub async fn write(&self, message: &[u8]) -> Result<(), WriteError> {
        loop {
            let room = self.room.notified();
            let written = self.machine().try_write(message, self.now())?;
            if written {
                self.work.notify_one();
                return Ok(());
            }
            room.await;
        }
    }

    /// Waits until everything that was written is with the kernel.
    pub async fn flush(&self) -> Result<(), End> {
        let losses_known = self.machine().losses_told();
        loop {
            let room = self.room.notified();
            if let Some(flushed) = self.machine().poll_flushed(losses_known) {
                return flushed;
            }
            room.await;
        }
    }

    /// Waits for the first connection, or for the end without one.
    pub async fn opened(&self) -> Result<(), End> {
        loop {
            let arrived = self.arrived.notified();
            {
                let machine = self.machine();
                match machine.ended() {
                    _ if machine.tally().connections > 0 => return Ok(()),
                    Some(end) => return Err(end.clone()),
                    None => {}
                }
            }
            arrived.await;
        }
    }

    /// Waits for the end.
    pub async fn ended(&self) -> End {
        loop {
            let arrived = self.arrived.notified();
            if let Some(end) = self.machine().ended() {
                return end.clone();
            }
            arrived.await;
        }
    }
}
