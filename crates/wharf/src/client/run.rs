//! A client that runs: one task that drives a [`Conversation`] over one [`Link`] after the other.

use std::time::Instant;

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant as TokioInstant, sleep, sleep_until},
};
use wharf_proto::{
    message::{ConnectRequest, Request},
    websocket::deflate::DeflateOffer,
};

use super::{
    address::{Scheme, ServerAddress},
    backoff,
    conversation::{Conversation, SubscribeOptions},
    event::{Ending, Event},
    link::{Incoming, Link, LinkError, TransportKind, WebsocketOptions},
};

/// Events that wait for whoever uses the client; while it is full the client reads no further, and the server's
/// bounds apply. See LIMITS.md, `client_events`.
const CLIENT_EVENTS: usize = 1_024;

/// Requests that wait for the client. See LIMITS.md, `client_requests`.
const CLIENT_REQUESTS: usize = 64;

/// What is tried where no transport is asked for, in this order.
const AUTOMATIC: [TransportKind; 4] =
    [TransportKind::Websocket, TransportKind::HttpStream, TransportKind::Sse, TransportKind::LongPoll];

/// A client to be.
pub struct Builder {
    address: ServerAddress,
    transports: Vec<TransportKind>,
    connect: ConnectRequest,
    subscriptions: Vec<(String, SubscribeOptions)>,
    websocket: WebsocketOptions,
}

impl Builder {
    /// Uses this transport and no other.
    pub fn transport(mut self, transport: TransportKind) -> Self {
        self.transports = vec![transport];
        self
    }

    /// Joins a channel.
    pub fn subscribe(mut self, channel: &str, options: SubscribeOptions) -> Self {
        self.subscriptions.push((channel.to_owned(), options));
        self
    }

    /// What the client calls itself, for operators.
    pub fn name(mut self, name: &str) -> Self {
        self.connect.name = name.into();
        self
    }

    /// Offers the server to compress messages over WebSocket (RFC 7692). Off by default: it costs up to 392 KiB a
    /// connection and time, and a message that holds a secret beside text of another's choice tells by its length.
    pub fn compress(mut self) -> Self {
        self.websocket.deflate = Some(DeflateOffer::default());
        self
    }

    /// What a WebSocket asks for and bears.
    pub fn websocket(mut self, options: WebsocketOptions) -> Self {
        self.websocket = options;
        self
    }

    /// Opens the first connection. An error here is final; what comes later is told as [`Event::Disconnected`].
    pub async fn start(self) -> Result<Client, LinkError> {
        let mut conversation = Conversation::new(self.connect);
        for (channel, options) in self.subscriptions {
            conversation.subscribe(&channel, options, Instant::now());
        }
        let (events, event_receiver) = mpsc::channel(CLIENT_EVENTS);
        let (request_sender, requests) = mpsc::channel(CLIENT_REQUESTS);
        let mut runner = Runner {
            address: self.address,
            transports: self.transports,
            chosen: 0,
            conversation,
            events,
            requests,
            websocket: self.websocket,
            opened: false,
        };
        let link = runner.open().await?;
        let transport = runner.transport();
        let task = tokio::spawn(async move { runner.run(link).await });
        Ok(Client { events: event_receiver, requests: request_sender, task, transport })
    }
}

/// A client. Dropping it drops its connection.
pub struct Client {
    events: mpsc::Receiver<Event>,
    requests: mpsc::Sender<Asked>,
    task: JoinHandle<()>,
    transport: TransportKind,
}

enum Asked {
    Request(Request),
    Close,
}

impl Client {
    /// A client of the server at this address.
    pub fn to(address: ServerAddress) -> Builder {
        let transports = match address.scheme {
            Scheme::Http => AUTOMATIC.to_vec(),
            Scheme::Websocket => vec![TransportKind::Websocket],
            Scheme::Lines => vec![TransportKind::Lines],
        };
        let connect = ConnectRequest {
            name: "wharf".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..Default::default()
        };
        Builder {
            address,
            transports,
            connect,
            subscriptions: Vec::new(),
            websocket: WebsocketOptions::default(),
        }
    }

    /// What happens next; none after the connection ended for good. May be dropped while it waits.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The transport that the first connection uses.
    pub fn transport(&self) -> TransportKind {
        self.transport
    }

    /// Asks the server something; answered by [`Event::Answer`], in the order of the requests on one connection. A
    /// request while there is no connection is answered with an error.
    pub async fn request(&self, request: Request) {
        // After the end nobody answers, and `next_event` says so.
        let _ = self.requests.send(Asked::Request(request)).await;
    }

