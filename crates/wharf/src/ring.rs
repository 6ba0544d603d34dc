//! Many sends in one system call, by io_uring. What this file does not know: what is sent, and to whom.
//!
//! Every send is made within the call and never waits: `MSG_DONTWAIT` lets io_uring neither poll for room nor hand the
//! send to a thread of the kernel's. Each has a completion, also where it succeeds. Completions of successes can be
//! left out, but then a send that took a part has none either (`IOSQE_CQE_SKIP_SUCCESS` with `MSG_DONTWAIT`), and the
//! rest of its bytes would be lost silently; a completion costs a hundredth of the send.

use std::{io, os::fd::RawFd};

use bytes::Bytes;

/// One send that is to be made together with others.
#[derive(Debug)]
pub struct Sending {
    /// The caller's name for it.
    pub key: u64,
    /// A socket that the caller keeps open until the call returns.
    pub descriptor: RawFd,
    /// What is sent, or a prefix of it.
    pub bytes: Bytes,
    /// How many bytes the socket took; [`io::ErrorKind::WouldBlock`] if it has no room. `None`: it was not tried. Any
    /// other error: nobody knows what the peer got, and its connection must end.
    pub outcome: Option<io::Result<usize>>,
}

pub use imp::Ring;

/// So many sends are made by one call. LIMITS.md, `RING_SENDS`.
#[cfg(target_os = "linux")]
pub const RING_SENDS: usize = 256;

#[cfg(target_os = "linux")]
mod imp {
    use std::io;

    use io_uring::{IoUring, opcode, squeue::Entry, types::Fd};

    use super::{RING_SENDS, Sending};

    /// One thread's ring. Made when it is first used, on the thread that uses it.
    pub struct Ring {
        /// None once it has failed: whoever asks then is answered that nothing was tried.
        uring: Option<IoUring>,
    }

    impl Ring {
        /// A ring of this kernel's. Fails where the kernel is too old, or a policy forbids io_uring, as container
        /// runtimes do.
        pub fn new() -> io::Result<Self> {
            let uring = IoUring::builder()
                .setup_submit_all()
                .setup_coop_taskrun()
                .setup_single_issuer()
                .build(RING_SENDS as u32)?;
            Ok(Self { uring: Some(uring) })
        }

        /// It has not failed yet.
        pub fn works(&self) -> bool {
            self.uring.is_some()
        }

        /// Makes all sends and tells each what became of it.
        pub fn send_all(&mut self, sends: &mut [Sending]) {
            for sends in sends.chunks_mut(RING_SENDS) {
                let Some(uring) = &mut self.uring else { return };
                if let Err(error) = send_some(uring, sends) {
                    tracing::warn!(%error, "io_uring failed; connections are written one by one from now on");
                    self.uring = None;
                }
            }
        }
    }

