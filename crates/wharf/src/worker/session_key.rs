//! The text form of a [`SessionKey`], as clients carry it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::SessionKey;

/// Worker, entry and secret.
const BYTES: usize = 2 + 8 + 16;
/// Four characters for three bytes, without padding.
const CHARACTERS: usize = 35;

impl SessionKey {
    /// Writes the key as 35 characters of `A-Z a-z 0-9 - _`.
    pub fn encode(&self) -> String {
        let mut bytes = [0; BYTES];
        bytes[..2].copy_from_slice(&self.worker.to_be_bytes());
        bytes[2..10].copy_from_slice(&self.entry.to_be_bytes());
        bytes[10..].copy_from_slice(&self.secret.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`SessionKey::encode`] writes, and no other form of it: each key has one text.
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() != CHARACTERS {
            return None;
        }
        let mut bytes = [0; BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        if length != BYTES {
            return None;
        }
        Some(Self {
            worker: u16::from_be_bytes(*bytes.first_chunk()?),
            entry: u64::from_be_bytes(*bytes[2..].first_chunk()?),
            secret: u128::from_be_bytes(*bytes[10..].first_chunk()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_survives_its_text(worker: u16, entry: u64, secret: u128) {
            let key = SessionKey { worker, entry, secret };
            let text = key.encode();
            prop_assert_eq!(text.len(), CHARACTERS);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            let read = SessionKey::decode(&text).unwrap();
            prop_assert!(read == key);
        }

        #[test]
        fn a_text_that_is_read_is_the_one_that_is_written(text in "[A-Za-z0-9_-]{35}") {
            if let Some(key) = SessionKey::decode(&text) {
                prop_assert_eq!(key.encode(), text);
            }
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        let text = SessionKey { worker: 1, entry: 2, secret: 3 }.encode();
        let padded = format!("{text}=");
        for other in ["", "abc", &text[1..], &padded, &text.replace('A', "+"), &text.replace('A', "\u{e9}")] {
            assert!(SessionKey::decode(other).is_none(), "{other}");
        }
    }
}
