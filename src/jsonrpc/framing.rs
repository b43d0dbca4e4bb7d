//! Splits bytes into frames: one message per line. A bad line never stops the lines behind it. A line
//! beyond the limit is not kept; only its two ends are, to find out which request it answers. A line that
//! does not end within `GIVEN_UP` times the limit ends the stream, because nothing shows that it will
//! ever end.

use bytes::{Buf, Bytes, BytesMut};

/// Factor of the limit beyond which an unfinished line is given up.
const GIVEN_UP: usize = 8;
/// Number of bytes that are kept of either end of a line beyond the limit.
const END_KEPT: usize = 1024;

/// Error for a line that did not end in time: the rest of the stream is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversize {
    /// Maximum length of a line in bytes.
    pub limit: usize,
    /// Number of bytes thrown away before the line was given up.
    pub skipped: usize,
}

/// A line of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line within the limit.
    Frame(Bytes),
    /// A line beyond the limit, of which only the ends are kept.
    TooLong(TooLong),
}

/// The two ends of a line beyond the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLong {
    /// The first bytes of the line, at most `END_KEPT`.
    pub front: Bytes,
    /// The last bytes of the line, at most `END_KEPT`.
    pub back: Bytes,
    /// Length of the line in bytes.
    pub length: usize,
    /// Maximum length of a line in bytes.
    pub limit: usize,
}

/// Line length in bytes above which a line takes its buffer along, instead of sharing it.
const OWN_BUFFER: usize = 256 * 1024;

/// Room for a read, in bytes, when the last one filled less than half of its room.
const SMALL_READ: usize = 8 * 1024;
/// Maximum room for one read, in bytes.
const LARGE_READ: usize = 256 * 1024;

/// Splitter of a byte stream into lines. Holds at most one line of `limit` bytes and one read.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// Number of bytes at the start of the buffer that are known to hold no newline.
    scanned: usize,
    limit: usize,
    room: usize,
    /// The line beyond the limit that is being skipped; `None` if there is none.
    skipping: Option<TooLong>,
}

impl Framer {
    /// Makes a framer for lines of up to `limit` bytes, without the newline.
    pub fn new(limit: usize) -> Framer {
        Framer { buffer: BytesMut::new(), scanned: 0, limit, room: SMALL_READ, skipping: None }
    }

    /// Returns the buffer to read into, with room for one read.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < self.room / 2 {
            self.buffer.reserve(self.room);
        }
        &mut self.buffer
    }

    /// Takes the number of bytes of the last read, so that the next one gets a fitting buffer.
    pub fn filled(&mut self, read: usize) {
        self.room = if read >= self.room / 2 { (self.room * 2).min(LARGE_READ) } else { SMALL_READ };
    }

    /// Adds bytes, for callers that do not read into the buffer themselves.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next line that is not blank, without its line ending and a leading byte order mark.
    /// `None` until a whole line is there.
    pub fn next_frame(&mut self) -> Result<Option<Line>, Oversize> {
        loop {
            let found = memchr::memchr(b'\n', &self.buffer[self.scanned..]).map(|at| self.scanned + at);
            if self.skipping.is_some() || found.unwrap_or(self.buffer.len()) > self.limit {
                return self.skip(found);
            }
            let Some(end) = found else {
                self.scanned = self.buffer.len();
                return Ok(None);
            };
            let line = self.buffer.split_to(end).freeze();
            self.buffer.advance(1);
            self.scanned = 0;
            if end > OWN_BUFFER {
                // A kept slice of the line keeps its whole buffer, so no other line may share it.
                self.buffer = BytesMut::from(&self.buffer[..]);
            }
            let frame = trim(line);
            if !frame.is_empty() {
                return Ok(Some(Line::Frame(frame)));
            }
        }
    }

    /// Discards the buffered part of a line beyond the limit; at the line's end, returns the ends that were
    /// kept.
    fn skip(&mut self, end: Option<usize>) -> Result<Option<Line>, Oversize> {
        let piece = self.buffer.split_to(end.unwrap_or(self.buffer.len()));
        self.scanned = 0;
        let limit = self.limit;
        let begun = || TooLong { front: Bytes::new(), back: Bytes::new(), length: 0, limit };
        let line = self.skipping.get_or_insert_with(begun);
        line.length += piece.len();
        // Copied: a slice would keep the whole line in memory.
        if line.front.len() < END_KEPT {
            let more = piece.len().min(END_KEPT - line.front.len());
            line.front = [&line.front, &piece[..more]].concat().into();
        }
        let back = [&line.back, &piece[piece.len().saturating_sub(END_KEPT)..]].concat();
        line.back = Bytes::copy_from_slice(&back[back.len().saturating_sub(END_KEPT)..]);
        if end.is_none() {
            let (skipped, most) = (line.length, limit.saturating_mul(GIVEN_UP));
            return if skipped > most { Err(Oversize { limit, skipped }) } else { Ok(None) };
        }
        self.buffer.advance(1);
        Ok(self.skipping.take().map(Line::TooLong))
    }
}

