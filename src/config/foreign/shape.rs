//! Finds the servers in a file, and says what a file without servers is. Pure. Decides by the content of the
//! file, not by its name: clients rename and copy files, and one of them changed its form between two versions.

use serde_json::{Map, Value};

use super::format::Format;
use super::remark::{Remarks, below};
use super::{ImportError, SERVERS_MEMBER};
use crate::config::problem::path_step;
use crate::nearest::closest;
use crate::supervisor::ADDRESS_MEMBERS;

/// Notation of a part of a file, as far as it changes the meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Usual,
    /// Uses `{env:NAME}`, `environment`, and a `timeout` that does not apply to calls.
    Opencode,
}

/// A part of a file with servers: its path, and pairs of name and entry.
pub(super) struct Part {
    pub(super) base: String,
    pub(super) entries: Vec<(String, Value)>,
    pub(super) dialect: Dialect,
}

/// Paths where servers may be; the first that exists is the file's own form.
const PLACES: [&[&str]; 8] = [
    &[SERVERS_MEMBER],
    &["servers"],
    &["mcp", "servers"],
    &["mcp", SERVERS_MEMBER],
    &["context_servers"],
    &["mcp"],
    &["mcp_servers"],
    &["extensions"],
];

/// Returns the parts of a file that have servers.
///
/// # Errors
/// If it is not a servers file; the error tells what it is, or what is missing.
pub(super) fn parts(value: Value, format: Format, remarks: &mut Remarks) -> Result<Vec<Part>, ImportError> {
    let Value::Object(top) = value else {
        return Err(ImportError::whole(format!(
            "must be a JSON object with the member \"{SERVERS_MEMBER}\""
        )));
    };
    warn_of_capitals(&top, remarks);
    let is_opencode = top.get("$schema").and_then(Value::as_str).is_some_and(|at| at.contains("opencode.ai"));
    let mut parts = Vec::new();
    for place in PLACES {
        let Some(found) = at(&top, place) else { continue };
        if let Some(part) = part(place, found, is_opencode, remarks)? {
            parts.push(part);
        }
    }
    note_projects(&top, remarks);
    if parts.is_empty() {
        let bare = bare_map(&top);
        parts.extend(bare);
    }
    // An empty map under another client's name does not end the search, and gives no warning if another part
    // has servers.
    if parts.iter().any(|part| !part.entries.is_empty()) {
        parts.retain(|part| !part.entries.is_empty());
    }
    if parts.is_empty() && !top.contains_key("projects") {
        return Err(what_it_is(&top, format));
    }
    if parts.iter().all(|part| part.entries.is_empty()) {
        remarks.warn("", "has 0 servers");
    }
    Ok(parts)
}

/// Returns the value at a path of members. `None` if there is none.
pub(super) fn at<'v>(top: &'v Map<String, Value>, place: &[&str]) -> Option<&'v Value> {
    let (first, rest) = place.split_first()?;
    rest.iter().try_fold(top.get(*first)?, |value, step| value.as_object()?.get(*step))
}

fn part(
    place: &[&str],
    found: &Value,
    is_opencode: bool,
    remarks: &mut Remarks,
) -> Result<Option<Part>, ImportError> {
    let base = place.join(".");
    let own = place == [SERVERS_MEMBER];
    let entries: Vec<(String, Value)> = match found {
        Value::Object(servers) => servers.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect(),
        Value::Array(list) if own => listed(list),
        Value::String(_) if own => {
            let reason = "names another file: give that one with --servers, or write the servers here";
            return Err(ImportError::of(base, reason));
        }
        _ if own => return Err(ImportError::of(base, "must be an object: server name to definition")),
        _ => return Ok(None),
    };
    let of_opencode = is_opencode || entries.iter().any(|(_, entry)| is_opencode_s(entry));
    let entries = match *place {
        ["mcp"] => only(entries, |entry| looks_like_server(entry) || is_off(entry)),
        ["extensions"] if !entries.iter().any(|(_, entry)| is_goose_s(entry)) => return Ok(None),
        ["servers"] if !entries.is_empty() && !entries.iter().any(|(_, entry)| looks_like_server(entry)) => {
            return Ok(None);
        }
        _ => entries,
    };
    if entries.is_empty() && *place == ["mcp"] {
        return Ok(None);
    }
    let braces = place[0] == "mcp" && of_opencode;
    let dialect = if braces { Dialect::Opencode } else { Dialect::Usual };
    if !own && base == "mcp_servers" {
        remarks.note("", "is Codex's: its servers are those below [mcp_servers]");
    }
    Ok(Some(Part { base, entries, dialect }))
}

