//! The wire without a process: cutting bytes into frames, telling frames apart, measuring depth,
//! writing requests. Everything here runs once a call or more, so it counts in microseconds.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mcpvisor::jsonrpc::{Framer, Incoming, classify, push_request, too_deep};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What one read of a busy pipe brings.
const READ: usize = 64 * KIB;

/// A response whose text makes it about `size` bytes long.
fn response(size: usize) -> Vec<u8> {
    let text = "x".repeat(size.saturating_sub(90));
    let content = format!(r#"{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":7,"result":{content}}}"#).into_bytes()
}

/// As many lines as fit into `size` bytes, one at least.
fn lines(line: &[u8], size: usize) -> Vec<u8> {
    [line, b"\n"].concat().repeat((size / (line.len() + 1)).max(1))
}

/// Feeds a stream to a framer in reads and counts the frames.
fn cut(framer: &mut Framer, stream: &[u8]) -> usize {
    let mut frames = 0;
    for read in stream.chunks(READ) {
        framer.push(read);
        while let Ok(Some(frame)) = framer.next_frame() {
            black_box(frame);
            frames += 1;
        }
    }
    frames
}

fn framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    let banner = b"[12:00:00] INFO server: listening; this line is on the wrong stream".to_vec();
    let streams = [
        ("small", lines(&response(160), READ)),
        ("64KiB", lines(&response(64 * KIB), MIB)),
        ("1MiB", lines(&response(MIB), MIB)),
        ("noise", lines(&banner, READ)),
    ];
    for (name, stream) in &streams {
        let expected = stream.iter().filter(|byte| **byte == b'\n').count();
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(*name, |bencher| {
            let mut framer = Framer::new(16 * MIB);
            bencher.iter(|| assert_eq!(cut(&mut framer, stream), expected));
        });
    }
    group.finish();
}

fn classifying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    for (name, size) in [("small", 160), ("1MiB", MIB)] {
        let frame = Bytes::from(response(size));
        assert!(matches!(classify(&frame), Incoming::Response { id: 7, outcome: Ok(_) }));
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(BenchmarkId::new("response", name), |bencher| {
            bencher.iter(|| classify(black_box(&frame)));
        });
    }
    let noise = Bytes::from_static(b"listening on stdio");
    group.throughput(Throughput::Bytes(noise.len() as u64));
    group.bench_function("noise", |bencher| bencher.iter(|| classify(black_box(&noise))));
    group.finish();
}

fn depth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("too_deep");
    // The first has too few brackets to look at; the second must be walked.
    let rows = format!("[{}]", vec![r#"{"name":"a","values":[1,2,3]}"#; 30_000].join(","));
    for (name, text) in [("one long text", response(MIB)), ("many objects", rows.into_bytes())] {
        assert!(!too_deep(&text));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| too_deep(black_box(&text))));
    }
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("push_request");
    for (name, size) in [("small", 64), ("64KiB", 64 * KIB)] {
        let members = format!(r#""name":"echo","arguments":{{"text":"{}"}}"#, "x".repeat(size)).into_bytes();
        group.throughput(Throughput::Bytes(members.len() as u64));
        // The buffer is used again, as the writer of a busy child does.
        let mut out = BytesMut::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                push_request(&mut out, 123_456, "tools/call", black_box(&members), &[b""], true);
                black_box(out.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, framing, classifying, depth, writing);
criterion_main!(benches);
