//! Bytes to frames: one message a line. A bad line never stops the ones behind it; only a line
//! beyond the limit does, because what follows it cannot be trusted to be a frame.

use bytes::{Buf, Bytes, BytesMut};

/// A line grew beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversize {
    /// The limit, in bytes.
    pub limit: usize,
}

/// How much room is made for a read when the last one did not fill what it had.
const SMALL_READ: usize = 8 * 1024;
/// The most room that is made for one read.
const LARGE_READ: usize = 256 * 1024;

/// Splits a byte stream into lines. Holds at most one line of `limit` bytes and one read.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// How far into the buffer there is known to be no newline.
    scanned: usize,
    limit: usize,
    room: usize,
}

impl Framer {
    /// A framer that refuses lines longer than `limit` bytes, the newline not counted.
    pub fn new(limit: usize) -> Framer {
        Framer { buffer: BytesMut::new(), scanned: 0, limit, room: SMALL_READ }
    }

    /// The buffer to read into, with room made for one read.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < self.room / 2 {
            self.buffer.reserve(self.room);
        }
        &mut self.buffer
    }

    /// Says how much the last read brought, so that the next one gets a fitting buffer.
    pub fn filled(&mut self, read: usize) {
        self.room = if read >= self.room / 2 { (self.room * 2).min(LARGE_READ) } else { SMALL_READ };
    }

    /// Adds bytes; for callers that do not read into the buffer themselves.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line that is not blank, without its line ending and a leading byte order mark.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, Oversize> {
        loop {
            let Some(found) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) else {
                self.scanned = self.buffer.len();
                return if self.scanned > self.limit {
                    Err(Oversize { limit: self.limit })
                } else {
                    Ok(None)
                };
            };
            let end = self.scanned + found;
            if end > self.limit {
                return Err(Oversize { limit: self.limit });
            }
            let line = self.buffer.split_to(end).freeze();
            self.buffer.advance(1);
            self.scanned = 0;
            let frame = trim(line);
            if !frame.is_empty() {
                return Ok(Some(frame));
            }
        }
    }
}

/// Cuts white space from both ends, and the byte order mark some Windows programs start with.
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
        std::iter::from_fn(|| framer.next_frame().expect("within the limit")).map(|f| f.to_vec()).collect()
    }

    #[test]
    fn the_limit_counts_the_line_and_not_its_ending() {
        let mut framer = Framer::new(4);
        framer.push(b"1234\n");
        assert_eq!(all(&mut framer), [b"1234".to_vec()]);
        framer.push(b"12345");
        assert_eq!(framer.next_frame(), Err(Oversize { limit: 4 }));
        let mut framer = Framer::new(4);
        framer.push(b"12345\n1\n");
        assert_eq!(framer.next_frame(), Err(Oversize { limit: 4 }));
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
            let mut whole = Framer::new(1000);
            whole.push(&bytes);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut parts = Framer::new(1000);
            let mut frames = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                parts.push(&bytes[from..cut]);
                from = cut;
                frames.extend(all(&mut parts));
            }
            prop_assert_eq!(frames, all(&mut whole));
        }
    }
}
