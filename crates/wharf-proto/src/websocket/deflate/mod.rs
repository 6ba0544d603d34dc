//! permessage-deflate (RFC 7692): messages compressed by DEFLATE, sans-IO, for both roles.
//!
//! | to | use |
//! |---|---|
//! | agree on it as server | [`DeflatePolicy`] in [`handshake::Policy`](super::handshake::Policy) |
//! | agree on it as client | [`DeflateOffer`] in [`handshake::ClientRequest`](super::handshake::ClientRequest) |
//! | read | [`Inflater`], in [`WebsocketDeframer::with_inflater`](super::WebsocketDeframer::with_inflater) |
//! | write | [`Deflater`] |
//! | bound the memory of all connections | [`CompressorBudget`] |
//!
//! # What a connection holds
//!
//! Without context takeover nothing: each message is compressed by itself, on a context that the thread keeps for
//! all its connections, so one compressed message serves every receiver that agreed on its window. With takeover
//! a connection holds what it remembers: [`deflate_context_bytes`] to write and [`inflate_context_bytes`] to read,
//! which a budget bounds.
//!
//! # Windows of 256 bytes
//!
//! RFC 7692 allows windows of 8 to 15 bits, and zlib cannot write raw DEFLATE with 8. Reading needs no care: a
//! larger window reads what was written with a smaller one. Writing does: a server declines an offer that wants
//! `server_max_window_bits=8` (section 7.1.2.1: it "doesn't support" it) and looks at the client's next offer; a
//! client that is answered with `client_max_window_bits=8` sends its messages without compression, which section
//! 6 allows for every message. What zlib does instead, to write with 9 bits and hope, breaks the agreement.
//!
//! # Example
//!
//! ```
//! # #[cfg(feature = "deflate")] {
//! use bytes::BytesMut;
//! use wharf_proto::websocket::deflate::{Agreement, Compression, Parameters, WindowBits};
//! use wharf_proto::websocket::{DeframeLimits, Opcode, Role, WebsocketDeframer, WebsocketEvent};
//!
//! // What `Accepted::into_deflate` and `Answer::deflate` say after a handshake.
//! let side = Compression { context_takeover: true, window_bits: WindowBits::MAX };
//! let agreed = Parameters { server: side, client: side };
//! let (_, mut deflater) = Agreement::new(agreed).into_halves(Role::Server);
//! let (inflater, _) = Agreement::new(agreed).into_halves(Role::Client);
//!
//! let message = "ahoy ".repeat(100);
//! let mut bytes = BytesMut::new();
//! deflater.write_frame(&mut bytes, Opcode::Text, message.as_bytes(), None);
//! assert!(bytes.len() < 40);
//!
//! let limits = DeframeLimits::default();
//! let mut deframer = WebsocketDeframer::new(Role::Client, limits).with_inflater(inflater);
//! let mut read = Vec::new();
//! let mut sink = |event: WebsocketEvent<'_>| {
//!     if let WebsocketEvent::Message { payload, .. } = event {
//!         read.push(payload.to_vec());
//!     }
//! };
//! deframer.feed(&mut bytes, &mut sink).unwrap();
//! assert_eq!(read, [message.as_bytes()]);
//! # }
//! ```
//!
//! # Secrets
//!
//! A message that holds a secret beside text of an attacker's choice tells the secret by its compressed length.
//! Nothing here can know that: whoever writes decides for each message.

mod budget;
#[cfg(feature = "deflate")]
#[expect(clippy::module_inception, reason = "the module writes what the folder is named for")]
mod deflate;
mod header;
#[cfg(feature = "deflate")]
mod inflate;
#[cfg(not(feature = "deflate"))]
mod inflate_nothing;
mod offer;

pub use budget::{CompressorBudget, Reservation};
#[cfg(feature = "deflate")]
pub use deflate::{DEFAULT_LEVEL, Deflater, MIN_DEFLATED_BYTES};
pub(super) use header::Malformed;
#[cfg(feature = "deflate")]
pub use inflate::Inflater;
#[cfg(not(feature = "deflate"))]
pub(super) use inflate_nothing::Inflater;
pub use offer::{DeflateOffer, DeflatePolicy};
pub(super) use offer::{ExtensionsValue, Negotiation};

use super::Role;

/// The name of the extension (RFC 7692 section 7).
const NAME: &str = "permessage-deflate";

