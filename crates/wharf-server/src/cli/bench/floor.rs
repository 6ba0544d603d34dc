//! The floor: the least that any server must do. One thread, one epoll set; a handshake, canned answers (to a request
//! of the HTTP API as well), and one ready-made frame written to each socket. No session, history, presence, outbox or timer, and a socket that cannot
//! take a frame at once is an error.
//!
//! It runs as a child process (`wharf bench floor-server`), so that it is measured as the server is.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read as _, Write as _},
    net::SocketAddr,
    os::fd::AsRawFd as _,
};

use anyhow::{Context as _, bail};
use bytes::BytesMut;
use memchr::{memchr, memmem};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
    unix::SourceFd,
};
use socket2::{Domain, Socket, Type};
use wharf_proto::websocket::{
    FrameHeader, Opcode, ReservedBits, Role, apply_mask,
    handshake::{Policy, accept},
    write_frame,
};

use super::{
    message::{self, CHANNEL_PREFIX, CONNECT_ID, ECHO_ID, ID_AT, MOST_CHANNELS, PUBLISH_ID, SUBSCRIBE_ID},
    process::ANNOUNCEMENT,
};

const LISTENER: Token = Token(usize::MAX - 1);
const PARENT: Token = Token(usize::MAX - 2);

/// Read at once, and the longest request or message that may be in parts.
const READ_BYTES: usize = 256 * 1024;

/// Connections that are not accepted yet: as many as the server lets wait.
const BACKLOG: i32 = 4096;

const CONNECTED: &[u8] =
    br#"{"id":1,"connect":{"client":"00000000-0000-0000-0000-000000000000","version":"floor","ping":25,"pong":true}}"#;
const SUBSCRIBED: &[u8] =
    br#"{"id":2,"subscribe":{"recoverable":true,"epoch":"floor","positioned":true,"recovered":true}}"#;
const PUBLISHED: &[u8] = br#"{"id":4,"publish":{}}"#;
/// The answer of an HTTP API, of the length that Wharf's has.
const HTTP_PUBLISHED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 42\r\n\r\n\
    {\"result\":{\"offset\":1,\"epoch\":\"floorish\"}}";

/// Serves until standard input ends.
pub fn serve() -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = listen()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let parent = io::stdin().as_raw_fd();
    // A file or /dev/null cannot be waited for; then a signal ends the floor.
    let _ = poll.registry().register(&mut SourceFd(&parent), PARENT, Interest::READABLE);
    println!("{ANNOUNCEMENT}{}", listener.local_addr()?);
    let mut floor = Floor::new();
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener, &poll)?,
                PARENT => {
                    if io::stdin().read(&mut [0; 64])? == 0 {
                        return Ok(());
                    }
                }
                Token(index) => floor.read(index)?,
            }
        }
    }
}

/// A listener that can hold as many connections not yet accepted as the server's.
fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// One socket.
struct Client {
    stream: TcpStream,
    /// Before the handshake, bytes are HTTP.
    open: bool,
    /// The channels of which it is a member, and its place in each.
    member: Vec<(usize, usize)>,
}

struct Floor {
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    /// The sockets of each channel.
    members: Vec<Vec<usize>>,
    /// What came of a message that is not whole.
    partial: HashMap<usize, Vec<u8>>,
    buffer: Vec<u8>,
    frame: BytesMut,
}

