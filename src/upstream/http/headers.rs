//! Headers by which a modern request says outside what is inside (spec 2026-07-28, basic/transports/streamable-http;
//! `remote-upstreams.md`, R28). Pure. They are read from what goes into the body, so that both always say the same.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::mcp::method;
use crate::mcp::translate::HeaderParam;

/// Header with the method of a request.
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Header with the name of what a request is about.
const NAME: HeaderName = HeaderName::from_static("mcp-name");

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    uri: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// Makes places for the headers that [`write`] fills.
pub(super) fn make_places(headers: &mut HeaderMap) {
    for place in [METHOD, NAME] {
        headers.insert(place, HeaderValue::from_static(""));
    }
}

/// Writes the headers of a request with this method and these members of its params. `annotated` gives the arguments of a
/// tool that its schema wants in headers.
pub(super) fn write(
    headers: &mut HeaderMap,
    asked: &str,
    members: &[u8],
    annotated: impl Fn(&str) -> Arc<[HeaderParam]>,
) {
    if asked == method::TOOLS_CALL {
        headers.insert(METHOD, HeaderValue::from_static(method::TOOLS_CALL));
        // Nearly every call is one of these.
        if let Some(name) = first_name(members).filter(|name| annotated(name).is_empty()) {
            headers.insert(NAME, value(name));
            return;
        }
    } else if let Ok(method) = HeaderValue::from_str(asked) {
        headers.insert(METHOD, method);
    }
    headers.remove(NAME);
    if ![method::TOOLS_CALL, method::RESOURCES_READ, method::PROMPTS_GET].contains(&asked) {
        return;
    }
    let params = [b"{", members, b"}"].concat();
    let Ok(params) = serde_json::from_slice::<Params<'_>>(&params) else { return };
    let name = if asked == method::RESOURCES_READ { params.uri } else { params.name };
    let Some(name) = name else { return };
    headers.insert(NAME, value(&name));
    if asked != method::TOOLS_CALL {
        return;
    }
    let wanted = annotated(&name);
    if wanted.is_empty() {
        return;
    }
    let arguments = params.arguments.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    let arguments = arguments.unwrap_or_default();
    for param in wanted.iter() {
        let found = param.path.iter().try_fold(&arguments, |value, name| value.get(name));
        let text = match found {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => continue,
        };
        if let Ok(name) = HeaderName::try_from(&*param.header) {
            headers.insert(name, value(&text));
        }
    }
}

/// Returns the name that members begin with, if it is written as it is read.
fn first_name(members: &[u8]) -> Option<&str> {
    let rest = members.strip_prefix(b"\"name\":\"")?;
    let name = rest.get(..memchr::memchr2(b'"', b'\\', rest)?)?;
    (rest.get(name.len()) == Some(&b'"')).then(|| std::str::from_utf8(name).ok()).flatten()
}

/// Returns a text as a header's value: as it is where a header can have it, or in base64.
fn value(text: &str) -> HeaderValue {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && text.trim() == text
        && !text.starts_with("=?base64?");
    let written = match is_plain {
        true => Cow::Borrowed(text),
        false => Cow::Owned(format!("=?base64?{}?=", STANDARD.encode(text))),
    };
    // Base64 and plain ASCII are what headers can have.
    HeaderValue::from_str(&written).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn written(asked: &str, params: &Value, annotated: Vec<HeaderParam>) -> Vec<(String, String)> {
        let params = params.to_string();
        let members = &params.as_bytes()[1..params.len() - 1];
        let mut headers = HeaderMap::new();
        write(&mut headers, asked, members, |_| annotated.clone().into());
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    #[test]
    fn a_request_says_outside_what_it_says_inside() {
        let of = |asked: &str, params: Value| written(asked, &params, Vec::new());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of("tools/list", json!({})), [pair("mcp-method", "tools/list")]);
        assert_eq!(
            of("resources/read", json!({"uri": "a://b", "name": "no"})),
            [pair("mcp-method", "resources/read"), pair("mcp-name", "a://b")]
        );
        assert_eq!(of("tools/call", json!({"name": "ü"}))[1], pair("mcp-name", "=?base64?w7w=?="));
        assert_eq!(of("tools/call", json!({"name": "a\"b"}))[1], pair("mcp-name", "a\"b"));
        assert_eq!(of("tools/call", json!({"arguments": {}, "name": "c"}))[1], pair("mcp-name", "c"));
        assert_eq!(of("prompts/get", json!({"name": " a"}))[1], pair("mcp-name", "=?base64?IGE=?="));
    }

    #[test]
    fn annotated_arguments_are_repeated_where_they_are_there() {
        let param = |header: &str, path: &[&str]| HeaderParam {
            header: header.to_owned(),
            path: path.iter().map(|name| (*name).to_owned()).collect(),
        };
        let params = vec![
            param("mcp-param-s", &["s"]),
            param("mcp-param-n", &["deep", "n"]),
            param("mcp-param-b", &["b"]),
            param("mcp-param-null", &["null"]),
            param("mcp-param-missing", &["missing"]),
        ];
        let arguments = json!({"s": "a b", "deep": {"n": 7}, "b": true, "null": null});
        let written = written("tools/call", &json!({"name": "t", "arguments": arguments}), params);
        let told: Vec<String> = written[2..].iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(told, ["mcp-param-s=a b", "mcp-param-n=7", "mcp-param-b=true"]);
    }

    proptest! {
        #[test]
        fn every_name_can_be_told_and_read_back(name in "\\PC{1,20}|[ \\t]{0,2}=?base64?[a-z]{0,4}") {
            let written = written("tools/call", &json!({"name": name.clone()}), Vec::new());
            let told = &written[1].1;
            let read = match told.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
                Some(encoded) => String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("text"),
                None => told.clone(),
            };
            prop_assert_eq!(read, name);
        }
    }
}
