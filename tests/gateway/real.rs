//! Servers that others wrote, in the versions that the lock files under `tests/real` pin: what
//! the scripted server imitates must hold for the real ones too. Nothing here needs the network.
//!
//! They are installed by `make real-servers`; a test that does not find one fails and says so.

mod door;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::canaries::UNNAMED_VARIABLE;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, with};
use crate::support::processes::Process;
use crate::support::site::Site;
use crate::support::{DEADLINE, wait_until};

const REAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real");

/// The path of an installed program, as text.
fn installed(program: &str) -> String {
    let path = PathBuf::from(REAL).join(program);
    let missing =
        "is not installed: run `make real-servers`, or `make test`, which installs it and runs all tests";
    assert!(path.exists(), "{} {missing}", path.display());
    path.to_str().expect("a UTF-8 path").to_owned()
}

/// A server as the example servers file has it, started from wherever a test runs.
fn example(name: &str) -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/real-servers.json");
    let file: Value = serde_json::from_str(&fs::read_to_string(file).expect("readable")).expect("JSON");
    let servers = file["mcpServers"].as_object().expect("an object");
    assert_eq!(servers.len(), 6, "the test below knows them all: {servers:?}");
    let mut definition = servers[name].clone();
    let command = definition["command"].as_str().expect("a text").to_owned();
    let program = command.strip_prefix("tests/real/").expect("one that is installed for the tests");
    definition["command"] = installed(program).into();
    definition
}

/// The same with other arguments.
fn example_with(name: &str, arguments: &[&str]) -> Value {
    let mut definition = example(name);
    definition["args"] = arguments.into();
    definition
}

/// The memory server with its graph in this directory.
fn memory_in(directory: &Path) -> Value {
    let mut definition = example("memory");
    definition["env"]["MEMORY_FILE_PATH"] = text(&directory.join("graph.jsonl")).into();
    definition
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Makes a git repository with one commit.
fn repository(directory: &Path, subject: &str) {
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git is installed: the tests of mcp-server-git need it");
        assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "--quiet", "--initial-branch", "trunk"]);
    fs::write(directory.join("notes.txt"), "one line\n").expect("written");
    git(&["add", "notes.txt"]);
    git(&["commit", "--quiet", "--message", subject]);
}

/// The tools of `/api`, as names and schemas. `/v1` must say the same.
async fn tools(gateway: &Gateway, server: &str) -> Vec<(String, Value)> {
    let listed = gateway.get(&format!("/api/servers/{server}/tools")).await.expect(200);
    assert_eq!(listed["status"], "success");
    let read = |tools: &Value, schema: &str| -> Vec<(String, Value)> {
        let read = |tool: &Value| {
            assert!(tool["description"].as_str().is_some_and(|text| !text.is_empty()), "{tool}");
            (tool["name"].as_str().expect("a name").to_owned(), tool[schema].clone())
        };
        tools.as_array().expect("a list").iter().map(read).collect()
    };
    let tools = read(&listed["tools"], "parameters");
    assert_eq!(read(&gateway.server(server).await["tools"], "input_schema"), tools, "{server}");
    tools
}

/// Checks the names of a server's tools, in its own order, and that each has a schema; returns
/// the schema of the first one.
async fn check_tools(gateway: &Gateway, server: &str, expected: &[&str]) -> Value {
    let tools = tools(gateway, server).await;
    let names: Vec<&str> = tools.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, expected, "{server}");
    for (name, schema) in &tools {
        assert_eq!(schema["type"], "object", "{server} {name}: {schema}");
        assert!(schema["properties"].is_object(), "{server} {name}: {schema}");
    }
    tools[0].1.clone()
}

/// Waits until a server is ready; checks what it negotiated and who it says it is.
async fn check_ready(gateway: &Gateway, server: &str, version: &str, name: &str) {
    let seen = gateway.wait_state(server, "ready").await;
    assert_eq!(seen["protocol_version"], version, "{server}");
    assert_eq!(seen["server_info"]["name"], name, "{server}");
    assert_eq!((&seen["health"], &seen["restarts"]), (&json!("healthy"), &json!(0)), "{server}");
}

/// The two that ask its client are there since the gateway says in its handshake that its clients can be asked for input
/// and for samples, whichever of them are there.
const EVERYTHING: [&str; 15] = [
    "echo",
    "get-annotated-message",
    "get-env",
    "get-resource-links",
    "get-resource-reference",
    "get-structured-content",
    "get-sum",
    "get-tiny-image",
    "gzip-file-as-resource",
    "toggle-simulated-logging",
    "toggle-subscriber-updates",
    "trigger-long-running-operation",
    "trigger-elicitation-request",
    "trigger-sampling-request",
    "simulate-research-query",
];

