//! What the kernel knows of a TCP connection: its round trips, what is not acknowledged, and how many bytes have moved.

use std::os::fd::AsRawFd;

/// How a path does, by the kernel's own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathState {
    /// The smoothed round-trip time and its variation, in microseconds.
    pub rtt_us: u32,
    #[allow(missing_docs)]
    pub rtt_variation_us: u32,
    /// Segments that were sent and not acknowledged.
    pub unacknowledged: u32,
    /// How often in a row the oldest of them was sent again, or the peer's closed window was asked about, without an
    /// answer.
    pub unanswered: u32,
    /// Segments sent again since the connection opened.
    pub retransmits: u32,
    /// How many segments may be under way.
    pub congestion_window: u32,
    /// Bytes that the kernel has taken and not sent yet.
    pub not_sent_bytes: u32,
    /// Since the peer's kernel last acknowledged something, in milliseconds.
    pub acknowledged_ago_ms: u32,
}

/// What has moved over a transport, and how its path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vitals {
    /// Bytes from the peer and bytes that it has, as they were on the wire; none where nobody counts them.
    pub bytes: Option<(u64, u64)>,
    /// None where no single TCP connection carries it.
    pub path: Option<PathState>,
}

/// What the kernel knows of the connection, open or ended. Linux only.
#[cfg(target_os = "linux")]
pub fn tcp_vitals(socket: &impl AsRawFd) -> Vitals {
    let mut words = [0_u32; WORDS];
    let mut length = size_of_val(&words) as libc::socklen_t;
    // SAFETY: `words` is `length` bytes of plain numbers that live through the call, and the kernel writes no more than
    // `length` bytes. A descriptor that is no TCP socket makes an error.
    #[allow(unsafe_code)]
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    // Since Linux 4.2 (2015) the answer reaches as far as the bytes.
    if answer != 0 || (length as usize) < (BYTES_RECEIVED + 2) * size_of::<u32>() {
        return Vitals::default();
    }
    let long = |at: usize| {
        // The struct is aligned to 8 bytes, and its numbers are in the machine's own order.
        let [first, second] = [words[at], words[at + 1]].map(u32::to_ne_bytes);
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&first);
        bytes[4..].copy_from_slice(&second);
        u64::from_ne_bytes(bytes)
    };
    // The first 8 bytes are 8 small numbers: state, ca_state, retransmits, probes, ...
    let [_, _, retransmits, probes] = words[0].to_ne_bytes();
    Vitals {
        bytes: Some((long(BYTES_RECEIVED), long(BYTES_ACKED))),
        path: Some(PathState {
            rtt_us: words[RTT],
            rtt_variation_us: words[RTT_VARIATION],
            unacknowledged: words[UNACKED],
            unanswered: u32::from(retransmits.max(probes)),
            retransmits: words[TOTAL_RETRANS],
            congestion_window: words[SND_CWND],
            not_sent_bytes: words[NOTSENT_BYTES],
            acknowledged_ago_ms: words[LAST_ACK_RECV],
        }),
    }
}

/// Nothing is known elsewhere.
#[cfg(not(target_os = "linux"))]
pub fn tcp_vitals(_: &impl AsRawFd) -> Vitals {
    Vitals::default()
}

// Where the numbers stand in `struct tcp_info` (linux/tcp.h), in words of 4 bytes. It only grows at its end.
#[cfg(target_os = "linux")]
mod place {
    pub const UNACKED: usize = 6;
    pub const LAST_ACK_RECV: usize = 14;
    pub const RTT: usize = 17;
    pub const RTT_VARIATION: usize = 18;
    pub const SND_CWND: usize = 20;
    pub const TOTAL_RETRANS: usize = 25;
    pub const BYTES_ACKED: usize = 30;
    pub const BYTES_RECEIVED: usize = 32;
    pub const NOTSENT_BYTES: usize = 36;
    pub const WORDS: usize = 38;
}
#[cfg(target_os = "linux")]
use place::*;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, peer)
    }

    #[test]
    fn the_kernel_has_counted_the_bytes_and_the_round_trip() {
        let (mut ours, mut peer) = pair();
        peer.write_all(&[1; 100]).unwrap();
        ours.read_exact(&mut [0; 100]).unwrap();
        ours.write_all(&[2; 50]).unwrap();
        peer.read_exact(&mut [0; 50]).unwrap();
        let vitals = tcp_vitals(&ours);
        // On loopback the acknowledgement is there before the peer has read.
        assert_eq!(vitals.bytes, Some((100, 50)));
        let path = vitals.path.unwrap();
        assert!(path.rtt_us > 0 && path.rtt_us < 1_000_000 && path.congestion_window > 0, "{path:?}");
        assert_eq!((path.unacknowledged, path.not_sent_bytes), (0, 0), "{path:?}");
    }

    #[test]
    fn after_a_reset_the_bytes_are_still_known() {
        let (mut ours, mut peer) = pair();
        peer.write_all(&[1; 100]).unwrap();
        ours.read_exact(&mut [0; 100]).unwrap();
        let reset = socket2::SockRef::from(&peer);
        reset.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(peer);
        assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(tcp_vitals(&ours).bytes, Some((100, 0)));
    }

    #[test]
    fn what_is_no_tcp_socket_has_no_vitals() {
        let (ours, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(tcp_vitals(&ours), Vitals::default());
    }
}
