//! Patterns over channel names: `*` stands for any run of characters, also none; `?` for any one character;
//! everything else for itself.

use wharf_proto::message::CHANNEL_NAME_BYTES;

/// The most characters of a pattern, `*` not counted. See LIMITS.md, `channel_name_bytes`.
const ATOMS: usize = CHANNEL_NAME_BYTES;

/// A pattern that was read. Matching takes the same few steps for each byte of the name, whatever the pattern
/// is: all places of the pattern that the name can have reached are kept as bits, and move together.
#[derive(Debug, Clone)]
pub struct Glob {
    /// For each byte, the places of the pattern that accept it.
    accepts: Box<[Places]>,
    /// The places before which a `*` stands: where a match may stay, whatever byte comes.
    stays: Places,
    /// The place after the last.
    end: usize,
}

/// A pattern that cannot match any channel name, since it asks for more characters than a name can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pattern asks for more than {ATOMS} characters, and no channel name is that long")]
pub struct PatternTooLong;

impl Glob {
    /// Reads a pattern.
    pub fn parse(pattern: &str) -> Result<Self, PatternTooLong> {
        let mut glob =
            Self { accepts: vec![Places::default(); 256].into(), stays: Places::default(), end: 0 };
        for byte in pattern.bytes() {
            if byte == b'*' {
                glob.stays.add(glob.end);
                continue;
            }
            if glob.end == ATOMS {
                return Err(PatternTooLong);
            }
            let accepted = if byte == b'?' { 0..=255 } else { byte..=byte };
            for accepted in accepted {
                glob.accepts[usize::from(accepted)].add(glob.end);
            }
            glob.end += 1;
        }
        Ok(glob)
    }

    /// Whether the whole name is as the pattern says.
    pub fn matches(&self, name: &str) -> bool {
        let mut reached = Places::default();
        reached.add(0);
        for byte in name.bytes() {
            let stepped = reached.both(self.accepts[usize::from(byte)]).next();
            reached = reached.both(self.stays).either(stepped);
        }
        reached.holds(self.end)
    }
}

/// A set of places, 0 to [`ATOMS`].
#[derive(Debug, Clone, Copy, Default)]
struct Places([u64; WORDS]);

const WORDS: usize = ATOMS / 64 + 1;

impl Places {
    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn holds(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn both(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    fn either(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Each place moved on by one. The last place never moves: nothing accepts there.
    fn next(self) -> Self {
        Self(std::array::from_fn(|word| {
            let carried = if word == 0 { 0 } else { self.0[word - 1] >> 63 };
            self.0[word] << 1 | carried
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(name)
    }

    /// The definition, written out; exponential, for short words only.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skip| by_definition(rest, &name[skip..])),
            Some((first, rest)) => name
                .split_first()
                .is_some_and(|(byte, name)| (*first == b'?' || first == byte) && by_definition(rest, name)),
        }
    }

    proptest! {
        #[test]
        fn matches_as_defined(pattern in "[ab?*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), by_definition(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn a_star_is_any_run_and_a_question_mark_is_one_character() {
        assert!(matches("*", "") && matches("*", "news:sport"));
        assert!(matches("news:*", "news:") && matches("news:*", "news:sport"));
        assert!(!matches("news:*", "old-news:sport"));
        assert!(matches("chat-?", "chat-1"));
        assert!(!matches("chat-?", "chat-") && !matches("chat-?", "chat-12"));
    }

    #[test]
    fn other_characters_of_patterns_elsewhere_are_themselves() {
        assert!(matches("[a].{b}\\", "[a].{b}\\"));
        assert!(!matches("[ab]", "a"));
    }

    #[test]
    fn the_longest_pattern_meets_the_longest_name() {
        let name = "a".repeat(CHANNEL_NAME_BYTES);
        assert!(matches(&name, &name));
        assert!(matches(&"?".repeat(CHANNEL_NAME_BYTES), &name));
        assert!(!matches(&name[1..], &name));
        assert_eq!(Glob::parse(&"?".repeat(CHANNEL_NAME_BYTES + 1)).unwrap_err(), PatternTooLong);
    }

    #[test]
    fn a_pattern_made_to_backtrack_takes_no_longer() {
        let pattern = "a*".repeat(CHANNEL_NAME_BYTES - 1) + "b";
        assert!(!matches(&pattern, &"a".repeat(CHANNEL_NAME_BYTES)));
    }
}
