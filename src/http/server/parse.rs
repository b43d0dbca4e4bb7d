//! Heads of plain requests: those that any client of HTTP/1.1 sends a call with. Pure. Whatever is not plain, or not right,
//! is left to hyper, which knows the rest of HTTP and what to answer.

use axum::http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use bytes::Bytes;
use memchr::memmem;

use crate::http::core::head::RequestHead;

/// Most fields of a plain head.
const MAX_FIELDS: usize = 64;
/// What a head ends with.
const END: &[u8] = b"\r\n\r\n";

/// A plain head and where it was found.
#[derive(Debug)]
pub(super) struct PlainHead {
    /// The head as it came. The parts of `head` are slices of it.
    pub(super) raw: Bytes,
    /// The head, without the field of its length.
    pub(super) head: RequestHead,
    /// Where the digits of the body's length are, from and to, in bytes from the beginning; `None` without a body.
    pub(super) digits: Option<(usize, usize)>,
    /// Length of the body in bytes.
    pub(super) body: usize,
    /// `true` if the client ends the connection after the answer.
    pub(super) closes: bool,
}

/// Reads the head at the beginning of `bytes`. `None` if it is not there as a whole, or not plain.
pub(super) fn plain_head(bytes: &[u8]) -> Option<PlainHead> {
    let length = memmem::find(bytes, END)? + END.len();
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    // The parser also takes lines that end in LF alone, and would see another end.
    match parsed.parse(&bytes[..length]) {
        Ok(httparse::Status::Complete(end)) if end == length => {}
        _ => return None,
    }
    let method = match parsed.method? {
        "POST" => Method::POST,
        "GET" => Method::GET,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        "OPTIONS" => Method::OPTIONS,
        _ => return None,
    };
    if parsed.version != Some(1) {
        return None;
    }
    let raw = Bytes::copy_from_slice(&bytes[..length]);
    let place_of = |part: &[u8]| {
        let from = part.as_ptr() as usize - bytes.as_ptr() as usize;
        (from, from + part.len())
    };
    let slice_of = |part: &[u8]| {
        let (from, to) = place_of(part);
        raw.slice(from..to)
    };
    let uri = Uri::from_maybe_shared(slice_of(parsed.path?.as_bytes())).ok()?;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    let (mut digits, mut body, mut closes) = (None, 0, false);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        if name == CONTENT_LENGTH {
            body = length_of(field.value).filter(|_| digits.is_none())?;
            digits = Some(place_of(field.value));
            continue;
        }
        if name == TRANSFER_ENCODING || name == EXPECT || name == UPGRADE {
            return None;
        }
        if name == CONNECTION {
            closes |= ends_after_answer(field.value)?;
        }
        headers.append(name, HeaderValue::from_maybe_shared(slice_of(field.value)).ok()?);
    }
    let head = RequestHead::new(method, uri, Version::HTTP_11, headers);
    Some(PlainHead { raw, head, digits, body, closes })
}