fn only(entries: Vec<(String, Value)>, is_one: impl Fn(&Value) -> bool) -> Vec<(String, Value)> {
    entries.into_iter().filter(|(_, entry)| is_one(entry)).collect()
}

/// Reads a list of entries that contain their names.
fn listed(list: &[Value]) -> Vec<(String, Value)> {
    let named = |(at, entry): (usize, &Value)| {
        let name = entry.get("name").and_then(Value::as_str).map(str::to_owned);
        (name.unwrap_or_else(|| format!("unnamed-{}", at + 1)), entry.clone())
    };
    list.iter().enumerate().map(named).collect()
}

fn is_opencode_s(entry: &Value) -> bool {
    matches!(entry.get("type").and_then(Value::as_str), Some("local" | "remote"))
        || entry.get("environment").is_some()
}

fn is_goose_s(entry: &Value) -> bool {
    let kind = entry.get("type").and_then(Value::as_str);
    entry.get("cmd").is_some() || matches!(kind, Some("stdio" | "builtin" | "sse" | "streamable_http"))
}

fn is_off(entry: &Value) -> bool {
    entry.get("enabled").is_some_and(Value::is_boolean) && entry.as_object().is_some_and(|it| it.len() == 1)
}

/// Reports whether an entry names a program or an address.
pub(super) fn looks_like_server(entry: &Value) -> bool {
    let Value::Object(entry) = entry else { return false };
    let names = |member: &str| entry.get(member).is_some_and(Value::is_string);
    entry.contains_key("command")
        || entry.contains_key("cmd")
        || ADDRESS_MEMBERS.into_iter().any(names)
        || entry.get("transport").is_some_and(Value::is_object)
}

/// Reads the file itself as the map: every object in it is a server, texts are comments.
fn bare_map(top: &Map<String, Value>) -> Option<Part> {
    let is_comment = |value: &Value| value.is_string() || value.is_null();
    let is_map = top.values().all(|value| is_comment(value) || looks_like_server(value))
        && top.values().any(looks_like_server);
    let entries = || top.iter().filter(|(_, value)| value.is_object());
    is_map.then(|| Part {
        base: String::new(),
        entries: entries().map(|(name, entry)| (name.clone(), entry.clone())).collect(),
        dialect: Dialect::Usual,
    })
}

/// Warns of members that differ from a known one by case only: some clients accept them, so that the same file
/// has other servers there.
fn warn_of_capitals(top: &Map<String, Value>, remarks: &mut Remarks) {
    for name in top.keys() {
        let like = PLACES.iter().map(|place| place[0]).find(|known| known.eq_ignore_ascii_case(name));
        if let Some(known) = like.filter(|known| *known != name) {
            let text = format!(
                "is not read: it differs from {known} by capitals, and some programs read it as that"
            );
            remarks.warn(path_step(name), text);
        }
    }
}

/// Notes the servers of single projects, which Claude Code keeps in the same file.
fn note_projects(top: &Map<String, Value>, remarks: &mut Remarks) {
    let Some(projects) = top.get("projects").and_then(Value::as_object) else { return };
    for (project, said) in projects {
        let Some(servers) = said.get(SERVERS_MEMBER).and_then(Value::as_object) else { continue };
        if servers.is_empty() {
            continue;
        }
        let names: Vec<&str> = servers.keys().map(String::as_str).take(10).collect();
        let text =
            format!("are left out: {} (of one project only; write them beside the others)", names.join(", "));
        remarks.note(below(&below("projects", project), SERVERS_MEMBER), text);
    }
}

/// Tells what a file without servers is.
fn what_it_is(top: &Map<String, Value>, format: Format) -> ImportError {
    let has = |member: &str| top.contains_key(member);
    if (has("manifest_version") || has("dxt_version")) && has("server") {
        return ImportError::whole(
            "is the manifest of a bundle (mcpb, dxt), not a servers file: it needs the directory where the bundle \
             is installed (${__dirname}) and answers to its questions (${user_config.…}). Write the command that \
             it runs, with these filled in",
        );
    }
    let schema = top.get("$schema").and_then(Value::as_str).unwrap_or_default();
    if schema.contains("server.schema.json")
        || has("packages") && has("name")
        || has("remotes") && has("name")
    {
        return ImportError::whole(
            "is a server.json of the registry, not a servers file: it says which packages a server comes in, not \
             how it is run here. Write the command, such as \"npx\" with [\"-y\", \"PACKAGE\"]",
        );
    }
    if looks_like_server(&Value::Object(top.clone())) {
        return ImportError::whole(format!(
            "is the entry of one server: write {{\"{SERVERS_MEMBER}\": {{\"NAME\": …}}}} around it"
        ));
    }
    if format == Format::Toml {
        let own = ["server", "http", "llm", "log", "members"].iter().any(|section| has(section));
        let hint = if own { ", which looks like a configuration file: give it with --config" } else { "" };
        return ImportError::whole(format!("has no [mcp_servers]{hint}"));
    }
    ImportError::of(SERVERS_MEMBER, format!("is required{}", hint(top)))
}

