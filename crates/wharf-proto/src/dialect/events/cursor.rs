//! The position of an EventSource in all of its channels, as one opaque text: an EventSource sends back only the
//! last id it saw.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::message::{Channel, Position};

/// The most channels of one cursor. See LIMITS.md, `cursor_channels`.
pub const CURSOR_CHANNELS: usize = 128;

/// The longest cursor, in bytes, so that it fits a request's head. See LIMITS.md, `cursor_bytes`.
pub const CURSOR_BYTES: usize = 8_192;

/// Positions by channel. On the wire URL-safe base64 without padding (RFC 4648 section 5) of one line for each
/// channel: the eight letters of the epoch, the offset in decimal, a space, and the channel's name.
///
/// It says nothing that the client does not know and is not signed: whoever changes one asks for another
/// position, which the session checks as it checks any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    entries: Vec<(Channel, Position)>,
}

/// A text is not a cursor that Wharf wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Longer than [`CURSOR_BYTES`], or of more channels than [`CURSOR_CHANNELS`].
    #[error("the event id is longer than {CURSOR_BYTES} bytes or of more than {CURSOR_CHANNELS} channels")]
    TooLong,
    /// Not what [`Cursor::encode`] writes.
    #[error("the event id was not made by this server; connect without Last-Event-ID")]
    Junk,
}

impl Cursor {
    /// Whether the cursor over these channels always stays within its bounds. To be asked before a stream is
    /// opened: a channel that does not fit is left out of the cursor, and what is missed there is not noticed.
    pub fn fits<'a>(channels: impl IntoIterator<Item = &'a str>) -> bool {
        const EPOCH_OFFSET_SPACE_AND_LINE_END: usize = 8 + 20 + 1 + 1;
        let (mut count, mut bytes) = (0_usize, 0_usize);
        for channel in channels {
            count += 1;
            bytes += channel.len() + EPOCH_OFFSET_SPACE_AND_LINE_END;
        }
        count <= CURSOR_CHANNELS && bytes.div_ceil(3) * 4 <= CURSOR_BYTES
    }

    /// The positions.
    pub fn entries(&self) -> &[(Channel, Position)] {
        &self.entries
    }

    /// The position in one channel.
    pub fn position(&self, channel: &str) -> Option<Position> {
        self.entries.iter().find(|(name, _)| name.as_str() == channel).map(|(_, position)| *position)
    }

    /// Takes over a position. A channel that would be one too many, or too long, is left out.
    pub fn advance(&mut self, channel: &Channel, position: Position) {
        if let Some((_, held)) = self.entries.iter_mut().find(|(name, _)| name == channel) {
            *held = position;
        } else if Self::fits(self.entries.iter().map(|(name, _)| name.as_str()).chain([channel.as_str()])) {
            self.entries.push((channel.clone(), position));
        }
    }

    /// Forgets a channel.
    pub fn remove(&mut self, channel: &Channel) {
        self.entries.retain(|(name, _)| name != channel);
    }

    /// The cursor as text; nothing where there is no position to tell.
    pub fn encode(&self) -> Option<String> {
        if self.entries.is_empty() {
            return None;
        }
        let mut text = String::new();
        for (at, (channel, position)) in self.entries.iter().enumerate() {
            if at > 0 {
                text.push('\n');
            }
            text.push_str(position.epoch.as_str());
            text.push_str(itoa::Buffer::new().format(position.offset));
            text.push(' ');
            text.push_str(channel.as_str());
        }
        Some(URL_SAFE_NO_PAD.encode(text))
    }

    /// Reads exactly what [`Cursor::encode`] writes.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        if text.len() > CURSOR_BYTES {
            return Err(CursorError::TooLong);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Junk)?;
        let lines = std::str::from_utf8(&bytes).map_err(|_| CursorError::Junk)?;
        let mut entries: Vec<(Channel, Position)> = Vec::new();
        for line in lines.split('\n') {
            if entries.len() == CURSOR_CHANNELS {
                return Err(CursorError::TooLong);
            }
            let (channel, position) = entry(line).ok_or(CursorError::Junk)?;
            if entries.iter().any(|(name, _)| *name == channel) {
                return Err(CursorError::Junk);
            }
            entries.push((channel, position));
        }
        Ok(Self { entries })
    }
}

