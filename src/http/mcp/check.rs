//! In which era a request is made, and what its headers must say then (spec 2026-07-28, basic/transports/streamable-http
//! and basic/versioning). The body decides; headers are held against it.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::fault::{Fault, HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION};
use super::message::Request;
use crate::mcp::translate::{
    CLIENT_CAPABILITIES, CLIENT_INFO, Client, HeaderParam, LEGACY_VERSIONS, LOG_LEVEL, Level, Members,
    PROTOCOL_VERSION,
};
use crate::mcp::{MODERN_VERSION, method};

/// Header with the revision that a client speaks.
static VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Header with the method of a modern request.
static METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Header with the name of what a modern request is for.
static NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Era of a request, as its body and headers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpokenEra {
    /// It carries its version and its client's capabilities itself.
    Modern,
    /// It belongs to a session, or opens one.
    Legacy,
}

/// Returns the era of a request by its `_meta`: a claim there decides, whatever is wrong with it, and a header that names a
/// modern revision without a claim makes a modern request that lacks it.
pub(super) fn era_of(meta: Option<&Members<'_>>, headers: &HeaderMap) -> SpokenEra {
    let claims = meta.is_some_and(|meta| meta.get(PROTOCOL_VERSION).is_some());
    match claims || names_modern(headers) {
        true => SpokenEra::Modern,
        false => SpokenEra::Legacy,
    }
}

/// Reports whether the header names a revision of the modern era. Revisions are dates, so that they compare as text.
pub(super) fn names_modern(headers: &HeaderMap) -> bool {
    version(headers).is_some_and(|version| version.len() == MODERN_VERSION.len() && version >= MODERN_VERSION)
}

fn version(headers: &HeaderMap) -> Option<&str> {
    headers.get(&VERSION).and_then(|version| version.to_str().ok()).map(str::trim)
}

/// Refuses a header that names no revision that a session can have been opened with.
pub(super) fn check_legacy_version(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(given) = headers.get(&VERSION) else { return Ok(()) };
    let given = given.to_str().unwrap_or("\u{fffd}").trim();
    if LEGACY_VERSIONS.contains(&given) {
        return Ok(());
    }
    let shown: String = given.chars().take(64).collect();
    let text = format!("MCP-Protocol-Version '{shown}' is not supported: {}", LEGACY_VERSIONS.join(", "));
    Err(Fault::bad(super::fault::INVALID_REQUEST, text))
}

/// What a modern request says in its `_meta`.
#[derive(Debug)]
pub(super) struct Envelope {
    /// The client.
    pub(super) client: Client,
    /// Least severity of the log messages that the client wants; `None` if it wants none.
    pub(super) level: Option<Level>,
}

/// Checks the `_meta` and the headers of a modern request in this order: what is missing in `_meta`; whether the header names
/// the version that the body does, and whether it is spoken here; the other headers. The official suite wants a header that
/// differs told before a version that is not spoken (`server-stateless`). `keep` makes what is kept of the text.
pub(super) fn check_modern<'a>(
    request: &Request<'a>,
    headers: &HeaderMap,
    keep: impl Fn(&'a str) -> Bytes,
) -> Result<Envelope, Fault> {
    let meta = request.meta.as_ref();
    let envelope = read_envelope(meta, keep)?;
    check_version(meta, only(headers, &VERSION)?)?;
    check_headers(request, headers)?;
    Ok(envelope)
}

fn read_envelope<'a>(meta: Option<&Members<'a>>, keep: impl Fn(&'a str) -> Bytes) -> Result<Envelope, Fault> {
    let missing = |name: &str, what: &str| {
        Fault::bad(INVALID_PARAMS, format!("Invalid params: params._meta['{name}'] {what}"))
    };
    let version = meta.and_then(|meta| meta.get(PROTOCOL_VERSION));
    if version.is_none_or(|version| !version.get().starts_with('"')) {
        return Err(missing(PROTOCOL_VERSION, "must name the protocol version"));
    }
    let capabilities = meta.and_then(|meta| meta.get(CLIENT_CAPABILITIES));
    let Some(capabilities) = capabilities.filter(|capabilities| capabilities.get().starts_with('{')) else {
        return Err(missing(CLIENT_CAPABILITIES, "must be an object"));
    };
    let info = meta.and_then(|meta| meta.get(CLIENT_INFO));
    let client =
        Client::read_by(info, capabilities, keep).ok_or_else(|| missing(CLIENT_INFO, "must be an object"))?;
    let level = match meta.and_then(|meta| meta.get(LOG_LEVEL)) {
        None => None,
        Some(level) => {
            Some(Level::read(level).ok_or_else(|| missing(LOG_LEVEL, "is no level of log messages"))?)
        }
    };
    Ok(Envelope { client, level })
}

