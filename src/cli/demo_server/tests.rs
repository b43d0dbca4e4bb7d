use std::io::{BufReader, PipeReader, PipeWriter, pipe};

use super::wire::MAX_MESSAGE;
use super::*;

fn noon() -> OffsetDateTime {
    time::macros::datetime!(2026-11-22 12:00:00.5 UTC)
}

/// Runs the server over some lines and returns everything it wrote.
fn exchange(lines: &[Value]) -> Vec<Value> {
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    raw_exchange(input.as_bytes())
}

fn raw_exchange(input: &[u8]) -> Vec<Value> {
    let mut output = Vec::new();
    run(input, &mut output, noon).expect("served");
    let text = String::from_utf8(output).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON message a line")).collect()
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({META_VERSION: MODERN, META_CAPABILITIES: {}});
    request(id, method, params)
}

fn greeted(lines: &[Value]) -> Vec<Value> {
    let hello = request(0, "initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}}));
    let all: Vec<Value> = std::iter::once(hello).chain(lines.iter().cloned()).collect();
    exchange(&all).split_off(1)
}

fn called(tool: &str, arguments: Value) -> Value {
    let reply = greeted(&[request(1, "tools/call", json!({"name": tool, "arguments": arguments}))]);
    reply[0]["result"].clone()
}

/// A server on a thread, reached over pipes: for tests that need an order in time.
struct Talk {
    to: Option<PipeWriter>,
    from: BufReader<PipeReader>,
    server: thread::JoinHandle<io::Result<()>>,
}

impl Talk {
    fn start() -> Talk {
        let (server_in, to) = pipe().expect("a pipe");
        let (from, server_out) = pipe().expect("a pipe");
        let server = thread::spawn(move || run(BufReader::new(server_in), server_out, noon));
        Talk { to: Some(to), from: BufReader::new(from), server }
    }

    fn say(&mut self, message: &Value) {
        let to = self.to.as_mut().expect("open");
        to.write_all(format!("{message}\n").as_bytes()).expect("the server reads");
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the server writes");
        serde_json::from_str(&line).expect("one JSON message a line")
    }
}

#[test]
fn initialize_echoes_a_known_version_and_otherwise_names_the_latest() {
    for (asked, answered) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let replies = exchange(&[request("a", "initialize", json!({"protocolVersion": asked}))]);
        assert_eq!(replies[0]["result"]["protocolVersion"], answered, "{asked}");
        assert_eq!(replies[0]["id"], "a");
        assert!(replies[0]["result"].get("resultType").is_none(), "a legacy result has no type");
    }
}

#[test]
fn discover_names_version_capabilities_and_how_long_they_hold() {
    let replies = exchange(&[modern(7, "server/discover", json!({}))]);
    let result = &replies[0]["result"];
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(result["cacheScope"], "public");
    assert!(result["ttlMs"].as_u64().is_some());
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "mcpvisor-demo");
    assert!(result["capabilities"]["tools"].is_object());
    assert!(result["capabilities"].get("logging").is_none());
}

#[test]
fn a_stateless_request_must_say_what_it_needs() {
    let without = |key: &str| {
        let mut message = modern(1, "tools/list", json!({}));
        message["params"]["_meta"].as_object_mut().expect("object").remove(key);
        exchange(&[message]).remove(0)
    };
    for key in [META_VERSION, META_CAPABILITIES] {
        let reply = without(key);
        assert_eq!(reply["error"]["code"], -32602);
        assert!(reply["error"]["message"].as_str().expect("text").contains(key), "{reply}");
    }
    let plain = exchange(&[request(1, "tools/list", json!({}))]);
    assert_eq!(plain[0]["error"]["code"], -32602, "no handshake and no _meta");
    let mut other = modern(1, "tools/list", json!({}));
    other["params"]["_meta"][META_VERSION] = "2027-01-01".into();
    let reply = exchange(&[other]).remove(0);
    assert_eq!(reply["error"]["code"], -32022);
    assert_eq!(reply["error"]["data"], json!({"supported": ["2026-07-28"], "requested": "2027-01-01"}));
}

#[test]
fn both_eras_are_served_on_one_connection() {
    let replies = greeted(&[request(1, "tools/list", json!({})), modern(2, "tools/list", json!({}))]);
    assert_eq!(replies[0]["result"]["tools"], replies[1]["result"]["tools"]);
    assert!(replies[0]["result"].get("ttlMs").is_none());
    assert_eq!(replies[1]["result"]["resultType"], "complete");
    let replies = greeted(&[request(1, "server/discover", json!({})), modern(2, "ping", json!({}))]);
    assert_eq!(replies[0]["error"]["code"], -32602);
    assert_eq!(replies[1]["error"]["code"], -32601, "ping has no place in the stateless era");
}

