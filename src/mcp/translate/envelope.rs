//! `params._meta` of a request on its way from a client to a child: what each era wants in it.

use std::sync::OnceLock;

use bytes::Bytes;

use super::client::Client;
use super::members::{Members, push_member};
use super::trace::{TRACEPARENT, TraceContext, trace_of_members, with_parent};
use crate::mcp::era::{Era, client_info};

/// Member with the revision that a request is made in.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Member with the name and version of a client.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Member with the capabilities of a client.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Member with the least severity of the log messages that a client wants with the answer.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Member with the token by which a client knows the progress of its request.
pub const PROGRESS_TOKEN: &str = "progressToken";

/// Members that belong to one hop: they are set anew for the next one and never forwarded.
const OF_THIS_HOP: [&str; 5] =
    [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL, PROGRESS_TOKEN];

/// Members of `params._meta` for a child. Which era's are wanted is known when the request has a place on a child.
#[derive(Debug, Clone)]
pub struct Envelope {
    client: Client,
    log_level: Option<&'static str>,
    is_modern_client: bool,
    /// The client's own members that belong to no hop, without braces, on one line.
    rest: Bytes,
    /// What was written for a child of each era: of the legacy one first.
    written: [OnceLock<Bytes>; 2],
}

impl Envelope {
    /// Prepares the members for a request with this `_meta`, of this client, which wants log messages from `log_level` on.
    /// `trace` is that of the request's headers, which counts where `_meta` names none.
    pub fn new(
        meta: Option<&Members<'_>>,
        client: Client,
        log_level: Option<&'static str>,
        is_modern_client: bool,
        trace: Option<TraceContext<'_>>,
    ) -> Envelope {
        let mut rest = Vec::new();
        if let Some(meta) = meta {
            meta.write(&mut rest, |name| !OF_THIS_HOP.contains(&name));
        }
        let names_trace = meta.is_some_and(|meta| meta.get(TRACEPARENT).is_some());
        if let Some(trace) = trace.filter(|_| !names_trace) {
            trace.write(&mut rest);
        }
        Envelope { client, log_level, is_modern_client, rest: rest.into(), written: Default::default() }
    }

    /// Returns `traceparent` and `tracestate` of the request.
    pub fn trace(&self) -> (Option<String>, Option<String>) {
        trace_of_members(&self.rest)
    }

    /// Puts a `traceparent` in the place of that of the request; `is_new` as in [`with_parent`].
    pub fn set_parent(&mut self, parent: &str, is_new: bool) {
        self.rest = with_parent(&self.rest, parent, is_new);
        self.written = Default::default();
    }

    /// Returns the members for a child of this era, without braces, on one line. A legacy child gets the client's capabilities
    /// with the request of a modern client: some read them there, and in its own handshake it heard only those of the gateway
    /// (measured: TypeScript SDK 2.4; Python 2.3 ignores them).
    pub fn of(&self, era: Era) -> Bytes {
        self.written[usize::from(era == Era::Modern)].get_or_init(|| self.write(era)).clone()
    }

    fn write(&self, era: Era) -> Bytes {
        let Envelope { client, log_level, is_modern_client, rest, written: _ } = self;
        let info = client.info.as_ref().map_or(0, Bytes::len);
        let mut out = Vec::with_capacity(320 + client.capabilities.len() + info + rest.len());
        if era == Era::Modern {
            out.extend_from_slice(OF_MODERN.as_bytes());
            out.extend_from_slice(b",\"io.modelcontextprotocol/clientInfo\":");
            out.extend_from_slice(client.info.as_deref().unwrap_or_else(|| own_info().as_bytes()));
            out.push(b',');
        }
        if era == Era::Modern || *is_modern_client {
            out.extend_from_slice(b"\"io.modelcontextprotocol/clientCapabilities\":");
            out.extend_from_slice(&client.capabilities);
        }
        if let (Era::Modern, Some(level)) = (era, log_level) {
            push_member(&mut out, LOG_LEVEL, format!("\"{level}\"").as_bytes());
        }
        if !rest.is_empty() {
            if !out.is_empty() {
                out.push(b',');
            }
            out.extend_from_slice(rest);
        }
        out.into()
    }
}

/// Member that names the revision to a modern child.
const OF_MODERN: &str = "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"";

/// Returns the gateway's own `clientInfo` as JSON.
fn own_info() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| client_info().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::translate::of_headers;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn client(capabilities: &str) -> Client {
        let raw = serde_json::from_str(capabilities).expect("JSON");
        Client::read(None, raw).expect("an object")
    }

    fn object(members: &Bytes) -> Map<String, Value> {
        let text = format!("{{{}}}", String::from_utf8_lossy(members));
        serde_json::from_str(&text).expect("members on one line are an object in braces")
    }

    #[test]
    fn a_modern_child_gets_the_clients_word_and_not_the_gateways() {
        let meta = json!({
            PROTOCOL_VERSION: "2026-07-28", CLIENT_CAPABILITIES: {"roots": {}}, LOG_LEVEL: "debug",
            PROGRESS_TOKEN: 7, "traceparent": "00-1", "x/y": [1],
        })
        .to_string();
        let meta = Members::read(&meta).expect("an object");
        let envelope = Envelope::new(Some(&meta), client(r#"{"elicitation":{}}"#), Some("info"), true, None);
        let modern = object(&envelope.of(Era::Modern));
        assert_eq!(modern[PROTOCOL_VERSION], crate::mcp::MODERN_VERSION);
        assert_eq!(modern[CLIENT_CAPABILITIES], json!({"elicitation": {}}));
        assert_eq!((&modern[LOG_LEVEL], &modern["traceparent"]), (&json!("info"), &json!("00-1")));
        assert!(!modern.contains_key(PROGRESS_TOKEN), "tokens are chosen for each hop");
        let legacy: Vec<String> =
            object(&envelope.of(Era::Legacy)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(legacy, [CLIENT_CAPABILITIES, "traceparent", "x/y"]);
    }

    #[test]
    fn the_trace_of_the_headers_counts_where_the_request_names_none() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = of_headers(|name| (name == TRACEPARENT).then_some(parent));
        let with = |meta: &str| {
            let meta = Members::read(meta).expect("an object");
            let envelope = Envelope::new(Some(&meta), client("{}"), None, false, trace);
            [Era::Legacy, Era::Modern].map(|era| object(&envelope.of(era))[TRACEPARENT].clone())
        };
        assert_eq!(with("{}"), [json!(parent), json!(parent)]);
        assert_eq!(with(r#"{"traceparent":"own"}"#), [json!("own"), json!("own")]);
    }

    proptest! {
        #[test]
        fn what_is_of_no_hop_reaches_a_child_of_either_era_unchanged(
            names in proptest::collection::btree_set("[a-z/.]{1,12}|progressToken", 0..6),
            value in "[ -~]{0,20}",
        ) {
            let meta: Map<String, Value> =
                names.into_iter().map(|name| (name, json!({"v": value.clone()}))).collect();
            let text = Value::Object(meta.clone()).to_string();
            let members = Members::read(&text).expect("an object");
            let envelope = Envelope::new(Some(&members), client("{}"), None, false, None);
            let wanted = |got: &Bytes| {
                let got = object(got);
                meta.iter().all(|(name, value)| (name == PROGRESS_TOKEN) != (got.get(name) == Some(value)))
            };
            prop_assert!(wanted(&envelope.of(Era::Legacy)) && wanted(&envelope.of(Era::Modern)));
            prop_assert_eq!(object(&envelope.of(Era::Legacy)).len(), meta.len() - usize::from(meta.contains_key(PROGRESS_TOKEN)));
        }
    }
}
