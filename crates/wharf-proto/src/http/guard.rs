//! The state machine that follows one connection: head, body, next head. All its transitions are in
//! [`Guard::step`] and the functions it names. Does not know what a head or a chunk line must look like.

use super::{
    BodyLength, GuardLimits, Head, Refusal, chunked, field,
    judge::{self, Facts},
    limits::{Line, METHOD_BYTES, line},
};

/// Judges the bytes of one HTTP/1.x connection before a parser sees them.
///
/// Feeding the same bytes in any pieces lets the same bytes pass and gives the same heads and the same refusal.
/// It holds a few hundred bytes and no buffer; the caller's needs room for [`GuardLimits::head_bytes`].
#[derive(Debug, Clone)]
pub struct Guard {
    limits: GuardLimits,
    state: State,
    /// How many leading bytes of the caller's buffer were searched for the line end that is awaited.
    scanned: usize,
    /// Whether another request may follow the one under way.
    keeps_alive: bool,
    /// How many bytes the chunks of the body under way may still have.
    body_budget: u64,
}

/// What the guard says of the start of the buffer.
#[derive(Debug, Clone)]
pub enum Step<'a> {
    /// Nothing yet: keep all bytes and come again with more behind them.
    NeedMore,
    /// A whole head stands at the buffer's start. Its [`Head::len`] bytes may pass; take them from the buffer
    /// before the next step, whoever gets them.
    Head(Head<'a>),
    /// Take `take` bytes from the buffer, of which the first `pass` may pass; the others are dropped.
    #[allow(missing_docs)]
    Bytes { take: usize, pass: usize },
    /// The request that began with the last head is whole. Nothing is to be taken.
    End,
}

#[derive(Debug, Clone)]
enum State {
    /// Between requests.
    Blank {
        lines: usize,
    },
    /// The lines before `line_start` are judged.
    Fields {
        line_start: usize,
        facts: Facts,
    },
    /// Content-Length, of which so many bytes are to come.
    Counted(u64),
    ChunkLine,
    /// The size was passed on and its extension dropped; the line's CR LF is next.
    ChunkLineEnd(u64),
    ChunkData(u64),
    /// The CR LF behind a chunk's data.
    ChunkDataEnd,
    Trailers {
        fields: usize,
        bytes: usize,
    },
    Whole,
    /// The client said that this request was the last.
    Closed,
    Refused(Refusal),
}

impl Guard {
    /// A guard for a new connection.
    pub fn new(limits: GuardLimits) -> Self {
        Self { limits, state: State::Blank { lines: 0 }, scanned: 0, keeps_alive: true, body_budget: 0 }
    }

