//! Kept-alive HTTP connections, one request at a time on each: the server API, and commands beside event streams.

use std::collections::VecDeque;

use mio::{Interest, Registry, Token, event::Event};

use super::{dial::Target, http::Answer, socket::Socket, tally::Tally};

/// The most connections for commands beside event streams. More would distort what a stream keeps in memory, so that
/// there are more only while commands wait. LIMITS.md: `MOST_CALLERS`.
pub const MOST_CALLERS: usize = 256;
/// A saturated server is late with its answers, and pongs may not wait for those.
const WAITING_AT_MOST_NS: u64 = 100_000_000;

/// What a request was for.
#[derive(Debug, Clone, Copy)]
struct Call {
    /// Since when it was due, if that is what is measured.
    due_ns: Option<u64>,
    /// None, if it was a command of a connection's.
    publications: u64,
}

struct Caller {
    socket: Socket,
    call: Option<Call>,
}

/// A request that waits for a connection.
struct Waiting {
    call: Call,
    since_ns: u64,
    request: Vec<u8>,
}

pub struct Callers {
    registry: Registry,
    first_token: usize,
    callers: Vec<Caller>,
    idle: Vec<usize>,
    /// Those who ask wait for the answer, so there are no more than connections, or publications in flight.
    waiting: VecDeque<Waiting>,
}

impl Callers {
    /// The tokens of its connections begin with this one.
    pub fn new(registry: Registry, first_token: usize) -> Self {
        Self { registry, first_token, callers: Vec::new(), idle: Vec::new(), waiting: VecDeque::new() }
    }

    /// Begins to open connections until there are so many.
    pub fn dial(&mut self, target: &Target, count: usize) -> anyhow::Result<()> {
        while self.callers.len() < count {
            let caller = Caller { socket: self.socket(target, self.callers.len())?, call: None };
            self.callers.push(caller);
        }
        Ok(())
    }

    fn socket(&self, target: &Target, index: usize) -> anyhow::Result<Socket> {
        let mut stream = target.dial(index)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut stream, Token(self.first_token + index), interest)?;
        Ok(Socket::new(stream))
    }

    /// How many connections wait for a request.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Sends a request that publishes so much, as soon as a connection is free. Its latency counts from `due_ns`.
    pub fn publish(&mut self, due_ns: Option<u64>, publications: u64, request: &[u8]) -> anyhow::Result<()> {
        let call = Call { due_ns, publications };
        self.call(Waiting { call, since_ns: u64::MAX, request: request.to_vec() })
    }

    /// Sends a request whose answer is of no interest, as soon as a connection is free.
    pub fn post(&mut self, request: Vec<u8>, now_ns: u64) -> anyhow::Result<()> {
        self.call(Waiting { call: Call { due_ns: None, publications: 0 }, since_ns: now_ns, request })
    }

    /// Opens one more connection if a command waits for too long.
    pub fn grow(&mut self, target: &Target, now_ns: u64) -> anyhow::Result<()> {
        let waits = |waiting: &Waiting| now_ns.saturating_sub(waiting.since_ns) > WAITING_AT_MOST_NS;
        if self.waiting.front().is_some_and(waits) && self.callers.len() < MOST_CALLERS {
            return self.dial(target, self.callers.len() + 1);
        }
        Ok(())
    }

    fn call(&mut self, waiting: Waiting) -> anyhow::Result<()> {
        let Some(index) = self.idle.pop() else {
            self.waiting.push_back(waiting);
            return Ok(());
        };
        self.callers[index].call = Some(waiting.call);
        self.callers[index].socket.send(&waiting.request)
    }

    /// Handles an event of one of the connections.
    pub fn handle(
        &mut self,
        event: &Event,
        buffer: &mut [u8],
        target: &Target,
        tally: &mut Tally,
        now_ns: u64,
    ) -> anyhow::Result<()> {
        let index = event.token().0 - self.first_token;
        let Some(caller) = self.callers.get_mut(index) else { return Ok(()) };
        if (event.is_writable() || event.is_error()) && caller.socket.handle_writable()? {
            return self.become_idle(index);
        }
        if !event.is_readable() && !event.is_read_closed() {
            return Ok(());
        }
        let end = match caller.socket.fill(buffer) {
            Ok(None) => return Ok(()),
            Ok(Some(end)) => end,
            // RFC 9112 section 9.8: a server may close a connection that waits for a request.
            Err(_) if caller.call.is_none() => {
                self.idle.retain(|other| *other != index);
                self.callers[index].socket = self.socket(target, index)?;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Some(answer) = Answer::parse(&buffer[..end])? else {
            caller.socket.keep(&buffer[..end]);
            return Ok(());
        };
        // A session may have been cut off while its last command was on the way; the others are waited for.
        let session_gone = matches!(answer.head.status, 404 | 500);
        if !session_gone || caller.call.is_none_or(|call| call.publications > 0) {
            answer.accepted()?;
        }
        caller.socket.keep(&buffer[answer.bytes..end]);
        if let Some(Call { due_ns, publications }) = caller.call.take() {
            tally.acknowledged += publications;
            if let Some(due_ns) = due_ns {
                tally.took(due_ns, now_ns);
            }
        }
        self.become_idle(index)
    }

    fn become_idle(&mut self, index: usize) -> anyhow::Result<()> {
        self.idle.push(index);
        self.waiting.pop_front().map_or(Ok(()), |waiting| self.call(waiting))
    }
}
