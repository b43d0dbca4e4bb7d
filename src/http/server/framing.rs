//! Tracker of where the requests on a connection begin and end, read from the bytes themselves. Pure.
//!
//! hyper takes `Transfer-Encoding` over `Content-Length` and drops the loser before any code can see it, and it
//! folds two equal lengths into one. Both are what request smuggling is made of (RFC 9112, section 6.3), so this
//! reads the bytes before hyper does and reports which head must be refused. It also knows whether a head has
//! begun and not ended, which is the difference between a slow client and an idle connection.

use memchr::memchr;

/// Bytes kept of a line that arrives in pieces. Names and lengths are far shorter; a framing header beyond it is
/// refused.
const LINE_KEPT: usize = 512;

/// Reasons why a head must be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Misframed {
    /// The end of the request can be read in two ways, or not at all.
    Ambiguous,
    /// The body is wrapped in a transfer coding that nothing here removes (RFC 9112, section 6.1).
    Unsupported,
}

/// Parser that follows the framing of one connection.
#[derive(Debug)]
pub(in crate::http) struct Framing {
    place: Place,
    /// Number of heads that have ended so far.
    heads: u64,
    /// The first head that must be refused, counted from 1, and the reason. `None` if there is none so far.
    bad_head: Option<(u64, Misframed)>,
    head: Head,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// `true` if the last byte of the unfinished line was a CR.
    after_cr: bool,
}

/// The part of a request that the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// A body, with the number of bytes to come.
    Body(u64),
    ChunkSize,
    /// A chunk, with the number of bytes to come.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// The end: a head was refused, and nothing behind it is read.
    Over,
}

/// Facts that the lines of the current head have given so far.
#[derive(Debug, Default)]
struct Head {
    begun: bool,
    /// `true` if the request line names HTTP/1.0, which has no transfer codings.
    old: bool,
    lengths: u32,
    length: u64,
    codings: Codings,
    unusable: bool,
}

/// Transfer codings that a head names, over all its fields of that name.
#[derive(Debug, Default)]
struct Codings {
    named: bool,
    chunked: u32,
    /// `true` if there is a coding other than `chunked`.
    others: bool,
    /// `true` if the last coding so far is `chunked`.
    ends_chunked: bool,
}

impl Framing {
    /// Creates the state of a connection of which nothing has been read.
    pub(in crate::http) fn new() -> Framing {
        Framing {
            place: Place::Head,
            heads: 0,
            bad_head: None,
            head: Head::default(),
            line: Vec::new(),
            after_cr: false,
        }
    }