fn check_version(meta: Option<&Members<'_>>, given: Option<&HeaderValue>) -> Result<(), Fault> {
    let asked = meta.and_then(|meta| meta.text(PROTOCOL_VERSION)).unwrap_or_default();
    match given.and_then(|given| given.to_str().ok()).map(str::trim) {
        Some(given) if given == asked => {}
        Some(_) => return Err(mismatch("MCP-Protocol-Version differs from the version in the body")),
        None => return Err(mismatch("MCP-Protocol-Version is missing")),
    }
    if asked == MODERN_VERSION {
        return Ok(());
    }
    let asked: String = asked.chars().take(64).collect();
    let data = json!({"supported": [MODERN_VERSION], "requested": asked}).to_string();
    let text = format!("Unsupported protocol version: {asked}");
    Err(Fault::bad(UNSUPPORTED_VERSION, text).with(data))
}

fn mismatch(text: impl Into<Cow<'static, str>>) -> Fault {
    Fault::bad(HEADER_MISMATCH, text)
}

/// Returns a header that may be there once; `None` if it is not there.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Fault> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(mismatch(format!("{name} is there more than once"))),
    }
}

fn check_headers(request: &Request<'_>, headers: &HeaderMap) -> Result<(), Fault> {
    let (method, name) = (only(headers, &METHOD)?, only(headers, &NAME)?);
    match method.map(|given| given.to_str().unwrap_or_default().trim()) {
        Some(given) if given == request.method => {}
        Some(_) => return Err(mismatch("Mcp-Method differs from the method in the body")),
        None => return Err(mismatch("Mcp-Method is missing")),
    }
    let Some(member) = named_by(&request.method) else { return Ok(()) };
    // Without a name in the body there is nothing to compare, and the request is refused for that.
    let Some(told) = request.params.text(member) else { return Ok(()) };
    match name.map(|given| decoded(given.as_bytes())) {
        Some(Some(given)) if given == told => Ok(()),
        Some(Some(_)) => Err(mismatch(format!("Mcp-Name differs from params.{member} in the body"))),
        Some(None) => Err(mismatch("Mcp-Name cannot be decoded")),
        None => Err(mismatch("Mcp-Name is missing")),
    }
}

/// Refuses a call whose headers do not repeat the arguments that they should.
pub(super) fn check_header_params(
    repeated: &[HeaderParam],
    params: &Members<'_>,
    headers: &HeaderMap,
) -> Result<(), Fault> {
    let arguments = params.get("arguments").and_then(|raw| serde_json::from_str(raw.get()).ok());
    let arguments: Value = arguments.unwrap_or_default();
    for one in repeated {
        if headers.get_all(&*one.header).iter().nth(1).is_some() {
            return Err(mismatch(format!("{} is there more than once", one.header)));
        }
        let given = headers.get(&*one.header).map(|given| decoded(given.as_bytes()));
        let text = match given {
            Some(None) => format!("{} cannot be decoded", one.header),
            given if one.agrees(&arguments, given.as_ref().and_then(|given| given.as_deref())) => continue,
            _ => format!("{} does not repeat the argument '{}'", one.header, one.path.join(".")),
        };
        return Err(mismatch(text));
    }
    Ok(())
}

/// Returns the member of `params` that `Mcp-Name` repeats; `None` for methods without one.
pub(super) fn named_by(asked: &str) -> Option<&'static str> {
    match asked {
        method::TOOLS_CALL | method::PROMPTS_GET => Some("name"),
        method::RESOURCES_READ => Some("uri"),
        _ => None,
    }
}

/// Decodes the value of a header that repeats a part of the body: as it is, or in base64 between `=?base64?` and `?=`.
/// `None` if it cannot be decoded.
pub(super) fn decoded(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    match text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        None => Some(Cow::Borrowed(text)),
        Some(coded) => String::from_utf8(STANDARD.decode(coded).ok()?).ok().map(Cow::Owned),
    }
}

