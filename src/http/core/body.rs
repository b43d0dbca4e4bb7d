//! Request bodies: content type, size, time, depth, and a lenient reader of JSON objects that leaves members as
//! the text they came in.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, Request};
use bytes::{Bytes, BytesMut};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use tokio::time::Sleep;

use crate::jsonrpc::{MAX_DEPTH, too_deep};
use crate::text::json_string;

/// UTF-8 byte order mark. Some Windows programs begin every text with it; a reader of JSON may skip it (RFC 8259,
/// section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Text of the answer to [`BodyError::Coded`].
pub(in crate::http) const CODED: &str =
    "The request body is compressed (Content-Encoding), which is not supported: send it as it is";

/// Reasons why a body cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum BodyError {
    /// The content type is missing or not JSON.
    NotJson,
    /// The content is compressed, or otherwise coded (RFC 9110, section 8.4).
    Coded,
    /// The body is longer than allowed.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    TooSlow {
        /// The time that was allowed.
        limit: Duration,
    },
    /// The connection or the body's framing broke.
    Broken,
    /// There is no body.
    Empty,
    /// The body is not JSON, or is nested too deeply.
    Malformed {
        /// Description of the error and its position.
        reason: String,
    },
    /// The body is JSON, but not an object.
    NotAnObject {
        /// `true` if the value is `null` or `[]`, so that nothing was said.
        nothing: bool,
    },
}

/// Reads a JSON body: checks the content type, then the length, then reads. The result is not nested too deeply;
/// [`object`] checks that it is UTF-8 and JSON. The future keeps the body alone: what the head says is checked at once.
pub(in crate::http) fn read<B>(
    request: Request<B>,
    limit: usize,
    patience: Duration,
) -> impl Future<Output = Result<Bytes, BodyError>> + Unpin + use<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let (head, body) = request.into_parts();
    read_of(&head.headers, body, limit, patience)
}

/// Reads the body of a request with these headers as [`read`] does, for who needs them afterwards.
pub(in crate::http) fn read_of<B>(
    headers: &HeaderMap,
    body: B,
    limit: usize,
    patience: Duration,
) -> impl Future<Output = Result<Bytes, BodyError>> + Unpin + use<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let refused = check_head(headers, body.size_hint().exact(), limit).err().map(Box::new);
    JsonBody { refused, body: Collecting::new(body, limit, patience) }
}

/// Reader of a JSON body.
struct JsonBody<B> {
    /// Reason why the body is not read; `None` if it is. Boxed, because each call keeps a place for it.
    refused: Option<Box<BodyError>>,
    body: Collecting<B>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> Future for JsonBody<B> {
    type Output = Result<Bytes, BodyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(refused) = this.refused.take() {
            return Poll::Ready(Err(*refused));
        }
        let mut bytes = ready!(Pin::new(&mut this.body).poll(cx))?;
        if bytes.starts_with(BYTE_ORDER_MARK) {
            bytes = bytes.slice(BYTE_ORDER_MARK.len()..);
        }
        Poll::Ready(match too_deep(&bytes) {
            true => Err(BodyError::Malformed { reason: format!("nested more than {MAX_DEPTH} levels deep") }),
            false => Ok(bytes),
        })
    }
}

/// Checks what the head says of the body, its type and its coding, and its length if it was announced.
fn check_head(headers: &HeaderMap, announced: Option<u64>, limit: usize) -> Result<(), BodyError> {
    if !is_json(headers) {
        return Err(BodyError::NotJson);
    }
    if is_coded(headers) {
        return Err(BodyError::Coded);
    }
    match announced {
        Some(length) if length > limit as u64 => Err(BodyError::TooLong { limit }),
        _ => Ok(()),
    }
}

/// Reads a body as [`read`] does. `None` if there is no body; such a request needs no content type.
pub(in crate::http) async fn read_if_any<B>(
    request: Request<B>,
    limit: usize,
    patience: Duration,
) -> Result<Option<Bytes>, BodyError>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    match request.body().is_end_stream() {
        true => Ok(None),
        false => read(request, limit, patience).await.map(Some),
    }
}

/// Reads and drops a body of any type, as far as the limit.
pub(in crate::http) async fn skip(
    request: Request<Body>,
    limit: usize,
    patience: Duration,
) -> Result<(), BodyError> {
    Collecting::new(request.into_body(), limit, patience).await.map(drop)
}