    /// Takes the next bytes of the connection, cut anywhere.
    pub(in crate::http) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.place {
                Place::Over => return,
                Place::Body(left) => bytes = self.skip(bytes, left, Place::Body, Place::Head),
                Place::Chunk(left) => bytes = self.skip(bytes, left, Place::Chunk, Place::ChunkEnd),
                Place::Head | Place::ChunkSize | Place::ChunkEnd | Place::Trailer => {
                    bytes = self.read_line(bytes);
                }
            }
        }
    }

    /// Returns the first head that must be refused, counted from 1 over the connection's requests, and the
    /// reason. `None` if there is none so far.
    pub(in crate::http) fn bad_head(&self) -> Option<(u64, Misframed)> {
        self.bad_head
    }

    /// Reports whether a head has ended and a part of its body has not arrived.
    pub(in crate::http) fn mid_body(&self) -> bool {
        !matches!(self.place, Place::Head | Place::Over)
    }

    /// Reports whether a head has begun and its end has not arrived.
    pub(in crate::http) fn mid_head(&self) -> bool {
        self.place == Place::Head && (self.head.begun || !self.line.is_empty())
    }

    /// Reports whether the last byte so far was the last of a request, or none has come at all.
    pub(in crate::http) fn between_requests(&self) -> bool {
        self.place == Place::Head && !self.mid_head()
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, same: fn(u64) -> Place, next: Place) -> &'a [u8] {
        let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - taken as u64;
        self.place = if left == 0 { next } else { same(left) };
        &bytes[taken..]
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            let room = (LINE_KEPT + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&bytes[..room.min(bytes.len())]);
            self.after_cr = bytes.ends_with(b"\r");
            return &[];
        };
        let after_cr = std::mem::take(&mut self.after_cr);
        let crlf = if end == 0 { after_cr } else { bytes[end - 1] == b'\r' };
        if !crlf && matches!(self.place, Place::ChunkSize | Place::ChunkEnd | Place::Trailer) {
            // hyper reads on for a CRLF, and would find the next request elsewhere.
            self.refuse(self.heads + 1, Misframed::Ambiguous);
        } else if self.line.is_empty() {
            self.take_line(&bytes[..end]);
        } else {
            let mut line = std::mem::take(&mut self.line);
            let room = (LINE_KEPT + 1).saturating_sub(line.len());
            line.extend_from_slice(&bytes[..room.min(end)]);
            self.take_line(&line);
            line.clear();
            self.line = line;
        }
        &bytes[end + 1..]
    }

    fn take_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.place {
            Place::Head if line.is_empty() => self.end_head(),
            Place::Head if !self.head.begun => {
                self.head.begun = true;
                self.head.old = line.trim_ascii_end().ends_with(b" HTTP/1.0");
            }
            Place::Head => self.head.take(line),
            Place::ChunkSize => match chunk_size(line) {
                Some(0) => self.place = Place::Trailer,
                Some(size) => self.place = Place::Chunk(size),
                None => self.refuse(self.heads + 1, Misframed::Ambiguous),
            },
            Place::ChunkEnd => self.place = Place::ChunkSize,
            Place::Trailer if line.is_empty() => self.place = Place::Head,
            Place::Trailer | Place::Body(_) | Place::Chunk(_) | Place::Over => {}
        }
    }

    fn end_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        if !head.begun {
            return; // empty lines before a request line are allowed (RFC 9112, section 2.2)
        }
        self.heads += 1;
        match head.misframed() {
            Some(why) => self.refuse(self.heads, why),
            None if head.codings.named => self.place = Place::ChunkSize,
            None if head.length > 0 => self.place = Place::Body(head.length),
            None => {}
        }
    }

    fn refuse(&mut self, head: u64, why: Misframed) {
        self.bad_head = Some((head, why));
        self.place = Place::Over;
    }
}

impl Head {
    fn take(&mut self, line: &[u8]) {
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return;
        }
        let Some(colon) = memchr(b':', line) else { return };
        let name = line[..colon].trim_ascii_end();
        if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            let text = line[colon + 1..].trim_ascii();
            let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
            match length {
                Some(length) if line.len() <= LINE_KEPT => self.length = length,
                _ => self.unusable = true,
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings.take(&line[colon + 1..]);
            self.unusable |= line.len() > LINE_KEPT;
        }
    }

    /// Applies the rules of RFC 9112 for the two ways to tell the end of a body (sections 6.1 and 6.3). `None` if
    /// the head is acceptable.
    fn misframed(&self) -> Option<Misframed> {
        let Codings { named, chunked, others, ends_chunked } = self.codings;
        match named {
            _ if self.unusable || self.lengths > 1 => Some(Misframed::Ambiguous),
            false => None,
            true if self.lengths > 0 || self.old || chunked > 1 || !ends_chunked => {
                Some(Misframed::Ambiguous)
            }
            true => others.then_some(Misframed::Unsupported),
        }
    }
}

impl Codings {
    /// Takes a field's value: a list, in which empty elements are ignored.
    fn take(&mut self, value: &[u8]) {
        self.named = true;
        for coding in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if coding.is_empty() {
                continue;
            }
            self.ends_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.chunked += u32::from(self.ends_chunked);
            self.others |= !self.ends_chunked;
        }
    }
}