/// Cuts white space from both ends, and the leading byte order mark that some Windows programs write.
fn trim(mut line: Bytes) -> Bytes {
    if line.starts_with(b"\xEF\xBB\xBF") {
        line.advance(3);
    }
    let kept = line.trim_ascii();
    if kept.len() == line.len() { line } else { line.slice_ref(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(framer: &mut Framer) -> Vec<Vec<u8>> {
        let next = || match framer.next_frame().expect("within all limits")? {
            Line::Frame(frame) => Some(frame.to_vec()),
            Line::TooLong(line) => panic!("{line:?}"),
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn the_limit_counts_the_line_and_not_its_ending() {
        let mut framer = Framer::new(4);
        framer.push(b"1234\n12345\r\n12");
        assert_eq!(framer.next_frame(), Ok(Some(Line::Frame(Bytes::from_static(b"1234")))));
        let Ok(Some(Line::TooLong(line))) = framer.next_frame() else { panic!("one that is too long") };
        assert_eq!((&line.front[..], &line.back[..]), (&b"12345\r"[..], &b"12345\r"[..]));
        assert_eq!((line.length, line.limit), (6, 4));
        framer.push(b"3\n");
        assert_eq!(all(&mut framer), [b"123".to_vec()]);
    }

    #[test]
    fn of_a_long_line_both_ends_are_kept_and_what_is_behind_it_is_a_frame() {
        let mut framer = Framer::new(4 * END_KEPT);
        framer.push(b"{\"id\":7,");
        let mut length = 8;
        while length < 20 * END_KEPT {
            framer.push(&[b'x'; 100]);
            length += 100;
            assert_eq!(framer.next_frame(), Ok(None));
            assert!(framer.buffer.len() <= 4 * END_KEPT, "it is not kept");
        }
        framer.push(b"the end\n{}\n");
        let Ok(Some(Line::TooLong(line))) = framer.next_frame() else { panic!("one that is too long") };
        assert!(line.front.starts_with(b"{\"id\":7,xx") && line.back.ends_with(b"xxthe end"));
        assert!(line.front.len() == END_KEPT && line.back.len() == END_KEPT);
        assert_eq!(line.length, length + 7);
        assert_eq!(all(&mut framer), [b"{}".to_vec()]);
    }

    #[test]
    fn a_line_that_never_ends_is_given_up() {
        let mut framer = Framer::new(1000);
        for _ in 0..GIVEN_UP {
            framer.push(&[b'x'; 1000]);
            assert_eq!(framer.next_frame(), Ok(None));
        }
        framer.push(b"x");
        assert_eq!(framer.next_frame(), Err(Oversize { limit: 1000, skipped: GIVEN_UP * 1000 + 1 }));
    }

    #[test]
    fn a_legal_line_may_share_a_read_with_the_next() {
        let mut framer = Framer::new(4);
        framer.push(b"1234\n1234\n12");
        assert_eq!(all(&mut framer).len(), 2);
    }

    #[test]
    fn blank_lines_line_endings_and_a_byte_order_mark_vanish() {
        let mut framer = Framer::new(100);
        framer.push(b"\xEF\xBB\xBF{}\r\n\n  \r\n {} \n");
        assert_eq!(all(&mut framer), [b"{}".to_vec(), b"{}".to_vec()]);
    }

    proptest! {
        #[test]
        fn any_cut_of_the_bytes_gives_the_same_frames(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..400),
            cuts in proptest::collection::vec(0usize..400, 0..20),
        ) {
            let every = |framer: &mut Framer| {
                std::iter::from_fn(|| framer.next_frame().expect("within all limits")).collect::<Vec<Line>>()
            };
            let mut whole = Framer::new(60);
            whole.push(&bytes);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut parts = Framer::new(60);
            let mut frames = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                parts.push(&bytes[from..cut]);
                from = cut;
                frames.extend(every(&mut parts));
            }
            prop_assert_eq!(frames, every(&mut whole));
        }
    }
}