    fn send_some(uring: &mut IoUring, sends: &mut [Sending]) -> io::Result<()> {
        for (number, sending) in sends.iter().enumerate() {
            let entry = entry_of(sending).user_data(number as u64);
            // SAFETY: the entry's bytes are shared memory of `sending.bytes`, which lives in `sends`. It is neither
            // dropped nor changed before this function returns, and until then every entry that the kernel has taken
            // has completed, or else its bytes are leaked below.
            #[allow(unsafe_code)]
            let pushed = unsafe { uring.submission().push(&entry) };
            if pushed.is_err() {
                break; // The ring has room for a whole chunk; what it has not is not tried.
            }
        }
        let pushed = uring.submission().len();
        let mut left = pushed;
        while left > 0 {
            match uring.submit_and_wait(left) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let untaken = uring.submission().len();
                    give_up(uring, &mut sends[..pushed], untaken);
                    return Err(error);
                }
            }
            for completion in uring.completion() {
                left -= 1;
                if let Some(sending) = sends.get_mut(completion.user_data() as usize) {
                    sending.outcome = Some(outcome(completion.result()));
                }
            }
        }
        Ok(())
    }

    /// The ring has failed with these sends, of which the kernel has not taken the last `untaken`. Those it has taken and
    /// not completed may have been made, in part or whole, and it may still read their bytes: these are leaked, and must
    /// not be sent again.
    fn give_up(uring: &mut IoUring, sends: &mut [Sending], untaken: usize) {
        for completion in uring.completion() {
            if let Some(sending) = sends.get_mut(completion.user_data() as usize) {
                sending.outcome = Some(outcome(completion.result()));
            }
        }
        let taken = sends.len().saturating_sub(untaken);
        for sending in sends[..taken].iter_mut().filter(|sending| sending.outcome.is_none()) {
            std::mem::forget(sending.bytes.clone());
            sending.outcome = Some(Err(io::ErrorKind::ConnectionAborted.into()));
        }
    }

    fn entry_of(sending: &Sending) -> Entry {
        // A send of more than 2 GiB sends a prefix, like any other.
        let length = u32::try_from(sending.bytes.len()).unwrap_or(u32::MAX);
        opcode::Send::new(Fd(sending.descriptor), sending.bytes.as_ptr(), length)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .build()
    }

    fn outcome(result: i32) -> io::Result<usize> {
        usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::io;

    use super::Sending;

    /// There are no rings here.
    pub struct Ring;

    impl Ring {
        /// Always fails.
        pub fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// Never.
        pub fn works(&self) -> bool {
            false
        }

        /// Tries nothing.
        pub fn send_all(&mut self, _: &mut [Sending]) {}
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read},
        os::{fd::AsRawFd, unix::net::UnixStream},
    };

    use super::*;

    /// A kernel without io_uring has nothing to test; the worker's tests then show the fallback.
    fn ring() -> Option<Ring> {
        Ring::new().inspect_err(|error| println!("LEFT OUT: this kernel has no io_uring: {error}")).ok()
    }

    fn sending(key: u64, socket: &UnixStream, bytes: impl Into<Bytes>) -> Sending {
        Sending { key, descriptor: socket.as_raw_fd(), bytes: bytes.into(), outcome: None }
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (socket, peer) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        (socket, peer)
    }

    fn heard(mut peer: &UnixStream) -> Vec<u8> {
        let mut heard = Vec::new();
        // Ends in "would block": the peer's other end stays open.
        peer.read_to_end(&mut heard).unwrap_err();
        heard
    }

    #[test]
    fn every_socket_gets_its_own_bytes_also_when_there_are_more_than_one_call_takes() {
        let Some(mut ring) = ring() else { return };
        let pairs: Vec<_> = (0..2 * RING_SENDS + 3).map(|_| pair()).collect();
        let mut sends: Vec<_> =
            (0..).zip(&pairs).map(|(key, (socket, _))| sending(key, socket, format!("to {key}"))).collect();
        for round in 1..=2 {
            ring.send_all(&mut sends);
            for (sending, (_, peer)) in sends.iter_mut().zip(&pairs) {
                let said = format!("to {}", sending.key);
                assert_eq!(sending.outcome.take().unwrap().unwrap(), said.len(), "round {round}");
                assert_eq!(heard(peer), said.as_bytes());
            }
        }
    }

    /// The trap of batched sends: a send that takes a part is no success, and not silent.
    #[test]
    fn a_send_that_takes_only_a_part_says_how_much() {
        let Some(mut ring) = ring() else { return };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let bytes = Bytes::from(vec![b'x'; 64 << 20]);
        let descriptor = socket.as_raw_fd();
        let mut sends = [
            Sending { key: 0, descriptor, bytes: bytes.clone(), outcome: None },
            Sending { key: 1, descriptor, bytes, outcome: None },
        ];
        ring.send_all(&mut sends);
        let mut taken = sends[0].outcome.take().unwrap().unwrap();
        assert!(taken > 0 && taken < 64 << 20, "{taken} of 64 MiB");
        // The peer's kernel may have made a little room meanwhile.
        match sends[1].outcome.take().unwrap() {
            Ok(more) => taken += more,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        drop(socket);
        let mut heard = Vec::new();
        (&peer).read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), taken, "what it said it took, and no more");
    }

    #[test]
    fn a_socket_whose_peer_is_gone_fails_alone_and_without_a_signal() {
        let Some(mut ring) = ring() else { return };
        let ((gone, peer), (socket, other)) = (pair(), pair());
        drop(peer);
        let mut sends = [sending(0, &gone, "to nobody"), sending(1, &socket, "to somebody")];
        ring.send_all(&mut sends);
        assert_eq!(sends[0].outcome.take().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(sends[1].outcome.take().unwrap().unwrap(), 11);
        assert_eq!(heard(&other), b"to somebody");
    }
}