/// Reads the size at the beginning of a chunk's line, in hexadecimal, before any extension. `None` if it is
/// malformed.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    let rest = line[end..].trim_ascii_start();
    if end == 0 || !(rest.is_empty() || rest[0] == b';') {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> Option<(u64, Misframed)> {
        let mut framing = Framing::new();
        framing.feed(text.as_bytes());
        framing.bad_head()
    }

    fn bad_head(text: &str) -> Option<u64> {
        refused(text).map(|(head, _)| head)
    }

    #[test]
    fn transfer_codings_are_what_rfc_9112_says_of_them() {
        use Misframed::{Ambiguous, Unsupported};
        for (value, why) in [
            ("chunked", None),
            ("CHUNKED", None),
            (" ,chunked,, ", None),
            ("gzip, chunked", Some(Unsupported)),
            ("gzip,deflate\t,\tchunked", Some(Unsupported)),
            ("identity, chunked", Some(Unsupported)),
            ("gzip\r\nTransfer-Encoding: chunked", Some(Unsupported)),
            ("chunked\r\nTransfer-Encoding: chunked", Some(Ambiguous)),
            ("chunked, chunked", Some(Ambiguous)),
            ("chunked, gzip, chunked", Some(Ambiguous)),
            ("chunked, gzip", Some(Ambiguous)),
            ("chunked, identity", Some(Ambiguous)),
            ("gzip", Some(Ambiguous)),
            ("identity", Some(Ambiguous)),
            ("xchunked", Some(Ambiguous)),
            ("chunked;q=1", Some(Ambiguous)),
            ("'chunked'", Some(Ambiguous)),
            ("\u{b}chunked", Some(Ambiguous)),
            ("", Some(Ambiguous)),
            (",", Some(Ambiguous)),
        ] {
            let head = format!("POST / HTTP/1.1\r\nTransfer-Encoding: {value}\r\n\r\n");
            assert_eq!(refused(&head), why.map(|why| (1, why)), "{value:?}");
            let old = head.replace("HTTP/1.1", "HTTP/1.0");
            assert_eq!(refused(&old), Some((1, Ambiguous)), "{value:?} in HTTP/1.0");
        }
    }

    #[test]
    fn what_of_a_request_is_missing_is_told_apart() {
        let mut framing = Framing::new();
        for (piece, mid_head, mid_body) in [
            ("POST / HT", true, false),
            ("TP/1.1\r\nContent-Length: 4\r\n", true, false),
            ("\r\n", false, true),
            ("abc", false, true),
            ("d", false, false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false, true),
            ("1\r\nx\r\n0\r\n", false, true),
            ("\r\n", false, false),
        ] {
            framing.feed(piece.as_bytes());
            assert_eq!((framing.mid_head(), framing.mid_body()), (mid_head, mid_body), "{piece:?}");
        }
    }

    #[test]
    fn length_and_encoding_together_are_refused_in_any_order_and_case() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
            "POST / HTTP/1.1\ncontent-LENGTH:3\nHost: x\nTRANSFER-encoding:gzip, chunked\n\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        ] {
            assert_eq!(bad_head(head), Some(1), "{head:?}");
        }
    }

    #[test]
    fn a_body_that_looks_like_a_head_is_a_body() {
        let inner = "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let plain = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
        let chunked = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x};ext=1\r\n{inner}\r\n0\r\nT: 1\r\n\r\n",
            inner.len()
        );
        assert_eq!(bad_head(&plain), None);
        assert_eq!(bad_head(&chunked), None);
        assert_eq!(bad_head(&format!("{plain}{chunked}{inner}")), Some(3), "the third request is real");
    }

    #[test]
    fn a_broken_chunk_makes_the_next_head_bad() {
        assert_eq!(bad_head("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), Some(2));
        assert_eq!(chunk_size(b"1F ; x"), Some(31));
        assert_eq!(chunk_size(b""), None);
        assert_eq!(chunk_size(b"1 2"), None);
    }

    #[test]
    fn knows_when_a_head_is_half_there() {
        let mut framing = Framing::new();
        assert!(!framing.mid_head());
        framing.feed(b"GE");
        assert!(framing.mid_head());
        framing.feed(b"T / HTTP/1.1\r\nHost: x\r\n");
        assert!(framing.mid_head());
        framing.feed(b"Content-Length: 1\r\n\r\n");
        assert!(!framing.mid_head() && !framing.between_requests());
        framing.feed(b"x");
        assert!(framing.between_requests());
    }

    proptest! {
        /// Any cut of the bytes gives the same verdict, and no bytes cause a panic.
        #[test]
        fn cuts_do_not_matter(
            pieces in proptest::collection::vec(prop_oneof![
                Just("POST / HTTP/1.1\r\n"), Just("Content-Length: 5\r\n"), Just("\r\n"), Just("hello"),
                Just("Transfer-Encoding: chunked\r\n"), Just("5\r\nhello\r\n"), Just("0\r\n\r\n"), Just("\n"), Just("x"),
            ], 0..20),
            cuts in proptest::collection::vec(1usize..9, 1..40),
        ) {
            let text = pieces.concat();
            let mut whole = Framing::new();
            whole.feed(text.as_bytes());
            let mut pieced = Framing::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                pieced.feed(now);
                rest = later;
            }
            prop_assert_eq!(whole.bad_head(), pieced.bad_head());
            prop_assert_eq!(whole.mid_head(), pieced.mid_head());
            prop_assert_eq!(whole.place, pieced.place);
        }
    }
}