/// RFC 7692 section 7.2.1: an empty block ends every message. It is taken off before sending and put back before
/// inflating.
#[cfg(feature = "deflate")]
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How far back a compressed message may refer: the base-2 logarithm, 8 to 15 (RFC 7692 section 7.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 32,768 bytes: what holds where nothing is said.
    pub const MAX: Self = Self(15);
    /// 256 bytes, which can be read and not written (see the [module](self)).
    pub const MIN: Self = Self(8);

    /// Checks a number and makes it a window.
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            8..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The number of bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The window's size, in bytes.
    pub const fn bytes(self) -> usize {
        1 << self.0
    }
}

/// What both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// What holds for the messages that the server writes.
    pub server: Compression,
    /// What holds for the messages that the client writes.
    pub client: Compression,
}

/// What holds for the messages of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// A message may refer to the messages before it (RFC 7692 section 7.1.1).
    pub context_takeover: bool,
    /// How far back a message may refer (RFC 7692 section 7.1.2).
    pub window_bits: WindowBits,
}

impl Parameters {
    /// What holds for the messages that one who plays `role` writes.
    pub fn written_by(self, role: Role) -> Compression {
        match role {
            Role::Server => self.server,
            Role::Client => self.client,
        }
    }

    /// What holds for the messages that one who plays `role` reads.
    pub fn read_by(self, role: Role) -> Compression {
        match role {
            Role::Server => self.client,
            Role::Client => self.server,
        }
    }

    /// The memory that one who plays `role` remembers by, in bytes: none in a direction without takeover.
    pub fn context_bytes(self, role: Role) -> usize {
        self.written_by(role).deflate_bytes() + self.read_by(role).inflate_bytes()
    }
}

impl Compression {
    fn deflate_bytes(self) -> usize {
        if self.context_takeover { deflate_context_bytes(self.window_bits) } else { 0 }
    }

    fn inflate_bytes(self) -> usize {
        if self.context_takeover { inflate_context_bytes(self.window_bits) } else { 0 }
    }
}

/// What a connection takes to write with context takeover, in bytes: zlib's window twice, its chains, its hash
/// table and its output. Measured for each window by a test, which holds that it is no more.
pub const fn deflate_context_bytes(window_bits: WindowBits) -> usize {
    DEFLATE_FIXED_BYTES + DEFLATE_BYTES_A_WINDOW_BYTE * window_bits.bytes()
}

/// What a connection takes to read with context takeover, in bytes: the end of what it read before, and no more
/// than came. zlib's own context, which is larger, is the thread's.
pub const fn inflate_context_bytes(window_bits: WindowBits) -> usize {
    window_bits.bytes()
}

/// The part of a deflate context that does not depend on its window.
const DEFLATE_FIXED_BYTES: usize = 232 * 1024;
/// The part that does: twice the window, and two bytes of chain for each of its bytes.
const DEFLATE_BYTES_A_WINDOW_BYTE: usize = 4;

/// That compression was agreed on, with the memory that was set aside for it.
///
/// Two are equal if they say the same; whether memory was set aside is no part of that.
#[derive(Debug)]
pub struct Agreement {
    parameters: Parameters,
    #[cfg_attr(not(feature = "deflate"), expect(dead_code, reason = "held until the agreement is dropped"))]
    reservation: Option<Reservation>,
}

impl Agreement {
    /// An agreement whose memory nobody counts, such as a client's.
    pub fn new(parameters: Parameters) -> Self {
        Self { parameters, reservation: None }
    }

    fn reserved(parameters: Parameters, reservation: Option<Reservation>) -> Self {
        Self { parameters, reservation }
    }

    /// What was agreed on.
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// The two halves of one who plays `role`. Each gives its part of the memory back when it is dropped.
    #[cfg(feature = "deflate")]
    pub fn into_halves(mut self, role: Role) -> (Inflater, Deflater) {
        let (read, written) = (self.parameters.read_by(role), self.parameters.written_by(role));
        let reserved = self.reservation.as_mut().map(|whole| whole.split(read.inflate_bytes()));
        (Inflater::reserved(read, reserved), Deflater::reserved(written, self.reservation))
    }
}

impl PartialEq for Agreement {
    fn eq(&self, other: &Self) -> bool {
        self.parameters == other.parameters
    }
}

impl Eq for Agreement {}

#[cfg(all(test, feature = "deflate"))]
mod tests;