#[test]
fn every_tool_has_a_description_and_an_object_schema() {
    let tools = offer::tools();
    let tools = tools.as_array().expect("a list");
    assert_eq!(tools.len(), 6);
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(tool["description"].as_str().is_some_and(|text| !text.is_empty()), "{tool}");
        let result = called(tool["name"].as_str().expect("a name"), json!({}));
        assert!(result["content"].is_array(), "{tool}");
        if tool.get("outputSchema").is_some() && result["isError"] != true {
            for member in tool["outputSchema"]["required"].as_array().expect("a list") {
                assert!(
                    result["structuredContent"].get(member.as_str().expect("text")).is_some(),
                    "{result}"
                );
            }
        }
    }
}

#[test]
fn tools_do_what_they_say() {
    assert_eq!(called("echo", json!({"text": "a\nb"}))["content"][0]["text"], "a\nb");
    assert_eq!(called("add", json!({"a": 2, "b": 3}))["structuredContent"], json!({"sum": 5}));
    assert_eq!(called("add", json!({"a": 0.5, "b": 1}))["structuredContent"], json!({"sum": 1.5}));
    assert_eq!(
        called("add", json!({"a": i64::MAX, "b": 1}))["structuredContent"],
        json!({"sum": 9.223_372_036_854_776e18})
    );
    assert_eq!(called("add", json!({"a": 1e308, "b": 1e308}))["isError"], true);
    assert_eq!(
        called("current_time", json!({"offset": "-03:30"}))["structuredContent"],
        json!({"time": "2026-11-22T08:30:00-03:30", "offset_seconds": -12_600, "unix_seconds": noon().unix_timestamp()})
    );
    assert_eq!(called("current_time", json!({}))["structuredContent"]["time"], "2026-11-22T12:00:00Z");
    assert_eq!(
        called("word_count", json!({"text": "zwei Wörter\n"}))["structuredContent"],
        json!({"lines": 1, "words": 2, "characters": 12, "bytes": 13})
    );
    let failed = called("fail", json!({"message": "no luck"}));
    assert_eq!((&failed["isError"], &failed["content"][0]["text"]), (&json!(true), &json!("no luck")));
}

#[test]
fn unusable_arguments_are_a_failed_result_not_a_protocol_error() {
    for (tool, arguments) in [
        ("echo", json!({})),
        ("add", json!({"a": "1", "b": 2})),
        ("current_time", json!({"offset": "Berlin"})),
        ("current_time", json!({"offset": "+99:00"})),
        ("slow", json!({"duration_ms": 600_001})),
        ("slow", json!({"duration_ms": 1, "steps": 0})),
        ("slow", json!({"duration_ms": -1})),
    ] {
        assert_eq!(called(tool, arguments.clone())["isError"], true, "{tool} {arguments}");
    }
}

#[test]
fn what_is_not_there_is_refused_with_the_code_of_the_era() {
    let replies = greeted(&[
        request(1, "tools/call", json!({"name": "nothing"})),
        request(2, "tools/call", json!({"name": "echo", "arguments": [1]})),
        request(3, "no/such/method", json!({})),
        request(4, "resources/read", json!({"uri": "demo://nothing"})),
        modern(5, "resources/read", json!({"uri": "demo://nothing"})),
        request(6, "prompts/get", json!({"name": "nothing"})),
        request(7, "prompts/get", json!({"name": "greet"})),
        request(8, "tools/list", json!({"cursor": ""})),
    ]);
    let codes: Vec<i64> =
        replies.iter().map(|reply| reply["error"]["code"].as_i64().expect("an error")).collect();
    assert_eq!(codes, [-32602, -32602, -32601, -32002, -32602, -32602, -32602, -32602]);
    assert_eq!(replies[3]["error"]["data"]["uri"], "demo://nothing");
}

#[test]
fn resources_and_the_prompt_are_read() {
    let replies = greeted(&[
        request(1, "resources/list", json!({})),
        request(2, "resources/read", json!({"uri": "demo://readme"})),
        modern(3, "resources/read", json!({"uri": "demo://status"})),
        request(4, "resources/read", json!({"uri": "demo://greeting/Ada"})),
        request(5, "prompts/get", json!({"name": "greet", "arguments": {"name": "Ada"}})),
    ]);
    assert_eq!(replies[0]["result"]["resources"].as_array().map(Vec::len), Some(2));
    assert_eq!(replies[1]["result"]["contents"][0]["mimeType"], "text/markdown");
    assert_eq!(replies[2]["result"]["ttlMs"], 0, "the status is old at once");
    let status = replies[2]["result"]["contents"][0]["text"].as_str().expect("text");
    assert_eq!(serde_json::from_str::<Value>(status).expect("JSON")["running"], 0);
    assert_eq!(replies[3]["result"]["contents"][0]["text"], "Hello, Ada!");
    let said = replies[4]["result"]["messages"][0]["content"]["text"].as_str().expect("text");
    assert!(said.contains("Ada"));
}

