//! Servers that work and are odd, and what an operator reads of those that do not: lists that do not end as they
//! should, entries that cannot be used, nothing announced, reports by the protocol, text where messages belong.
//! `cases/faults-wire.md` K5, K10, K25 and `cases/wild-servers.md` W6, W8 to W10, M6.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hyper::header::HeaderValue;
use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, with};
use crate::support::{DEADLINE, wait_until};

/// A legacy server that answers as its argument says: `capabilities`, `lists` (a method to its pages, of which the
/// cursor of a request says which one), `first` (lines that it writes on stdout once it is initialized) and `calls`
/// (the error with which it answers each call).
const SCRIPT: &str = r#"
import json, random, sys
told = json.loads(sys.argv[1])
def out(value): sys.stdout.write((value if isinstance(value, str) else json.dumps(value)) + "\n"); sys.stdout.flush()
for line in sys.stdin:
    message = json.loads(line)
    method, params = message["method"], message.get("params") or {}
    if method == "notifications/initialized":
        for line in told.get("first", []): out(line)
    if "id" not in message: continue
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    pages = told.get("lists", {}).get(method)
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-11-25", "capabilities": told.get("capabilities", {"tools": {}}),
                            "serverInfo": {"name": "odd", "version": "1"}}
    elif pages is not None:
        page = pages.get(params.get("cursor", "first"), {"error": {"code": -32602, "message": "unknown cursor"}})
        answer.update(page if "error" in page else {"result": page})
    elif method == "tools/call" and "calls" in told: answer["error"] = told["calls"]
    elif method == "ping": answer["result"] = {}
    else: answer["error"] = {"code": -32601, "message": "Method not found"}
    out(answer)
"#;

fn odd(told: &Value) -> Value {
    with(json!({"command": "python3", "args": ["-c", SCRIPT, told.to_string()]}), json!({"era": "legacy"}))
}

fn tool(name: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object"}})
}

async fn serving(servers: &[(&str, Value)]) -> Gateway {
    let mut builder = TestGateway::new();
    for (name, told) in servers {
        builder = builder.server(name, odd(told));
    }
    let gateway = builder.start().await;
    for (name, _) in servers {
        gateway.wait_state(name, "ready").await;
    }
    gateway
}

