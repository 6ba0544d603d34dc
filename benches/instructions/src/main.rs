//! `wharf-codec-instructions OPERATION TIMES`: carries out one operation as often as asked, for callgrind to count
//! the instructions. Nothing waits and little is copied, so that two runs differ by the operation alone.
#![forbid(unsafe_code)]

use std::{env, hint::black_box, process::ExitCode};

use bytes::BytesMut;
use wharf_proto::websocket::{
    DeframeLimits, Opcode, Role, Utf8Stream, WebsocketDeframer, apply_mask, write_frame,
};

/// A mask that changes nothing: what is read in place can be read again.
const STILL: Option<[u8; 4]> = Some([0; 4]);

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let [operation, times] = &words[..] else { return usage() };
    let Ok(times) = times.parse() else { return usage() };
    match &operation[..] {
        "parse_text_128" => parse(&frames(Opcode::Text, 128, 1), 1, times),
        "parse_binary_1024" => parse(&frames(Opcode::Binary, 1024, 1), 1, times),
        "parse_burst" => parse(&frames(Opcode::Binary, 72, 64), 64, times),
        "mask_16384" => mask(times),
        "validate_16384" => validate(times),
        "write_masked_128" => write(&[b'w'; 128], Some([1, 2, 3, 4]), times),
        "write_unmasked_128" => write(&[b'w'; 128], None, times),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: wharf-codec-instructions OPERATION TIMES; the operations are the arms of its main");
    ExitCode::FAILURE
}

fn frames(opcode: Opcode, len: usize, count: usize) -> Vec<u8> {
    let mut out = BytesMut::new();
    (0..count).for_each(|_| write_frame(&mut out, opcode, &vec![b'w'; len], STILL));
    out.to_vec()
}

fn parse(wire: &[u8], messages: usize, times: usize) {
    let mut deframer = WebsocketDeframer::new(Role::Server, DeframeLimits::default());
    let mut buffer = wire.to_vec();
    let mut found = 0;
    for _ in 0..times {
        let fed = deframer.feed(&mut buffer, &mut |event| {
            black_box(event);
            found += 1;
        });
        fed.unwrap(); // The input is right.
    }
    assert_eq!(found, times * messages);
}

fn mask(times: usize) {
    let mut bytes = vec![b'w'; 16 << 10];
    (0..times).for_each(|_| apply_mask(black_box(&mut bytes), black_box([1, 2, 3, 4]), 0));
}

fn validate(times: usize) {
    let text = "Fähre ".repeat(16 << 10).into_bytes();
    for _ in 0..times {
        let mut stream = Utf8Stream::default();
        stream.feed(black_box(&text[..16 << 10])).unwrap(); // It is text.
        black_box(stream);
    }
}

fn write(payload: &[u8], mask: Option<[u8; 4]>, times: usize) {
    let mut out = BytesMut::new();
    for _ in 0..times {
        out.clear();
        write_frame(&mut out, Opcode::Binary, black_box(payload), mask);
        black_box(&out);
    }
}
