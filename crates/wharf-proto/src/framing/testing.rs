//! Feeds deframers in pieces: the same bytes must give the same messages however they are cut.

use crate::{
    PeerError,
    wire::{Deframer, Incoming},
};

/// Feeds the pieces in order, up to the first error, and gives the messages found.
pub(crate) fn feed_in_pieces(
    deframer: &mut dyn Deframer,
    pieces: &[&[u8]],
) -> (Result<(), PeerError>, Vec<Vec<u8>>) {
    let mut messages = Vec::new();
    let mut sink = |incoming: Incoming<'_>| match incoming {
        Incoming::Message(_, message) => messages.push(message.to_vec()),
        other => panic!("not a message: {other:?}"),
    };
    let outcome = pieces.iter().try_for_each(|piece| deframer.feed(&mut piece.to_vec(), &mut sink));
    (outcome, messages)
}

/// Feeds `input` whole, byte by byte, and split in two at every byte; asserts that all agree.
pub(crate) fn feed_split_everywhere(
    open: &mut dyn FnMut() -> Box<dyn Deframer>,
    input: &[u8],
) -> (Vec<Vec<u8>>, Option<PeerError>) {
    let whole = feed_in_pieces(&mut *open(), &[input]);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(feed_in_pieces(&mut *open(), &bytes), whole, "byte by byte");
    for at in 0..=input.len() {
        let halves = [&input[..at], &input[at..]];
        assert_eq!(feed_in_pieces(&mut *open(), &halves), whole, "split at {at}");
    }
    (whole.1, whole.0.err())
}
