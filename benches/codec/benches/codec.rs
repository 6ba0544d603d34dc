//! The timing. A row is a criterion group, and a crate is a function in it; before a crate is timed, what it reads
//! or writes is checked.

use std::{hint::black_box, sync::atomic::Ordering, time::Duration};

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use simdutf8::basic;
use wharf_codec_bench::{
    codecs::{READ_BUFFER_BYTES, Reader, Writer, fastwebsockets, tokio_websockets, tungstenite, wharf, yawc},
    input::{Batch, Direction, Kind, SIZES, burst, fragmented, payload, single},
    pipe::Pipe,
};
use wharf_proto::websocket::{Utf8Stream, apply_mask};

const DIRECTIONS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
const KINDS: [Kind; 2] = [Kind::Text, Kind::Binary];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Sizes of the operations on bytes alone: within the first level of a cache, within the second, beyond.
const PRIMITIVE_SIZES: [usize; 3] = [1 << 10, 64 << 10, 4 << 20];

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn group<'a>(criterion: &'a mut Criterion, name: &str, bytes: usize) -> Group<'a> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64));
    group
}

fn time_reader<R: Reader>(group: &mut Group<'_>, name: &str, direction: Direction, batch: &Batch) {
    let mut reader = R::new(direction, Pipe::new(batch.wire.clone()));
    for _ in 0..3 {
        assert_eq!(reader.read(batch.messages), batch.payload_bytes, "{name} reads something else");
    }
    group.bench_function(name, |bencher| bencher.iter(|| reader.read(batch.messages)));
}

fn parse(criterion: &mut Criterion, name: &str, direction: Direction, batch: &Batch) {
    let mut group = group(criterion, name, batch.payload_bytes);
    time_reader::<wharf::Reader>(&mut group, "wharf-proto", direction, batch);
    time_reader::<tungstenite::Reader>(&mut group, "tungstenite", direction, batch);
    time_reader::<fastwebsockets::Reader>(&mut group, "fastwebsockets", direction, batch);
    time_reader::<tokio_websockets::Reader>(&mut group, "tokio-websockets", direction, batch);
    time_reader::<yawc::Reader>(&mut group, "yawc", direction, batch);
    if batch.wire.len() > READ_BUFFER_BYTES {
        time_reader::<wharf::RoomyReader>(&mut group, "wharf-proto, otherwise", direction, batch);
    }
    group.finish();
}

/// What a row of writing sends, each time it is asked to.
#[derive(Clone, Copy)]
struct Sending<'a> {
    direction: Direction,
    kind: Kind,
    payload: &'a [u8],
    messages: usize,
}

fn time_writer<W: Writer>(group: &mut Group<'_>, name: &str, sending: Sending<'_>) {
    let Sending { direction, kind, payload, messages } = sending;
    let pipe = Pipe::new(Vec::new().into());
    let sent = pipe.sent_bytes();
    let mut writer = W::new(direction, kind, payload, pipe);
    writer.write(messages);
    let expected = single(kind, direction, payload.len()).wire.len() * messages;
    assert_eq!(sent.load(Ordering::Relaxed), expected as u64, "{name} writes something else");
    group.bench_function(name, |bencher| bencher.iter(|| writer.write(messages)));
}

fn write(criterion: &mut Criterion, name: &str, sending: Sending<'_>) {
    let mut group = group(criterion, name, sending.payload.len() * sending.messages);
    time_writer::<wharf::Writer>(&mut group, "wharf-proto", sending);
    time_writer::<tungstenite::Writer>(&mut group, "tungstenite", sending);
    time_writer::<fastwebsockets::Writer>(&mut group, "fastwebsockets", sending);
    time_writer::<tokio_websockets::Writer>(&mut group, "tokio-websockets", sending);
    time_writer::<yawc::Writer>(&mut group, "yawc", sending);
    if sending.direction == Direction::ToServer && sending.payload.len() > 64 * 1024 {
        time_writer::<wharf::PieceWriter>(&mut group, "wharf-proto, otherwise", sending);
    }
    group.finish();
}