fn entry(line: &str) -> Option<(Channel, Position)> {
    let (epoch, rest) = line.split_at_checked(8)?;
    let (digits, channel) = rest.split_once(' ')?;
    let offset: u64 = digits.parse().ok()?;
    // Only one spelling of a number: no sign, no leading zeros.
    if itoa::Buffer::new().format(offset) != digits {
        return None;
    }
    let channel = Channel::parse(channel).ok()?;
    Some((channel, Position { offset, epoch: epoch.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(entries: &[(&str, u64)]) -> Cursor {
        let mut cursor = Cursor::default();
        for (channel, offset) in entries {
            let position = Position { offset: *offset, epoch: "QwErTyUi".parse().unwrap() };
            cursor.advance(&Channel::parse(channel).unwrap(), position);
        }
        cursor
    }

    fn base64(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn positions_survive_the_way_there_and_back() {
        let original = cursor(&[("news", 5), ("chat:1", 0), ("$private#42", u64::MAX)]);
        let text = original.encode().unwrap();
        assert_eq!(Cursor::decode(&text), Ok(original));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        assert_eq!(Cursor::default().encode(), None);
    }

    #[test]
    fn a_later_position_takes_the_place_of_an_earlier_one() {
        let mut cursor = cursor(&[("news", 5), ("chat", 1), ("news", 6)]);
        assert_eq!(cursor.position("news").unwrap().offset, 6);
        assert_eq!(cursor.entries().len(), 2);
        cursor.remove(&Channel::parse("news").unwrap());
        assert_eq!(cursor.position("news"), None);
    }

    // Row 65.
    #[test]
    fn junk_is_refused() {
        let junk = [
            String::new(),
            "1".into(),
            "%00".into(),
            "QwErTyUi5 news".into(),
            base64("QwErTyUi5 news") + "=",
            base64("QwErTyUi5 news") + "\n",
            base64(""),
            base64("QwErTyUi"),
            base64("QwErTyUi5"),
            base64("QwErTyUi news"),
            base64("QwErTyUi+5 news"),
            base64("QwErTyUi05 news"),
            base64("QwErTyUi-1 news"),
            base64("QwErTyUi18446744073709551616 news"),
            base64("QwErTyU15 news"),
            base64("QwErTyUi5 "),
            base64("QwErTyUi5 ne ws"),
            base64("QwErTyUi5 news\r"),
            base64("QwErTyUi5 news\n"),
            base64("QwErTyUi5 news\nQwErTyUi6 news"),
            base64("QwErTyU\u{e9}5 news"),
            URL_SAFE_NO_PAD.encode(b"QwErTyUi5 \xff"),
        ];
        for text in junk {
            assert_eq!(Cursor::decode(&text), Err(CursorError::Junk), "{text:?}");
        }
    }

    // Row 65.
    #[test]
    fn a_cursor_beyond_its_bounds_is_refused() {
        assert_eq!(Cursor::decode(&"A".repeat(CURSOR_BYTES + 1)), Err(CursorError::TooLong));
        let lines: Vec<String> = (0..=CURSOR_CHANNELS).map(|at| format!("QwErTyUi1 {at}")).collect();
        assert_eq!(Cursor::decode(&base64(&lines.join("\n"))), Err(CursorError::TooLong));
        assert!(Cursor::decode(&base64(&lines[1..].join("\n"))).is_ok());
    }

    #[test]
    fn channels_that_do_not_fit_are_told_before_and_left_out_after() {
        let short: Vec<String> = (0..=CURSOR_CHANNELS).map(|at| at.to_string()).collect();
        assert!(Cursor::fits(short[1..].iter().map(String::as_str)));
        assert!(!Cursor::fits(short.iter().map(String::as_str)));
        let entries: Vec<(&str, u64)> = short.iter().map(|name| (name.as_str(), u64::MAX)).collect();
        let full = cursor(&entries);
        assert_eq!(full.entries().len(), CURSOR_CHANNELS);
        assert!(full.encode().unwrap().len() <= CURSOR_BYTES);

        let long: Vec<String> = (0..60).map(|at| format!("{at:0>255}")).collect();
        assert!(!Cursor::fits(long.iter().map(String::as_str)));
        let entries: Vec<(&str, u64)> = long.iter().map(|name| (name.as_str(), u64::MAX)).collect();
        let full = cursor(&entries);
        assert!(full.entries().len() < 60 && full.encode().unwrap().len() <= CURSOR_BYTES);
        assert_eq!(Cursor::decode(&full.encode().unwrap()), Ok(full));
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(text in "[A-Za-z0-9_=-]{0,40}", line in "[a-zA-Z]{8}[0-9]{1,20} [!-~]{1,9}") {
            for text in [text, base64(&line)] {
                if let Ok(cursor) = Cursor::decode(&text) {
                    prop_assert_eq!(cursor.encode().unwrap(), text);
                }
            }
        }
    }
}