/// Reports whether a status tells a client that its request was wrong and not its answer. For the lazily upgraded answer:
/// such an error keeps its status only while no event was sent.
pub(super) fn status_of_error(code: i64) -> StatusCode {
    match code {
        super::fault::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        super::fault::CAPABILITY_MISSING => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::mcp::message::{Body, Posted, read};
    use proptest::prelude::*;

    // The names as a client writes them.
    const VERSION: &str = "mcp-protocol-version";
    const METHOD: &str = "mcp-method";
    const NAME: &str = "mcp-name";

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).expect("a header");
        given.iter().map(|(name, text)| (name.parse().expect("a name"), value(text))).collect()
    }

    fn checked(params: Value, given: &[(&'static str, &str)]) -> Result<SpokenEra, Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
        let body = bytes::Bytes::from(body);
        let Ok(Body::One(Posted::Request(request))) = read(&body, None) else { panic!("a request") };
        let headers = headers(given);
        match era_of(request.meta.as_ref(), &headers) {
            SpokenEra::Legacy => Ok(SpokenEra::Legacy),
            SpokenEra::Modern => match check_modern(&request, &headers, |part| request.part(part)) {
                Ok(_) => Ok(SpokenEra::Modern),
                Err(fault) => {
                    let told: Value = serde_json::from_slice(&fault.message(None)).expect("JSON");
                    Err(told["error"]["code"].clone())
                }
            },
        }
    }

    fn good() -> Value {
        json!({"name": "t", "_meta": {PROTOCOL_VERSION: "2026-07-28", CLIENT_CAPABILITIES: {}}})
    }

    const GOOD: [(&str, &str); 3] = [(VERSION, "2026-07-28"), (METHOD, "tools/call"), (NAME, "t")];

    #[test]
    fn the_body_decides_the_era_and_a_bad_claim_is_no_legacy_request() {
        assert_eq!(checked(good(), &GOOD), Ok(SpokenEra::Modern));
        assert_eq!(checked(json!({"name": "t"}), &[(VERSION, "2025-11-25")]), Ok(SpokenEra::Legacy));
        assert_eq!(checked(json!({"name": "t"}), &[]), Ok(SpokenEra::Legacy));
        assert_eq!(checked(json!({"name": "t"}), &GOOD), Err(json!(-32602)), "the claim is missing");
        for version in ["2025-11-25", "1999-01-01", "2027-01-01"] {
            let params = json!({"name": "t", "_meta": {PROTOCOL_VERSION: version, CLIENT_CAPABILITIES: {}}});
            assert_eq!(checked(params.clone(), &GOOD), Err(json!(-32020)), "{version}");
            let same = [(VERSION, version), GOOD[1], GOOD[2]];
            assert_eq!(checked(params, &same), Err(json!(-32022)), "{version}");
        }
        let params = json!({"name": "t", "_meta": {PROTOCOL_VERSION: 7, CLIENT_CAPABILITIES: {}}});
        assert_eq!(checked(params, &GOOD), Err(json!(-32602)));
        let params = json!({"name": "t", "_meta": {PROTOCOL_VERSION: "2026-07-28"}});
        assert_eq!(checked(params, &GOOD), Err(json!(-32602)), "capabilities are required");
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        for (at, other) in
            [(0, "2025-11-25"), (1, "tools/list"), (2, "T"), (2, "=?base64?!?="), (2, "=?base64?dQ==?=")]
        {
            let mut given = GOOD;
            given[at].1 = other;
            assert_eq!(checked(good(), &given), Err(json!(-32020)), "{given:?}");
            let mut less = GOOD.to_vec();
            less.remove(at);
            assert_eq!(checked(good(), &less), Err(json!(-32020)), "{less:?}");
        }
        let spaced = [GOOD[0], (METHOD, " tools/call "), (NAME, "=?base64?dA==?=")];
        assert_eq!(checked(good(), &spaced), Ok(SpokenEra::Modern));
    }

    #[test]
    fn a_legacy_session_speaks_a_revision_that_is_known() {
        for known in LEGACY_VERSIONS {
            assert!(check_legacy_version(&headers(&[(VERSION, known)])).is_ok());
        }
        assert!(check_legacy_version(&headers(&[])).is_ok());
        assert!(check_legacy_version(&headers(&[(VERSION, "2025-01-01")])).is_err());
    }

    proptest! {
        #[test]
        fn a_name_is_understood_in_base64_as_well_as_plain(name in "\\PC{0,30}") {
            let coded = format!("=?base64?{}?=", STANDARD.encode(&name));
            let back = decoded(coded.as_bytes());
            prop_assert_eq!(back.as_deref(), Some(&*name));
        }
    }
}
