//! Entries that name a remote server: an address instead of a command. Every client spells them
//! differently. Pure: this module reads entries and makes no connection.

use serde::Serialize;
use serde_json::{Map, Value};

use super::policy::OWN_MEMBER;
use super::problem::{Problems, kind_of};
use crate::process::is_variable;
use crate::upstream::http::{TransportChoice, shown_address};

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
            Transport::Http => "streamable-http",
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

/// Address, transport and headers of a server that is not one of our processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    transport: Transport,
    choice: TransportChoice,
    address: String,
    headers: Vec<(String, String)>,
}

/// Members that may hold the headers.
pub const HEADER_MEMBERS: [&str; 2] = ["headers", "http_headers"];

/// Headers that are not for a definition to set (remote-upstreams, R4); those that end in `-` stand for all that begin so.
const OWN_HEADERS: [&str; 22] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-",
    "accept",
    "accept-encoding",
    "content-type",
    "user-agent",
    "mcp-session-id",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-param-",
    "last-event-id",
    "forwarded",
    "x-forwarded-",
    "x-real-ip",
];

impl Remote {
    /// Reads the address and transport of an entry, in any spelling; `None` if it names no address.
    pub(super) fn read(raw: &Map<String, Value>, problems: &mut Problems) -> Option<Remote> {
        let nested = raw.get("transport").and_then(Value::as_object);
        let said = |from: &Map<String, Value>| {
            ADDRESS_MEMBERS.into_iter().find_map(|member| {
                let text = from.get(member)?.as_str()?.trim();
                (!text.is_empty()).then(|| (member, text.to_owned()))
            })
        };
        let (member, address) = said(raw).or_else(|| nested.and_then(said))?;
        let text = |from: &Map<String, Value>, member: &str| {
            from.get(member).and_then(Value::as_str).map(str::to_ascii_lowercase)
        };
        let own = raw.get(OWN_MEMBER).and_then(Value::as_object);
        let words = [
            own.and_then(|own| text(own, "transport")),
            text(raw, "type"),
            text(raw, "transport"),
            nested.and_then(|nested| text(nested, "type")),
        ];
        // `remote` says where it is and not how it is spoken to.
        let named = words.iter().flatten().find_map(|word| {
            Transport::named(word).filter(|_| word != "remote").filter(|named| *named != Transport::Stdio)
        });
        let choice = match named {
            Some(Transport::Sse) => TransportChoice::Sse,
            Some(_) => TransportChoice::Streamable,
            None if member == "httpUrl" => TransportChoice::Streamable,
            None => TransportChoice::FindOut,
        };
        let transport = named.unwrap_or_else(|| guess(member, &address));
        let headers = headers(raw, nested, problems);
        Some(Remote { transport, choice, address: as_references(&address), headers })
    }

    /// Returns the transport over which the server is reached, as far as the definition tells.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the transport that the definition names.
    pub fn choice(&self) -> TransportChoice {
        self.choice
    }

    /// Returns the address with references; it may have secrets in it.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the headers that are sent with each request, their values with references.
    pub(super) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Returns what tells it apart from others: its address and headers. They may have secrets in them.
    pub fn identity(&self) -> impl Serialize {
        (&self.address, &self.headers)
    }

    /// Returns the value of a header, with references; `None` if there is no such header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let known = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, value)| value.as_str())
    }

    /// Returns the names of the headers that are sent with each request.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the address in a form that may be shown: without user name and password, without the values
    /// of a query, and without path segments that look like keys.
    pub fn shown_address(&self) -> String {
        shown_address(&self.address)
    }
}

fn headers(
    raw: &Map<String, Value>,
    nested: Option<&Map<String, Value>>,
    problems: &mut Problems,
) -> Vec<(String, String)> {
    let found = HEADER_MEMBERS
        .into_iter()
        .find_map(|member| Some((member, raw.get(member).or_else(|| nested?.get(member))?)));
    let (member, entries) = match found {
        None | Some((_, Value::Null)) => return Vec::new(),
        Some((member, Value::Object(entries))) => (member, entries),
        Some((member, _)) => return problems.add(member, "must be an object of strings").unwrap_or_default(),
    };
    let mut out = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let place = format!("{member}.{name}");
        let lower = name.to_ascii_lowercase();
        let is_own = |own: &str| lower == own || own.ends_with('-') && lower.starts_with(own);
        if name.is_empty() || !name.bytes().all(is_token) {
            problems.add::<()>(&place, "is no name that a header can have");
        } else if OWN_HEADERS.into_iter().any(is_own) {
            problems.add::<()>(&place, "is a header that the gateway sets itself");
        }
        let Value::String(text) = value else {
            let reason = format!("must be a string (found {})", kind_of(value));
            problems.add::<()>(&place, &reason);
            continue;
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.chars().any(|c| c != '\t' && !(' '..='~').contains(&c)) {
            problems.add::<()>(&place, "must have visible ASCII characters, blanks and tabs only");
        }
        out.push((name.clone(), as_references(text)));
    }
    out
}