impl Floor {
    fn new() -> Self {
        Self {
            clients: Vec::new(),
            free: Vec::new(),
            members: Vec::new(),
            partial: HashMap::new(),
            buffer: vec![0; READ_BYTES],
            frame: BytesMut::new(),
        }
    }

    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> anyhow::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).context("the floor cannot accept"),
            };
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.clients.len());
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            if index == self.clients.len() {
                self.clients.push(None);
            }
            self.clients[index] = Some(Client { stream, open: false, member: Vec::new() });
        }
    }

    /// Reads what is there. Events are edge-triggered, and a short read has taken everything there was.
    fn read(&mut self, index: usize) -> anyhow::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = loop {
            let Some(client) = &mut self.clients[index] else { break Ok(()) };
            let partial = if self.partial.is_empty() { None } else { self.partial.remove(&index) };
            let before = partial.map_or(0, |bytes| {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                bytes.len()
            });
            match client.stream.read(&mut buffer[before..]) {
                Ok(0) => break self.close(index),
                Ok(count) => {
                    let end = before + count;
                    let used = match self.take(index, &mut buffer[..end]) {
                        Ok(used) => used,
                        Err(error) => break Err(error),
                    };
                    if used < end {
                        self.partial.insert(index, buffer[used..end].to_vec());
                    }
                    if end < buffer.len() {
                        break Ok(());
                    }
                    if used == 0 {
                        break Err(anyhow::anyhow!("a message is longer than the floor reads"));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if before > 0 {
                        self.partial.insert(index, buffer[..before].to_vec());
                    }
                    break Ok(());
                }
                Err(_) => break self.close(index),
            }
        };
        self.buffer = buffer;
        outcome
    }

    fn close(&mut self, index: usize) -> anyhow::Result<()> {
        let client = self.clients[index].take();
        self.partial.remove(&index);
        self.free.push(index);
        for (channel, place) in client.into_iter().flat_map(|client| client.member) {
            self.members[channel].swap_remove(place);
            if let Some(moved) = self.members[channel].get(place)
                && let Some(moved) = &mut self.clients[*moved]
                && let Some((_, moved)) = moved.member.iter_mut().find(|(other, _)| *other == channel)
            {
                *moved = place;
            }
        }
        Ok(())
    }

    /// Takes whole requests and messages; says how many bytes they were.
    fn take(&mut self, index: usize, bytes: &mut [u8]) -> anyhow::Result<usize> {
        let mut used = 0;
        if !self.clients[index].as_ref().is_some_and(|client| client.open) {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
            self.frame.clear();
            if bytes.starts_with(b"POST ") {
                let length = end + 4 + body_length(&bytes[..end])?;
                if bytes.len() < length {
                    return Ok(0);
                }
                self.frame.extend_from_slice(HTTP_PUBLISHED);
                self.write(index)?;
                return Ok(length);
            }
            upgrade(&bytes[..end], &mut self.frame)?;
            self.write(index)?;
            if let Some(client) = &mut self.clients[index] {
                client.open = true;
            }
            used = end + 4;
        }
        while let Some((header, head)) =
            FrameHeader::parse(&bytes[used..], Role::Server, ReservedBits::Forbidden)?
        {
            let begin = used + head;
            let end = begin.saturating_add(header.payload_len as usize);
            let Some(payload) = bytes.get_mut(begin..end) else { break };
            if let Some(key) = header.mask {
                apply_mask(payload, key, 0);
            }
            if header.opcode == Opcode::Text {
                self.answer(index, payload)?;
            }
            used = end;
        }
        Ok(used)
    }

    /// Answers a message: a command, or several, whose answers share a frame. A publication goes to the members of
    /// its channel as it came.
    fn answer(&mut self, index: usize, message: &[u8]) -> anyhow::Result<()> {
        if memchr(b'\n', message).is_some() {
            return self.answer_several(index, message);
        }
        let ready = match message.get(ID_AT) {
            Some(&CONNECT_ID) => CONNECTED,
            Some(&SUBSCRIBE_ID) => self.subscribe(index, message)?,
            Some(&ECHO_ID | &PUBLISH_ID) => message,
            _ => return Ok(()), // A pong.
        };
        self.frame.clear();
        write_frame(&mut self.frame, Opcode::Text, ready, None);
        if message.get(ID_AT) != Some(&PUBLISH_ID) {
            return self.write(index);
        }
        let members = std::mem::take(&mut self.members);
        let outcome = members
            .get(channel_number(message)?)
            .into_iter()
            .flatten()
            .try_for_each(|member| self.write(*member));
        self.members = members;
        outcome?;
        self.frame.clear();
        write_frame(&mut self.frame, Opcode::Text, PUBLISHED, None);
        self.write(index)
    }

    fn answer_several(&mut self, index: usize, message: &[u8]) -> anyhow::Result<()> {
        let mut answers = Vec::new();
        for command in message::messages(message) {
            if !answers.is_empty() {
                answers.push(b'\n');
            }
            answers.extend_from_slice(match command.get(ID_AT) {
                Some(&CONNECT_ID) => CONNECTED,
                Some(&SUBSCRIBE_ID) => self.subscribe(index, command)?,
                _ => bail!("the floor takes several commands at a time only to connect and subscribe"),
            });
        }
        self.frame.clear();
        write_frame(&mut self.frame, Opcode::Text, &answers, None);
        self.write(index)
    }

    /// Makes the socket a member of the channel that the command names.
    fn subscribe(&mut self, index: usize, command: &[u8]) -> anyhow::Result<&'static [u8]> {
        let channel = channel_number(command)?;
        if self.members.len() <= channel {
            self.members.resize(channel + 1, Vec::new());
        }
        if let Some(client) = &mut self.clients[index] {
            client.member.push((channel, self.members[channel].len()));
        }
        self.members[channel].push(index);
        Ok(SUBSCRIBED)
    }

    /// Writes the ready-made frame to one socket.
    fn write(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(client) = &mut self.clients[index] else { return Ok(()) };
        match client.stream.write(&self.frame) {
            Ok(count) if count == self.frame.len() => Ok(()),
            Ok(_) => bail!("a socket of the floor is full: ask for a smaller --window or --payload"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                bail!("a socket of the floor is full: ask for a smaller --window or --payload")
            }
            // The client went away; its end is read.
            Err(_) => Ok(()),
        }
    }
}