/// Returns the end of the sentence "is required": most likely a member is mistyped.
fn hint(top: &Map<String, Value>) -> String {
    let known = PLACES.iter().map(|place| place[0]);
    let near = top.keys().find(|name| closest(name, known.clone()).is_some());
    match near {
        Some(name) => format!(": rename {name:?} to \"{SERVERS_MEMBER}\""),
        None => ": an object from server name to definition".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(value: Value) -> Result<Vec<(String, Vec<String>)>, String> {
        let parts =
            parts(value, Format::Json, &mut Remarks::default()).map_err(|refusal| refusal.to_string())?;
        let names = |part: Part| (part.base, part.entries.into_iter().map(|(name, _)| name).collect());
        Ok(parts.into_iter().map(names).collect())
    }

    fn one(base: &str, names: &[&str]) -> Result<Vec<(String, Vec<String>)>, String> {
        Ok(vec![(base.to_owned(), names.iter().map(|name| (*name).to_owned()).collect())])
    }

    #[test]
    fn servers_are_found_wherever_a_client_writes_them() {
        let entry = json!({"command": "x"});
        for (value, base) in [
            (json!({"mcpServers": {"a": entry}}), "mcpServers"),
            (json!({"inputs": [], "servers": {"a": entry}}), "servers"),
            (json!({"mcpServers": {}, "servers": {"a": entry}}), "servers"),
            (json!({"editor.tabSize": 2, "mcp": {"inputs": [], "servers": {"a": entry}}}), "mcp.servers"),
            (json!({"theme": "x", "context_servers": {"a": entry}}), "context_servers"),
            (json!({"mcp": {"a": {"type": "local", "command": ["x"]}}}), "mcp"),
            (json!({"mcp_servers": {"a": entry}}), "mcp_servers"),
            (json!({"extensions": {"a": {"type": "stdio", "cmd": "x"}}}), "extensions"),
            (json!({"_comment": "c", "$schema": "s", "a": entry}), ""),
            (json!({"mcpServers": [{"name": "a", "command": "x"}]}), "mcpServers"),
        ] {
            assert_eq!(found(value.clone()), one(base, &["a"]), "{value}");
        }
        let gemini = json!({"mcp": {"allowed": ["a"]}, "mcpServers": {"a": entry}});
        assert_eq!(found(gemini), one("mcpServers", &["a"]));
        assert_eq!(found(json!({"mcpServers": {}})), one("mcpServers", &[]));
        assert_eq!(found(json!({"projects": {"/p": {"mcpServers": {"i": entry}}}})), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_servers_file_is_called_by_its_name() {
        for (value, said) in [
            (json!([]), "must be a JSON object"),
            (json!({}), "mcpServers is required: an object"),
            (json!({"mcpservers": {}}), "mcpServers is required: rename \"mcpservers\""),
            (json!({"mcpServers": 1}), "mcpServers must be an object"),
            (json!({"mcpServers": "./other.json"}), "mcpServers names another file"),
            (json!({"manifest_version": "0.3", "server": {"mcp_config": {}}}), "is the manifest of a bundle"),
            (json!({"name": "io.x/y", "packages": []}), "is a server.json of the registry"),
            (json!({"command": "npx", "args": []}), "is the entry of one server"),
            (json!({"name": "x", "extensions": {"a": {"color": 1}}}), "mcpServers is required"),
        ] {
            let text = found(value.clone()).expect_err("no servers file");
            assert!(text.contains(said), "{value}: {text}");
        }
    }

    #[test]
    fn members_that_differ_by_capitals_are_warned_of() {
        let mut remarks = Remarks::default();
        let value = json!({"mcpServers": {"a": {"command": "x"}}, "MCPServers": {"b": {"command": "y"}}});
        let found = parts(value, Format::Json, &mut remarks).expect("a servers file");
        assert_eq!(found.len(), 1);
        let remarks = remarks.finish();
        assert!(
            remarks.len() == 1 && remarks[0].sentence().starts_with("MCPServers is not read"),
            "{remarks:?}"
        );
    }
}
