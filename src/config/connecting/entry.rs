//! The entry for this gateway, as each client wants it written. Pure.

use serde_json::{Map, Value, json};

/// Connection to write down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Name of the entry.
    pub name: String,
    /// How the client reaches the gateway.
    pub way: Way,
}

/// How a client reaches the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By Streamable HTTP.
    Url {
        /// Address of the endpoint.
        url: String,
        /// Name of the environment variable with the key. `None` if no key is needed.
        key: Option<String>,
    },
    /// By a command that it starts.
    Command {
        /// Program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// Returns the entry for a client of the table.
pub(super) fn of(client: &str, link: &Link) -> Value {
    match &link.way {
        Way::Url { url, key } => by_url(client, &link.name, url, key.as_deref()),
        Way::Command { program, arguments } => by_command(client, &link.name, program, arguments),
    }
}

fn by_url(client: &str, name: &str, url: &str, key: Option<&str>) -> Value {
    let mut entry = match client {
        "claude-code" | "vscode" => json!({"type": "http", "url": url}),
        "windsurf" => json!({"serverUrl": url}),
        "gemini" => json!({"httpUrl": url}),
        "opencode" => json!({"type": "remote", "url": url}),
        "goose" => json!({
            "enabled": true, "type": "streamable_http", "name": name, "description": "", "uri": url, "timeout": 300
        }),
        _ => json!({"url": url}),
    };
    let Some(key) = key else { return entry };
    let reference = match client {
        "claude-code" | "goose" | "gemini" => format!("${{{key}}}"),
        "opencode" => format!("{{env:{key}}}"),
        _ => format!("${{env:{key}}}"),
    };
    let members = match client {
        "codex" => json!({"bearer_token_env_var": key}),
        "goose" => json!({"headers": {"Authorization": format!("Bearer {reference}")}, "env_keys": [key]}),
        _ => json!({"headers": {"Authorization": format!("Bearer {reference}")}}),
    };
    append(&mut entry, members);
    entry
}

fn append(entry: &mut Value, members: Value) {
    if let (Some(entry), Value::Object(members)) = (entry.as_object_mut(), members) {
        entry.extend(members);
    }
}

fn by_command(client: &str, name: &str, program: &str, arguments: &[String]) -> Value {
    match client {
        "vscode" | "claude-code" => json!({"type": "stdio", "command": program, "args": arguments}),
        "opencode" => {
            let all: Vec<&str> =
                std::iter::once(program).chain(arguments.iter().map(String::as_str)).collect();
            json!({"type": "local", "command": all})
        }
        "goose" => json!({
            "enabled": true, "type": "stdio", "name": name, "description": "", "cmd": program, "args": arguments,
            "timeout": 300
        }),
        _ => {
            let members = [("command".to_owned(), json!(program)), ("args".to_owned(), json!(arguments))];
            Value::Object(Map::from_iter(members))
        }
    }
}