async fn tools(gateway: &Gateway, server: &str) -> Vec<String> {
    let seen = gateway.server(server).await;
    let tools = seen["tools"].as_array().expect("a list");
    tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

/// What the daemon's log says of a server, and what the server's own says.
async fn told_of(gateway: &Gateway, server: &str) -> (String, String) {
    let output = gateway.output();
    let own = format!("server={server}");
    let log =
        output.lines().filter(|line| line.split_whitespace().any(|word| word == own)).collect::<Vec<_>>();
    let logs = gateway.get(&format!("/v1/mcps/{server}/logs")).await.expect(200);
    (log.join("\n"), logs["data"].to_string())
}

#[tokio::test]
async fn a_list_that_ends_wrongly_gives_what_there_is_once_and_a_warning() {
    let list = |pages: Value| json!({"lists": {"tools/list": pages}});
    let page = |names: &[&str], next: Value| json!({"tools": names.iter().map(|name| tool(name)).collect::<Vec<_>>(), "nextCursor": next});
    let servers = [
        ("stands", list(json!({"first": page(&["a"], json!("x")), "x": page(&["b"], json!("x"))}))),
        (
            "circle",
            list(
                json!({"first": page(&["a"], json!("x")), "x": page(&["b"], json!("y")), "y": page(&["a"], json!("x"))}),
            ),
        ),
        ("empty", list(json!({"first": page(&["a", "b"], json!("")), "": page(&["a", "b"], json!(""))}))),
        ("number", list(json!({"first": page(&["a", "b"], json!(7))}))),
        ("unknown", list(json!({"first": page(&["a", "b"], json!("gone"))}))),
    ];
    let gateway = serving(&servers).await;
    for (name, _) in &servers {
        assert_eq!(tools(&gateway, name).await, ["a", "b"], "{name}");
        let (log, own) = told_of(&gateway, name).await;
        assert!(log.contains("WARN") && log.contains("tools/list ends early"), "{name}: {log}");
        assert!(own.contains("tools/list ends early"), "{name}: {own}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_list_leaves_out_is_named_and_a_bad_description_costs_no_tool() {
    let half = json!([
        {"name": "half", "description": "$HALF", "inputSchema": {"type": "object"}},
        {"name": "number", "description": 5, "inputSchema": {"type": "object"}},
        {"name": "", "inputSchema": {"type": "object"}}, 7, tool("good"), tool("good"),
    ]);
    let told = json!({"lists": {"tools/list": {"first": {"tools": half}}}});
    let mut server = odd(&told);
    // JSON in Rust has no half of a character; the script's has.
    let text = server["args"][2].as_str().expect("a text").replace("$HALF", "half \\ud83d of it");
    server["args"][2] = text.into();
    let gateway = TestGateway::new().server("odd", server).start().await;
    gateway.wait_state("odd", "ready").await;
    assert_eq!(tools(&gateway, "odd").await, ["half", "number", "good"]);
    let seen = gateway.server("odd").await;
    assert_eq!(seen["tools"][0]["description"], "half \u{fffd} of it");
    let (log, _) = told_of(&gateway, "odd").await;
    for part in [
        "tool 3 of the list: its 'name' is empty",
        "tool 4",
        "description of tool 'number'",
        "'good' is listed more than once",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_announces_nothing_is_asked_and_one_without_tools_is_named() {
    let list = json!({"tools/list": {"first": {"tools": [tool("a")]}}});
    let failing = json!({"resources/list": {"first": {"error": {"code": -32603, "message": "no database"}}}});
    let servers = [
        ("object", json!({"capabilities": {}, "lists": list})),
        ("array", json!({"capabilities": [], "lists": list})),
        ("null", json!({"capabilities": null, "lists": list})),
        ("none", json!({"capabilities": {}})),
        ("declared", json!({"lists": {"tools/list": {"first": {"tools": []}}}})),
        (
            "broken",
            json!({"capabilities": {"tools": {}, "resources": {}}, "lists": {"tools/list": list["tools/list"], "resources/list": failing["resources/list"]}}),
        ),
    ];
    let gateway = serving(&servers).await;
    for name in ["object", "array", "null"] {
        assert_eq!(tools(&gateway, name).await, ["a"], "{name}");
        assert!(told_of(&gateway, name).await.0.contains("announce no tools"), "{name}");
    }
    for name in ["none", "declared"] {
        let seen = gateway.server(name).await;
        assert_eq!(seen["supervision"]["remarks"], json!(["it is ready, but offers 0 tools"]), "{seen}");
        assert!(told_of(&gateway, name).await.0.contains("offers 0 tools"), "{name}");
    }
    let (log, _) = told_of(&gateway, "broken").await;
    assert!(log.contains("no database"), "whose list it is that cannot be read: {log}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_server_reports_by_the_protocol_is_in_its_log() {
    let report = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","logger":"db","data":"licence expired"}}"#;
    let list = json!({"tools/list": {"first": {"tools": [tool("a")]}}});
    let gateway = serving(&[("odd", json!({"first": [report], "lists": list}))]).await;
    let line = wait_until("the report is there", DEADLINE, || async {
        let logs = gateway.get("/v1/mcps/odd/logs").await.expect(200)["data"].clone();
        logs.as_array().expect("lines").iter().find(|line| line["stream"] == "log").cloned()
    })
    .await;
    assert_eq!(line["line"], "error db: licence expired");
    gateway.stop().await;
}

#[tokio::test]
async fn the_words_of_an_error_reach_the_caller_in_whatever_shape_it_comes() {
    let list = json!({"tools/list": {"first": {"tools": [tool("a")]}}});
    let of = |error: Value| json!({"lists": list, "calls": error});
    let servers = [
        ("text", of(json!("no disk"))),
        ("message", of(json!({"code": "EIO", "message": {"why": "no disk"}}))),
        ("code", of(json!({"code": -32000.0, "message": "no disk"}))),
    ];
    let gateway = serving(&servers).await;
    for (name, _) in &servers {
        let error = gateway.v1_invoke(name, "a", json!({})).await.expect(502)["error"].clone();
        assert!(error["message"].as_str().is_some_and(|text| text.contains("no disk")), "{name}: {error}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_relative_is_so_to_the_servers_own_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("bin")).expect("made");
    for file in ["run.sh", "bin/srv"] {
        let path = directory.path().join(file);
        fs::write(&path, format!("#!/bin/sh\nexec {}\n", env!("CARGO_BIN_EXE_fake-mcp"))).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }
    let cwd = directory.path().display().to_string();
    let gateway = TestGateway::new()
        .server("dot", json!({"command": "./run.sh", "cwd": cwd}))
        .server("below", json!({"command": "bin/srv", "cwd": cwd}))
        .server("path", json!({"command": "srv", "cwd": cwd, "env": {"PATH": "bin:/usr/bin:/bin"}}))
        .server("gone", json!({"command": "./run.sh", "cwd": format!("{cwd}/gone")}))
        .server("line", json!({"command": "npx -y something"}))
        .start()
        .await;
    for name in ["dot", "below", "path"] {
        gateway.wait_state(name, "ready").await;
    }
    for (name, part) in [("gone", "/gone' cannot be used"), ("line", "belong into args")] {
        let seen = gateway.wait_state(name, "failed").await;
        assert!(seen["cause"].as_str().is_some_and(|cause| cause.contains(part)), "{seen}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn text_where_messages_belong_is_told_with_what_it_shows() {
    let says = |text: &str| json!({"command": "sh", "args": ["-c", format!("echo '{text}'; exec sleep 600")], "mcpvisor": {"start_timeout": "1s"}});
    let gateway = TestGateway::new()
        .server("headers", says("Content-Length: 165"))
        .server("http", says("listening on http://0.0.0.0:3000/mcp"))
        .server("pretty", says("{"))
        .start()
        .await;
    for (name, part) in
        [("headers", "headers are not MCP"), ("http", "serve HTTP"), ("pretty", "over several lines")]
    {
        let seen = wait_until("its start has failed", DEADLINE, || async {
            let seen = gateway.server(name).await;
            seen["cause"].as_str().is_some_and(|cause| cause.contains(part)).then_some(seen)
        })
        .await;
        assert!(
            seen["supervision"]["last_exit"].as_str().is_some_and(|cause| cause.contains(part)),
            "{seen}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_refused_host_is_named_and_a_compressed_body_is_told_apart() {
    let gateway = TestGateway::new().start().await;
    let foreign =
        ask(&gateway, "GET", "/api/servers").header("host", "orchard.example").send().await.expect(403);
    let text = foreign["error"].as_str().expect("a text");
    assert!(text.contains("'orchard.example'") && text.contains("http.allowed_hosts"), "{text}");
    assert!(gateway.output().contains("orchard.example"), "an operator can find it");
    let coded =
        ask(&gateway, "POST", "/v1/mcp/invoke").json("{}").header("content-encoding", "gzip").send().await;
    assert_eq!(
        (coded.status, &coded.headers["accept-encoding"]),
        (415, &HeaderValue::from_static("identity"))
    );
    let marked = ask(&gateway, "POST", "/v1/mcp/invoke")
        .json("\u{feff}{\"mcp_id\":\"x\",\"tool\":\"y\"}")
        .send()
        .await;
    assert_eq!(marked.status, 404, "it was read");
    gateway.stop().await;
}
