//! The last head of a connection. Pure. A client that calls again mostly sends the same bytes, but for the length of the
//! body.

use std::sync::Arc;

use bytes::Bytes;

use super::parse::{PlainHead, length_of};
use crate::http::core::head::RequestHead;

/// Longest head that is kept, in bytes.
const MAX_KEPT: usize = 4 * 1024;
/// Most digits of a length that is looked at here.
const MAX_DIGITS: usize = 8;

/// A head as it came, and as it was read.
pub(super) struct KnownHead {
    raw: Bytes,
    /// Where the digits of the body's length are, from and to; `None` without a body.
    digits: Option<(usize, usize)>,
    head: Arc<RequestHead>,
}

impl KnownHead {
    /// Returns the head that was read, and what it is known by; `None` for a long one, which is not kept.
    pub(super) fn new(read: PlainHead) -> (Arc<RequestHead>, Option<KnownHead>) {
        let head = Arc::new(read.head);
        let is_short = read.raw.len() <= MAX_KEPT;
        let known =
            is_short.then(|| KnownHead { raw: read.raw, digits: read.digits, head: Arc::clone(&head) });
        (head, known)
    }

    /// Returns the head with its length and that of the body, in bytes, if it is at the beginning of `bytes` again.
    pub(super) fn is_at(&self, bytes: &[u8]) -> Option<(Arc<RequestHead>, usize, usize)> {
        let (from, to) = match self.digits {
            Some(digits) => digits,
            None => return bytes.starts_with(&self.raw).then(|| (Arc::clone(&self.head), self.raw.len(), 0)),
        };
        let rest = bytes.strip_prefix(&self.raw[..from])?;
        let count = rest.iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        let body = length_of(&rest[..count])?;
        let after = &self.raw[to..];
        rest[count..].starts_with(after).then(|| (Arc::clone(&self.head), from + count + after.len(), body))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse::plain_head;
    use super::*;

    const CALL: &str = "POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 12 \r\nX-C: d\r\n\r\n";

    fn known(text: &str) -> KnownHead {
        KnownHead::new(plain_head(text.as_bytes()).expect("plain")).1.expect("short")
    }

    #[test]
    fn a_head_is_known_again_whatever_the_length_of_its_body() {
        let head = known(CALL);
        for (digits, body) in [("12", 12), ("3", 3), ("0", 0), ("007", 7), ("1234567", 1_234_567)] {
            let again = CALL.replace("12", digits);
            let (_, length, found) = head.is_at(format!("{again}{{}}").as_bytes()).expect("known");
            assert_eq!((length, found), (again.len(), body));
        }
        for other in ["X-C: e", "X-C: d\r\nX-F: g", "X-c: d"] {
            assert!(head.is_at(CALL.replace("X-C: d", other).as_bytes()).is_none(), "{other}");
        }
        for digits in ["", "-1", "1 2", "1234567890", "12\r\nContent-Length: 12"] {
            assert!(head.is_at(CALL.replace("12", digits).as_bytes()).is_none(), "{digits:?}");
        }
        assert!(head.is_at(&CALL.as_bytes()[..CALL.len() - 1]).is_none(), "not all of it");
        let bare = known("GET /a HTTP/1.1\r\nHost: b\r\n\r\n");
        assert!(bare.is_at(b"GET /a HTTP/1.1\r\nHost: b\r\n\r\nrest").is_some_and(|(_, length, body)| (
            length, body
        ) == (
            28, 0
        )));
        let long = CALL.replace("X-C: d", &format!("X-C: {}", "d".repeat(MAX_KEPT)));
        let read = plain_head(long.as_bytes()).expect("plain");
        assert!(KnownHead::new(read).1.is_none());
    }

    proptest! {
        #[test]
        fn what_is_known_again_reads_the_same(at in 0..CALL.len(), byte in any::<u8>(), cut in 0..CALL.len() + 8) {
            let mut bytes = format!("{CALL}01234567").into_bytes();
            bytes[at] = byte;
            bytes.truncate(cut);
            if let Some((head, length, body)) = known(CALL).is_at(&bytes) {
                let read = plain_head(&bytes).expect("plain");
                prop_assert_eq!((read.raw.len(), read.body, read.closes), (length, body, false));
                prop_assert_eq!(&read.head.headers, &head.headers);
                prop_assert_eq!(&read.head.uri, &head.uri);
            }
        }
    }
}
