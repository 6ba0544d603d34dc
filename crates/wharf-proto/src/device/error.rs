//! What is wrong with the description of a kind of device.

/// A description that cannot be: which key is at fault, and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct ProfileError {
    /// The key, as in `framing.length.bytes` or `up[1].channel`; elements are counted from 0.
    pub key: String,
    /// What is wrong, and what to write.
    pub message: String,
}

impl ProfileError {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// The same fault of a part that stands below `key`.
    pub(super) fn below(mut self, key: &str) -> Self {
        let joint = if self.key.is_empty() || self.key.starts_with('[') { "" } else { "." };
        self.key = format!("{key}{joint}{}", self.key);
        self
    }
}
