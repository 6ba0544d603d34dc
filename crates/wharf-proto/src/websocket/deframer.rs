//! Cuts a stream of bytes into messages: joins fragments, takes masks off, checks text, and holds every rule that
//! spans frames (RFC 6455 sections 5.4, 5.5 and 8.1). The rules of a single header are in [`super::frame`].
//!
//! What it does not know: who reads the bytes, what answers a ping, and when the connection is closed.

use std::mem;

use super::{
    CloseCode, DeframeLimits, FrameError, FrameHeader, MAX_HEADER_BYTES, MessageKind, Opcode, ReservedBits,
    Role, Utf8Stream, apply_mask,
    deflate::Inflater,
    parse_close,
    payload::{keep_piece, reserve},
};

/// What a deframer found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebsocketEvent<'a> {
    /// One whole message.
    Message {
        /// Text or binary. The payload of text is valid UTF-8, unless `rsv1` is set.
        kind: MessageKind,
        /// The message, its fragments joined and its mask taken off.
        payload: &'a [u8],
        /// The extension's mark. Never set unless [`WebsocketDeframer::allow_rsv1`] allowed it; then the payload
        /// is the extension's to read, and to check.
        rsv1: bool,
    },
    /// Answer with a pong that carries the same payload, of at most 125 bytes (RFC 6455 section 5.5.3).
    Ping(&'a [u8]),
    /// The answer to a ping, or an unasked sign of life.
    Pong(&'a [u8]),
    /// The peer closes. Answer with a close frame, unless one was sent already (RFC 6455 section 5.5.1). Nothing
    /// that follows is looked at. After an error it is all that can come.
    Close {
        /// Why, for programs; a close frame may come without.
        code: Option<CloseCode>,
        /// Why, for people.
        reason: &'a str,
    },
}

/// Cuts one connection's bytes into messages. Feeding the same bytes in any pieces gives the same events and the
/// same error.
///
/// After an error that leaves known where frames end ([`FrameError::leaves_boundaries`]), the peer's close frame is
/// still found and handed out, and nothing else: payloads are passed over, and only a header or a close frame that is
/// not whole takes memory. Who has said a close frame of its own waits for this one before it ends its half of the
/// stream, or for [`has_ended`](WebsocketDeframer::has_ended); and how long is its own to bound.
///
/// A message that lies whole in the input is handed out where it lies. Memory is taken only for a message whose
/// end has not come, only as its bytes come (a declared length takes none), at most twice what came and never
/// more than the limit; and is given back with the message's end. Between messages a deframer is a few words, and
/// what an agreement on compression says that it remembers.
#[derive(Debug)]
pub struct WebsocketDeframer {
    /// The two of [`DeframeLimits`], which side by side with what follows leave no gap.
    message_bytes: usize,
    fragments: u32,
    role: Role,
    reserved: ReservedBits,
    reads: Reads,
    /// So many bytes are still to be passed over, after a rule was broken.
    skip: u64,
    partial: Option<Box<Partial>>,
    /// Reads the messages that RSV1 marks, where compression was agreed on.
    inflater: Option<Box<Inflater>>,
}

/// What is looked for in what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    Messages,
    /// A rule was broken, by what does not hide where frames end: the peer's close frame and nothing else.
    Close,
    /// A close frame came, or a rule was broken and nobody knows where the next frame begins.
    Nothing,
}

