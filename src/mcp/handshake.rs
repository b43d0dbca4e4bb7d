//! Payloads of the two openings: `server/discover` and `initialize`.

use serde_json::{Value, json};

use super::era::{MODERN_VERSION, OFFERED_LEGACY_VERSION, client_info};
use crate::jsonrpc::RpcError;

/// Conclusion from the answer to the probe.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// The child speaks the modern revision.
    Modern,
    /// The child does not speak it; `initialize` is next.
    Legacy,
    /// The child is modern, but the gateway speaks none of its revisions.
    Unsupported {
        /// Revisions that the child offers.
        offered: Vec<String>,
    },
}

/// Facts from the handshake, in the form both eras share.
#[derive(Debug, Clone, PartialEq)]
pub struct HandshakeInfo {
    /// The protocol version agreed on, at most 32 characters.
    pub protocol_version: Box<str>,
    /// `serverInfo.name`, at most 256 characters; `None` if it is missing.
    pub server_name: Option<Box<str>>,
    /// `serverInfo.version`, at most 256 characters; `None` if it is missing.
    pub server_version: Option<Box<str>>,
    /// `serverInfo` as the child sent it, with title and icons; `null` if it is no object, or longer than 64 KiB.
    pub server_info: Box<Value>,
    /// The `capabilities` object as the child sent it; `null` if it is missing.
    pub capabilities: Value,
    /// The `instructions` text; `None` if it is missing.
    pub instructions: Option<Box<str>>,
}

/// What the gateway declares to a legacy child that its client can be asked. One child serves many clients, so that it is
/// the same for all of them; what one of them cannot do is refused when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// Input of the user, by forms (`elicitation`).
    pub elicitation: bool,
    /// Completions by the client's model (`sampling`).
    pub sampling: bool,
    /// The client's roots (`roots`). Some servers then take the answer, also an empty one, for their directories.
    pub roots: bool,
}

impl Declared {
    /// Returns the capabilities object.
    fn capabilities(self) -> Value {
        let declared =
            [("elicitation", self.elicitation), ("sampling", self.sampling), ("roots", self.roots)];
        declared.into_iter().filter(|(_, is)| *is).map(|(name, _)| (name.to_owned(), json!({}))).collect()
    }
}

/// Longest `serverInfo` that is kept whole, in bytes.
const MAX_SERVER_INFO: usize = 64 * 1024;

/// Returns the members of `initialize`'s params, without braces.
pub fn initialize_params(declared: Declared) -> String {
    let params = json!({
        "protocolVersion": OFFERED_LEGACY_VERSION,
        "capabilities": declared.capabilities(),
        "clientInfo": client_info(),
    })
    .to_string();
    params[1..params.len() - 1].to_owned()
}

/// Reads a `DiscoverResult`. A result without the modern version is a legacy child's odd answer, unless it
/// names newer versions, which only a modern child does.
pub fn read_discover(result: &[u8]) -> (Probe, Option<HandshakeInfo>) {
    let Ok(result) = serde_json::from_slice::<Value>(result) else {
        return (Probe::Legacy, None);
    };
    let Some(offered) = strings(&result["supportedVersions"]) else {
        return (Probe::Legacy, None);
    };
    if !offered.iter().any(|version| version == MODERN_VERSION) {
        let newer = offered.iter().any(|version| version.as_str() > OFFERED_LEGACY_VERSION);
        return (if newer { Probe::Unsupported { offered } } else { Probe::Legacy }, None);
    }
    let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
    (Probe::Modern, Some(facts(MODERN_VERSION, info, &result)))
}

/// Interprets an error answer to the probe. Only the three errors of the modern revision are evidence for
/// it; every other error comes from a legacy server that does not know the method.
pub fn read_probe_error(error: &RpcError) -> Probe {
    match error.code {
        -32020 | -32021 => Probe::Modern,
        -32022 => {
            let data: Value =
                error.data.as_deref().and_then(|data| serde_json::from_slice(data).ok()).unwrap_or_default();
            let offered = strings(&data["supported"]).unwrap_or_default();
            if offered.iter().any(|version| version == MODERN_VERSION) {
                Probe::Modern
            } else {
                Probe::Unsupported { offered }
            }
        }
        _ => Probe::Legacy,
    }
}

/// Reads an `InitializeResult`, or returns what is wrong with it.
pub fn read_initialize(result: &[u8]) -> Result<HandshakeInfo, String> {
    let result: Value =
        serde_json::from_slice(result).map_err(|_| "initialize did not answer with an object")?;
    let version = result["protocolVersion"].as_str().ok_or("initialize answered without protocolVersion")?;
    // Some servers echo the modern version although they went through `initialize` (rmcp 1.8).
    let version = if version >= MODERN_VERSION { OFFERED_LEGACY_VERSION } else { version };
    Ok(facts(version, &result["serverInfo"], &result))
}

fn facts(version: &str, info: &Value, result: &Value) -> HandshakeInfo {
    let text = |value: &Value| value.as_str().map(|text| text.chars().take(256).collect::<String>().into());
    HandshakeInfo {
        protocol_version: version.chars().take(32).collect::<String>().into(),
        server_name: text(&info["name"]),
        server_version: text(&info["version"]),
        server_info: match info.is_object() && info.to_string().len() <= MAX_SERVER_INFO {
            true => Box::new(info.clone()),
            false => Box::default(),
        },
        capabilities: result["capabilities"].clone(),
        instructions: result["instructions"].as_str().map(Into::into),
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    Some(value.as_array()?.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i64, data: Option<&'static str>) -> RpcError {
        RpcError { code, message: String::new(), data: data.map(|d| d.as_bytes().into()) }
    }

    #[test]
    fn only_modern_errors_are_evidence_for_the_modern_era() {
        for code in [-32601, -32602, -32600, -32603, -32700, -32000, 0] {
            assert_eq!(read_probe_error(&error(code, None)), Probe::Legacy, "{code}");
        }
        assert_eq!(read_probe_error(&error(-32020, None)), Probe::Modern);
        assert_eq!(read_probe_error(&error(-32022, Some(r#"{"supported":["2026-07-28"]}"#))), Probe::Modern);
        assert_eq!(
            read_probe_error(&error(-32022, Some(r#"{"supported":["2027-01-01"]}"#))),
            Probe::Unsupported { offered: vec!["2027-01-01".into()] }
        );
    }

    #[test]
    fn a_discover_result_settles_the_era_by_its_versions() {
        let read = |text: &str| read_discover(text.as_bytes()).0;
        assert_eq!(read(r#"{"supportedVersions":["2026-07-28"],"capabilities":{}}"#), Probe::Modern);
        assert_eq!(read(r#"{"supportedVersions":["2025-11-25"]}"#), Probe::Legacy);
        assert_eq!(
            read(r#"{"supportedVersions":["2027-09-09"]}"#),
            Probe::Unsupported { offered: vec!["2027-09-09".into()] }
        );
        assert_eq!(read("{}"), Probe::Legacy);
        assert_eq!(read("7"), Probe::Legacy);
    }

    #[test]
    fn an_echoed_modern_version_counts_as_legacy() {
        let facts =
            read_initialize(br#"{"protocolVersion":"2026-07-28","serverInfo":{"name":"x"}}"#).unwrap();
        assert_eq!(&*facts.protocol_version, OFFERED_LEGACY_VERSION);
        assert_eq!(facts.server_name.as_deref(), Some("x"));
        assert!(read_initialize(b"{}").is_err());
        assert!(read_initialize(b"[]").is_err());
    }
}