/// The least handshake: the headers are split at their line ends and given to the codec.
fn upgrade(head: &[u8], out: &mut BytesMut) -> anyhow::Result<()> {
    let head = std::str::from_utf8(head).context("a request is not text")?;
    let headers = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name, value.as_bytes()));
    let policy = Policy { subprotocols: &[], origin_allowed: &|_| true, deflate: None };
    match accept("GET", 1, headers, &policy) {
        Ok(accepted) => accepted.write_response(out),
        Err(refusal) => bail!("the floor speaks to the bench only: {refusal}"),
    }
    Ok(())
}

/// The length of the body behind the head of a request.
fn body_length(head: &[u8]) -> anyhow::Result<usize> {
    const NAME: &[u8] = b"Content-Length: ";
    let at = memmem::find(head, NAME).context("a request does not say how long it is")?;
    let digits = head[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0, |number: usize, digit| number.saturating_mul(10) + usize::from(digit - b'0')))
}

fn channel_number(message: &[u8]) -> anyhow::Result<usize> {
    let at = memmem::find(message, CHANNEL_PREFIX.as_bytes()).context("a command names no channel")?;
    let digits = message[at + CHANNEL_PREFIX.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0, |number: usize, digit| number.saturating_mul(10) + usize::from(digit - b'0'));
    anyhow::ensure!(number < MOST_CHANNELS, "channel {number} is over the floor's {MOST_CHANNELS}");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::{
        http::Answer,
        message::{Heard, Subscribed, hear, subscribe},
    };

    #[test]
    fn the_canned_answers_are_what_the_generator_waits_for() {
        assert_eq!(hear(CONNECTED), Heard::Reply(CONNECT_ID));
        assert_eq!(hear(SUBSCRIBED), Heard::Reply(SUBSCRIBE_ID));
        assert_eq!(hear(PUBLISHED), Heard::Reply(PUBLISH_ID));
        assert!(Subscribed::parse(SUBSCRIBED).expect("a reply").recovered);
        let answer = Answer::parse(HTTP_PUBLISHED).expect("an answer").expect("a whole one");
        assert_eq!(answer.bytes, HTTP_PUBLISHED.len());
        assert!(answer.accepted().is_ok());
    }

    #[test]
    fn a_channel_is_known_by_its_number() {
        assert_eq!(channel_number(subscribe(207, None).as_bytes()).expect("a number"), 207);
        assert!(channel_number(b"{\"id\":2,\"subscribe\":{}}").is_err());
        assert!(channel_number(subscribe(MOST_CHANNELS as u32, None).as_bytes()).is_err());
    }

    #[test]
    fn a_request_of_the_rfc_is_answered_as_the_rfc_says() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let mut out = BytesMut::new();
        upgrade(head, &mut out).expect("a handshake");
        assert!(memmem::find(&out, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").is_some(), "{out:?}");
        let error = upgrade(b"GET / HTTP/1.1\r\nHost: a", &mut out).expect_err("no handshake");
        assert!(error.to_string().contains("the floor speaks to the bench only"), "{error}");
    }
}
