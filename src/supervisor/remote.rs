//! Entries that name a remote server: an address instead of a command. Every client spells them
//! differently. Pure: this module reads entries and makes no connection.

use serde_json::{Map, Value};

use crate::text::cut;

/// Transport over which a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The standard input and output of a child process.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// HTTP with server-sent events, as in the protocol version of 2024.
    Sse,
    /// A WebSocket connection (`ws://` or `wss://`).
    WebSocket,
}

impl Transport {
    /// Returns the name as one word, as in the API and the log.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Stdio => "stdio",
            Transport::Http => "http",
            Transport::Sse => "sse",
            Transport::WebSocket => "websocket",
        }
    }

    /// Returns the transport that a member `type` or `transport` names, in any spelling; `None` if the text
    /// names none.
    pub fn named(text: &str) -> Option<Transport> {
        let plain: String = text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
        Some(match plain.to_ascii_lowercase().as_str() {
            "stdio" | "local" => Transport::Stdio,
            "http" | "https" | "streamablehttp" | "streamable" | "remote" => Transport::Http,
            "sse" => Transport::Sse,
            "ws" | "wss" | "websocket" => Transport::WebSocket,
            _ => return None,
        })
    }
}

/// Members of an entry that may hold the address, in order; the first with a non-blank text counts.
pub const ADDRESS_MEMBERS: [&str; 7] =
    ["url", "serverUrl", "httpUrl", "baseUrl", "ws_url", "uri", "endpoint"];

/// Address and transport of a server that is not one of our processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    transport: Transport,
    address: String,
}

impl Remote {
    /// Reads the address and transport of an entry, in any spelling; `None` if it names no address.
    pub(super) fn read(raw: &Map<String, Value>) -> Option<Remote> {
        let nested = raw.get("transport").and_then(Value::as_object);
        let said = |from: &Map<String, Value>| {
            ADDRESS_MEMBERS.into_iter().find_map(|member| {
                let text = from.get(member)?.as_str()?.trim();
                (!text.is_empty()).then(|| (member, text.to_owned()))
            })
        };
        let (member, address) = said(raw).or_else(|| nested.and_then(said))?;
        let named = |from: &Map<String, Value>, member: &str| {
            from.get(member).and_then(Value::as_str).and_then(Transport::named)
        };
        let named = named(raw, "type")
            .or_else(|| named(raw, "transport"))
            .or_else(|| nested.and_then(|nested| named(nested, "type")))
            .filter(|transport| *transport != Transport::Stdio);
        let transport = named.unwrap_or_else(|| guess(member, &address));
        Some(Remote { transport, address })
    }

    /// Returns the transport over which the server would be reached.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the address in a form that may be shown: without user name and password, without the content
    /// of a query, and without path segments that look like keys.
    pub fn shown_address(&self) -> String {
        shown(&self.address)
    }
}

fn guess(member: &str, address: &str) -> Transport {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    match () {
        () if member == "ws_url" || address.starts_with("ws://") || address.starts_with("wss://") => {
            Transport::WebSocket
        }
        () if member != "httpUrl" && path.trim_end_matches('/').ends_with("/sse") => Transport::Sse,
        () => Transport::Http,
    }
}

fn shown(address: &str) -> String {
    let (path, query) = match address.split_once(['?', '#']) {
        Some((path, _)) => (path, "?…"),
        None => (address, ""),
    };
    let (scheme, rest) = path.split_once("://").map_or(("", path), |(scheme, rest)| (scheme, rest));
    let (host, steps) = rest.split_once('/').map_or((rest, None), |(host, steps)| (host, Some(steps)));
    let host = host.rsplit('@').next().unwrap_or(host);
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(scheme);
        out.push_str("://");
    }
    out.push_str(host);
    for step in steps.into_iter().flat_map(|steps| steps.split('/')) {
        out.push('/');
        out.push_str(if looks_like_a_key(step) { "…" } else { step });
    }
    out.push_str(query);
    cut(out, MAX_ADDRESS_CHARS)
}

/// Maximum number of characters of an address that are shown.
const MAX_ADDRESS_CHARS: usize = 200;

/// Reports whether a path segment is at least 20 bytes long and has both letters and digits. Some services
/// put the key there.
fn looks_like_a_key(step: &str) -> bool {
    step.len() >= 20
        && step.bytes().any(|byte| byte.is_ascii_digit())
        && step.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(entry: Value) -> Option<(&'static str, String)> {
        let remote = Remote::read(entry.as_object().expect("an object"))?;
        Some((remote.transport().name(), remote.shown_address()))
    }

    #[test]
    fn every_spelling_of_an_address_and_of_a_transport_is_read() {
        let at = "http://h/mcp";
        for member in ADDRESS_MEMBERS {
            let transport = if member == "ws_url" { "websocket" } else { "http" };
            assert_eq!(read(json!({member: at})), Some((transport, at.to_owned())), "{member}");
        }
        for (spelled, transport) in [
            ("http", "http"),
            ("streamable-http", "http"),
            ("streamableHttp", "http"),
            ("streamable_http", "http"),
            ("remote", "http"),
            ("SSE", "sse"),
            ("ws", "websocket"),
            ("websocket", "websocket"),
        ] {
            for entry in [
                json!({"type": spelled, "url": at}),
                json!({"transport": spelled, "serverUrl": at}),
                json!({"transport": {"type": spelled, "url": at}}),
            ] {
                assert_eq!(read(entry.clone()), Some((transport, at.to_owned())), "{entry}");
            }
        }
    }

    #[test]
    fn without_a_type_the_address_tells() {
        for (address, transport) in [
            ("http://h/sse", "sse"),
            ("http://h/sse/?k=1", "sse"),
            ("wss://h/x", "websocket"),
            ("http://h", "http"),
        ] {
            assert_eq!(read(json!({"url": address})).expect("an address").0, transport, "{address}");
        }
        assert_eq!(read(json!({"httpUrl": "http://h/sse"})).expect("an address").0, "http");
        assert_eq!(read(json!({"type": "stdio", "url": "http://h/sse"})).expect("an address").0, "sse");
    }

    #[test]
    fn what_names_no_address_is_not_remote() {
        for entry in
            [json!({}), json!({"url": ""}), json!({"url": null}), json!({"url": 5}), json!({"type": "http"})]
        {
            assert_eq!(read(entry.clone()), None, "{entry}");
        }
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_a_secret() {
        for (address, shown) in [
            ("https://h:1/a/b", "https://h:1/a/b"),
            ("https://user:s3cret@h/a", "https://h/a"),
            ("https://h/a?key=s3cret", "https://h/a?…"),
            ("https://h/s/0123456789abcdef0123/mcp", "https://h/s/…/mcp"),
            ("https://h/${env:KEY}/mcp", "https://h/${env:KEY}/mcp"),
        ] {
            assert_eq!(read(json!({"url": address})).expect("an address").1, shown);
        }
    }

    proptest! {
        #[test]
        fn a_password_is_never_shown(name in "[a-z]{0,5}", rest in "(\\PC){0,40}") {
            let shown = shown(&format!("https://{name}:S3CRET@host/{rest}"));
            prop_assert!(!shown.contains("S3CRET"), "{}", shown);
        }
    }
}