/// The servers on the TypeScript SDK 1 answer the probe with "method not found" and are spoken to
/// with `initialize`; those on the Python SDK 2 speak both eras and get the modern one.
#[tokio::test]
async fn six_real_servers_become_ready_and_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, repo) = (directory.path().join("files"), directory.path().join("repo"));
    fs::create_dir(&files).expect("made");
    fs::create_dir(&repo).expect("made");
    repository(&repo, "Begin the notes");
    let site = Site::start(&[("/notes.txt", "text/plain", "fetched over HTTP")]).await;
    let gateway = TestGateway::new()
        .server("everything", example("everything"))
        .server("files", example_with("files", &[text(&files)]))
        .server("memory", memory_in(directory.path()))
        .server("time", example("time"))
        .server("git", example_with("git", &["--repository", text(&repo)]))
        .server("fetch", example_with("fetch", &["--allow-private-ips"]))
        .start()
        .await;
    check_everything(&gateway).await;
    check_files(&gateway, &files).await;
    check_memory(&gateway).await;
    check_time(&gateway).await;
    check_git(&gateway, &repo).await;
    check_fetch(&gateway, &site).await;
    let seen = gateway.get("/v1/mcps").await.expect(200);
    let listed = seen["data"].as_array().expect("a list");
    assert_eq!(listed.len(), 6);
    for server in listed {
        assert_eq!((&server["state"], &server["restarts"]), (&json!("ready"), &json!(0)), "{server}");
        assert!(server["request_count"].as_u64() >= Some(1), "{server}");
    }
    gateway.stop().await;
}

async fn check_everything(gateway: &Gateway) {
    check_ready(gateway, "everything", "2025-11-25", "mcp-servers/everything").await;
    check_tools(gateway, "everything", &EVERYTHING).await;
    let reply = gateway.v1_invoke("everything", "echo", json!({"message": "hello"})).await.expect(200);
    assert_eq!(reply["data"]["result"], "Echo: hello");
    assert_eq!(reply["data"]["content"], json!([{"type": "text", "text": "Echo: hello"}]));
    let weather = gateway.call("everything", "get-structured-content", json!({"location": "Chicago"})).await;
    assert!(weather["temperature"].is_number() && weather["conditions"].is_string(), "{weather}");
    // Several blocks come as they are, the image among them.
    let blocks = gateway.call("everything", "get-tiny-image", json!({})).await;
    assert_eq!((&blocks[1]["type"], &blocks[1]["mimeType"]), (&json!("image"), &json!("image/png")));
    assert!(blocks[1]["data"].as_str().is_some_and(|data| data.starts_with("iVBOR")), "{blocks}");
    let environment = gateway.call("everything", "get-env", json!({})).await;
    assert!(environment["PATH"].is_string(), "{environment}");
    assert!(environment.get(UNNAMED_VARIABLE).is_none(), "{environment}");
    // Its own refusal of a plain call to a tool that wants a task around it.
    let refused = gateway.v1_invoke("everything", "simulate-research-query", json!({"topic": "x"})).await;
    let refused = refused.expect(422);
    assert!(refused["error"]["details"]["mcp_error"].as_str().is_some_and(|text| text.contains("task")));
}

async fn check_files(gateway: &Gateway, directory: &Path) {
    check_ready(gateway, "files", "2025-11-25", "secure-filesystem-server").await;
    let expected = [
        "read_file",
        "read_text_file",
        "read_media_file",
        "read_multiple_files",
        "write_file",
        "edit_file",
        "create_directory",
        "list_directory",
        "list_directory_with_sizes",
        "directory_tree",
        "move_file",
        "search_files",
        "get_file_info",
        "list_allowed_directories",
    ];
    let schema = check_tools(gateway, "files", &expected).await;
    assert_eq!(schema["properties"]["path"]["type"], "string", "{schema}");
    let path = directory.join("poem.txt");
    let content = "Zeile eins\nZeile zwei: \"ü\" und 🦀\n";
    gateway.call("files", "write_file", json!({"path": text(&path), "content": content})).await;
    assert_eq!(fs::read_to_string(&path).expect("it was written"), content);
    let result = gateway.call("files", "read_text_file", json!({"path": text(&path)})).await;
    assert_eq!(result, json!({"content": content}));
    let refused = gateway.v1_invoke("files", "read_text_file", json!({"path": "/etc/passwd"})).await;
    let refused = refused.expect(422);
    assert_eq!(refused["error"]["code"], "mcp_error");
    let said = refused["error"]["details"]["mcp_error"].as_str().expect("the tool's words");
    assert!(said.contains("outside allowed directories"), "{said}");
}