/// Reports whether the content type is `application/json` with any parameters, or any `application/*+json`
/// (`docs/http-api.md`, G3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    if value == "application/json" {
        return true;
    }
    let Ok(value) = value.to_str() else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let suffixed =
        subtype.len() > 5 && subtype.as_bytes()[subtype.len() - 5..].eq_ignore_ascii_case(b"+json");
    kind.eq_ignore_ascii_case("application") && (subtype.eq_ignore_ascii_case("json") || suffixed)
}

/// Reports whether the content is coded, so that its bytes are no text.
fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Collector of a whole body within a limit on its size and its time. A body that arrives in one piece, as most do, is
/// not copied, and one that comes with its head needs no timer.
struct Collecting<B> {
    body: B,
    limit: usize,
    patience: Duration,
    first: Bytes,
    /// All pieces; `None` while there is one at most.
    more: Option<Box<BytesMut>>,
    /// End of the patience; `None` while nothing was waited for.
    end: Option<Pin<Box<Sleep>>>,
}

impl<B> Collecting<B> {
    fn new(body: B, limit: usize, patience: Duration) -> Collecting<B> {
        Collecting { body, limit, patience, first: Bytes::new(), more: None, end: None }
    }

    fn take(&mut self, data: Bytes) -> Result<(), BodyError> {
        let before = self.more.as_ref().map_or(self.first.len(), |more| more.len());
        if before + data.len() > self.limit {
            return Err(BodyError::TooLong { limit: self.limit });
        }
        if before == 0 {
            self.first = data;
        } else {
            let first = &mut self.first;
            let more = self.more.get_or_insert_with(|| Box::new(BytesMut::from(std::mem::take(first))));
            more.extend_from_slice(&data);
        }
        Ok(())
    }

    fn collected(&mut self) -> Bytes {
        // This stays as long as the call: nothing is to ring meanwhile.
        self.end = None;
        match self.more.take() {
            Some(more) => more.freeze(),
            None => std::mem::take(&mut self.first),
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> Future for Collecting<B> {
    type Output = Result<Bytes, BodyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(frame)) => {
                    let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
                    this.take(data)?;
                    if this.body.is_end_stream() {
                        return Poll::Ready(Ok(this.collected()));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(Ok(this.collected())),
                Poll::Pending => {
                    let limit = this.patience;
                    let end = this.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                    ready!(end.as_mut().poll(cx));
                    return Poll::Ready(Err(BodyError::TooSlow { limit }));
                }
            }
        }
    }
}

/// Wanted members of a JSON object, each as the text it came in.
#[derive(Debug)]
pub(in crate::http) struct Object<'a, const N: usize> {
    /// Members in the order of the requested names; `None` if absent or, outside [`strict_object`], `null`.
    pub(in crate::http) members: [Option<&'a RawValue>; N],
    /// `true` if the object has no members.
    pub(in crate::http) empty: bool,
    /// Names of the first few unknown members; filled for [`strict_object`] only.
    unknown: Vec<String>,
}

/// Limits on reported unknown members: their count, and the characters of each name.
const MAX_UNKNOWN: usize = 10;
const MAX_UNKNOWN_LENGTH: usize = 100;

/// Reads the members of an object by name. Unknown members are ignored but must be JSON; of duplicates the last
/// one counts (`docs/http-api.md`, G3.6).
pub(in crate::http) fn object<'a, const N: usize>(
    bytes: &'a [u8],
    names: [&str; N],
) -> Result<Object<'a, N>, BodyError> {
    read_object(bytes, names, false)
}

/// Reads the members of an object that may have no others. A member that is `null` counts as present. Also
/// returns the names of unknown members.
pub(in crate::http) fn strict_object<'a, const N: usize>(
    bytes: &'a [u8],
    names: [&str; N],
) -> Result<([Option<&'a RawValue>; N], Vec<String>), BodyError> {
    let Object { members, unknown, .. } = read_object(bytes, names, true)?;
    Ok((members, unknown))
}

fn read_object<'a, const N: usize>(
    bytes: &'a [u8],
    names: [&str; N],
    strict: bool,
) -> Result<Object<'a, N>, BodyError> {
    let text = std::str::from_utf8(bytes).map_err(|error| BodyError::Malformed {
        reason: format!("not UTF-8 after byte {}", error.valid_up_to()),
    })?;
    let begin = text.trim_ascii_start();
    if begin.is_empty() {
        return Err(BodyError::Empty);
    }
    if !begin.starts_with('{') {
        serde_json::from_str::<IgnoredAny>(text).map_err(malformed)?;
        let inside = begin.trim_ascii_end().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let nothing =
            begin.starts_with("null") || inside.is_some_and(|inside| inside.trim_ascii().is_empty());
        return Err(BodyError::NotAnObject { nothing });
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let object = reader.deserialize_map(ObjectVisitor { names, strict }).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    Ok(object)
}

