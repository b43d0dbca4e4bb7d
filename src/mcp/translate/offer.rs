//! What a server offers, as a client of either era wants to hear it: the openings and the pages of the lists.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::members::{Members, push_member};
use super::reply::SERVER_INFO;
use crate::mcp::era::{Era, MODERN_VERSION, OFFERED_LEGACY_VERSION};
use crate::mcp::list::ListKind;

/// Legacy revisions that clients may speak, the oldest first. Only these are confirmed to a client that asks for one.
pub const LEGACY_VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", OFFERED_LEGACY_VERSION];

/// What a server said of itself when it was opened.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// Name to tell clients.
    pub name: &'a str,
    /// Version to tell clients.
    pub version: &'a str,
    /// `serverInfo` as the server sent it, for what it has beside these; `null` for none.
    pub told: &'a Value,
    /// Capabilities as the server sent them.
    pub capabilities: &'a Value,
    /// Instructions for a model; `None` if it has none.
    pub instructions: Option<&'a str>,
}

impl Server<'_> {
    /// Returns the JSON of `serverInfo`.
    pub fn info(&self) -> String {
        self.info_value().to_string()
    }

    fn info_value(&self) -> Value {
        let mut info = json!({"name": self.name, "version": self.version});
        for (member, value) in self.told.as_object().into_iter().flatten() {
            if !matches!(member.as_str(), "name" | "version") {
                info[member] = value.clone();
            }
        }
        info
    }

    /// Returns the capabilities to announce to a client. Tasks are left out: those of the legacy era belong to one
    /// connection, which clients share here.
    fn announced(&self) -> Value {
        let mut capabilities: Map<String, Value> = self.capabilities.as_object().cloned().unwrap_or_default();
        capabilities.remove("tasks");
        Value::Object(capabilities)
    }

    /// Returns the result of `initialize`. The client's version is confirmed if it is a known one; any other is answered
    /// with the newest legacy one (spec 2025-11-25, basic/lifecycle).
    pub fn initialize_result(&self, version: &str) -> String {
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": self.announced(),
            "serverInfo": self.info_value(),
        });
        if let Some(instructions) = self.instructions {
            result["instructions"] = instructions.into();
        }
        result.to_string()
    }

    /// Returns the result of `server/discover` (spec 2026-07-28, server/discover). Only modern revisions are listed: a
    /// client takes from this list what it puts into its requests.
    pub fn discover_result(&self) -> String {
        let mut result = json!({
            "resultType": "complete",
            "supportedVersions": [MODERN_VERSION],
            "capabilities": self.announced(),
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {SERVER_INFO: self.info_value()},
        });
        if let Some(instructions) = self.instructions {
            result["instructions"] = instructions.into();
        }
        result.to_string()
    }

    /// Reports whether the server has announced a capability.
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.get(capability).is_some_and(|value| !value.is_null())
    }
}

/// Returns the legacy version to speak with a client that asks for this one.
pub fn agreed_version(asked: &str) -> &'static str {
    LEGACY_VERSIONS.iter().find(|known| **known == asked).copied().unwrap_or(OFFERED_LEGACY_VERSION)
}

/// Returns the only page of a list, as the result for a client of this era. Entries stay as the server wrote them but for
/// what the client's era does not have. `more` is added to the `_meta` that modern clients get: members with a comma before
/// each, or nothing.
pub fn list_result<'a>(
    kind: ListKind,
    entries: impl Iterator<Item = &'a RawValue>,
    client: Era,
    server: &Server<'_>,
    more: &str,
) -> Vec<u8> {
    let mut out = b"{".to_vec();
    if client == Era::Modern {
        out.extend_from_slice(b"\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\",");
    }
    out.push(b'"');
    out.extend_from_slice(kind.member().as_bytes());
    out.extend_from_slice(b"\":[");
    for (at, entry) in entries.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(entry_for(kind, entry.get(), client).as_bytes());
    }
    out.push(b']');
    if client == Era::Modern {
        let meta = format!("{{\"{SERVER_INFO}\":{}{more}}}", server.info());
        push_member(&mut out, "_meta", meta.as_bytes());
    }
    out.push(b'}');
    out
}

