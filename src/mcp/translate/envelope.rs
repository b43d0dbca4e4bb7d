//! `params._meta` of a request on its way from a client to a child: what each era wants in it.

use bytes::Bytes;

use super::client::Client;
use super::members::{Members, push_member};
use crate::mcp::era::{Era, MODERN_VERSION, client_info};

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

/// Members of `params._meta` for a child of either era, without braces, on one line. Which one is wanted is known when
/// the request has a place on a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Members for a child of the legacy era.
    pub legacy: Bytes,
    /// Members for a child of the modern era.
    pub modern: Bytes,
}

impl Envelope {
    /// Writes the members for a request with this `_meta`, of this client, which wants log messages from `log_level` on.
    /// A legacy child gets the client's capabilities with the request of a modern client: some read them there, and in
    /// its own handshake it heard only those of the gateway (measured: TypeScript SDK 2.4; Python 2.3 ignores them).
    pub fn new(
        meta: Option<&Members<'_>>,
        client: &Client,
        log_level: Option<&str>,
        is_modern_client: bool,
    ) -> Envelope {
        let rest = |out: &mut Vec<u8>| {
            if let Some(meta) = meta {
                meta.write(out, |name| !OF_THIS_HOP.contains(&name));
            }
        };
        let mut legacy = Vec::new();
        if is_modern_client {
            push_member(&mut legacy, CLIENT_CAPABILITIES, &client.capabilities);
        }
        rest(&mut legacy);
        let mut modern = Vec::with_capacity(256);
        push_member(&mut modern, PROTOCOL_VERSION, format!("\"{MODERN_VERSION}\"").as_bytes());
        match &client.info {
            Some(info) => push_member(&mut modern, CLIENT_INFO, info),
            None => push_member(&mut modern, CLIENT_INFO, client_info().to_string().as_bytes()),
        }
        push_member(&mut modern, CLIENT_CAPABILITIES, &client.capabilities);
        if let Some(level) = log_level {
            push_member(&mut modern, LOG_LEVEL, format!("\"{level}\"").as_bytes());
        }
        rest(&mut modern);
        Envelope { legacy: legacy.into(), modern: modern.into() }
    }

    /// Returns the members for a child of this era.
    pub fn of(&self, era: Era) -> &Bytes {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let envelope = Envelope::new(Some(&meta), &client(r#"{"elicitation":{}}"#), Some("info"), true);
        let modern = object(&envelope.modern);
        assert_eq!(modern[PROTOCOL_VERSION], "2026-07-28");
        assert_eq!(modern[CLIENT_CAPABILITIES], json!({"elicitation": {}}));
        assert_eq!((&modern[LOG_LEVEL], &modern["traceparent"]), (&json!("info"), &json!("00-1")));
        assert!(!modern.contains_key(PROGRESS_TOKEN), "tokens are chosen for each hop");
        let legacy: Vec<String> = object(&envelope.legacy).into_iter().map(|(name, _)| name).collect();
        assert_eq!(legacy, [CLIENT_CAPABILITIES, "traceparent", "x/y"]);
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
            let envelope = Envelope::new(Some(&members), &client("{}"), None, false);
            let wanted = |got: &Bytes| {
                let got = object(got);
                meta.iter().all(|(name, value)| (name == PROGRESS_TOKEN) != (got.get(name) == Some(value)))
            };
            prop_assert!(wanted(&envelope.legacy) && wanted(&envelope.modern));
            prop_assert_eq!(object(&envelope.legacy).len(), meta.len() - usize::from(meta.contains_key(PROGRESS_TOKEN)));
        }
    }
}
