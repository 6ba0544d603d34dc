//! What the contexts of permessage-deflate take, by the kernel's count: the constants that the budget counts with
//! are no less. Alone in its process, so that no other test's memory is counted.
#![cfg(all(feature = "deflate", target_os = "linux"))]

use std::fs;

use bytes::BytesMut;
use wharf_proto::websocket::{
    MessageKind,
    deflate::{Compression, Deflater, Inflater, WindowBits, deflate_context_bytes, inflate_context_bytes},
};

/// Connections of each window, to share what the allocator adds once.
const CONNECTIONS: usize = 16;

/// Memory of this process that is there, in bytes.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells a process its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it names the resident memory");
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<usize>().ok());
    kilobytes.expect("in KB") * 1_024
}

/// More than a window, twice, so that every page of a context is touched.
fn use_fully(deflater: &mut Deflater, inflater: &mut Inflater) {
    for seed in 0..4_u32 {
        let message: Vec<u8> = (0..32_768_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 23) as u8)
            .collect();
        let mut payload = BytesMut::new();
        assert!(deflater.deflate(&message, &mut payload));
        inflater
            .inflate(&payload, MessageKind::Binary, message.len(), &mut Vec::new())
            .expect("what was deflated");
    }
}

/// What one connection takes to write and to read, measured over many, which are kept: memory that was given back
/// would be taken again uncounted.
fn measure(window_bits: WindowBits, kept: &mut Vec<(Deflater, Inflater)>) -> usize {
    let compression = Compression { context_takeover: true, window_bits };
    let open = || (Deflater::new(compression), Inflater::new(compression));
    // What the thread keeps, and what the allocator takes once, is there before.
    let (mut deflater, mut inflater) = open();
    use_fully(&mut deflater, &mut inflater);
    kept.push((deflater, inflater));
    let before = resident_bytes();
    for _ in 0..CONNECTIONS {
        let (mut deflater, mut inflater) = open();
        use_fully(&mut deflater, &mut inflater);
        kept.push((deflater, inflater));
    }
    (resident_bytes() - before) / CONNECTIONS
}

// Row 38.
#[test]
fn contexts_take_no_more_than_the_budget_counts() {
    let mut kept = Vec::new();
    for bits in 9..=15 {
        let window_bits = WindowBits::new(bits).expect("9 to 15 bits");
        let counted = deflate_context_bytes(window_bits) + inflate_context_bytes(window_bits);
        let measured = measure(window_bits, &mut kept);
        println!("{bits} bits: {measured} measured, {counted} counted");
        assert!(measured <= counted, "{bits} bits: {measured} measured, {counted} counted");
        assert!(measured * 2 > counted, "a measurement that saw nothing: {measured} of {counted}");
    }
}
