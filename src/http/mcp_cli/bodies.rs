//! Request and answer bodies of `/api` (`docs/http-api.md`, M2 to M7).

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::errors::{ApiError, NO_DATA};
use crate::gateway::{Catalog, Definition, LoginBegun, LoginFinish, OWN_MEMBER, Remote, ServerView};
use crate::http::core::body::{Object, object};
#[cfg(test)]
use {super::openapi::words::Success, crate::http::core::openapi::OpenObject, std::collections::HashMap};

/// Placeholder for a value of `env` that is not shown.
const REDACTED: &str = "[REDACTED]";

/// A server to add: its name and those members of its definition that this dialect knows.
#[derive(Debug, PartialEq)]
pub(super) struct NewServer {
    /// Name of the server, not yet checked.
    pub(super) name: String,
    /// Those of [`MEMBERS`] that are given.
    pub(super) members: Map<String, Value>,
}

/// Reads the body of `POST /api/servers`. The reference fixes the order of the checks.
pub(super) fn read_new_server(body: &[u8]) -> Result<NewServer, ApiError> {
    let [name, members @ ..] =
        some(object(body, ["name", "command", "args", "env", OWN_MEMBER, "url", "type", "headers"])?)?;
    let name = text(name, "name", "Server name is required")?;
    if lacks_command(&members) {
        return Err(ApiError::bad_request("Command is required"));
    }
    Ok(NewServer { name, members: definition_members(members)? })
}

/// Members of a definition that this dialect knows.
const MEMBERS: [&str; 7] = ["command", "args", "env", OWN_MEMBER, "url", "type", "headers"];

/// The members of a definition, as far as they are given.
type Given<'a> = [Option<&'a RawValue>; MEMBERS.len()];

/// Reports whether neither a command nor an address is given, or an empty one.
fn lacks_command([command, _, _, _, url, ..]: &Given<'_>) -> bool {
    command.is_none_or(says_nothing) && url.is_none_or(says_nothing)
}

/// Reads the body of `POST /api/servers/{name}/login`: where the answer of a browser comes to.
pub(super) fn read_login(body: &[u8]) -> Result<String, ApiError> {
    let [redirect_uri] = some(object(body, ["redirect_uri"])?)?;
    let redirect_uri = text(redirect_uri, "redirect_uri", "redirect_uri is required")?;
    let is_near = ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"];
    match redirect_uri.len() <= MAX_LOGIN && is_near.iter().any(|near| redirect_uri.starts_with(near)) {
        true => Ok(redirect_uri),
        false => Err(ApiError::bad_request(
            "redirect_uri must be an address of the person's own machine, such as \"http://127.0.0.1:7777/callback\""
                .to_owned(),
        )),
    }
}

/// Longest text of a login, in bytes.
const MAX_LOGIN: usize = 8 * 1024;

/// Reads the body of `POST /api/servers/{name}/login/finish`: what a browser brought back.
pub(super) fn read_login_finish(body: &[u8]) -> Result<LoginFinish, ApiError> {
    let [state, code, issuer, error] = some(object(body, ["state", "code", "iss", "error"])?)?;
    let state = text(state, "state", "state is required")?;
    let maybe = |raw: Option<&RawValue>, member: &str| match raw {
        None => Ok(None),
        Some(raw) => text(Some(raw), member, &format!("{member} must be a text that is not empty")).map(Some),
    };
    let (code, issuer, error) = (maybe(code, "code")?, maybe(issuer, "iss")?, maybe(error, "error")?);
    Ok(LoginFinish { state, code, issuer, error })
}

/// Beginning of a login.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Login<'a> {
    /// The word `success`.
    #[cfg_attr(test, schemars(with = "Success"))]
    status: &'static str,
    /// Address to open in a browser.
    authorization_url: &'a str,
    /// Text by which what the browser brings back is known.
    state: &'a str,
}

