//! What waits: answers to frames whose commands are under way, and questions that the device has not answered.

use std::collections::VecDeque;

/// The most bytes of answers that wait for the replies to their frames, and what keeping each costs counted in.
/// LIMITS.md, `ANSWER_BYTES`. More than all frames of one read can ask for.
pub const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// The most questions that a device has not answered. LIMITS.md, `ASKED`.
pub const ASKED: usize = 64;

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = size_of::<(u32, [Box<[u8]>; 2])>();

/// Answers that wait, by the numbers of their commands. Holds no memory while none does.
#[derive(Debug, Default)]
pub(super) struct Pending {
    answers: VecDeque<(u32, [Box<[u8]>; 2])>,
    bytes: usize,
}

impl Pending {
    /// Keeps what is said when the command goes well, and when it does not. False if too much waits.
    pub fn push(&mut self, id: u32, answers: [Box<[u8]>; 2]) -> bool {
        let bytes = answers[0].len() + answers[1].len();
        if bytes == 0 {
            return true;
        }
        if self.bytes + bytes + ENTRY_BYTES > ANSWER_BYTES {
            return false;
        }
        self.bytes += bytes + ENTRY_BYTES;
        self.answers.push_back((id, answers));
        true
    }

    /// Replies come in the order of their commands, but for engines that answer later.
    pub fn take(&mut self, id: u32) -> Option<[Box<[u8]>; 2]> {
        let at = self.answers.iter().position(|(known, _)| *known == id)?;
        let (_, answers) = self.answers.remove(at)?;
        self.bytes -= answers[0].len() + answers[1].len() + ENTRY_BYTES;
        if self.answers.is_empty() {
            self.answers = VecDeque::new();
        }
        Some(answers)
    }
}

/// Questions without an answer: the number that the device was told, and the caller's.
#[derive(Debug, Default)]
pub(super) struct Asked(VecDeque<(u32, u32)>);

impl Asked {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an answer could be that of another question too: one that was told the same number, or any where the
    /// device answers in order and says none.
    pub fn confuses(&self, shown: Option<u32>) -> bool {
        shown.map_or(!self.is_empty(), |shown| self.0.iter().any(|(known, _)| *known == shown))
    }

    /// Nobody waits for the answer to this question any more, and none is expected.
    pub fn forget(&mut self, number: u32) {
        self.0.retain(|(_, known)| *known != number);
        self.give_back();
    }

    fn give_back(&mut self) {
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
    }

    /// The device was asked what confuses nobody. At the bound nobody waits any more for the oldest: the caller's time
    /// limit is long over.
    pub fn push(&mut self, shown: u32, number: u32) {
        if self.0.len() == ASKED {
            self.0.pop_front();
        }
        self.0.push_back((shown, number));
    }

    /// The caller's number of the question that was answered: this one, or the only one.
    pub fn take(&mut self, shown: Option<u32>) -> Option<u32> {
        let at = match shown {
            Some(shown) => self.0.iter().position(|(known, _)| *known == shown)?,
            None => 0,
        };
        let (_, number) = self.0.remove(at)?;
        self.give_back();
        Some(number)
    }
}
