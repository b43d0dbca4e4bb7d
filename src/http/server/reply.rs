//! Heads of answers to plain requests (RFC 9112, sections 4 to 6). No IO.

use std::fmt::Write;

use axum::http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use bytes::BytesMut;

use crate::clock;
use crate::unix_time;

/// How the end of an answer's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// There is no body, whatever was announced (RFC 9110, section 6.4.1).
    None,
    /// By its length, of which so many bytes are left.
    Length(u64),
    /// By the last chunk.
    Chunks,
}

impl BodyEnd {
    /// Returns how the end of a body is told whose length is this if it is known.
    pub(super) fn of(status: StatusCode, length: Option<u64>) -> BodyEnd {
        match length {
            _ if status.is_informational() || matches!(status.as_u16(), 204 | 304) => BodyEnd::None,
            Some(length) => BodyEnd::Length(length),
            None => BodyEnd::Chunks,
        }
    }
}

/// Reports whether the headers of an answer say that the connection ends with it.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|option| option.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Appends the head of an answer. What says where the body ends, and when the connection does, is written here and taken
/// from no header.
pub(super) fn push_head(
    out: &mut BytesMut,
    status: StatusCode,
    headers: &HeaderMap,
    end: BodyEnd,
    closes: bool,
    date: &mut Date,
) {
    push_all(out, &[b"HTTP/1.1 ", status.as_str().as_bytes(), b" "]);
    push_all(out, &[status.canonical_reason().unwrap_or_default().as_bytes(), b"\r\n"]);
    let mut has_date = false;
    for (name, value) in headers {
        if name == CONTENT_LENGTH || name == TRANSFER_ENCODING || name == CONNECTION {
            continue;
        }
        has_date |= name == DATE;
        push_all(out, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    match end {
        BodyEnd::None => {}
        BodyEnd::Length(length) => {
            push_all(out, &[b"content-length: ", itoa::Buffer::new().format(length).as_bytes(), b"\r\n"]);
        }
        BodyEnd::Chunks => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if closes {
        out.extend_from_slice(b"connection: close\r\n");
    }
    if !has_date {
        push_all(out, &[b"date: ", date.now(), b"\r\n"]);
    }
    out.extend_from_slice(b"\r\n");
}

/// What ends a chunk. It goes out with the chunk: clients wait for it before they hand on what they have.
pub(super) const CHUNK_END: &[u8] = b"\r\n";

/// Appends what comes before a chunk: its size.
pub(super) fn push_chunk_size(out: &mut BytesMut, size: usize) {
    // There is always room in memory.
    let _ = write!(out, "{size:x}\r\n");
}

/// Appends the end of a body in chunks.
pub(super) fn push_last_chunk(out: &mut BytesMut) {
    out.extend_from_slice(b"0\r\n\r\n");
}

fn push_all(out: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The date of answers (RFC 9110, section 6.6.1), which is written anew each second.
#[derive(Debug, Default)]
pub(super) struct Date {
    second: u64,
    text: String,
}

impl Date {
    fn now(&mut self) -> &[u8] {
        let now = clock::wall_clock();
        let second = unix_time::seconds(now);
        if self.second != second || self.text.is_empty() {
            (self.second, self.text) = (second, httpdate::fmt_http_date(now));
        }
        self.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::CONTENT_TYPE;

    use super::*;
    use crate::clock::simulated::set_wall;

    fn head(status: StatusCode, headers: &HeaderMap, end: BodyEnd) -> String {
        let mut out = BytesMut::new();
        push_head(&mut out, status, headers, end, closes(headers), &mut Date::default());
        String::from_utf8(out.to_vec()).expect("UTF-8")
    }

    #[test]
    fn heads_say_where_the_body_ends_and_nothing_else_does() {
        set_wall(784_111_777);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("9"));
        let date = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        let kind = "content-type: text/plain\r\n";
        let of = |end| head(StatusCode::OK, &headers, end);
        assert_eq!(
            of(BodyEnd::Length(3)),
            format!("HTTP/1.1 200 OK\r\n{kind}content-length: 3\r\n{date}\r\n")
        );
        assert_eq!(
            of(BodyEnd::Chunks),
            format!("HTTP/1.1 200 OK\r\n{kind}transfer-encoding: chunked\r\n{date}\r\n")
        );
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(DATE, HeaderValue::from_static("today"));
        assert_eq!(
            head(StatusCode::NO_CONTENT, &headers, BodyEnd::of(StatusCode::NO_CONTENT, Some(0))),
            format!("HTTP/1.1 204 No Content\r\n{kind}date: today\r\nconnection: close\r\n\r\n")
        );
        assert_eq!(BodyEnd::of(StatusCode::OK, None), BodyEnd::Chunks);
    }

    #[test]
    fn chunks_are_told_in_hexadecimal_digits() {
        for (size, text) in [(0, "0\r\n"), (9, "9\r\n"), (255, "ff\r\n"), (65_536, "10000\r\n")] {
            let mut out = BytesMut::new();
            push_chunk_size(&mut out, size);
            assert_eq!(&out[..], text.as_bytes());
        }
        let mut out = BytesMut::new();
        push_last_chunk(&mut out);
        assert_eq!(&out[..], b"0\r\n\r\n");
    }
}