fn malformed(error: serde_json::Error) -> BodyError {
    BodyError::Malformed { reason: error.to_string() }
}

struct ObjectVisitor<'n, const N: usize> {
    names: [&'n str; N],
    strict: bool,
}

impl<'de, const N: usize> Visitor<'de> for ObjectVisitor<'_, N> {
    type Value = Object<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Object { members: [None; N], empty: true, unknown: Vec::new() };
        while let Some(index) = map.next_key_seed(NameIndex { names: &self.names, strict: self.strict })? {
            object.empty = false;
            match index {
                Ok(index) => {
                    let value: &RawValue = map.next_value()?;
                    object.members[index] = (self.strict || value.get() != "null").then_some(value);
                }
                Err(unknown) => {
                    map.next_value::<IgnoredAny>()?;
                    object.unknown.extend(unknown.filter(|_| object.unknown.len() < MAX_UNKNOWN));
                }
            }
        }
        Ok(object)
    }
}

/// Seed that reads a member's name as its index among the wanted ones. The text of an unknown name is kept only
/// in strict mode.
struct NameIndex<'n> {
    names: &'n [&'n str],
    strict: bool,
}

impl<'de> DeserializeSeed<'de> for NameIndex<'_> {
    type Value = Result<usize, Option<String>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameIndex<'_> {
    type Value = Result<usize, Option<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let place = self.names.iter().position(|wanted| *wanted == name);
        Ok(place.ok_or_else(|| self.strict.then(|| name.chars().take(MAX_UNKNOWN_LENGTH).collect())))
    }
}

/// Returns a member as a string, or `None` if it is not one.
pub(in crate::http) fn string(raw: &RawValue) -> Option<String> {
    json_string(raw).map(Cow::into_owned)
}

