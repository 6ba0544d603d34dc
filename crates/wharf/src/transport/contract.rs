//! The contract of [`Transport`], run against each implementation that goes both ways.

use std::{
    io::{self, IoSlice, Read, Write},
    sync::mpsc,
    time::Duration,
};

use super::Transport;

/// The other end, with calls that block.
pub trait Peer: Read + Write + Send {
    /// Ends the peer's half.
    fn end(&mut self);

    fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
        self.flush().unwrap();
    }

    fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything up to the end.
    fn receive_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

/// A transport, its peer and what tells of its readiness.
pub struct Rig {
    transport: Box<dyn Transport>,
    peer: Option<Box<dyn Peer>>,
    readiness: Readiness,
}

enum Readiness {
    /// The event set that the transport is registered with.
    Events(mio::Poll),
    /// The entries that a transport without a source names.
    Told(mpsc::Receiver<u64>),
}

/// The slab entry of a transport without a source.
const ENTRY: u64 = 7;

/// Longer than any scheduling delay; a test that gets here fails.
const PATIENCE: Duration = Duration::from_secs(20);

impl Rig {
    pub fn new(mut transport: Box<dyn Transport>, peer: Box<dyn Peer>) -> Self {
        let poll = mio::Poll::new().unwrap();
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        poll.registry().register(transport.source().unwrap(), mio::Token(0), interest).unwrap();
        Self { transport, peer: Some(peer), readiness: Readiness::Events(poll) }
    }

    /// A transport without a source, which tells of its readiness by the other end of `told`.
    pub fn told(mut transport: Box<dyn Transport>, peer: Box<dyn Peer>, told: mpsc::Receiver<u64>) -> Self {
        assert!(transport.source().is_none());
        transport.attached(ENTRY);
        Self { transport, peer: Some(peer), readiness: Readiness::Told(told) }
    }

    fn peer(&mut self) -> &mut dyn Peer {
        self.peer.as_deref_mut().unwrap()
    }

    fn wait(&mut self) {
        match &mut self.readiness {
            Readiness::Events(poll) => {
                let mut events = mio::Events::with_capacity(4);
                poll.poll(&mut events, Some(PATIENCE)).unwrap();
                assert!(!events.is_empty(), "no event came");
            }
            Readiness::Told(told) => assert_eq!(told.recv_timeout(PATIENCE), Ok(ENTRY), "nobody was told"),
        }
    }

    /// Reads until `count` bytes came or the peer's half ended.
    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut piece = [0; 1000];
        while bytes.len() < count {
            let room = piece.len().min(count - bytes.len());
            match self.transport.try_read(&mut piece[..room]) {
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(),
                Err(error) => panic!("{error}"),
            }
        }
        bytes
    }

    fn write_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // Two slices, so that a prefix can end in either.
            let (head, tail) = bytes.split_at(bytes.len() / 3);
            match self.transport.try_write(&[IoSlice::new(head), IoSlice::new(tail)]) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Fails unless the transports that `make` makes keep the contract.
pub fn holds(make: fn() -> Rig) {
    reads_what_was_sent_and_never_blocks(make());
    a_write_takes_a_prefix_and_loses_nothing(make());
    a_half_closed_peer_still_reads(make());
    finishing_ends_our_half_only(make());
    closing_ends_both_halves(make());
}

fn reads_what_was_sent_and_never_blocks(mut rig: Rig) {
    let mut piece = [0; 16];
    assert_eq!(rig.transport.try_read(&mut piece).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let sent: Vec<u8> = (0..50_000_u32).map(|number| number as u8).collect();
    rig.peer().send(&sent);
    assert!(rig.read(sent.len()) == sent);
    assert_eq!(rig.transport.try_read(&mut piece).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

fn a_write_takes_a_prefix_and_loses_nothing(mut rig: Rig) {
    let message: Vec<u8> = (0..300_007_u32).map(|number| (number / 7) as u8).collect();
    // The peer reads nothing, so the kernel's buffers fill until a write is refused.
    let mut accepted = 0;
    loop {
        let at = accepted % message.len();
        match rig.transport.try_write(&[IoSlice::new(&message[at..at + 1]), IoSlice::new(&message[at + 1..])])
        {
            Ok(written) => accepted += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(accepted < 256 << 20, "writes are never refused");
    }
    let mut peer = rig.peer.take().unwrap();
    let rest = message.len() - accepted % message.len();
    let total = accepted + rest;
    let reader = std::thread::spawn(move || peer.receive(total));
    rig.write_all(&message[message.len() - rest..]);
    let received = reader.join().unwrap();
    assert!(received.chunks(message.len()).all(|chunk| chunk == message), "bytes were lost or doubled");
}

// Row 47.
fn a_half_closed_peer_still_reads(mut rig: Rig) {
    rig.peer().send(b"last words");
    rig.peer().end();
    assert_eq!(rig.read(1_000), b"last words");
    assert_eq!(rig.transport.try_read(&mut [0; 16]).unwrap(), 0);
    rig.write_all(b"answer");
    assert_eq!(rig.peer().receive(6), b"answer");
}

fn finishing_ends_our_half_only(mut rig: Rig) {
    rig.write_all(b"bye");
    rig.transport.finish();
    assert_eq!(rig.peer().receive_end(), b"bye");
    rig.peer().send(b"and you");
    rig.peer().end();
    assert_eq!(rig.read(1_000), b"and you");
    assert_eq!(rig.transport.try_read(&mut [0; 16]).unwrap(), 0);
}

fn closing_ends_both_halves(mut rig: Rig) {
    rig.write_all(b"bye");
    rig.transport.close();
    assert_eq!(rig.peer().receive_end(), b"bye");
    assert!(rig.transport.try_read(&mut [0; 16]).is_err());
    assert!(rig.transport.try_write(&[IoSlice::new(b"more")]).is_err());
}
