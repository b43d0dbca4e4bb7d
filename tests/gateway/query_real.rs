//! Questions answered by llama.cpp's own server, in the version that the lock file under `tests/real`
//! pins: its chat template, its reading of tool calls, its streams and its errors. The model is made on
//! the spot and says what it is told to say; nothing here needs the network.
//!
//! The server is installed by `make real-servers`; where it is missing, a test fails and says so.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::DEADLINE;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::llm::endpoints::odd_tools;

const REAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real");
/// What the model says when it does not call a tool.
const SAID: &str = "The tool has answered, and that is all there is to say.";

/// llama.cpp's server. It is killed when dropped.
struct Llama {
    process: Child,
    base_url: String,
    directory: TempDir,
}

impl Llama {
    /// Starts one whose model makes these calls whenever it is offered tools and asked something.
    async fn start(calls: Value) -> Llama {
        let python = Path::new(REAL).join("venv/bin/python");
        let missing = "is not installed: run `make real-servers`, or `make test`, which installs it";
        assert!(python.exists(), "{} {missing}", python.display());
        let directory = tempfile::tempdir().expect("a directory");
        let log = File::create(directory.path().join("log")).expect("a file");
        let mut process = Command::new(python)
            .arg("-B")
            .arg(Path::new(REAL).join("inference_server.py"))
            .arg(directory.path())
            .args([&calls.to_string(), SAID])
            .env_clear()
            .env("HOME", directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("it can be started");
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        let reading = timeout(DEADLINE, stdout.read_line(&mut line)).await;
        let mut llama = Llama { process, base_url: String::new(), directory };
        reading.expect("it says where it listens").expect("readable");
        assert!(
            !line.is_empty(),
            "it did not start; an older venv is brought up to date by `make real-servers`"
        );
        let address = line.trim_end().strip_prefix("http://127.0.0.1:");
        assert!(address.is_some(), "it listens where nobody else can reach it: {line:?}");
        llama.base_url = line.trim_end().to_owned();
        llama
    }

    /// A daemon that asks it, with a scripted server named `fake`.
    async fn gateway(&self) -> Gateway {
        let config = format!("[llm]\nbase_url = \"{}\"\nmodel = \"tiny\"\n", self.base_url);
        let gateway = TestGateway::new().config_toml(&config).server("fake", fake(&[])).start().await;
        gateway.wait_state("fake", "ready").await;
        gateway
    }

    /// Ends it, by the end of its input, and with it the test.
    async fn stop(mut self) {
        drop(self.process.stdin.take());
        let status = timeout(DEADLINE, self.process.wait()).await.expect("it ends").expect("our own child");
        assert!(status.success(), "it left with {status}");
    }
}

impl Drop for Llama {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            eprintln!("--- the output of llama.cpp's server ---\n{log}\n--- end of it ---");
        }
    }
}

/// What was counted: something was read and something was written, in each turn.
fn check_usage(usage: &Value) {
    let count = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("{name}: {usage}"));
    assert!(count("prompt_tokens") > 0 && count("completion_tokens") > 0, "{usage}");
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"), "{usage}");
}

/// An answer after one call of `echo`.
fn check_answer(answer: &Value) {
    let read = |name: &str| answer[name].clone();
    assert_eq!(read("status"), "success", "{answer}");
    assert_eq!((read("result"), read("finish_reason")), (json!(SAID), json!("stop")), "{answer}");
    assert_eq!((read("model"), read("turns")), (json!("tiny"), json!(2)), "{answer}");
    check_usage(&answer["usage"]);
}

/// The events of a stream: names and data.
fn events(body: &str) -> Vec<(String, Value)> {
    let blocks = body.split_terminator("\n\n").filter(|block| !block.starts_with(':'));
    let read = |block: &str| {
        let (name, data) = block.split_once('\n').unwrap_or_else(|| panic!("one line: {block:?}"));
        let name = name.strip_prefix("event: ").unwrap_or_else(|| panic!("no name: {block:?}"));
        let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {block:?}"));
        (name.to_owned(), serde_json::from_str(data).expect("JSON"))
    };
    blocks.map(read).collect()
}

#[tokio::test]
async fn llama_cpp_calls_a_tool_and_answers() {
    let arguments = json!({"text": "hello from llama.cpp"});
    let llama = Llama::start(json!([{"name": "echo", "arguments": arguments}])).await;
    let gateway = llama.gateway().await;
    let question = json!({"server": "fake", "query": "What does it say?", "include_steps": true});

    let answer = gateway.post("/api/query", &question).await.expect(200);
    check_answer(&answer);
    let steps = answer["steps"].as_array().expect("a list");
    assert_eq!(steps.len(), 1, "{answer}");
    let step = &steps[0];
    assert_eq!((&step["server"], &step["tool"]), (&json!("fake"), &json!("echo")), "{answer}");
    assert_eq!((&step["arguments"], &step["is_error"]), (&arguments, &json!(false)), "{answer}");
    assert!(step["result"].as_str().is_some_and(|text| text.contains("hello from llama.cpp")), "{answer}");

    gateway.stop().await;
    llama.stop().await;
}