async fn check_memory(gateway: &Gateway) {
    check_ready(gateway, "memory", "2025-11-25", "memory-server").await;
    let expected = [
        "create_entities",
        "create_relations",
        "add_observations",
        "delete_entities",
        "delete_observations",
        "delete_relations",
        "read_graph",
        "search_nodes",
        "open_nodes",
    ];
    let schema = check_tools(gateway, "memory", &expected).await;
    let entity = &schema["properties"]["entities"]["items"];
    assert_eq!(entity["required"], json!(["name", "entityType", "observations"]), "{schema}");
    let ada = entity_ada();
    assert_eq!(
        gateway.call("memory", "create_entities", json!({"entities": [ada]})).await["entities"],
        json!([ada])
    );
    let found = gateway.call("memory", "search_nodes", json!({"query": "engine"})).await;
    assert_eq!(found, json!({"entities": [ada], "relations": []}));
}

fn entity_ada() -> Value {
    json!({"name": "Ada", "entityType": "person", "observations": ["wrote notes on the engine"]})
}

async fn check_time(gateway: &Gateway) {
    check_ready(gateway, "time", "2026-07-28", "mcp-time").await;
    let schema = check_tools(gateway, "time", &["get_current_time", "convert_time"]).await;
    assert_eq!(schema["required"], json!(["timezone"]), "{schema}");
    check_tokyo(gateway).await;
    let refused = gateway.v1_invoke("time", "get_current_time", json!({"timezone": 5})).await.expect(422);
    assert_eq!(refused["error"]["code"], "mcp_error");
}

/// Tokyo has no summer time, so the answer is the same on every day.
async fn check_tokyo(gateway: &Gateway) {
    let arguments = json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"});
    let result = gateway.call("time", "convert_time", arguments).await;
    assert_eq!(result["time_difference"], "+9.0h", "{result}");
    let there = result["target"]["datetime"].as_str().expect("a time");
    assert!(there.ends_with("T21:00:00+09:00"), "{there}");
}

async fn check_git(gateway: &Gateway, repo: &Path) {
    check_ready(gateway, "git", "2026-07-28", "mcp-git").await;
    let expected = [
        "git_status",
        "git_diff_unstaged",
        "git_diff_staged",
        "git_diff",
        "git_commit",
        "git_add",
        "git_reset",
        "git_log",
        "git_create_branch",
        "git_checkout",
        "git_show",
        "git_branch",
    ];
    let schema = check_tools(gateway, "git", &expected).await;
    assert_eq!(schema["required"], json!(["repo_path"]), "{schema}");
    let log = gateway.call("git", "git_log", json!({"repo_path": text(repo)})).await;
    let log = log.as_str().expect("a text");
    assert!(log.contains("Message: Begin the notes") && log.contains("Author: Ada"), "{log}");
    assert_eq!(log.matches("Commit: ").count(), 1, "{log}");
    let status = gateway.call("git", "git_status", json!({"repo_path": text(repo)})).await;
    assert!(status.as_str().is_some_and(|text| text.contains("On branch trunk")), "{status}");
}

async fn check_fetch(gateway: &Gateway, site: &Site) {
    check_ready(gateway, "fetch", "2026-07-28", "mcp-fetch").await;
    let schema = check_tools(gateway, "fetch", &["fetch"]).await;
    assert_eq!(schema["required"], json!(["url"]), "{schema}");
    let result = gateway.call("fetch", "fetch", json!({"url": site.url("/notes.txt")})).await;
    assert!(result.as_str().is_some_and(|text| text.contains("fetched over HTTP")), "{result}");
    assert_eq!(site.requests(), ["/robots.txt", "/notes.txt"]);
    let refused = gateway.v1_invoke("fetch", "fetch", json!({"url": site.url("/nothing")})).await;
    let refused = refused.expect(422);
    let said = refused["error"]["details"]["mcp_error"].as_str().expect("the tool's words");
    assert!(said.contains("status code 404"), "{said}");
}

