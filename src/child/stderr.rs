//! What a child writes on stderr: always drained, so that a full pipe never stops it, and kept
//! in a ring of bounded size. Free text of a stranger: lines are capped and control characters
//! are taken out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::counters::Counters;

/// The most bytes of text that are kept.
const RING_BYTES: usize = 64 * 1024;
/// The longest line that is kept, in bytes; the rest of it is dropped.
const MAX_LINE: usize = 8 * 1024;

/// One line that a child wrote on stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read.
    pub at: SystemTime,
    /// Which child wrote it.
    pub incarnation: u64,
    /// The line, printable, without its end.
    pub text: String,
}

/// The last lines that a server's children wrote on stderr.
#[derive(Debug, Clone, Default)]
pub struct StderrRing(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
}

impl Ring {
    fn push(&mut self, line: LogLine) {
        self.bytes += cost(&line);
        self.lines.push_back(line);
        while self.bytes > RING_BYTES {
            match self.lines.pop_front() {
                Some(oldest) => self.bytes -= cost(&oldest),
                None => break,
            }
        }
    }
}

/// What a line takes of the ring: short lines cost, too.
fn cost(line: &LogLine) -> usize {
    line.text.len() + size_of::<LogLine>()
}

impl StderrRing {
    /// The newest `count` lines, newest last.
    pub fn tail(&self, count: usize) -> Vec<LogLine> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.lines.iter().skip(ring.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// The newest `count` lines of one child, newest last.
    pub(super) fn last_of(&self, incarnation: u64, count: usize) -> Vec<String> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = ring.lines.iter().rev().filter(|line| line.incarnation == incarnation).take(count);
        let mut lines: Vec<String> = own.map(|line| line.text.clone()).collect();
        lines.reverse();
        lines
    }

    fn push(&self, line: LogLine) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// Cuts a stream of bytes into printable lines of bounded length. Pure.
#[derive(Debug, Default)]
struct LineCutter {
    line: Vec<u8>,
    overflowed: bool,
}

impl LineCutter {
    fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(String)) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.append(&rest[..end]);
            rest = &rest[end + 1..];
            if let Some(line) = self.finish() {
                emit(line);
            }
        }
        self.append(rest);
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.overflowed |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The line so far, printable; `None` when there is nothing to show.
    fn finish(&mut self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.line);
        let mut line: String =
            without_escapes(&text).chars().filter(|c| !c.is_control() || *c == '\t').collect();
        if self.overflowed {
            line.push('…');
        }
        self.line.clear();
        self.overflowed = false;
        let kept = line.trim_end().len();
        line.truncate(kept);
        (!line.is_empty()).then_some(line)
    }
}

/// Takes terminal colour and cursor sequences (`ESC [ … letter`) out of a text.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if chars.clone().next() == Some('[') {
            chars.next();
            chars.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c));
        }
    }
    out
}

/// Reads a child's stderr to its end.
pub(super) async fn drain(
    mut stderr: impl AsyncRead + Unpin,
    ring: StderrRing,
    incarnation: u64,
    counters: Arc<Counters>,
    server: Arc<str>,
) {
    let mut buffer = vec![0u8; 4 * 1024];
    let mut cutter = LineCutter::default();
    let mut keep = |line: String| {
        counters.stderr_line();
        tracing::debug!(server = %server, "stderr: {line}");
        ring.push(LogLine { at: SystemTime::now(), incarnation, text: line });
    };
    loop {
        match stderr.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => cutter.push(&buffer[..count], &mut keep),
        }
        // A child that floods must not keep the others from their turn.
        tokio::task::yield_now().await;
    }
    if let Some(line) = cutter.finish() {
        keep(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(parts: &[&[u8]]) -> Vec<String> {
        let mut cutter = LineCutter::default();
        let mut lines = Vec::new();
        for part in parts {
            cutter.push(part, |line| lines.push(line));
        }
        lines.extend(cutter.finish());
        lines
    }

    #[test]
    fn colours_and_control_characters_are_taken_out() {
        assert_eq!(cut(&[b"\x1b[1;31mred\x1b[0m\x07 text\r\n\n\x1b[2K"]), ["red text"]);
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let long = vec![b'x'; MAX_LINE + 5];
        let lines = cut(&[&long, b"yyy\nshort\n"]);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with('…') && lines[0].len() == MAX_LINE + '…'.len_utf8());
        assert_eq!(lines[1], "short");
    }

    #[test]
    fn the_ring_keeps_the_newest_within_its_size() {
        let ring = StderrRing::default();
        for n in 0..10_000 {
            ring.push(LogLine {
                at: SystemTime::UNIX_EPOCH,
                incarnation: n / 5000,
                text: format!("{n:>100}"),
            });
        }
        let kept = ring.tail(usize::MAX);
        assert!(kept.iter().map(cost).sum::<usize>() <= RING_BYTES);
        assert!(kept.last().is_some_and(|line| line.text.ends_with("9999")));
        assert_eq!(ring.tail(2).len(), 2);
        assert!(ring.last_of(0, 5).is_empty(), "the first child's lines have made room");
        assert_eq!(ring.last_of(1, 5).len(), 5);
    }

    proptest! {
        #[test]
        fn lines_are_bounded_and_printable_whatever_comes(bytes in proptest::collection::vec(any::<u8>(), 0..3000), cut_at in 0usize..3000) {
            let cut_at = cut_at.min(bytes.len());
            let lines = cut(&[&bytes[..cut_at], &bytes[cut_at..]]);
            prop_assert_eq!(&lines, &cut(&[&bytes]));
            for line in lines {
                prop_assert!(line.chars().all(|c| !c.is_control() || c == '\t'));
            }
        }
    }
}