    /// Whether no request is under way: none of a head's bytes was seen since the last [`Step::End`].
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Blank { .. } | State::Closed) && self.scanned == 0
    }

    /// Judges the start of `buffer`, which holds what came from the peer and was not yet taken. What a step
    /// says to take must be taken before the next. A refusal is final: every further step repeats it.
    pub fn step<'b>(&mut self, buffer: &'b [u8]) -> Result<Step<'b>, Refusal> {
        let step = self.next(buffer);
        if let Err(refusal) = &step {
            self.state = State::Refused(*refusal);
        }
        step
    }

    fn next<'b>(&mut self, buffer: &'b [u8]) -> Result<Step<'b>, Refusal> {
        match self.state {
            State::Blank { lines } => match self.request_line(lines, buffer)? {
                // The fields may be in the buffer already.
                None => self.next(buffer),
                Some(step) => Ok(step),
            },
            State::Fields { ref mut line_start, ref mut facts } => {
                match read_fields(buffer, line_start, facts, &mut self.scanned, &self.limits)? {
                    false => Ok(Step::NeedMore),
                    true => {
                        let head = Head::new(&buffer[..*line_start], facts.clone());
                        self.start_body(&head);
                        Ok(Step::Head(head))
                    }
                }
            }
            State::Counted(left) => Ok(self.data(left, buffer, State::Counted, State::Whole)),
            State::ChunkLine => self.chunk_line(buffer),
            State::ChunkLineEnd(0) => self.line_end(buffer, State::Trailers { fields: 0, bytes: 0 }),
            State::ChunkLineEnd(size) => self.line_end(buffer, State::ChunkData(size)),
            State::ChunkData(left) => Ok(self.data(left, buffer, State::ChunkData, State::ChunkDataEnd)),
            State::ChunkDataEnd => self.line_end(buffer, State::ChunkLine),
            State::Trailers { fields, bytes } => self.trailers(fields, bytes, buffer),
            State::Whole => {
                self.state = if self.keeps_alive { State::Blank { lines: 0 } } else { State::Closed };
                Ok(Step::End)
            }
            // RFC 9112 section 9.6: nothing behind a request with `Connection: close` is processed.
            State::Closed if buffer.is_empty() => Ok(Step::NeedMore),
            State::Closed => Ok(Step::Bytes { take: buffer.len(), pass: 0 }),
            State::Refused(refusal) => Err(refusal),
        }
    }

    /// Skips one blank line, or judges the request line. `None`: it was judged, and the fields are next.
    fn request_line<'b>(&mut self, lines: usize, buffer: &'b [u8]) -> Result<Option<Step<'b>>, Refusal> {
        // RFC 9112 section 2.2: a server ought to ignore a blank line before the request line.
        if buffer.starts_with(b"\r\n") {
            if lines == self.limits.leading_blank_lines {
                return Err(Refusal::BlankLines { limit: lines });
            }
            return Ok(Some(self.take(2, 0, State::Blank { lines: lines + 1 })));
        }
        let limit =
            (METHOD_BYTES + self.limits.target_bytes + "  HTTP/1.1\r\n".len()).min(self.limits.head_bytes);
        match line(buffer, 0, &mut self.scanned, limit)? {
            Line::Partial => Ok(Some(Step::NeedMore)),
            Line::TooLong => Err(judge::endless_request_line(&buffer[..limit], &self.limits)),
            Line::Whole(line) => {
                let facts = Facts::from_request_line(line, &self.limits)?;
                self.state = State::Fields { line_start: self.scanned, facts };
                Ok(None)
            }
        }
    }

    fn start_body(&mut self, head: &Head<'_>) {
        self.scanned = 0;
        self.keeps_alive = head.keeps_alive();
        self.body_budget = self.limits.body_bytes;
        self.state = match head.body() {
            BodyLength::None | BodyLength::Bytes(0) => State::Whole,
            BodyLength::Bytes(length) => State::Counted(length),
            BodyLength::Chunked => State::ChunkLine,
        };
    }

    /// Lets through what there is of `left` bytes of data.
    fn data<'b>(&mut self, left: u64, buffer: &'b [u8], more: fn(u64) -> State, then: State) -> Step<'b> {
        // A length that does not fit `usize` is longer than any buffer.
        let take = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match left - take as u64 {
            _ if take == 0 => Step::NeedMore,
            0 => self.take(take, take, then),
            left => self.take(take, take, more(left)),
        }
    }

    fn chunk_line<'b>(&mut self, buffer: &'b [u8]) -> Result<Step<'b>, Refusal> {
        let limit = self.limits.chunk_line_bytes;
        let line = match line(buffer, 0, &mut self.scanned, limit)? {
            Line::Partial => return Ok(Step::NeedMore),
            Line::TooLong => return Err(Refusal::ChunkLineTooLong { limit }),
            Line::Whole(line) => line,
        };
        let chunk = chunked::judge(line)?;
        self.body_budget = self
            .body_budget
            .checked_sub(chunk.size)
            .ok_or(Refusal::BodyTooLarge { limit: self.limits.body_bytes })?;
        // RFC 9112 section 7.1.1: extensions that are not understood are ignored; none is here, so none passes.
        Ok(self.take(line.len(), chunk.digits, State::ChunkLineEnd(chunk.size)))
    }

    /// Lets through the CR LF that must stand here.
    fn line_end<'b>(&mut self, buffer: &'b [u8], then: State) -> Result<Step<'b>, Refusal> {
        match buffer {
            [b'\r', b'\n', ..] => Ok(self.take(2, 2, then)),
            [] | [b'\r'] => Ok(Step::NeedMore),
            _ => Err(Refusal::ChunkEnd),
        }
    }

    /// Judges one trailer line. RFC 9110 section 6.5.1: a trailer must not become a header field where that
    /// could change what the request means; here none passes.
    fn trailers<'b>(&mut self, fields: usize, bytes: usize, buffer: &'b [u8]) -> Result<Step<'b>, Refusal> {
        let too_large = Refusal::TrailersTooLarge { limit: self.limits.trailer_bytes };
        let left = self.limits.trailer_bytes - bytes;
        // The blank line that ends the section is not counted.
        let line = match line(buffer, 0, &mut self.scanned, left + 2)? {
            Line::Partial => return Ok(Step::NeedMore),
            Line::TooLong => return Err(too_large),
            Line::Whole(b"") => return Ok(self.take(2, 2, State::Whole)),
            Line::Whole(line) => line,
        };
        field::judge(line)?;
        if fields == self.limits.trailer_fields {
            return Err(Refusal::TooManyTrailers { limit: fields });
        }
        let taken = line.len() + 2;
        if taken > left {
            return Err(too_large);
        }
        Ok(self.take(taken, 0, State::Trailers { fields: fields + 1, bytes: bytes + taken }))
    }

    fn take<'b>(&mut self, take: usize, pass: usize, then: State) -> Step<'b> {
        self.scanned = 0;
        self.state = then;
        Step::Bytes { take, pass }
    }
}

/// Judges every whole header line from `line_start` on. True: the blank line came, and `line_start` is behind it.
fn read_fields(
    buffer: &[u8],
    line_start: &mut usize,
    facts: &mut Facts,
    scanned: &mut usize,
    limits: &GuardLimits,
) -> Result<bool, Refusal> {
    loop {
        let line = match line(buffer, *line_start, scanned, limits.head_bytes)? {
            Line::Partial => return Ok(false),
            Line::TooLong => return Err(Refusal::HeadTooLarge { limit: limits.head_bytes }),
            Line::Whole(line) => line,
        };
        if line.is_empty() {
            facts.conclude(&buffer[..*line_start], limits)?;
            *line_start = *scanned;
            return Ok(true);
        }
        facts.add_field(line, *line_start, limits)?;
        *line_start = *scanned;
    }
}