#[tokio::test]
async fn resources_of_real_servers_are_listed_and_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let gateway = TestGateway::new()
        .server("everything", example("everything"))
        .server("memory", memory_in(directory.path()))
        .start()
        .await;
    gateway.wait_state("everything", "ready").await;
    let resources = |body: Value| {
        let gateway = &gateway;
        async move { gateway.post("/v1/mcp/resources", &body).await }
    };
    let listed = resources(json!({"mcp_id": "everything"})).await.expect(200);
    let listed = &listed["data"];
    assert_eq!(listed["contents"].as_array().map(Vec::len), Some(7), "{listed}");
    assert_eq!(listed["resource_templates"].as_array().map(Vec::len), Some(2), "{listed}");
    for resource in listed["contents"].as_array().expect("a list") {
        let uri = &resource["uri"];
        let read = resources(json!({"mcp_id": "everything", "uri": uri})).await.expect(200);
        let read = &read["data"]["contents"][0];
        assert_eq!((&read["uri"], &read["name"]), (uri, &resource["name"]));
        assert!(read["text"].as_str().is_some_and(|text| text.contains("Everything")), "{read}");
    }
    // One that only a template announces, with bytes in it.
    let uri = "demo://resource/dynamic/blob/1";
    let read = resources(json!({"mcp_id": "everything", "uri": uri})).await.expect(200);
    assert!(read["data"]["contents"][0]["blob"].as_str().is_some_and(|blob| !blob.is_empty()), "{read}");
    let unknown = resources(json!({"mcp_id": "everything", "uri": "demo://nothing"})).await.expect(404);
    assert_eq!(unknown["error"]["code"], "resource_not_found");

    gateway.wait_state("memory", "ready").await;
    let listed = resources(json!({"mcp_id": "memory"})).await.expect(200);
    let uri = &listed["data"]["contents"][0]["uri"];
    gateway.call("memory", "create_entities", json!({"entities": [entity_ada()]})).await;
    let read = resources(json!({"mcp_id": "memory", "uri": uri})).await.expect(200);
    let graph = read["data"]["contents"][0]["text"].as_str().expect("a text");
    let graph: Value = serde_json::from_str(graph).expect("JSON");
    assert_eq!(graph["entities"], json!([entity_ada()]));
    gateway.stop().await;
}

