//! What this server announces: tools, resources, templates, prompts, and itself.

use serde_json::{Value, json};

use crate::flags::Flags;

/// `serverInfo`, raw JSON.
pub(crate) const SERVER_INFO: &str = r#"{"name":"fake-mcp","version":"1.0.0"}"#;

/// The resources: URI, name, type, text.
pub(crate) const RESOURCES: [(&str, &str, &str, &str); 2] = [
    ("fake://one", "one", "text/plain", "the first resource"),
    ("fake://two", "two", "application/json", r#"{"number":2}"#),
];

/// The name and description of every tool that does something of its own; all others answer like
/// `echo`. An empty description is left out, as some servers do.
pub(crate) const OWN: [(&str, &str); 20] = [
    ("echo", "Returns its arguments."),
    ("sleep", "Answers after a while."),
    ("progress", "Answers after a while and tells how far it is."),
    ("wait_for", "Answers when there is a file."),
    ("gather", "Answers when enough calls of it are waiting."),
    ("big", "Returns a large text."),
    ("fail", "Fails, and says so."),
    ("error", "Answers with a JSON-RPC error."),
    ("crash", "Ends the process."),
    ("env", "Returns the environment of the process."),
    ("fds", "Lists the open file descriptors of the process."),
    ("pid", "Returns the process id."),
    ("meta", "Returns the _meta of the call."),
    ("stats", "Returns what the server has seen so far.\n\nCounts begin with the process."),
    ("ask", "Asks the client for roots, a sample, an input and something unknown."),
    ("spawn_child", "Starts a process that outlives the server, if it can."),
    ("change_tools", "Adds a tool to the list."),
    ("log_stderr", "Writes lines to stderr."),
    ("empty", "Returns a result without content."),
    ("reply", ""),
];

/// The same of those that are only there with `--converse`.
const CONVERSE: [(&str, &str); 7] = [
    ("interview", "Asks the client in rounds, and reports its answers."),
    ("report", "Tells how far it is, and answers when there is a file."),
    ("touch", "Tells that a resource was updated."),
    ("change", "Tells that a list has changed."),
    ("followed", "Returns which resources are followed."),
    ("open_first", "Wants an address opened, each other time."),
    ("murmur", "Logs something once it has answered."),
];

/// The tools as `tools/list` shows them: the own ones, then further ones that echo, then `added`; over
/// all that the entries of the file.
pub(crate) fn list(flags: &Flags, added: usize) -> Vec<Value> {
    let mut tools = scripted(flags.converse, flags.tools, added);
    let file = flags.tools_file.as_ref().and_then(|path| std::fs::read(path).ok());
    let given: Vec<Value> = file.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    for entry in given {
        match tools.iter_mut().find(|tool| tool["name"] == entry["name"]) {
            Some(tool) => *tool = entry,
            None => tools.push(entry),
        }
    }
    tools
}

fn scripted(converse: bool, further: usize, added: usize) -> Vec<Value> {
    let own = OWN.iter().map(|(name, description)| entry(name, description));
    let own = own.chain(CONVERSE.iter().filter(|_| converse).map(|(name, said)| entry(name, said)));
    let further = (0..further).map(|n| entry(&format!("tool_{n}"), "Returns its arguments."));
    let added = (0..added).map(|n| entry(&format!("added_{n}"), "Returns its arguments. Came later."));
    own.chain(further).chain(added).collect()
}

/// One entry of `tools/list`.
pub(crate) fn entry(name: &str, description: &str) -> Value {
    let mut entry = json!({"name": name, "inputSchema": {"type": "object", "properties": properties(name)}});
    if !description.is_empty() {
        entry["description"] = description.into();
    }
    entry
}

fn properties(tool: &str) -> Value {
    let count = json!({"type": "integer", "minimum": 0});
    match tool {
        "echo" => json!({"nonce": {"description": "returned as it is"}, "text": {"type": "string"}}),
        "sleep" => json!({"ms": count}),
        "progress" => json!({"ms": count, "every_ms": count}),
        "wait_for" => json!({"file": {"type": "string"}}),
        "gather" => json!({"count": count}),
        "big" | "log_stderr" => json!({"bytes": count}),
        "fail" => json!({"message": {"type": "string"}}),
        "error" => json!({"code": {"type": "integer"}, "message": {"type": "string"}}),
        "crash" => json!({"code": {"type": "integer"}, "signal": {"type": "integer"}}),
        "spawn_child" => json!({
            "mode": {"enum": ["same-group", "escape"]},
            "clear_env": {"type": "boolean"},
            "hold_stdout": {"type": "boolean"}
        }),
        _ => json!({}),
    }
}

/// `resources/list`.
pub(crate) fn resources() -> Value {
    let entries =
        RESOURCES.iter().map(|(uri, name, kind, _)| json!({"uri": uri, "name": name, "mimeType": kind}));
    json!({"resources": entries.collect::<Vec<_>>()})
}

/// `resources/templates/list`.
pub(crate) fn templates() -> Value {
    json!({"resourceTemplates": [{"uriTemplate": "fake://item/{name}", "name": "item", "mimeType": "text/plain"}]})
}

/// A resource that is not listed and no text.
const BLOB: &str = "fake://blob";

/// `resources/read`; nothing when there is no such resource.
pub(crate) fn read(uri: &str) -> Option<Value> {
    if uri == BLOB {
        return Some(
            json!({"contents": [{"uri": uri, "mimeType": "application/octet-stream", "blob": "AAE="}]}),
        );
    }
    let listed = RESOURCES
        .iter()
        .find(|(known, ..)| *known == uri)
        .map(|(_, _, kind, text)| (*kind, (*text).to_owned()));
    let (kind, text) = listed
        .or_else(|| uri.strip_prefix("fake://item/").map(|name| ("text/plain", format!("item {name}"))))?;
    Some(json!({"contents": [{"uri": uri, "mimeType": kind, "text": text}]}))
}

/// `prompts/list`.
pub(crate) fn prompts() -> Value {
    let arguments = json!([{"name": "name", "description": "whom to greet", "required": true}]);
    json!({"prompts": [{"name": "greet", "description": "A greeting.", "arguments": arguments}]})
}

/// `prompts/get` for `greet`.
pub(crate) fn greeting(name: &str) -> Value {
    json!({"messages": [{"role": "user", "content": {"type": "text", "text": format!("Please greet {name}.")}}]})
}
