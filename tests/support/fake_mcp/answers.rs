//! The answers that depend on the flags alone: who this server is, its lists, what they name.

use serde_json::{Value, json};

use crate::flags::Era;
use crate::server::{Answer, MODERN, Server};
use crate::tools;
use crate::wire::{Params, Refusal};

/// The versions of the legacy era, the latest last.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

impl Server {
    /// The methods that both eras have.
    pub(crate) fn common(&self, modern: bool, method: &str, params: &Params<'_>) -> Answer {
        let resources = !self.flags.no_resources;
        match method {
            "tools/list" => {
                self.stats.listed();
                self.tool_page(params.cursor.as_deref()).map(Some)
            }
            "resources/list" if resources => Ok(Some(tools::resources())),
            "resources/templates/list" if resources => Ok(Some(tools::templates())),
            "resources/read" if resources => {
                let uri = params.uri.as_deref().unwrap_or_default();
                let code = if modern { -32602 } else { -32002 };
                tools::read(uri).map(Some).ok_or_else(|| Refusal {
                    code,
                    message: format!("Resource not found: {uri}"),
                    data: Some(json!({"uri": uri})),
                })
            }
            "prompts/list" => Ok(Some(tools::prompts())),
            "prompts/get" if params.name.as_deref() == Some("greet") => {
                let arguments: Value =
                    params.arguments.and_then(|a| serde_json::from_str(a.get()).ok()).unwrap_or_default();
                Ok(Some(tools::greeting(arguments["name"].as_str().unwrap_or("somebody"))))
            }
            "prompts/get" => Err(Refusal::new(-32602, "Unknown prompt")),
            _ => Err(method_not_found(method)),
        }
    }

    fn tool_page(&self, cursor: Option<&str>) -> Result<Value, Refusal> {
        let bad_cursor = || Refusal::new(-32602, "Invalid cursor");
        let all = tools::list(&self.flags, self.added_tools);
        if self.flags.page_loop {
            let number: u64 =
                cursor.map_or(Ok(0), |c| c.trim_start_matches("loop-").parse()).map_err(|_| bad_cursor())?;
            let page =
                if number == 0 { all } else { vec![tools::entry(&format!("loop_{number}"), "One more.")] };
            return Ok(json!({"tools": page, "nextCursor": format!("loop-{}", number + 1)}));
        }
        let pages = self.flags.pages.max(1);
        let number = match cursor {
            None => 0,
            Some("") => 1,
            Some(cursor) => {
                cursor.strip_prefix("page-").and_then(|n| n.parse().ok()).ok_or_else(bad_cursor)?
            }
        };
        if number >= pages {
            return Err(bad_cursor());
        }
        let size = all.len().div_ceil(pages);
        let page: Vec<Value> = all.into_iter().skip(number * size).take(size).collect();
        let mut body = json!({"tools": page});
        if number + 1 < pages {
            let next = if number == 0 { String::new() } else { format!("page-{}", number + 1) };
            body["nextCursor"] = next.into();
        }
        Ok(body)
    }

    /// The answer to `initialize`.
    pub(crate) fn initialize(&self, params: &Params<'_>) -> Value {
        let asked = params.protocol_version.as_deref().unwrap_or_default();
        let known = LEGACY.iter().copied().find(|version| *version == asked);
        let version = self.flags.protocol.as_deref().or(known).unwrap_or(LEGACY[LEGACY.len() - 1]);
        let info: Value = serde_json::from_str(tools::SERVER_INFO).unwrap_or_default();
        json!({
            "protocolVersion": version,
            "capabilities": self.capabilities(),
            "serverInfo": info,
            "instructions": "A scripted server for tests."
        })
    }

    /// The answer to `server/discover`.
    pub(crate) fn discover(&self) -> Value {
        let version = self.flags.protocol.as_deref().unwrap_or(MODERN);
        let mut versions = vec![version];
        if self.flags.era == Era::Both {
            versions.extend(LEGACY.iter().rev());
        }
        json!({
            "supportedVersions": versions,
            "capabilities": self.capabilities(),
            "instructions": "A scripted server for tests."
        })
    }

    fn capabilities(&self) -> Value {
        let mut capabilities = json!({"tools": {"listChanged": true}, "prompts": {}});
        if !self.flags.no_resources {
            capabilities["resources"] = json!({});
        }
        if self.flags.converse {
            capabilities = json!({
                "tools": {"listChanged": true},
                "prompts": {"listChanged": true},
                "resources": {"listChanged": true, "subscribe": true},
                "logging": {}
            });
        }
        capabilities
    }
}

/// The error for a method that is not there.
pub(crate) fn method_not_found(method: &str) -> Refusal {
    Refusal::new(-32601, format!("Method not found: {method}"))
}
