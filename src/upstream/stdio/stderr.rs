//! Reading of a child's stderr: always drained, so that a full pipe never stops the child, and cut into lines for the
//! server's log.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::upstream::counters::Counters;
use crate::upstream::log::{ServerLog, Stream, printable};

/// Longest line that is kept, in bytes; the rest of it is dropped.
const MAX_LINE: usize = 8 * 1024;

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

    /// Takes the line so far, printable; `None` if there is nothing to show.
    fn finish(&mut self) -> Option<String> {
        let mut line = printable(&self.line);
        if self.overflowed {
            line.push('…');
        }
        self.line.clear();
        self.overflowed = false;
        (!line.is_empty()).then_some(line)
    }
}

/// Reads a child's stderr to its end.
pub(super) async fn drain(
    mut stderr: impl AsyncRead + Unpin,
    log: ServerLog,
    incarnation: u64,
    counters: Arc<Counters>,
    server: Arc<str>,
) {
    let mut buffer = vec![0u8; 4 * 1024];
    let mut cutter = LineCutter::default();
    let mut keep = |line: String| {
        counters.stderr_line();
        if log.push(incarnation, Stream::Stderr, &line) {
            tracing::debug!(server = %server, "stderr: {line}");
        } else {
            counters.left_out();
        }
    };
    loop {
        match stderr.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => cutter.push(&buffer[..count], &mut keep),
        }
        // A child that floods its stderr must not starve other tasks.
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
    fn lines_are_printable_and_empty_ones_are_left_out() {
        assert_eq!(cut(&[b"\x1b[1;31mred\x1b[0m\x07 text\r\n\n\x1b[2K"]), ["red\\u{7} text"]);
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let long = vec![b'x'; MAX_LINE + 5];
        let lines = cut(&[&long, b"yyy\nshort\n"]);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with('…') && lines[0].len() == MAX_LINE + '…'.len_utf8());
        assert_eq!(lines[1], "short");
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