/// What has come of a message, or of a frame, whose end has not.
#[derive(Debug, Default)]
struct Partial {
    /// The beginning of a header that is not whole.
    header: [u8; MAX_HEADER_BYTES],
    header_len: u8,
    /// The frame whose payload is being read, and how much of it has come.
    frame: Option<(FrameHeader, u64)>,
    /// What the first frame said of the message being read.
    opening: Option<Opening>,
    /// How many frames of the message have begun.
    fragments: u32,
    utf8: Utf8Stream,
    message: Vec<u8>,
    /// The payload of a control frame that is not whole. It may come between the fragments of a message.
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Opening {
    kind: MessageKind,
    rsv1: bool,
}

impl WebsocketDeframer {
    /// The reading side of one who plays `role`: a server refuses frames that are not masked, a client those
    /// that are.
    pub fn new(role: Role, limits: DeframeLimits) -> Self {
        let (reserved, reads) = (ReservedBits::Forbidden, Reads::Messages);
        let DeframeLimits { message_bytes, fragments } = limits;
        Self { message_bytes, fragments, role, reserved, reads, skip: 0, partial: None, inflater: None }
    }

    /// Lets the peer mark messages by RSV1, as permessage-deflate does once both sides agreed on it (RFC 7692).
    /// The limits then hold for the bytes on the wire; whoever inflates bounds what comes out.
    pub fn allow_rsv1(mut self) -> Self {
        self.reserved = ReservedBits::Rsv1;
        self
    }

    /// Reads messages that RSV1 marks by `inflater`, and hands out what was in them, without the mark. The limit
    /// holds for the message, and with what compression can add to it for the bytes on the wire; text is checked
    /// when it is inflated, which is when its last fragment came.
    #[cfg(feature = "deflate")]
    pub fn with_inflater(mut self, inflater: Inflater) -> Self {
        self.reserved = ReservedBits::Rsv1;
        self.inflater = Some(Box::new(inflater));
        self
    }

    /// Takes all of `input`, changing it in place, and calls `sink` for each thing found, in order.
    ///
    /// After [`WebsocketEvent::Close`] the stream is at its end: what follows is ignored. So it is after an error,
    /// but for the peer's close frame where it can still be found, in the rest of `input` too: a
    /// [`WebsocketEvent::Close`] that was handed out by a call that fails came behind what is wrong.
    pub fn feed(
        &mut self,
        input: &mut [u8],
        sink: &mut dyn FnMut(WebsocketEvent<'_>),
    ) -> Result<(), FrameError> {
        let mut rest = input;
        let mut result = Ok(());
        while !rest.is_empty() {
            // The first thing that is wrong is told. An error takes nothing, but then there is something to skip.
            let taken = self.feed_one(rest, sink).unwrap_or_else(|error| {
                result = result.and(Err(error));
                0
            });
            rest = &mut mem::take(&mut rest)[taken..];
        }
        result
    }

    /// Takes as much from the start of `input` as makes at most one event, and returns how much that was: something
    /// of what there is. For callers that act on one event before they look for the next.
    ///
    /// An error takes nothing. Who wants to hear the peer's close frame after it goes on with the same input.
    pub fn feed_one(
        &mut self,
        input: &mut [u8],
        sink: &mut dyn FnMut(WebsocketEvent<'_>),
    ) -> Result<usize, FrameError> {
        if input.is_empty() {
            return Ok(0);
        }
        if self.reads != Reads::Messages {
            let passed_over = self.pass_over(input.len());
            if passed_over > 0 {
                return Ok(passed_over);
            }
        }
        match self.partial.as_ref().and_then(|partial| partial.frame) {
            Some((header, received)) => {
                let left = header.payload_len - received;
                let result = self.continue_frame(header, received, input, sink);
                result.inspect_err(|error| self.break_off(*error, left))
            }
            None => self.begin_frame(input, sink),
        }
    }

    /// Whether nothing more is handed out: a close frame came, or a rule was broken so that nobody knows where the
    /// next frame begins.
    pub fn has_ended(&self) -> bool {
        self.reads == Reads::Nothing
    }

    /// Bytes held of a message that is not whole yet: its payload so far, or a header that is not whole.
    pub fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            usize::from(partial.header_len) + partial.message.len() + partial.control.len()
        })
    }