/// Reports whether a byte may be part of a header's name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Writes variables as other clients refer to them, `${NAME}` and `${NAME:-default}`, in the form of our own references:
/// in an address and in headers nothing else can be meant (R3).
fn as_references(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, inside) = (&rest[..at], &rest[at + 2..]);
        out.push_str(before);
        let name = inside.split([':', '}']).next().unwrap_or_default();
        let is_plain = matches!(inside[name.len()..].chars().next(), Some('}'))
            || inside[name.len()..].starts_with(":-");
        let is_escaped = before.ends_with('$') || out.ends_with('$');
        out.push_str(if is_plain && is_variable(name) && !is_escaped { "${env:" } else { "${" });
        rest = inside;
    }
    out.push_str(rest);
    out
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(entry: Value) -> Option<(&'static str, String)> {
        let mut problems = Problems::default();
        let remote = Remote::read(entry.as_object().expect("an object"), &mut problems)?;
        assert_eq!(problems.len(), 0, "{entry}");
        Some((remote.transport().name(), remote.shown_address()))
    }

    #[test]
    fn every_spelling_of_an_address_and_of_a_transport_is_read() {
        let at = "http://h/mcp";
        for member in ADDRESS_MEMBERS {
            let transport = if member == "ws_url" { "websocket" } else { "streamable-http" };
            assert_eq!(read(json!({member: at})), Some((transport, at.to_owned())), "{member}");
        }
        for (spelled, transport) in [
            ("http", "streamable-http"),
            ("streamable-http", "streamable-http"),
            ("streamableHttp", "streamable-http"),
            ("streamable_http", "streamable-http"),
            ("remote", "streamable-http"),
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
            ("http://h", "streamable-http"),
        ] {
            assert_eq!(read(json!({"url": address})).expect("an address").0, transport, "{address}");
        }
        assert_eq!(read(json!({"httpUrl": "http://h/sse"})).expect("an address").0, "streamable-http");
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
    fn headers_are_read_with_every_clients_references_and_wrong_ones_named() {
        let read = |entry: Value| {
            let mut problems = Problems::default();
            let remote =
                Remote::read(entry.as_object().expect("an object"), &mut problems).expect("an address");
            (remote.headers, problems.lines())
        };
        let headers = json!({
            "Authorization": "Bearer ${TOKEN}", "X-A": "${env:A} ${B:-b} $${C} ${input:d}", "X-End": "x\n",
        });
        let (headers, problems) = read(json!({"url": "http://h", "headers": headers}));
        assert_eq!(problems, Vec::<String>::new());
        let values: Vec<&str> = headers.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["Bearer ${env:TOKEN}", "${env:A} ${env:B:-b} $${C} ${input:d}", "x"]);
        let (_, problems) = read(json!({"url": "http://h", "http_headers": {
            "Host": "x", "Proxy-Authorization": "x", "mcp-param-a": "x", "A B": "x", "X": "a\nb", "Y": 5,
        }}));
        assert_eq!(problems.len(), 6, "{problems:?}");
        assert!(
            problems[0].starts_with("http_headers.Host is a header that the gateway sets itself"),
            "{problems:?}"
        );
    }

    #[test]
    fn the_transport_is_found_out_unless_the_entry_names_it() {
        let choice = |entry: Value| {
            let raw = entry.as_object().expect("an object");
            Remote::read(raw, &mut Problems::default()).expect("an address").choice()
        };
        for (entry, expected) in [
            (json!({"url": "http://h"}), TransportChoice::FindOut),
            (json!({"url": "http://h/sse", "type": "remote"}), TransportChoice::FindOut),
            (json!({"url": "http://h", "type": "Streamable-HTTP"}), TransportChoice::Streamable),
            (json!({"httpUrl": "http://h"}), TransportChoice::Streamable),
            (json!({"url": "http://h", "transport": "sse"}), TransportChoice::Sse),
            (
                json!({"url": "http://h", "type": "http", "mcpvisor": {"transport": "sse"}}),
                TransportChoice::Sse,
            ),
        ] {
            assert_eq!(choice(entry.clone()), expected, "{entry}");
        }
    }
}
