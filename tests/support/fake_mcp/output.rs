//! Everything that leaves on stdout: frames, and the faults that lie between and around them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::wire;

/// The kinds of junk that real servers write to stdout, used in turn.
const NOISE: [&[u8]; 6] = [
    b"Server running on stdio\n",
    b"\x1b[32minfo\x1b[0m: ready \x1b[2K\r\n",
    b"\xff\xfe\xc3\x28 not text\n",
    b"\n",
    b"{\"level\":30,\"msg\":\"JSON, but not JSON-RPC\"}\n",
    b"[1, 2, 3]\n",
];

/// The kinds of broken line that precede a reply in the same write.
const BAD_LINES: [&[u8]; 3] =
    [b"{\"jsonrpc\":\"2.0\",\"id\":\n", b"\xc3\x28\xf0\x9f\n", b"{\"jsonrpc\":\"2.0\"}}}\n"];

/// Builds frames with the faults asked for, and writes them. Shared by all threads.
pub(crate) struct Output {
    noise: bool,
    badline: bool,
    weird_ids: bool,
    turn: AtomicUsize,
}

impl Output {
    pub(crate) fn new(noise: bool, badline: bool, weird_ids: bool) -> Output {
        Output { noise, badline, weird_ids, turn: AtomicUsize::new(0) }
    }

    /// Adds one message to a batch, with line end and junk.
    pub(crate) fn frame(&self, batch: &mut Vec<u8>, message: &str) {
        if self.noise || self.badline {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            if self.noise {
                batch.extend_from_slice(NOISE[turn % NOISE.len()]);
            }
            if self.badline {
                batch.extend_from_slice(BAD_LINES[turn % BAD_LINES.len()]);
            }
        }
        batch.extend_from_slice(message.as_bytes());
        batch.extend_from_slice(if self.noise { b"\r\n" } else { b"\n" });
    }

    /// Adds the answer to a tool call: with `--weird-ids`, answers that belong to nobody stand
    /// around it. All of them say `wrong`, so that whoever takes one for the real answer is seen.
    pub(crate) fn call_reply(&self, batch: &mut Vec<u8>, id: &str, message: &str) {
        if !self.weird_ids {
            return self.frame(batch, message);
        }
        let wrong = r#"{"content":[{"type":"text","text":"wrong"}],"resultType":"complete"}"#;
        let number = id.trim_matches('"');
        for stray in ["987654321987654321", "-1", "null", "1.5", "[]", "\"nobody\"", "18446744073709551616"] {
            self.frame(batch, &wire::response(stray, wrong));
        }
        // The same digits, and more: as text alone they would be the same id.
        for other in
            [format!("\"{number}x\""), format!("\" {number}\""), format!("{number}.5"), format!("{number}0")]
        {
            self.frame(batch, &wire::response(&other, wrong));
        }
        self.frame(batch, &format!(r#"{{"jsonrpc":"2.0","result":{wrong}}}"#));
        self.frame(batch, message);
        self.frame(batch, &wire::response(id, wrong));
    }

    /// Writes a batch in one go and empties it. A client that has gone ends the process.
    pub(crate) fn send(&self, batch: &mut Vec<u8>) {
        if batch.is_empty() {
            return;
        }
        let mut stdout = io::stdout().lock();
        if stdout.write_all(batch).and_then(|()| stdout.flush()).is_err() {
            crate::die(0);
        }
        batch.clear();
    }

    /// Writes `count` bytes without a newline.
    pub(crate) fn endless_line(&self, count: usize) {
        let chunk = vec![b'x'; 64 * 1024];
        let mut stdout = io::stdout().lock();
        let mut left = count;
        while left > 0 {
            let now = left.min(chunk.len());
            if stdout.write_all(&chunk[..now]).and_then(|()| stdout.flush()).is_err() {
                crate::die(0);
            }
            left -= now;
        }
    }
}

/// Writes `count` bytes of numbered lines to stderr. What cannot be written is given up.
pub(crate) fn flood_stderr(count: usize) {
    let mut stderr = io::stderr().lock();
    let mut left = count;
    let mut number = 0u64;
    while left > 0 {
        let mut line = format!("fake-mcp log line {number:>12} {}\n", "-".repeat(64));
        if line.len() > left {
            line.truncate(left - 1);
            line.push('\n');
        }
        if stderr.write_all(line.as_bytes()).is_err() {
            return;
        }
        left -= line.len();
        number += 1;
    }
}