/// One message in one read.
fn parse_sizes(criterion: &mut Criterion) {
    for direction in DIRECTIONS {
        for kind in KINDS {
            for size in SIZES {
                let name = format!("parse {} {} {size}", direction.name(), kind.name());
                parse(criterion, &name, direction, &single(kind, direction, size));
            }
        }
    }
}

/// Many messages in one read, and messages in fragments.
fn parse_shapes(criterion: &mut Criterion) {
    for direction in DIRECTIONS {
        let name = format!("parse {} burst", direction.name());
        parse(criterion, &name, direction, &burst(direction));
        for kind in KINDS {
            let name = format!("parse {} {} fragments", direction.name(), kind.name());
            parse(criterion, &name, direction, &fragmented(kind, direction));
        }
    }
}

/// One message and a flush.
fn write_sizes(criterion: &mut Criterion) {
    for direction in DIRECTIONS {
        for kind in KINDS {
            for size in SIZES {
                let name = format!("write {} {} {size}", direction.name(), kind.name());
                let payload = payload(kind, size);
                write(criterion, &name, Sending { direction, kind, payload: &payload, messages: 1 });
            }
        }
    }
}

/// Many messages and one flush.
fn write_shapes(criterion: &mut Criterion) {
    for direction in DIRECTIONS {
        let name = format!("write {} burst", direction.name());
        let payload = payload(Kind::Text, 72);
        write(criterion, &name, Sending { direction, kind: Kind::Text, payload: &payload, messages: 64 });
    }
}

/// Masking, beside the peers that show theirs, and the copy of as many bytes.
fn masking(criterion: &mut Criterion) {
    for size in PRIMITIVE_SIZES {
        let mut bytes = payload(Kind::Binary, size);
        let mut group = group(criterion, &format!("mask {size}"), size);
        group.bench_function("wharf-proto", |bencher| {
            bencher.iter(|| apply_mask(black_box(&mut bytes), black_box(KEY), 0));
        });
        group.bench_function("fastwebsockets", |bencher| {
            bencher.iter(|| ::fastwebsockets::unmask(black_box(&mut bytes), black_box(KEY)));
        });
        group.bench_function("yawc", |bencher| {
            bencher.iter(|| ::yawc::mask::apply_mask(black_box(&mut bytes), black_box(KEY)));
        });
        let source = bytes.clone();
        group.bench_function("copy", |bencher| {
            bencher.iter(|| black_box(&mut bytes[..]).copy_from_slice(black_box(&source)));
        });
        group.finish();
    }
}

/// The validation of text, whole and in pieces, beside the standard library's, and the copy of as many bytes.
fn validation(criterion: &mut Criterion) {
    for (kind, text) in [("ascii", None), ("chat", Some(Kind::Text))] {
        for size in PRIMITIVE_SIZES {
            let text = text.map_or_else(|| vec![b'a'; size], |kind| payload(kind, size));
            let mut group = group(criterion, &format!("utf8 {kind} {size}"), size);
            group.bench_function("wharf-proto", |bencher| {
                bencher.iter(|| {
                    let mut stream = Utf8Stream::default();
                    stream.feed(black_box(&text)).and_then(|()| stream.finish())
                });
            });
            group.bench_function("simdutf8", |bencher| {
                bencher.iter(|| basic::from_utf8(black_box(&text)).is_ok());
            });
            group.bench_function("std", |bencher| {
                bencher.iter(|| std::str::from_utf8(black_box(&text)).is_ok());
            });
            let mut target = text.clone();
            group.bench_function("copy", |bencher| {
                bencher.iter(|| black_box(&mut target[..]).copy_from_slice(black_box(&text)));
            });
            group.finish();
        }
    }
}

fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .sample_size(20)
        .nresamples(1_000)
        .without_plots()
}

criterion_group! {
    name = codec;
    config = settings();
    targets = parse_sizes, parse_shapes, write_sizes, write_shapes, masking, validation
}
criterion_main!(codec);