/// Writes the answer to `POST /api/servers/{name}/login`.
pub(super) fn login(begun: &LoginBegun) -> Vec<u8> {
    let LoginBegun { authorization_url, state } = begun;
    to_vec(&Login { status: "success", authorization_url, state })
}

/// Reads the body of `PUT /api/servers/{name}`. A member counts if it is present, so `[]` and `{}` clear.
pub(super) fn read_changes(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let members = some(object(body, MEMBERS)?)?;
    if members.iter().all(Option::is_none) {
        return Err(ApiError::bad_request("At least one of command, args, or env must be provided"));
    }
    let [command, _, _, _, url, ..] = members;
    let is_emptied = [command, url].into_iter().flatten().any(|text| text.get() == "\"\"");
    if is_emptied && lacks_command(&members) {
        return Err(ApiError::bad_request("Command is required"));
    }
    definition_members(members)
}

/// Reads the path in the body of an export or import.
pub(super) fn read_path(body: &[u8]) -> Result<String, ApiError> {
    let [path] = some(object(body, ["filepath"])?)?;
    text(path, "filepath", "File path is required")
}

pub(super) fn some<const N: usize>(object: Object<'_, N>) -> Result<[Option<&RawValue>; N], ApiError> {
    if object.empty { Err(ApiError::bad_request(NO_DATA)) } else { Ok(object.members) }
}

/// Reports whether the original takes this value for "not given".
fn says_nothing(raw: &RawValue) -> bool {
    matches!(raw.get(), "\"\"" | "false" | "0")
}

pub(super) fn text(raw: Option<&RawValue>, field: &str, missing: &str) -> Result<String, ApiError> {
    let raw = raw.filter(|raw| !says_nothing(raw)).ok_or_else(|| ApiError::bad_request(missing))?;
    crate::http::core::body::string(raw)
        .ok_or_else(|| ApiError::bad_request(format!("{field} must be a string")))
}

fn definition_members(members: Given<'_>) -> Result<Map<String, Value>, ApiError> {
    let mut map = Map::new();
    for (name, raw) in MEMBERS.into_iter().zip(members) {
        let Some(raw) = raw else { continue };
        let value = serde_json::from_str(raw.get())
            .map_err(|error| ApiError::bad_request(format!("{name} is not valid JSON: {error}")))?;
        map.insert(name.to_owned(), value);
    }
    // As a server of the other kind is shown, it may be sent back.
    let has_text = |member: &str| map.get(member).is_some_and(|value| value != "");
    match (has_text("command"), has_text("url")) {
        (false, true) => {
            map.retain(|name, value| !(name == "command" || name == "args" && *value == json!([])))
        }
        (true, false) => map.retain(|name, _| name != "url"),
        _ => {}
    }
    Ok(map)
}

/// Puts the stored values of `env` back where a client sent the placeholder that it was shown.
pub(super) fn restore_env(members: &mut Map<String, Value>, stored: &Definition) -> Result<(), ApiError> {
    let kept = |name: &str| stored.env().iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    restore("env", members, kept)
}

/// Puts the stored values back of what is never shown as it is: the address and headers of a server that is elsewhere.
/// `stored` is its definition; `None` if there is none yet.
pub(super) fn restore_remote(
    members: &mut Map<String, Value>,
    stored: Option<&Definition>,
) -> Result<(), ApiError> {
    let remote = stored.and_then(Definition::remote);
    let is_shown = |member: &str, shown: Option<String>| {
        shown.is_some() && members.get(member).and_then(Value::as_str) == shown.as_deref()
    };
    let same_type = is_shown("type", remote.map(|remote| remote.transport().name().to_owned()));
    let same_url = is_shown("url", remote.map(Remote::shown_address));
    // Said as it was shown it means what is stored, which may be another spelling of it.
    members.retain(|name, _| !(name == "url" && same_url || name == "type" && same_type));
    if members.get("url").and_then(Value::as_str).is_some_and(|url| url.contains(REDACTED)) {
        let error = format!("url must have a value in place of {REDACTED}, or be just as it was shown");
        return Err(ApiError::bad_request(error));
    }
    let kept = |name: &str| remote?.header(name);
    restore("headers", members, kept)
}