/// Reads the length of a body: digits and nothing else (RFC 9110, section 8.6).
pub(super) fn length_of(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads `Connection`: whether the client ends it after the answer. `None` for options that are not plain.
fn ends_after_answer(value: &[u8]) -> Option<bool> {
    match value.trim_ascii() {
        option if option.eq_ignore_ascii_case(b"keep-alive") => Some(false),
        option if option.eq_ignore_ascii_case(b"close") => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::framing::Framing;
    use super::*;

    const CALL: &str = "POST /v1/mcp/invoke?a=b HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nx-a:  2 \r\nContent-Length: 12\r\n\r\n";

    #[test]
    fn a_plain_head_is_read_as_it_is() {
        let read = plain_head(format!("{CALL}{{}}more").as_bytes()).expect("plain");
        assert_eq!((read.raw.len(), read.body, read.closes), (CALL.len(), 12, false));
        let (from, to) = read.digits.expect("a length");
        assert_eq!(&CALL[from..to], "12");
        let head = read.head;
        assert_eq!(
            (&head.method, head.uri.path(), head.uri.query()),
            (&Method::POST, "/v1/mcp/invoke", Some("a=b"))
        );
        let values: Vec<&HeaderValue> = head.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert!(!head.headers.contains_key(CONTENT_LENGTH), "the body knows it");
        let close = CALL.replace("X-A: 1", "connection: Close");
        assert!(plain_head(close.as_bytes()).expect("plain").closes);
        let without = plain_head(b"GET /healthz HTTP/1.1\r\n\r\n").expect("plain");
        assert_eq!((without.body, without.digits), (0, None));
    }

    #[test]
    fn what_is_not_plain_is_left_to_hyper() {
        for odd in [
            CALL.replace("HTTP/1.1", "HTTP/1.0"),
            CALL.replace("POST", "HEAD"),
            CALL.replace("POST", "post"),
            CALL.replace("X-A: 1", "Transfer-Encoding: chunked"),
            CALL.replace("X-A: 1", "Expect: 100-continue"),
            CALL.replace("X-A: 1", "Upgrade: websocket"),
            CALL.replace("X-A: 1", "Connection: upgrade"),
            CALL.replace("X-A: 1", "Connection: keep-alive, X-A"),
            CALL.replace("X-A: 1", "Content-Length: 12"),
            CALL.replace("12", "+12"),
            CALL.replace("12", "1,2"),
            CALL.replace("12", ""),
            CALL.replace("12", "99999999999999999999999999"),
            CALL.replace("X-A: 1", "X A: 1"),
            CALL.replace("X-A: 1", "X-A : 1"),
            CALL.replace("X-A: 1", "X-A: 1\r\n folded"),
            CALL.replace("Host: localhost\r\n", "Host: localhost\n"),
            CALL.replace("Host: localhost\r\n", "Host: localhost\n\n"),
            CALL.replace("/v1", "v1"),
            CALL.replace("/v1/mcp", "/v1 /mcp"),
            CALL.replacen("X-A: 1\r\n", &"X-A: 1\r\n".repeat(MAX_FIELDS), 1),
            CALL[..CALL.len() - 1].to_owned(),
        ] {
            // A line that ends in LF alone and is followed by others is read the same by all of us.
            let read = plain_head(odd.as_bytes());
            let same_end = odd == CALL.replace("Host: localhost\r\n", "Host: localhost\n");
            assert_eq!(read.is_some(), same_end, "{odd:?}");
        }
    }

    proptest! {
        /// What smuggling is made of: two readers that see the end of a request in different places.
        #[test]
        fn the_framing_sees_the_same_ends(
            lines in prop::collection::vec(
                prop_oneof![
                    Just("Host: a".to_owned()), Just("Content-Length: 5".to_owned()), Just("content-length:5 ".to_owned()),
                    Just("Content-Length : 5".to_owned()), Just("Transfer-Encoding: chunked".to_owned()),
                    Just("X: y\rContent-Length: 3".to_owned()), Just(" Content-Length: 9".to_owned()),
                    Just("Content-Length: 0x5".to_owned()), "[ -~]{0,12}",
                ], 0..5),
            ends in prop::collection::vec(prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")], 6),
        ) {
            let mut text = format!("POST / HTTP/1.1{}", ends[5]);
            for (line, end) in lines.iter().zip(&ends) {
                text.push_str(line);
                text.push_str(end);
            }
            text.push_str("\r\n");
            text.push_str("abcdefghij");
            if let Some(read) = plain_head(text.as_bytes()) {
                let mut framing = Framing::new();
                framing.feed(&text.as_bytes()[..read.raw.len()]);
                prop_assert_eq!(framing.bad_head(), None);
                prop_assert!(!framing.mid_head(), "{text:?}");
                prop_assert_eq!(framing.mid_body(), read.body > 0);
                if read.body > 0 && read.raw.len() + read.body <= text.len() {
                    framing.feed(&text.as_bytes()[read.raw.len()..read.raw.len() + read.body]);
                    prop_assert!(framing.between_requests());
                }
            }
        }
    }
}
