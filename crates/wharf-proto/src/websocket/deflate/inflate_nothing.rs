//! Stands in for the inflater where the crate is built without the feature `deflate`: there is none.

use crate::websocket::{FrameError, MessageKind};

/// Cannot be made.
#[derive(Debug)]
pub enum Inflater {}

impl Inflater {
    pub(in crate::websocket) fn longest_payload(&self, _message_bytes: usize, _fragments: u32) -> u64 {
        match *self {}
    }

    pub(in crate::websocket) fn memory_bytes(&self) -> usize {
        match *self {}
    }

    pub(in crate::websocket) fn inflate(
        &mut self,
        _payload: &[u8],
        _kind: MessageKind,
        _limit: usize,
        _out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        match *self {}
    }
}