#[tokio::test]
async fn llama_cpp_streams_two_tool_calls_and_an_answer() {
    // In the order of the schema: llama.cpp takes no other.
    let arguments = json!({"nonce": [1, {"deep": null}], "text": "in several pieces"});
    let calls = json!([{"name": "echo", "arguments": arguments}, {"name": "pid", "arguments": {}}]);
    let llama = Llama::start(calls).await;
    let gateway = llama.gateway().await;
    let question =
        json!({"server": "fake", "query": "What does it say?", "stream": true, "temperature": 1.5});

    let reply = gateway.post("/api/query", &question).await;
    assert_eq!((reply.status, reply.headers["content-type"].as_bytes()), (200, &b"text/event-stream"[..]));
    let events = events(&reply.text());
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    let tokens = names.iter().filter(|name| **name == "token").count();
    assert!(tokens > 1, "the words come one after the other: {names:?}");
    let mut expected = vec!["tool_call", "tool_call", "tool_result", "tool_result"];
    expected.extend(vec!["token"; tokens]);
    expected.push("final");
    assert_eq!(names, expected);
    assert!(events.iter().all(|(name, data)| data["type"] == **name), "{events:?}");
    let (echo, pid) = (&events[0].1, &events[1].1);
    assert_eq!(
        (&echo["server"], &echo["tool"], &echo["arguments"]),
        (&json!("fake"), &json!("echo"), &arguments)
    );
    assert_eq!((&pid["tool"], &pid["arguments"]), (&json!("pid"), &json!({})));
    for (call, expected) in [(echo, "in several pieces"), (pid, "\"pid\"")] {
        let is_of = |data: &&Value| data["id"] == call["id"];
        let result = events[2..4].iter().map(|(_, data)| data).find(is_of).expect("a result of its own");
        assert!(result["result"].as_str().is_some_and(|text| text.contains(expected)), "{result}");
        assert_eq!(result["is_error"], false, "{result}");
    }
    let said: String = events.iter().filter_map(|(_, data)| data["text"].as_str()).collect();
    assert_eq!(said, SAID);
    check_answer(&events[events.len() - 1].1);

    gateway.stop().await;
    llama.stop().await;
}

/// The model means to call something else than what it is offered. llama.cpp does not let it: it calls
/// what it may, as often as chance will have it, and is told what came of each call.
#[tokio::test]
async fn llama_cpp_calls_nothing_but_what_it_is_offered() {
    let llama = Llama::start(json!([{"name": "echo", "arguments": {}}])).await;
    let gateway = llama.gateway().await;
    let question = json!({"server": "fake", "query": "Which?", "tools": ["pid"], "include_steps": true});

    let answer = gateway.post("/api/query", &question).await.expect(200);
    check_answer(&answer);
    let steps = answer["steps"].as_array().expect("a list");
    assert!(!steps.is_empty(), "{answer}");
    for step in steps {
        assert_eq!((&step["tool"], &step["arguments"]), (&json!("pid"), &json!({})), "{answer}");
        assert_eq!(step["is_error"], false, "{answer}");
    }

    gateway.stop().await;
    llama.stop().await;
}

/// Its check of schemas names no tool, so a single odd one would cost every question to a server.
#[tokio::test]
async fn llama_cpp_takes_the_tools_of_a_server_that_was_made_for_no_endpoint() {
    let llama = Llama::start(json!([{"name": "say", "arguments": {"text": "said"}}])).await;
    let path = llama.directory.path().join("tools.json");
    fs::write(&path, odd_tools().to_string()).expect("written");
    let config = format!("[llm]\nbase_url = \"{}\"\nmodel = \"tiny\"\n", llama.base_url);
    let server = fake(&["--tools-file", path.to_str().expect("UTF-8")]);
    let gateway = TestGateway::new().config_toml(&config).server("odd", server).start().await;
    gateway.wait_state("odd", "ready").await;
    let question = json!({"server": "odd", "query": "What does it say?", "include_steps": true});

    let answer = gateway.post("/api/query", &question).await.expect(200);
    check_answer(&answer);
    assert!(answer.get("left_out").is_none(), "{answer}");
    let steps = answer["steps"].as_array().expect("a list");
    assert_eq!(
        (steps.len(), &steps[0]["tool"], &steps[0]["result"]),
        (1, &json!("say"), &json!("said")),
        "{answer}"
    );

    gateway.stop().await;
    llama.stop().await;
}

/// A plain failure with the server's own words, also where a stream was asked for.
#[tokio::test]
async fn llama_cpp_refuses_a_question_that_is_too_long_for_it() {
    let llama = Llama::start(json!([])).await;
    let gateway = llama.gateway().await;

    for stream in [false, true] {
        let question = json!({"server": "fake", "query": "long ".repeat(10_000), "stream": stream});
        let refused = gateway.post("/api/query", &question).await.expect(500);
        assert_eq!(refused["code"], "llm_error", "{refused}");
        let error = refused["error"].as_str().expect("a text");
        let says_why =
            error.starts_with("The model's endpoint answered 400: ") && error.contains("context size");
        assert!(says_why, "{error}");
    }

    gateway.stop().await;
    llama.stop().await;
}