/// Reports whether a member is an object.
pub(in crate::http) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::Value;

    fn request(content_type: Option<&'static str>, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        if let Some(content_type) = content_type {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        request
    }

    async fn read_text(content_type: Option<&'static str>, body: &'static str) -> Result<Bytes, BodyError> {
        read(request(content_type, Body::from(body)), 16, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn a_compressed_body_is_told_apart_and_a_byte_order_mark_is_passed_over() {
        let coded = |coding: &'static str| {
            let mut request = request(Some("application/json"), Body::from("{}"));
            request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
            async { read(request, 16, Duration::from_secs(5)).await }
        };
        for coding in ["gzip", "br", "x-whatever"] {
            assert_eq!(coded(coding).await, Err(BodyError::Coded), "{coding}");
        }
        assert_eq!(coded("Identity").await, Ok(Bytes::from_static(b"{}")));
        let marked = read_text(Some("application/json"), "\u{feff}{}").await;
        assert_eq!(marked, Ok(Bytes::from_static(b"{}")));
    }

    #[tokio::test]
    async fn only_json_content_types_are_read() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
            assert_eq!(read_text(Some(good), "{}").await, Ok(Bytes::from_static(b"{}")), "{good}");
        }
        for bad in [
            None,
            Some("text/plain"),
            Some("application/+json-seq"),
            Some("application/x-www-form-urlencoded"),
        ] {
            assert_eq!(read_text(bad, "{}").await, Err(BodyError::NotJson), "{bad:?}");
        }
    }

    /// A body of the pieces, the last one first, each after a pause.
    struct Pieces(Vec<&'static [u8]>, bool);
    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            self.1 = !self.1;
            if self.1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(self.0.pop().map(|piece| Ok(hyper::body::Frame::data(Bytes::from_static(piece)))))
        }
    }

    #[tokio::test]
    async fn a_long_body_is_refused_whether_announced_or_not() {
        let long = "{\"a\":\"0123456789\"}";
        assert_eq!(read_text(Some("application/json"), long).await, Err(BodyError::TooLong { limit: 16 }));
        let sent = request(Some("application/json"), Body::new(Pieces(vec![long.as_bytes()], false)));
        assert_eq!(read(sent, 16, Duration::from_secs(5)).await, Err(BodyError::TooLong { limit: 16 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        struct Endless;
        impl HttpBody for Endless {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
                std::task::Poll::Pending
            }
        }
        let limit = Duration::from_secs(30);
        let read = read(request(Some("application/json"), Body::new(Endless)), 16, limit).await;
        assert_eq!(read, Err(BodyError::TooSlow { limit }));
    }

    #[tokio::test]
    async fn a_body_in_pieces_with_pauses_is_put_together_up_to_the_limit() {
        let read = |pieces: &[&'static [u8]]| {
            let pieces = Pieces(pieces.iter().rev().copied().collect(), false);
            Collecting::new(pieces, 6, Duration::from_secs(5))
        };
        assert_eq!(read(&[b"", b"{\"", b"", b"a\":", b"1"]).await, Ok(Bytes::from_static(b"{\"a\":1")));
        assert_eq!(read(&[b"{}"]).await, Ok(Bytes::from_static(b"{}")));
        assert_eq!(read(&[]).await, Ok(Bytes::new()));
        assert_eq!(read(&[b"1234", b"567"]).await, Err(BodyError::TooLong { limit: 6 }));
    }

    #[test]
    fn wanted_members_come_as_they_were_written() {
        let text =
            br#" {"other": [1, {"b": 2}], "a": { "x" : 1e400 }, "b": null, "a": "\u0061", "\u0062": 5} "#;
        let object = object(text, ["a", "b", "c"]).expect("an object");
        let texts = object.members.map(|member| member.map(RawValue::get));
        assert_eq!(texts, [Some("\"\\u0061\""), Some("5"), None]);
        assert!(!object.empty);
    }

    #[test]
    fn a_strict_object_tells_unknown_members_and_what_is_null() {
        let (members, unknown) =
            strict_object(br#"{"a": null, "x": {"b": 1}, "\u0062": 5, "y": 1}"#, ["a", "b", "c"])
                .expect("an object");
        assert_eq!(members.map(|member| member.map(RawValue::get)), [Some("null"), Some("5"), None]);
        assert_eq!(unknown, ["x", "y"]);
        let many: Vec<String> = (0..99).map(|n| format!("\"{}{n}\":1", "x".repeat(500))).collect();
        let text = format!("{{{}}}", many.join(","));
        let (_, unknown) = strict_object(text.as_bytes(), ["a"]).expect("an object");
        assert_eq!((unknown.len(), unknown[0].len()), (MAX_UNKNOWN, MAX_UNKNOWN_LENGTH));
    }

    #[test]
    fn strings_are_read_with_and_without_escapes() {
        for (literal, wanted) in [
            (r#""""#, Some("")),
            (r#""plain é""#, Some("plain é")),
            (r#""a\"b\u0041\\""#, Some("a\"bA\\")),
            (r#""\\""#, Some("\\")),
            ("5", None),
            ("null", None),
            (r#"["a"]"#, None),
        ] {
            let raw: &RawValue = serde_json::from_str(literal).unwrap();
            assert_eq!(string(raw).as_deref(), wanted, "{literal}");
        }
    }

    #[test]
    fn what_is_not_an_object_is_told_apart() {
        let read = |text: &str| object(text.as_bytes(), ["a"]).map(|object| object.empty);
        assert_eq!(read("{}"), Ok(true));
        assert_eq!(read(" \n"), Err(BodyError::Empty));
        for nothing in ["null", "[ ]", " [] "] {
            assert_eq!(read(nothing), Err(BodyError::NotAnObject { nothing: true }), "{nothing}");
        }
        for other in ["[1]", "\"x\"", "5", "true"] {
            assert_eq!(read(other), Err(BodyError::NotAnObject { nothing: false }), "{other}");
        }
        for bad in ["{", "{\"a\":NaN}", "{\"a\":1}x", "nul", "[", "{\"b\":01}", "{\"a\" 1}", "\u{feff}{}"] {
            assert!(matches!(read(bad), Err(BodyError::Malformed { .. })), "{bad}");
        }
        assert!(matches!(object(b"{\"a\":\"\xff\"}", ["b"]), Err(BodyError::Malformed { .. })));
    }

    proptest! {
        /// The reader agrees with `serde_json::Value` on which texts are objects and on their members.
        #[test]
        fn agrees_with_a_full_parse(pairs in proptest::collection::vec(("[abc]", 0i32..5), 0..6)) {
            let text = format!("{{{}}}", pairs.iter().map(|(k, v)| format!("\"{k}\": [{v}]")).collect::<Vec<_>>().join(","));
            let full: Value = serde_json::from_str(&text).unwrap();
            let read = object(text.as_bytes(), ["a", "b", "c"]).unwrap();
            prop_assert_eq!(read.empty, pairs.is_empty());
            for (name, member) in ["a", "b", "c"].iter().zip(read.members) {
                let member = member.map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
                prop_assert_eq!(full.get(*name), member.as_ref());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            drop(object(&bytes, ["a"]));
        }
    }
}
