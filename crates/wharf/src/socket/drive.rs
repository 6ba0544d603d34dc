//! The task of one socket: dials, waits and moves bytes, as the machine says.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use tokio::{task::coop::consume_budget, time::sleep_until};
use wharf_core::time::Millis;

use super::{
    dial::{Dialer, Dialled},
    end::End,
    io::Io,
    machine::Step,
    shared::Shared,
};
use crate::patience::look_at_sockets;

/// A moment that does not come: a year.
const NEVER_MS: u64 = 365 * 86_400_000;

/// Runs a socket to its end.
pub async fn drive(shared: Arc<Shared>, dialer: Dialer) {
    let _told = ToldOfTheEnd(shared.clone());
    let mut io = None;
    loop {
        let step = shared.machine().step();
        match step {
            Step::Over => return,
            Step::Wait => wait(&shared).await,
            Step::Dial => {
                let dialled = tokio::select! {
                    dialled = dialer.dial() => dialled,
                    () = left(&shared, step) => continue,
                };
                match dialled {
                    Ok(Dialled { io: dialled, about }) => {
                        io = Some(dialled);
                        shared.set_about(about);
                        shared.with(|machine, now| machine.handle_open(now));
                    }
                    Err(end) => shared.with(|machine, now| machine.handle_end(end, now)),
                }
            }
            Step::Converse => match io.take() {
                Some(mut io) => {
                    converse(&shared, &mut io).await;
                    // Dropping the connection here ends it, before the next is dialled.
                }
                None => shared.with(|machine, now| {
                    machine.handle_end(End::Failed("the connection is gone".into()), now);
                }),
            },
        }
    }
}

/// Runs a socket that has its connection.
pub async fn drive_open(shared: Arc<Shared>, mut io: Io) {
    let _told = ToldOfTheEnd(shared.clone());
    converse(&shared, &mut io).await;
}

/// Waits for the deadline, or for something asked.
async fn wait(shared: &Shared) {
    let due = shared.machine().poll_timeout().unwrap_or(Millis(NEVER_MS));
    tokio::select! {
        () = sleep_until(shared.instant(due)) => {}
        () = shared.asked() => {}
    }
    shared.with(|machine, now| machine.handle_timeout(now));
}

/// Waits until the machine is at another step.
async fn left(shared: &Shared, step: Step) {
    while shared.machine().step() == step {
        shared.asked().await;
    }
}

/// Moves bytes until the connection has ended.
async fn converse(shared: &Shared, io: &mut Io) {
    let mut armed = Millis(NEVER_MS);
    let mut timer = pin!(sleep_until(shared.instant(armed)));
    loop {
        let due = {
            let machine = shared.machine();
            if machine.step() != Step::Converse {
                return;
            }
            machine.poll_timeout().unwrap_or(Millis(NEVER_MS))
        };
        // A timer that comes too early is asked again; most deadlines move back with every byte that comes.
        if due < armed || shared.now() >= armed {
            armed = due;
            timer.as_mut().reset(shared.instant(armed));
        }
        tokio::select! {
            biased;
            () = poll_fn(|cx| shared.with(|machine, now| io.poll_turn(cx, machine, now))) => {}
            () = &mut timer => {}
            () = shared.asked() => continue,
        }
        // A socket on which there is always something to do lets others have a turn.
        consume_budget().await;
        // Everything that has come is with the machine before it judges.
        if due <= shared.now() {
            look_at_sockets().await;
            poll_fn(|cx| {
                let _ = shared.with(|machine, now| io.poll_turn(cx, machine, now));
                Poll::Ready(())
            })
            .await;
            let is_unacknowledged = io.look();
            shared.with(|machine, now| {
                machine.handle_path(is_unacknowledged);
                machine.handle_timeout(now);
            });
        }
    }
}

/// Whatever ends the task (a panic in a closure of the user's, the end of the runtime), nobody waits for it for ever.
struct ToldOfTheEnd(Arc<Shared>);

impl Drop for ToldOfTheEnd {
    fn drop(&mut self) {
        let end = || End::Failed("the socket's task was ended".into());
        self.0.with(|machine, _| machine.abandon(end()));
    }
}