    /// Memory taken beyond the deframer itself, in bytes: none between messages, and never more than
    /// [`DeframeLimits::message_bytes`] and [`Self::OVERHEAD_BYTES`]. Where compression was agreed on, what its
    /// context takes comes to that; and of a compressed message what can be longer on the wire than it is itself.
    pub fn memory_bytes(&self) -> usize {
        let partial = self.partial.as_ref().map_or(0, |partial| {
            size_of::<Partial>() + partial.message.capacity() + partial.control.capacity()
        });
        let inflater =
            self.inflater.as_ref().map_or(0, |inflater| size_of::<Inflater>() + inflater.memory_bytes());
        partial + inflater
    }

    /// The most memory that a partial message takes beside its payload: what is known about it, and a control
    /// frame in its middle. LIMITS.md counts it.
    pub const OVERHEAD_BYTES: usize = size_of::<Partial>() + super::MAX_CONTROL_BYTES;

    /// Reads a header, and the payload too if it lies whole in `input`. Returns how much was taken.
    fn begin_frame(
        &mut self,
        input: &mut [u8],
        sink: &mut dyn FnMut(WebsocketEvent<'_>),
    ) -> Result<usize, FrameError> {
        let found = self.read_header(input).inspect_err(|_| self.end())?;
        let Some((header, taken)) = found else { return Ok(input.len()) };
        if self.reads == Reads::Close && header.opcode != Opcode::Close {
            self.skip = header.payload_len;
            return Ok(taken);
        }
        let result = self.begin_payload(header, taken, input, sink);
        result.inspect_err(|error| self.break_off(*error, taken as u64 + header.payload_len))
    }

    /// Reads what has come of the payload behind a header, which took `taken` bytes of `input`. Returns how much was
    /// taken of it in all.
    fn begin_payload(
        &mut self,
        header: FrameHeader,
        taken: usize,
        input: &mut [u8],
        sink: &mut dyn FnMut(WebsocketEvent<'_>),
    ) -> Result<usize, FrameError> {
        let within_message = self.check_against_message(&header)?;
        let is_whole = header.opcode.is_control() || header.fin && !within_message;
        let payload = usize::try_from(header.payload_len).ok().filter(|_| is_whole);
        let Some(payload) = payload.and_then(|len| input[taken..].get_mut(..len)) else {
            return self.hold_frame(header, sink).map(|()| taken);
        };
        let taken = taken + payload.len();
        if let Some(key) = header.mask {
            apply_mask(payload, key, 0);
        }
        match Opening::of(&header) {
            Some(opening) => {
                if opening.is_checked_text() {
                    simdutf8::basic::from_utf8(payload).map_err(|_| FrameError::InvalidUtf8)?;
                }
                self.deliver_message(opening, payload, sink)?;
            }
            None => self.deliver_control(header.opcode, payload, sink)?,
        }
        Ok(taken)
    }

    /// Remembers a frame whose payload is not whole, or is not all of its message.
    fn hold_frame(
        &mut self,
        header: FrameHeader,
        sink: &mut dyn FnMut(WebsocketEvent<'_>),
    ) -> Result<(), FrameError> {
        let partial = self.partial.get_or_insert_default();
        if let Some(opening) = Opening::of(&header) {
            partial.opening = Some(opening);
        }
        partial.fragments += u32::from(!header.opcode.is_control());
        partial.frame = Some((header, 0));
        match header.payload_len {
            // An empty payload is whole already, and no byte of it will come to continue with.
            0 => self.end_frame(header, sink),
            _ => Ok(()),
        }
    }

    /// Finds a header in what was kept and `input`. Returns it and how much of `input` it took; keeps `input`
    /// and returns nothing if the header is not whole.
    fn read_header(&mut self, input: &[u8]) -> Result<Option<(FrameHeader, usize)>, FrameError> {
        let kept = self.partial.as_ref().map_or(0, |partial| usize::from(partial.header_len));
        if kept == 0 {
            let found = FrameHeader::parse(input, self.role, self.reserved)?;
            if found.is_none() {
                let partial = self.partial.get_or_insert_default();
                partial.header[..input.len()].copy_from_slice(input); // A header this long would be whole.
                partial.header_len = input.len() as u8;
            }
            return Ok(found);
        }
        let Some(partial) = &mut self.partial else { return Ok(None) }; // It holds the kept bytes.
        let added = input.len().min(MAX_HEADER_BYTES - kept);
        partial.header[kept..kept + added].copy_from_slice(&input[..added]);
        match FrameHeader::parse(&partial.header[..kept + added], self.role, self.reserved)? {
            Some((header, header_len)) => {
                partial.header_len = 0;
                if partial.opening.is_none() {
                    self.partial = None;
                }
                Ok(Some((header, header_len - kept)))
            }
            None => {
                partial.header_len = (kept + added) as u8;
                Ok(None)
            }
        }
    }

    /// The rules that a frame can break only by its place in the stream. Says whether a message is being read.
    fn check_against_message(&self, header: &FrameHeader) -> Result<bool, FrameError> {
        let message = self.partial.as_ref().filter(|partial| partial.opening.is_some());
        if header.opcode.is_control() {
            return Ok(message.is_some());
        }
        let (so_far, fragments, rsv1) = match (message, header.opcode) {
            // RFC 6455 section 5.4: the first frame has an opcode, those that follow are continuations.
            (None, Opcode::Continuation) => return Err(FrameError::StrayContinuation),
            (None, _) => (0, 0, header.rsv1),
            (Some(message), Opcode::Continuation) => {
                let marked = message.opening.is_some_and(|opening| opening.rsv1);
                (message.message.len() as u64, message.fragments, marked)
            }
            (Some(_), _) => return Err(FrameError::Interleaved),
        };
        if so_far.saturating_add(header.payload_len) > self.payload_limit(rsv1) {
            return Err(FrameError::MessageTooLong { limit: self.message_bytes });
        }
        if fragments >= self.fragments.max(1) {
            return Err(FrameError::TooManyFragments { limit: self.fragments.max(1) });
        }
        Ok(message.is_some())
    }

    /// Keeps what has come of the payload of `header`'s frame. Returns how much was taken.
    fn continue_frame(
        &mut self,
        header: FrameHeader,
        received: u64,
        input: &mut [u8],
        sink: &mut dyn FnMut(WebsocketEvent<'_>),
    ) -> Result<usize, FrameError> {
        let marked =
            self.partial.as_ref().and_then(|partial| partial.opening).is_some_and(|opening| opening.rsv1);
        let payload_limit = usize::try_from(self.payload_limit(marked)).unwrap_or(usize::MAX);
        let Some(partial) = &mut self.partial else { return Ok(input.len()) }; // It holds the frame.
        let missing = header.payload_len - received;
        let taken = usize::try_from(missing).map_or(input.len(), |missing| missing.min(input.len()));
        let phase = (received % 4) as usize;
        let text = partial.opening.is_some_and(Opening::is_checked_text).then_some(&mut partial.utf8);
        // The last frame's end is the message's: no more will be needed. It is within the limit already.
        let (buffer, text, most) = match header.opcode.is_control() {
            true => (&mut partial.control, None, header.payload_len as usize), // At most 125.
            false if header.fin => {
                let most = partial.message.len().saturating_add(missing as usize);
                (&mut partial.message, text, most)
            }
            false => (&mut partial.message, text, payload_limit),
        };
        reserve(buffer, taken, most);
        keep_piece(buffer, &input[..taken], header.mask, phase, text).map_err(|_| FrameError::InvalidUtf8)?;
        partial.frame = Some((header, received + taken as u64));
        if taken as u64 == missing {
            self.end_frame(header, sink)?;
        }
        Ok(taken)
    }

    /// The payload of a frame has come: hands out what is whole now.
    fn end_frame(
        &mut self,
        header: FrameHeader,
        sink: &mut dyn FnMut(WebsocketEvent<'_>),
    ) -> Result<(), FrameError> {
        let Some(mut partial) = self.partial.take() else { return Ok(()) }; // It holds the frame.
        partial.frame = None;
        if header.opcode.is_control() {
            let control = mem::take(&mut partial.control);
            self.partial = partial.opening.is_some().then_some(partial);
            return self.deliver_control(header.opcode, &control, sink);
        }
        match partial.opening {
            Some(opening) if header.fin => {
                if opening.is_checked_text() {
                    partial.utf8.finish().map_err(|_| FrameError::InvalidUtf8)?;
                }
                self.deliver_message(opening, &partial.message, sink)?;
            }
            _ => self.partial = Some(partial),
        }
        Ok(())
    }

    /// Hands out a whole message, inflated if it is marked and compression was agreed on.
    fn deliver_message(
        &mut self,
        opening: Opening,
        payload: &[u8],
        sink: &mut dyn FnMut(WebsocketEvent<'_>),
    ) -> Result<(), FrameError> {
        let Some(inflater) = self.inflater.as_mut().filter(|_| opening.rsv1) else {
            sink(opening.event(payload));
            return Ok(());
        };
        let mut message = Vec::new();
        inflater.inflate(payload, opening.kind, self.message_bytes, &mut message)?;
        sink(Opening { rsv1: false, ..opening }.event(&message));
        Ok(())
    }

    /// The most bytes that a message may take on the wire.
    fn payload_limit(&self, rsv1: bool) -> u64 {
        match &self.inflater {
            Some(inflater) if rsv1 => inflater.longest_payload(self.message_bytes, self.fragments),
            _ => self.message_bytes as u64,
        }
    }

    fn deliver_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        sink: &mut dyn FnMut(WebsocketEvent<'_>),
    ) -> Result<(), FrameError> {
        match opcode {
            Opcode::Ping => sink(WebsocketEvent::Ping(payload)),
            Opcode::Pong => sink(WebsocketEvent::Pong(payload)),
            Opcode::Close => {
                let (code, reason) = parse_close(payload)?;
                self.end();
                sink(WebsocketEvent::Close { code, reason });
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {} // Data is not delivered here.
        }
        Ok(())
    }

    /// A rule was broken. What is left of the frame and begins with the input that it was found in is passed over,
    /// where what comes behind it can still be told apart.
    #[cold]
    fn break_off(&mut self, error: FrameError, frame_left: u64) {
        self.end();
        if error.leaves_boundaries() {
            self.reads = Reads::Close;
            self.skip = frame_left;
        }
    }

    /// How many of the next `available` bytes are looked at by nobody.
    #[cold]
    fn pass_over(&mut self, available: usize) -> usize {
        if self.has_ended() {
            return available;
        }
        let passed_over = usize::try_from(self.skip).map_or(available, |skip| skip.min(available));
        self.skip -= passed_over as u64;
        passed_over
    }

    /// Nothing more is looked at, and everything that was kept is given back.
    fn end(&mut self) {
        self.reads = Reads::Nothing;
        self.partial = None;
        self.inflater = None;
    }
}

impl Opening {
    /// What the header says of a message that it begins.
    fn of(header: &FrameHeader) -> Option<Self> {
        let kind = match header.opcode {
            Opcode::Text => MessageKind::Text,
            Opcode::Binary => MessageKind::Binary,
            _ => return None,
        };
        Some(Self { kind, rsv1: header.rsv1 })
    }

    /// The bytes on the wire are the text itself, and not an extension's encoding of it.
    fn is_checked_text(self) -> bool {
        self.kind == MessageKind::Text && !self.rsv1
    }

    fn event(self, payload: &[u8]) -> WebsocketEvent<'_> {
        WebsocketEvent::Message { kind: self.kind, payload, rsv1: self.rsv1 }
    }
}

#[cfg(test)]
mod tests;