    /// Ends the connection and waits until the server was told.
    pub async fn close(mut self) {
        if self.requests.send(Asked::Close).await.is_ok() {
            // Events are read on, since the task may wait for room.
            while self.events.recv().await.is_some() {}
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Runner {
    address: ServerAddress,
    transports: Vec<TransportKind>,
    /// Which of the transports is used.
    chosen: usize,
    conversation: Conversation,
    events: mpsc::Sender<Event>,
    requests: mpsc::Receiver<Asked>,
    websocket: WebsocketOptions,
    /// The transport that is used got through before.
    opened: bool,
}

/// How one connection came to its end.
enum End {
    /// The user of the client wished it.
    Closed,
    Lost(Ending),
}

impl Runner {
    fn transport(&self) -> TransportKind {
        self.transports[self.chosen] // `chosen` moves only to a transport that is there.
    }

    /// Opens a connection, on the next transport where the path does not let one through.
    async fn open(&mut self) -> Result<Link, LinkError> {
        loop {
            self.conversation.handle_open(Instant::now());
            let first = self.conversation.poll_outgoing().unwrap_or_default();
            // Only a WebSocket's address says where on the server it is; the others have their places.
            let target = self.address.target.as_deref().filter(|_| self.address.scheme == Scheme::Websocket);
            let (kind, endpoint) = (self.transport(), &self.address.endpoint);
            match Link::open(kind, endpoint, target, first, &self.websocket).await {
                Err(error) if self.falls_back_on(&error) => {
                    tracing::debug!(transport = self.transport().name(), %error, "trying the next transport");
                    self.chosen += 1;
                    self.opened = false;
                }
                outcome => {
                    self.opened |= outcome.is_ok();
                    return outcome;
                }
            }
        }
    }

    fn falls_back_on(&self, error: &LinkError) -> bool {
        let another = error.suggests_another_transport() && !(self.opened && error.may_pass());
        another && self.chosen + 1 < self.transports.len()
    }

    async fn run(&mut self, first: Link) {
        let mut failures = 0;
        let mut opened: Result<Link, LinkError> = Ok(first);
        loop {
            let ending = match opened {
                Ok(mut link) => match self.converse(&mut link, &mut failures).await {
                    End::Closed => return link.close().await,
                    End::Lost(ending) => ending,
                },
                Err(error) => error.into_ending(),
            };
            self.conversation.handle_lost();
            let reconnects = ending.reconnects;
            self.tell_events().await;
            if self.events.send(Event::Disconnected { ending }).await.is_err() || !reconnects {
                return;
            }
            if self.pause(failures).await {
                return;
            }
            failures = failures.saturating_add(1);
            opened = self.open().await;
        }
    }

    /// Waits before the next attempt; true if the client was closed meanwhile.
    async fn pause(&mut self, failures: u32) -> bool {
        let pause = sleep(backoff::delay(failures, rand::random()));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return false,
                asked = self.requests.recv() => match asked {
                    None | Some(Asked::Close) => return true,
                    Some(Asked::Request(request)) => self.ask(request).await,
                },
            }
        }
    }

    async fn converse(&mut self, link: &mut Link, failures: &mut u32) -> End {
        loop {
            if let Err(error) = self.send_outgoing(link).await {
                return End::Lost(error.into_ending());
            }
            if !self.tell_events().await {
                return End::Closed;
            }
            let timeout = self.conversation.poll_timeout();
            let sleep = sleep_until(timeout.map_or_else(far_away, TokioInstant::from_std));
            let outcome = tokio::select! {
                received = link.receive() => match received {
                    Ok(Incoming::Message(_, message)) => {
                        let outcome = self.conversation.handle_frame(&message, Instant::now());
                        *failures = 0;
                        outcome
                    }
                    Ok(Incoming::Ping(_) | Incoming::Pong(_)) => Ok(()),
                    Err(error) => Err(error.into_ending()),
                },
                () = sleep => self.conversation.handle_timeout(Instant::now()),
                asked = self.requests.recv() => match asked {
                    None | Some(Asked::Close) => return End::Closed,
                    Some(Asked::Request(request)) => {
                        self.ask(request).await;
                        Ok(())
                    }
                },
            };
            if let Err(ending) = outcome {
                return End::Lost(ending);
            }
        }
    }

    async fn ask(&mut self, request: Request) {
        if self.conversation.request(request, Instant::now()).is_none() {
            let error = wharf_proto::dialect::centrifuge_json::client::answer::ServerError {
                code: 1,
                message: "there is no connection".to_owned(),
                temporary: true,
            };
            // Whoever dropped the receiver needs no answer.
            let _ = self.events.send(Event::Answer { id: 0, result: Err(error) }).await;
        }
    }

    async fn send_outgoing(&mut self, link: &mut Link) -> Result<(), LinkError> {
        while let Some(commands) = self.conversation.poll_outgoing() {
            link.send(commands, self.conversation.session()).await?;
        }
        Ok(())
    }

    /// Tells what happened; false if nobody listens any more.
    async fn tell_events(&mut self) -> bool {
        while let Some(event) = self.conversation.poll_event() {
            if self.events.send(event).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// A moment that does not come.
fn far_away() -> TokioInstant {
    TokioInstant::now() + std::time::Duration::from_secs(86_400)
}