/// Returns an entry of a list for a client of this era. The modern one has no `execution` of tools, and the legacy one no
/// output schema whose root is not an object.
fn entry_for(kind: ListKind, entry: &str, client: Era) -> Cow<'_, str> {
    let left_out = match client {
        Era::Modern => "execution",
        Era::Legacy => "outputSchema",
    };
    if kind != ListKind::Tools || !entry.contains(left_out) {
        return Cow::Borrowed(entry);
    }
    let Some(members) = Members::read(entry) else { return Cow::Borrowed(entry) };
    let is_fine = match (client, members.get(left_out)) {
        (_, None) => true,
        (Era::Modern, Some(_)) => false,
        (Era::Legacy, Some(schema)) => {
            Members::read(schema.get()).is_some_and(|schema| schema.text("type").as_deref() == Some("object"))
        }
    };
    if is_fine {
        return Cow::Borrowed(entry);
    }
    let mut out = vec![b'{'];
    members.write(&mut out, |name| name != left_out);
    out.push(b'}');
    String::from_utf8(out).map_or(Cow::Borrowed(entry), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    #[test]
    fn a_version_is_confirmed_only_if_it_is_a_legacy_one_that_is_known() {
        for known in LEGACY_VERSIONS {
            assert_eq!(agreed_version(known), known);
        }
        for other in ["2026-07-28", "1999-01-01", "", "2025-11-26"] {
            assert_eq!(agreed_version(other), OFFERED_LEGACY_VERSION, "{other}");
        }
    }

    #[test]
    fn an_opening_tells_what_the_server_has_and_no_tasks() {
        let capabilities = json!({"tools": {"listChanged": true}, "tasks": {}, "extensions": {"x/y": {}}});
        let server = Server {
            name: "n",
            version: "1",
            told: &json!({"name": "x", "title": "T"}),
            capabilities: &capabilities,
            instructions: Some("Do."),
        };
        let discovered: Value = serde_json::from_str(&server.discover_result()).expect("JSON");
        assert_eq!(discovered["supportedVersions"], json!(["2026-07-28"]));
        let announced = json!({"tools": {"listChanged": true}, "extensions": {"x/y": {}}});
        assert_eq!((&discovered["capabilities"], &discovered["instructions"]), (&announced, &json!("Do.")));
        let opened: Value = serde_json::from_str(&server.initialize_result("2025-06-18")).expect("JSON");
        assert_eq!((&opened["capabilities"], &opened["protocolVersion"]), (&announced, &json!("2025-06-18")));
        assert_eq!(opened["serverInfo"], json!({"name": "n", "version": "1", "title": "T"}));
        assert!(opened.get("resultType").is_none() && server.has("tools") && !server.has("prompts"));
    }

    #[test]
    fn entries_lose_only_what_the_clients_era_does_not_have() {
        let nothing = Value::Null;
        let server =
            Server { name: "n", version: "1", told: &nothing, capabilities: &nothing, instructions: None };
        let entries = [
            raw(r#"{"name":"a", "outputSchema":{"type":"array"},"execution":{"taskSupport":"optional"}}"#),
            raw(r#"{"name":"b", "outputSchema":{"type":"object"} ,"x":1.0}"#),
        ];
        let told = |client| {
            let list =
                list_result(ListKind::Tools, entries.iter().map(|entry| &**entry), client, &server, "");
            serde_json::from_slice::<Value>(&list).expect("JSON")
        };
        let (legacy, modern) = (told(Era::Legacy), told(Era::Modern));
        assert_eq!(legacy["tools"][0], json!({"name": "a", "execution": {"taskSupport": "optional"}}));
        assert_eq!(modern["tools"][0], json!({"name": "a", "outputSchema": {"type": "array"}}));
        assert_eq!(legacy["tools"][1], json!({"name": "b", "outputSchema": {"type": "object"}, "x": 1.0}));
        assert_eq!((&modern["resultType"], legacy.get("resultType")), (&json!("complete"), None));
        let list = list_result(ListKind::Tools, std::iter::empty(), Era::Legacy, &server, "");
        assert_eq!(list, b"{\"tools\":[]}");
    }
}
