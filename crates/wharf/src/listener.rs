//! Addresses: bound, accepted from, and each connection given to the worker with the fewest.

mod address;
pub(crate) mod backoff;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::{mpsc, watch};

pub(crate) use address::clear_stale;
pub use address::{BindError, Listeners};
use address::{Bound, BoundDevice};
use backoff::Backoff;

use crate::{
    devices::accept::{self, Entrance},
    ledger::Origin,
    node::Node,
};

/// The most accepted sockets that wait for one worker. LIMITS.md, `accepted_waiting`.
pub const ACCEPTED_WAITING: usize = 1_024;

/// A connection as it came from the kernel.
pub struct AcceptedSocket {
    /// The socket, non-blocking.
    pub socket: RawSocket,
    /// Where it came from.
    pub origin: Origin,
    /// Counts the connection for its worker until the gate is done with it.
    pub slot: Slot,
    /// By which device listener it came in; none where all protocols are spoken.
    pub entrance: Option<Entrance>,
}

/// The kinds of accepted sockets.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum RawSocket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// One connection that is counted; uncounts itself when dropped.
pub struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// Counts one more.
    pub fn take(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The accepting side of one worker.
pub struct Door {
    sockets: mpsc::Sender<AcceptedSocket>,
    in_gate: Arc<AtomicUsize>,
}

/// Makes the two ends of a worker's door: the listeners put sockets in and count them in `in_gate`, [`receive`] takes
/// them out.
pub fn door(in_gate: Arc<AtomicUsize>) -> (Door, mpsc::Receiver<AcceptedSocket>) {
    let (sockets, receiver) = mpsc::channel(ACCEPTED_WAITING);
    (Door { sockets, in_gate }, receiver)
}

/// Runs the gate for each socket that comes through the door, on the current runtime, which must be the
/// worker's. Ends when the listeners have ended.
pub async fn receive(mut sockets: mpsc::Receiver<AcceptedSocket>, node: Arc<Node>, worker: usize) {
    while let Some(mut socket) = sockets.recv().await {
        match socket.entrance.take() {
            None => drop(tokio::spawn(crate::http::gate::serve(socket, node.clone(), worker))),
            Some(entrance) => accept::admit(socket, entrance, &node, worker),
        }
    }
}

impl Listeners {
    /// Accepts until `stop` turns true, and then closes the addresses. One task for each address, on the
    /// current runtime.
    pub async fn serve(self, node: Arc<Node>, doors: Vec<Door>, stop: watch::Receiver<bool>) {
        let doors: Arc<[Door]> = doors.into();
        let (bound, udp) = self.into_bound();
        // Addresses where all protocols are spoken come first, and then each device listener has one number.
        let open = bound.iter().filter(|bound| bound.device().is_none()).count();
        let number_of = |device: u16| open + usize::from(device);
        let mut tasks: Vec<_> = bound
            .into_iter()
            .enumerate()
            .map(|(at, bound)| {
                let listener = bound.device().map_or(at, |device| number_of(device.listener));
                tokio::spawn(accept_until(listener, bound, node.clone(), doors.clone(), stop.clone()))
            })
            .collect();
        for (device, socket) in udp {
            let (node, mut stop, number) = (node.clone(), stop.clone(), number_of(device));
            tasks.push(tokio::spawn(async move {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => {}
                    () = socket.serve(device, number, &node) => {}
                }
            }));
        }
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "an accept loop ended; its address is closed until a restart");
            }
        }
    }
}

async fn accept_until(
    listener: usize,
    bound: Bound,
    node: Arc<Node>,
    doors: Arc<[Door]>,
    mut stop: watch::Receiver<bool>,
) {
    tokio::select! {
        // Also ends if the sender is gone: nobody could stop it any more.
        _ = stop.wait_for(|stop| *stop) => {}
        () = accept_all(listener, &bound, &node, &doors) => {}
    }
}

async fn accept_all(listener: usize, bound: &Bound, node: &Node, doors: &[Door]) {
    let mut backoff = Backoff::default();
    loop {
        match bound.accept().await {
            Ok((socket, address)) => {
                backoff.reset();
                node.metrics.accepted.bump();
                hand_over(socket, Origin::new(listener, address), bound.device(), node, doors);
            }
            Err(error) if backoff::is_of_one_connection(&error) => {}
            Err(error) => {
                // Row 49: out of descriptors or memory. The connection stays in the kernel's queue meanwhile.
                node.metrics.accept_exhausted.bump();
                let pause = backoff.next_pause();
                if backoff.is_first() {
                    tracing::error!(%error, "cannot accept; raise the limit on open files (ulimit -n)");
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Gives the socket to the worker with the fewest connections, or the next if its door is full.
fn hand_over(socket: RawSocket, origin: Origin, device: Option<BoundDevice>, node: &Node, doors: &[Door]) {
    if node.is_full() {
        return turn_away(socket, device, node);
    }
    let mut entrance = None;
    if let Some(BoundDevice { listener, tls }) = device {
        let Some(slot) = node.devices.enter(listener, &node.settings.devices[usize::from(listener)]) else {
            return turn_away(socket, device, node);
        };
        entrance = Some(Entrance { listener, tls, slot });
    }
    let loads: Vec<usize> = (0..doors.len()).map(|worker| node.occupancy(worker)).collect();
    let mut order: Vec<usize> = (0..doors.len()).collect();
    order.sort_by_key(|&worker| loads[worker]);
    let mut socket = socket;
    for worker in order {
        let door = &doors[worker];
        let accepted = AcceptedSocket { socket, origin, slot: Slot::take(&door.in_gate), entrance };
        match door.sockets.try_send(accepted) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => {
                (socket, entrance) = (back.socket, back.entrance);
            }
        }
    }
    turn_away(socket, device, node);
}

/// A line for every kind of client: an HTTP answer is text too.
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
    Content-Length: 107\r\nRetry-After: 5\r\nConnection: close\r\n\r\n\
    {\"error\":{\"code\":503,\"message\":\"the server has as many connections as it may; come back in some seconds\"}}\n";

fn turn_away(socket: RawSocket, device: Option<BoundDevice>, node: &Node) {
    use io::Write;
    node.metrics.turned_away.bump();
    if let Some(BoundDevice { listener, .. }) = device {
        // There are no words that every kind of device understands: it is closed.
        let name = &node.settings.devices[usize::from(listener)].name;
        return node.devices.refusals.tell(name, "there are as many connections as there may be", node.now());
    }
    // The send buffer of a new socket has room for this; whoever is gone misses nothing.
    let _ = match &socket {
        RawSocket::Tcp(socket) => (&*socket).write(TURNED_AWAY),
        RawSocket::Unix(socket) => (&*socket).write(TURNED_AWAY),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_at_the_limit_says_its_own_length() {
        let text = std::str::from_utf8(TURNED_AWAY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