fn restore<'s>(
    member: &str,
    members: &mut Map<String, Value>,
    kept: impl Fn(&str) -> Option<&'s str>,
) -> Result<(), ApiError> {
    let Some(Value::Object(values)) = members.get_mut(member) else { return Ok(()) };
    for (name, value) in values.iter_mut().filter(|(_, value)| *value == REDACTED) {
        let Some(kept) = kept(name) else {
            let error = format!(
                "{member}.{name} must have a value: there is none stored that {REDACTED} could stand for"
            );
            return Err(ApiError::bad_request(error));
        };
        *value = Value::String(kept.to_owned());
    }
    Ok(())
}

/// An MCP server: the program that is run for it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Server"))]
pub(super) struct Shown<'a> {
    /// Unique name.
    name: &'a str,
    /// Program; empty for a server that is elsewhere and has an address.
    command: &'a str,
    /// Arguments of the program.
    args: &'a [String],
    /// Environment variables that are set for it. The values are `[REDACTED]` where the gateway is told to show none.
    #[cfg_attr(test, schemars(with = "HashMap<String, String>"))]
    env: Env<'a>,
    /// Address of a server that is elsewhere, without what may be a secret in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Way in which a server that is elsewhere is spoken to.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    /// Headers that are sent to a server that is elsewhere; the values are always `[REDACTED]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<HashMap<String, String>>"))]
    headers: Option<BTreeMap<&'a str, &'static str>>,
}

struct Env<'a> {
    entries: &'a [(String, String)],
    redact: bool,
}

impl Serialize for Env<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (name, value) in self.entries {
            map.serialize_entry(name, if self.redact { REDACTED } else { value })?;
        }
        map.end()
    }
}

fn shown<'a>(name: &'a str, definition: &'a Definition, redact: bool) -> Shown<'a> {
    Shown {
        name,
        command: definition.command().unwrap_or_default(),
        args: if definition.command().is_some() { definition.args() } else { &[] },
        env: Env { entries: definition.env(), redact },
        url: definition.remote().map(Remote::shown_address),
        transport: definition.remote().map(|remote| remote.transport().name()),
        headers: definition
            .remote()
            .map(|remote| remote.header_names().map(|name| (name, REDACTED)).collect()),
    }
}

/// Writes the answer to `GET /api/servers/{name}`.
pub(super) fn server(name: &str, definition: &Definition, redact: bool) -> Vec<u8> {
    to_vec(&shown(name, definition, redact))
}

/// All servers.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ServerList"))]
pub(super) struct Servers<'a> {
    /// Servers, in the order in which they were added.
    servers: Vec<Shown<'a>>,
}

/// Writes the answer to `GET /api/servers`.
pub(super) fn servers(servers: &[ServerView], redact: bool) -> Vec<u8> {
    let shown = servers.iter().map(|server| shown(&server.name, &server.definition, redact));
    to_vec(&Servers { servers: shown.collect() })
}

/// Tools of a server.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ToolList"))]
pub(super) struct Tools<'a> {
    /// The word `success`.
    #[cfg_attr(test, schemars(with = "Success"))]
    status: &'static str,
    /// Tools, in the server's own order.
    tools: Vec<Tool<'a>>,
}

/// A tool of a server.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Tool<'a> {
    /// Name, unique within its server.
    name: &'a str,
    /// Description for people and models; empty if the server gives none.
    description: &'a str,
    /// JSON Schema of the arguments, as the server gives it.
    #[cfg_attr(test, schemars(with = "OpenObject"))]
    parameters: &'a RawValue,
}

/// Writes the answer to `GET /api/servers/{name}/tools`: the tools that models see. Tools only for an app are
/// left out.
pub(super) fn tools(catalog: &Catalog) -> Vec<u8> {
    let tools = catalog.tools().iter().filter(|tool| tool.is_for_models()).map(|tool| Tool {
        name: &tool.name,
        description: tool.description.as_deref().unwrap_or_default(),
        parameters: &tool.input_schema,
    });
    to_vec(&Tools { status: "success", tools: tools.collect() })
}