/// It registers tools after the handshake and says so at once, several times over.
#[tokio::test]
async fn a_list_that_changes_right_after_the_handshake_ends_up_whole() {
    let gateway = TestGateway::new().server("everything", example("everything")).start().await;
    // Asked while the server starts: the answer waits for it.
    let early = tools(&gateway, "everything").await;
    assert!(!early.is_empty());
    wait_until("all fifteen tools are known", DEADLINE, || async {
        let known: Vec<String> =
            tools(&gateway, "everything").await.into_iter().map(|(name, _)| name).collect();
        (known == EVERYTHING).then_some(())
    })
    .await;
    gateway.wait_state("everything", "ready").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_dual_server_is_spoken_to_in_the_era_that_its_definition_names() {
    let legacy = with(example("time"), json!({"era": "legacy"}));
    let gateway = TestGateway::new().server("time", legacy).start().await;
    check_ready(&gateway, "time", "2025-11-25", "mcp-time").await;
    check_tokyo(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_killed_real_server_comes_back_with_what_it_had_stored() {
    let directory = tempfile::tempdir().expect("a directory");
    let gateway = TestGateway::new().server("memory", memory_in(directory.path())).start().await;
    gateway.wait_state("memory", "ready").await;
    gateway.call("memory", "create_entities", json!({"entities": [entity_ada()]})).await;
    let killed = the_only_process(&gateway);
    killed.kill();
    wait_restarted(&gateway, "memory", 1).await;
    assert!(!killed.is_there(), "the dead child was reaped");
    let graph = gateway.call("memory", "read_graph", json!({})).await;
    assert_eq!(graph["entities"], json!([entity_ada()]));
    gateway.stop().await;
}

/// A second start speaks the modern era again, from the first message on.
#[tokio::test]
async fn a_killed_modern_server_comes_back_in_its_era() {
    let gateway = TestGateway::new().server("time", example("time")).start().await;
    gateway.wait_state("time", "ready").await;
    the_only_process(&gateway).kill();
    let seen = wait_restarted(&gateway, "time", 1).await;
    assert_eq!(seen["protocol_version"], "2026-07-28");
    check_tokyo(&gateway).await;
    gateway.stop().await;
}

/// The process of a test's only server.
fn the_only_process(gateway: &Gateway) -> Process {
    let all = gateway.left_behind();
    let [(pid, _)] = all.as_slice() else { panic!("one process, not {all:?}") };
    Process::of(i64::from(*pid))
}

/// Waits until a server is ready after so many restarts.
async fn wait_restarted(gateway: &Gateway, server: &str, restarts: u64) -> Value {
    let what = format!("{server} ready after {restarts} restarts");
    wait_until(&what, DEADLINE, || async {
        let seen = gateway.server(server).await;
        (seen["state"] == "ready" && seen["restarts"] == restarts).then_some(seen)
    })
    .await
}

/// `npx` puts itself and a shell between the daemon and the server. A wrapper that is killed
/// leaves the others alone; so does SIGTERM to it alone.
#[tokio::test]
async fn of_a_server_behind_npx_nothing_outlives_its_wrapper_or_its_removal() {
    installed("node_modules/.bin/mcp-server-memory");
    let directory = tempfile::tempdir().expect("a directory");
    let gateway = TestGateway::new().start().await;
    let mut definition = gateway.marked(json!({
        "command": "npx",
        "args": ["--no-install", "mcp-server-memory"],
        "env": {
            "MEMORY_FILE_PATH": text(&directory.path().join("graph.jsonl")),
            "npm_config_cache": text(&directory.path().join("npm")),
            "npm_config_offline": "true",
            "npm_config_update_notifier": "false"
        },
        "cwd": REAL
    }));
    definition["name"] = "memory".into();
    let body = json!({"mcpServers": {"memory": definition}});
    // `cwd` is no field of POST /api/servers; an import takes it as a servers file has it.
    fs::write(gateway.data().join("import.json"), body.to_string()).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await.expect(200);
    gateway.wait_state("memory", "ready").await;
    let first = wrapped(&gateway);
    gateway.call("memory", "create_entities", json!({"entities": [entity_ada()]})).await;

    first[0].kill();
    wait_restarted(&gateway, "memory", 1).await;
    assert!(first.iter().all(|process| !process.is_there()), "a new tree starts when the old one is gone");
    let graph = gateway.call("memory", "read_graph", json!({})).await;
    assert_eq!(graph["entities"], json!([entity_ada()]));

    let second = wrapped(&gateway);
    gateway.delete("/api/servers/memory").await.expect(200);
    wait_until("npm, its shell and the server are gone", DEADLINE, || async {
        second.iter().all(|process| !process.is_there()).then_some(())
    })
    .await;
    assert_eq!(gateway.left_behind(), []);
    gateway.stop().await;
}

/// The processes of a server behind `npx`, the wrapper first.
fn wrapped(gateway: &Gateway) -> Vec<Process> {
    let all = gateway.left_behind();
    let is_wrapper = |line: &str| line.contains("npm exec") || line.contains("npx");
    let (wrapper, inner): (Vec<_>, Vec<_>) = all.iter().partition(|(_, line)| is_wrapper(line));
    assert!(wrapper.len() == 1 && !inner.is_empty(), "npm and what it started, not {all:?}");
    wrapper.into_iter().chain(inner).map(|(pid, _)| Process::of(i64::from(*pid))).collect()
}

/// With its timers running, this server does not end when its stdin is closed.
#[tokio::test]
async fn a_server_that_outlives_its_stdin_is_ended_by_the_next_step() {
    let definition = with(example("everything"), json!({"stdin_grace": "200ms"}));
    let gateway = TestGateway::new().server("everything", definition).start().await;
    gateway.wait_state("everything", "ready").await;
    gateway.call("everything", "toggle-simulated-logging", json!({})).await;
    let process = the_only_process(&gateway);
    gateway.delete("/api/servers/everything").await.expect(200);
    wait_until("the server is gone", DEADLINE, || async { (!process.is_there()).then_some(()) }).await;
    gateway.stop().await;
}

/// A default deadline is one without a sign of life; a caller's own is one altogether.
#[tokio::test]
async fn progress_extends_the_default_deadline_and_never_a_callers_own() {
    let config = "[http]\ncall_timeout = \"2s\"\n";
    let gateway =
        TestGateway::new().server("everything", example("everything")).config_toml(config).start().await;
    gateway.wait_state("everything", "ready").await;
    let mut body = json!({
        "mcp_id": "everything",
        "tool": "trigger-long-running-operation",
        "arguments": {"duration": 4, "steps": 40}
    });
    let patient = body.clone();
    body["timeout"] = 1_000.into();
    let (finished, late) = tokio::join!(gateway.post(INVOKE, &patient), gateway.post(INVOKE, &body));
    let result = finished.expect(200)["data"]["result"].clone();
    assert!(result.as_str().is_some_and(|text| text.contains("completed")), "{result}");
    assert_eq!(late.expect(504)["error"]["code"], "mcp_timeout");
    // Progress of the cancelled call goes on arriving; it harms no other.
    assert_eq!(gateway.call("everything", "echo", json!({"message": "still"})).await, "Echo: still");
    assert_eq!(gateway.server("everything").await["restarts"], 0);
    gateway.stop().await;
}