#[test]
fn broken_input_is_answered_without_an_id_and_harms_nothing() {
    let mut input =
        b"\n{\"jsonrpc\":\"2.0\",\n[1]\n\xff\xfe\n{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}\n"
            .to_vec();
    input.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}\n");
    input.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/unknown\",\"params\":[]}\n");
    input.extend_from_slice(b"{\"jsonrpc\":\"1.0\",\"id\":4,\"method\":\"ping\"}\r\n");
    input.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\"}\r\n");
    let replies = raw_exchange(&input);
    let codes: Vec<Option<i64>> = replies.iter().map(|reply| reply["error"]["code"].as_i64()).collect();
    assert_eq!(codes, [Some(-32700), Some(-32600), Some(-32700), Some(-32600), Some(-32600), None]);
    assert!(replies[..4].iter().all(|reply| reply.get("id").is_none()));
    assert_eq!((&replies[4]["id"], &replies[5]["id"]), (&json!(4), &json!(5)));
}

#[test]
fn a_message_beyond_the_limit_is_skipped_and_the_next_one_served() {
    let mut input = vec![b' '; MAX_MESSAGE + 10];
    input.extend_from_slice(b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
    let replies = raw_exchange(&input);
    assert_eq!((&replies[0]["error"]["code"], &replies[1]["id"]), (&json!(-32600), &json!(1)));
    assert_eq!(replies.len(), 2);
}

#[test]
fn a_slow_call_tells_its_progress_and_does_not_hold_up_the_others() {
    let mut talk = Talk::start();
    let mut slow =
        modern("slow", "tools/call", json!({"name": "slow", "arguments": {"duration_ms": 500, "steps": 4}}));
    slow["params"]["_meta"]["progressToken"] = "tok".into();
    talk.say(&slow);
    talk.say(&modern(2, "tools/call", json!({"name": "echo", "arguments": {"text": "quick"}})));
    let mut heard = vec![talk.hear()];
    while heard.last().is_some_and(|last| last["id"] != "slow") {
        heard.push(talk.hear());
    }
    assert!(heard.iter().position(|m| m["id"] == 2) < heard.iter().position(|m| m["id"] == "slow"));
    let steps: Vec<i64> = heard
        .iter()
        .filter(|message| message["method"] == "notifications/progress")
        .map(|message| {
            assert_eq!(message["params"]["progressToken"], "tok");
            message["params"]["progress"].as_i64().expect("a number")
        })
        .collect();
    assert_eq!(steps, [1, 2, 3, 4]);
}

#[test]
fn a_cancelled_call_is_never_answered() {
    let mut talk = Talk::start();
    let slow =
        |id: i64| modern(id, "tools/call", json!({"name": "slow", "arguments": {"duration_ms": 600_000}}));
    talk.say(&slow(1));
    talk.say(&slow(1));
    assert_eq!(talk.hear()["error"]["code"], -32600, "the id is taken while the first call runs");
    talk.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}));
    // The id is free again as soon as the call has stopped.
    loop {
        talk.say(&modern(2, "resources/read", json!({"uri": "demo://status"})));
        let reply = talk.hear();
        assert_eq!(reply["id"], 2, "nothing but the status may be answered");
        if reply["result"]["contents"][0]["text"].as_str().is_some_and(|text| text.contains("\"running\":0"))
        {
            break;
        }
        thread::yield_now();
    }
}

#[test]
fn the_end_of_input_ends_the_server_at_once() {
    let mut talk = Talk::start();
    for id in 0..MAX_SLOW + 1 {
        talk.say(&modern(id, "tools/call", json!({"name": "slow", "arguments": {"duration_ms": 600_000}})));
    }
    let refused = talk.hear();
    assert_eq!(
        (&refused["id"], &refused["result"]["isError"]),
        (&json!(MAX_SLOW), &json!(true)),
        "one too many"
    );
    talk.to = None;
    talk.server.join().expect("no panic").expect("served");
    assert_eq!(talk.from.fill_buf().expect("readable"), b"", "cancelled calls are not answered");
}