/// Answer to a change: it is stored. A server starts in the background.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Done<'a> {
    /// The word `success`.
    #[cfg_attr(test, schemars(with = "Success"))]
    status: &'static str,
    /// Text for people, such as `Server 'playwright' added successfully`.
    message: &'a str,
}

/// Writes the answer to a change: `{"status": "success", "message": ...}`.
pub(super) fn done(message: &str) -> Vec<u8> {
    to_vec(&Done { status: "success", message })
}

/// Answer to `GET /api/status`. The version is the dialect's, not the program's.
pub(super) const STATUS: &str = r#"{"status":"ok","service":"mcp-cli-api","version":"0.1.0"}"#;

fn to_vec<T: Serialize>(value: &T) -> Vec<u8> {
    // Writing plain values to memory cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use serde_json::json;

    async fn error(result: Result<impl std::fmt::Debug, ApiError>) -> String {
        let response = result.expect_err("must be refused").into_response();
        assert_eq!(response.status(), 400);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        body["error"].as_str().expect("a text").to_owned()
    }

    fn definition(entry: Value) -> Definition {
        let Value::Object(entry) = entry else { panic!("the test gives an object") };
        Definition::parse(entry).expect("valid")
    }

    #[tokio::test]
    async fn a_new_server_is_checked_in_the_order_of_the_reference() {
        for (body, text) in [
            ("{}", "No data provided"),
            ("[]", "No data provided"),
            ("null", "No data provided"),
            ("[1]", "The request body must be a JSON object"),
            ("{\"foo\":1}", "Server name is required"),
            ("{\"name\":\"\",\"command\":\"\"}", "Server name is required"),
            ("{\"name\":null,\"command\":\"x\"}", "Server name is required"),
            ("{\"name\":5,\"command\":\"x\"}", "name must be a string"),
            ("{\"name\":\"a\"}", "Command is required"),
            ("{\"name\":\"a\",\"command\":\"\"}", "Command is required"),
            ("{\"name\":\"a\",\"command\":\"\",\"url\":\"\"}", "Command is required"),
        ] {
            assert_eq!(error(read_new_server(body.as_bytes())).await, text, "{body}");
        }
    }

    #[test]
    fn only_the_members_of_a_definition_are_passed_on() {
        let body = br#"{"env":null,"args":["b"],"name":"a","command":"npx","disabled":true,"x":1}"#;
        let new = read_new_server(body).expect("valid");
        assert_eq!(new.name, "a");
        assert_eq!(Value::Object(new.members), json!({"command": "npx", "args": ["b"]}));
        let body =
            br#"{"name":"a","command":"","args":[],"url":"https://h/mcp","type":"http","headers":{"X":"y"}}"#;
        let new = read_new_server(body).expect("valid");
        let expected = json!({"url": "https://h/mcp", "type": "http", "headers": {"X": "y"}});
        assert_eq!(Value::Object(new.members), expected);
    }

    #[tokio::test]
    async fn a_remote_server_survives_being_sent_back_as_it_is_shown() {
        let stored = definition(json!({
            "httpUrl": "https://u:s@h/mcp?key=secret", "headers": {"X-Key": "${KEY}", "X-Old": "old"},
        }));
        let shown = server("n", &stored, false);
        let mut sent = read_changes(&shown).expect("valid");
        restore_remote(&mut sent, Some(&stored)).expect("stored");
        let headers = json!({"X-Key": "${env:KEY}", "X-Old": "old"});
        assert_eq!(Value::Object(sent), json!({"env": {}, "headers": headers}));
        for (body, text) in [
            (r#"{"headers":{"X-New":"[REDACTED]"}}"#, "headers.X-New must have a value"),
            (r#"{"url":"https://h/other?key=[REDACTED]"}"#, "url must have a value in place of [REDACTED]"),
        ] {
            let mut unknown = read_changes(body.as_bytes()).expect("valid");
            assert!(error(restore_remote(&mut unknown, Some(&stored))).await.starts_with(text), "{body}");
        }
    }

    #[tokio::test]
    async fn changes_need_one_of_three_members_and_empty_ones_count() {
        for (body, text) in [
            ("{}", "No data provided"),
            ("{\"foo\":1}", "At least one of command, args, or env must be provided"),
            ("{\"args\":null}", "At least one of command, args, or env must be provided"),
            ("{\"command\":\"\",\"args\":[]}", "Command is required"),
        ] {
            assert_eq!(error(read_changes(body.as_bytes())).await, text, "{body}");
        }
        let changes = read_changes(b"{\"args\":[],\"env\":{},\"name\":\"other\"}").expect("valid");
        assert_eq!(Value::Object(changes), json!({"args": [], "env": {}}));
    }

    #[tokio::test]
    async fn a_path_is_required_and_is_text() {
        for (body, text) in [
            ("{}", "No data provided"),
            ("{\"filepath\":\"\"}", "File path is required"),
            ("{\"path\":\"x\"}", "File path is required"),
            ("{\"filepath\":[\"x\"]}", "filepath must be a string"),
        ] {
            assert_eq!(error(read_path(body.as_bytes())).await, text, "{body}");
        }
        assert_eq!(read_path(b"{\"filepath\":\"/a/b\"}").expect("valid"), "/a/b");
    }

    #[test]
    fn a_server_is_shown_with_four_members_and_a_remote_one_with_its_address() {
        let plain = definition(json!({"command": "npx", "env": {"B": "2", "A": "1"}, "disabled": true}));
        let text = String::from_utf8(server("n", &plain, false)).expect("UTF-8");
        assert_eq!(text, r#"{"name":"n","command":"npx","args":[],"env":{"B":"2","A":"1"}}"#);
        let url = definition(json!({"url": "http://u:s@x/?k=s", "args": ["a"], "headers": {"X-Key": "s"}}));
        let text = String::from_utf8(server("n", &url, false)).expect("UTF-8");
        assert_eq!(
            text,
            r#"{"name":"n","command":"","args":[],"env":{},"url":"http://x/?k=[REDACTED]","type":"streamable-http","headers":{"X-Key":"[REDACTED]"}}"#
        );
    }

    #[tokio::test]
    async fn redacted_values_survive_a_round_trip() {
        let stored = definition(json!({"command": "npx", "env": {"KEY": "secret"}}));
        let shown: Value = serde_json::from_slice(&server("n", &stored, true)).expect("JSON");
        assert_eq!(shown["env"], json!({"KEY": "[REDACTED]"}));
        let mut sent = read_changes(br#"{"env":{"KEY":"[REDACTED]","NEW":"1"}}"#).expect("valid");
        restore_env(&mut sent, &stored).expect("stored");
        assert_eq!(Value::Object(sent), json!({"env": {"KEY": "secret", "NEW": "1"}}));
        let mut unknown = read_changes(br#"{"env":{"OTHER":"[REDACTED]"}}"#).expect("valid");
        assert!(error(restore_env(&mut unknown, &stored)).await.starts_with("env.OTHER must have a value"));
    }

    #[test]
    fn tools_keep_their_whole_description_and_schema() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        let tools = vec![
            raw(r#"{"name":"a","description":"one\ntwo","inputSchema":{"type":"object", "z":1}}"#),
            raw(r#"{"name":"b","inputSchema":{"a":[ ]}}"#),
        ];
        let (catalog, _) = Catalog::build(tools, vec![], vec![], vec![]);
        let text = String::from_utf8(super::tools(&catalog)).expect("UTF-8");
        assert_eq!(
            text,
            concat!(
                r#"{"status":"success","tools":[{"name":"a","description":"one\ntwo","#,
                r#""parameters":{"type":"object", "z":1}},{"name":"b","description":"","parameters":{"a":[ ]}}]}"#
            )
        );
    }
}
