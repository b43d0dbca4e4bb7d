//! A corpus: every client's form of a file with every oddity found in real files. The result for each server is
//! known beforehand, and no server may start in an unintended way without a remark.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::*;

/// A server, before it is written in a client's form.
#[derive(Clone)]
struct Server {
    name: &'static str,
    command: &'static str,
    args: Vec<Value>,
    env: Vec<(&'static str, Value)>,
    off: bool,
    address: Option<&'static str>,
}

fn server(name: &'static str) -> Server {
    Server {
        name,
        command: "mcpvisor",
        args: vec![json!("demo-server")],
        env: Vec::new(),
        off: false,
        address: None,
    }
}

/// A client's form: the path of the file, and how servers are written into it.
struct Form {
    path: &'static str,
    write: fn(&[Server]) -> Value,
    notation: Notation,
}

#[derive(Clone, Copy, PartialEq)]
enum Notation {
    Json,
    Toml,
    Yaml,
}

fn object<T: Into<Value>>(members: impl IntoIterator<Item = (&'static str, T)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
}

/// Writes an entry as most clients do, with one client's words for an address and for off.
fn usual(server: &Server, address: &str, off: (&str, bool)) -> Value {
    let mut entry = Map::new();
    match server.address {
        Some(url) => drop(entry.insert(address.to_owned(), url.into())),
        None => {
            entry.insert("command".to_owned(), server.command.into());
            entry.insert("args".to_owned(), Value::Array(server.args.clone()));
        }
    }
    if !server.env.is_empty() {
        entry.insert("env".to_owned(), object(server.env.clone()));
    }
    if server.off {
        entry.insert(off.0.to_owned(), off.1.into());
    }
    Value::Object(entry)
}

fn map(servers: &[Server], one: impl Fn(&Server) -> Value) -> Value {
    Value::Object(servers.iter().map(|server| (server.name.to_owned(), one(server))).collect())
}

const DISABLED: (&str, bool) = ("disabled", true);
const ENABLED: (&str, bool) = ("enabled", false);
const ACTIVE: (&str, bool) = ("isActive", false);

fn of_opencode(server: &Server, off: (&str, bool)) -> Value {
    if let Some(url) = server.address {
        let mut entry = json!({"type": "remote", "url": url});
        if server.off {
            entry[off.0] = off.1.into();
        }
        return entry;
    }
    let mut command = vec![json!(server.command)];
    command.extend(server.args.clone());
    let mut entry = json!({"type": "local", "command": command});
    if !server.env.is_empty() {
        entry["environment"] = object(server.env.clone());
    }
    if server.off {
        entry[off.0] = off.1.into();
    }
    entry
}

fn of_zed(server: &Server) -> Value {
    if server.address.is_some() {
        return usual(server, "url", ENABLED);
    }
    let mut entry = json!({"command": {"path": server.command, "args": server.args}});
    if !server.env.is_empty() {
        entry["command"]["env"] = object(server.env.clone());
    }
    if server.off {
        entry["enabled"] = false.into();
    }
    entry
}

fn of_cline(server: &Server) -> Value {
    let mut inner = usual(server, "url", DISABLED);
    let kind = if server.address.is_some() { "streamableHttp" } else { "stdio" };
    inner["type"] = kind.into();
    let off = inner.as_object_mut().and_then(|inner| inner.shift_remove("disabled"));
    let mut entry = json!({"transport": inner});
    if let Some(off) = off {
        entry["disabled"] = off;
    }
    entry
}

fn of_goose(server: &Server) -> Value {
    let mut entry = match server.address {
        Some(url) => json!({"type": "streamable_http", "uri": url}),
        None => json!({"type": "stdio", "cmd": server.command, "args": server.args}),
    };
    if !server.env.is_empty() {
        entry["envs"] = object(server.env.clone());
    }
    entry["enabled"] = (!server.off).into();
    entry
}

fn of_continue(server: &Server) -> Value {
    let mut entry = usual(server, "url", DISABLED);
    entry["name"] = server.name.into();
    entry
}

const fn form(path: &'static str, notation: Notation, write: fn(&[Server]) -> Value) -> Form {
    Form { path, write, notation }
}

use Notation::{Json, Toml, Yaml};

const FORMS: [Form; 23] = [
    form(
        "/h/.config/Claude/claude_desktop_config.json",
        Json,
        |it| json!({"mcpServers": map(it, |it| usual(it, "url", DISABLED))}),
    ),
    form("/p/.mcp.json", Json, |it| map(it, |it| usual(it, "url", DISABLED))),
    form(
        "/h/.claude.json",
        Json,
        |it| json!({"numStartups": 3, "mcpServers": map(it, |it| usual(it, "url", DISABLED))}),
    ),
    form("/p/.cursor/mcp.json", Json, |it| json!({"mcpServers": map(it, |it| usual(it, "url", ENABLED))})),
    form(
        "/p/.vscode/mcp.json",
        Json,
        |it| json!({"inputs": [], "servers": map(it, |it| usual(it, "url", DISABLED))}),
    ),
    form(
        "/p/.vscode/settings.json",
        Json,
        |it| json!({"a.b": 1, "mcp": {"servers": map(it, |it| usual(it, "url", DISABLED))}}),
    ),
    form(
        "/h/.codeium/windsurf/mcp_config.json",
        Json,
        |it| json!({"mcpServers": map(it, |it| usual(it, "serverUrl", DISABLED))}),
    ),
    form(
        "/h/.cline/data/settings/cline_mcp_settings.json",
        Json,
        |it| json!({"mcpServers": map(it, of_cline)}),
    ),
    form("/p/.roo/mcp.json", Json, |it| json!({"mcpServers": map(it, |it| usual(it, "url", DISABLED))})),
    form(
        "/p/.kiro/settings/mcp.json",
        Json,
        |it| json!({"mcpServers": map(it, |it| usual(it, "url", DISABLED))}),
    ),
    form("/p/.amazonq/mcp.json", Json, |it| json!({"mcpServers": map(it, |it| usual(it, "url", DISABLED))})),
    form(
        "/h/.gemini/settings.json",
        Json,
        |it| json!({"theme": "x", "mcpServers": map(it, |it| usual(it, "httpUrl", DISABLED))}),
    ),
    form(
        "/h/.qwen/settings.json",
        Json,
        |it| json!({"mcp": {"excluded": []}, "mcpServers": map(it, |it| usual(it, "httpUrl", DISABLED))}),
    ),
    form(
        "/p/opencode.json",
        Json,
        |it| json!({"$schema": "https://opencode.ai/config.json", "mcp": map(it, |it| of_opencode(it, ENABLED))}),
    ),
    form(
        "/p/opencode.jsonc",
        Json,
        |it| json!({"mcp": {"servers": map(it, |it| of_opencode(it, DISABLED))}}),
    ),
    form(
        "/h/.config/zed/settings.json",
        Json,
        |it| json!({"theme": "x", "context_servers": map(it, of_zed)}),
    ),
    form(
        "/h/.config/mcphub/servers.json",
        Json,
        |it| json!({"mcpServers": {}, "servers": map(it, |it| usual(it, "url", DISABLED))}),
    ),
    form("/p/cherry.json", Json, |it| json!({"mcpServers": map(it, |it| usual(it, "baseUrl", ACTIVE))})),
    form("/p/lmstudio.json", Json, |it| json!({"mcpServers": map(it, |it| usual(it, "url", DISABLED))})),
    form(
        "/h/.codex/config.toml",
        Toml,
        |it| json!({"model": "x", "mcp_servers": map(it, |it| usual(it, "url", ENABLED))}),
    ),
    form(
        "/h/.config/goose/config.yaml",
        Yaml,
        |it| json!({"GOOSE_MODEL": "x", "extensions": map(it, of_goose)}),
    ),
    form(
        "/h/.continue/config.yaml",
        Yaml,
        |it| json!({"name": "x", "mcpServers": it.iter().map(of_continue).collect::<Vec<_>>()}),
    ),
    form(
        "/p/librechat.yaml",
        Yaml,
        |it| json!({"version": "1", "mcpServers": map(it, |it| usual(it, "url", ("startup", false)))}),
    ),
];

/// An oddity of a file: the change to its second server or to its text, the result for that server, and the
/// remark that is required.
struct Oddity {
    name: &'static str,
    change: fn(&mut Server),
    text: fn(String) -> String,
    only: Option<Notation>,
    becomes: &'static str,
    said: Option<&'static str>,
}

const PLAIN: Oddity =
    Oddity { name: "plain", change: |_| {}, text: |text| text, only: None, becomes: "runs", said: None };

const ODDITIES: [Oddity; 18] = [
    PLAIN,
    Oddity {
        name: "comments and trailing commas",
        text: |text| format!("// c\n{}", text.replace("\n}", ",\n} /* , */").replace("{,", "{")),
        only: Some(Json),
        ..PLAIN
    },
    Oddity { name: "a byte order mark", text: |text| format!("\u{feff}{text}"), ..PLAIN },
    Oddity { name: "CRLF", text: |text| text.replace('\n', "\r\n"), ..PLAIN },
    Oddity { name: "off", change: |it| it.off = true, becomes: "off", ..PLAIN },
    Oddity {
        name: "remote",
        change: |it| it.address = Some("http://h:9/mcp"),
        becomes: "streamable-http http://h:9/mcp",
        ..PLAIN
    },
    Oddity {
        name: "remote and off",
        change: |it| (it.off, it.address) = (true, Some("http://h:9/mcp")),
        becomes: "off streamable-http http://h:9/mcp",
        ..PLAIN
    },
    Oddity {
        name: "a number in env",
        change: |it| it.env = vec![("A", json!(8080))],
        said: Some("env.A is a number"),
        ..PLAIN
    },
    Oddity {
        name: "a truth in args",
        change: |it| it.args.push(json!(true)),
        said: Some("args[1] is true or false"),
        ..PLAIN
    },
    Oddity {
        name: "an object in env",
        change: |it| it.env = vec![("A", json!({"x": 1}))],
        becomes: "failed: env.A must be a string",
        ..PLAIN
    },
    Oddity { name: "a variable", change: |it| it.env = vec![("A", json!("${LANTERN_TOKEN}"))], ..PLAIN },
    Oddity {
        name: "a variable with a default",
        change: |it| it.env = vec![("A", json!("${NOT_SET:-d}"))],
        ..PLAIN
    },
    Oddity {
        name: "a variable of the editors",
        change: |it| it.args.push(json!("${env:LANTERN_TOKEN}")),
        said: Some("args[1] refers to ${env:LANTERN_TOKEN}: every user"),
        ..PLAIN
    },
    Oddity {
        name: "a question to a person",
        change: |it| it.env = vec![("A", json!("${input:a}"))],
        becomes: "failed: env.A has ${input:a}, which asks a person",
        ..PLAIN
    },
    Oddity { name: "home", change: |it| it.command = "~/bin/x", ..PLAIN },
    Oddity {
        name: "a command line",
        change: |it| it.command = "npx -y x",
        said: Some("command has blanks"),
        ..PLAIN
    },
    Oddity {
        name: "another system",
        change: |it| it.command = "npx.cmd",
        said: Some("command is a Windows program"),
        ..PLAIN
    },
    Oddity {
        name: "a dollar",
        change: |it| it.env = vec![("A", json!("$LANTERN_TOKEN"))],
        said: Some("env.A has $LANTERN_TOKEN, which stays"),
        ..PLAIN
    },
];

fn written(form: &Form, servers: &[Server]) -> String {
    let value = (form.write)(servers);
    match form.notation {
        Json => serde_json::to_string_pretty(&value).expect("JSON"),
        Toml => toml::to_string(&value).expect("TOML"),
        // JSON is valid YAML; block style is covered by the hand-written files.
        Yaml => value.to_string(),
    }
}

/// Returns texts that still look like placeholders.
fn unread(entry: &Entry) -> Vec<String> {
    let definition = entry.definition();
    let env = definition.env().iter().map(|(name, value)| (format!("env.{name}"), value.clone()));
    let args = definition.args().iter().enumerate().map(|(at, text)| (format!("args[{at}]"), text.clone()));
    let command = definition.command().map(|text| ("command".to_owned(), text.to_owned()));
    let odd = |text: &str| {
        let known = text.replace("${env:", "");
        ["${", "{{", "{env:", "$LANTERN", "~/", ".cmd"].iter().any(|mark| known.contains(mark))
            || text.contains(' ')
    };
    env.chain(args).chain(command).filter(|(_, text)| odd(text)).map(|(place, _)| place).collect()
}

#[test]
fn no_clients_file_starts_anything_otherwise_than_meant_without_a_word() {
    let mut count = 0;
    for form in &FORMS {
        for oddity in &ODDITIES {
            if oddity.only.is_some_and(|only| only != form.notation) {
                continue;
            }
            let mut odd = server("odd one");
            (oddity.change)(&mut odd);
            let text = (oddity.text)(written(form, &[server("good"), odd, server("last/one")]));
            let what = format!("{} with {}: {text}", form.path, oddity.name);
            let source = Source { path: Path::new(form.path), text: &text, yaml: true };
            let reading = read(&source, &environment()).unwrap_or_else(|refusal| panic!("{refusal}: {what}"));
            check(&reading, oddity, &what);
            count += 1;
        }
    }
    assert!(count >= 150, "{count} files");
    println!("{count} files of {} forms", FORMS.len());
}

fn check(reading: &Reading, oddity: &Oddity, what: &str) {
    let names: HashSet<&str> = reading.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, HashSet::from(["good", "odd one", "last/one"]), "{what}");
    let said: Vec<String> = reading.remarks.iter().map(Remark::sentence).collect();
    for entry in &reading.entries {
        let outcome = outcome(entry);
        if entry.name != "odd one" {
            assert_eq!(outcome, "runs", "{what}");
            assert_eq!(entry.definition().args(), ["demo-server"], "{what}");
            continue;
        }
        let is_so = outcome == oddity.becomes
            || (oddity.becomes.starts_with("failed") && outcome.starts_with(oddity.becomes));
        assert!(is_so, "{outcome}: {what}");
        if outcome == "runs" {
            for place in unread(entry) {
                assert!(
                    said.iter().any(|remark| remark.contains(&place)),
                    "{place} starts without a word: {what}"
                );
            }
        }
    }
    match oddity.said {
        Some(piece) => assert!(said.iter().any(|remark| remark.contains(piece)), "{said:?}: {what}"),
        None => {
            let about: Vec<&String> = said.iter().filter(|remark| !remark.contains("is Codex's")).collect();
            assert_eq!(about, Vec::<&String>::new(), "{what}");
        }
    }
}
