//! Several servers at one address: how their tools are named, searched for, and named when they are dead.

use serde_json::{Value, json};

use super::{accept, both, form, servers, world};
use crate::revoking::make;
use crate::support::gateway::{Gateway, TestGateway, fake, with};
use crate::support::mcp::{LEGACY, Session, hello, modern};
use crate::support::{DEADLINE, wait_until};

fn names(result: &Value) -> Vec<String> {
    let tools = result["tools"].as_array().unwrap_or_else(|| panic!("{result}"));
    tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

/// The tools at `/mcp`, which are the same in both eras.
async fn listed(gateway: &Gateway) -> Vec<String> {
    let session = Session::open(gateway, "", json!({})).await;
    let told = names(&modern(gateway, "").ask("tools/list", json!({})).result().await);
    assert_eq!(names(&session.ask("tools/list", json!({})).result().await), told);
    session.ended().await;
    told
}

/// Two servers with the same tools, but for one more of the second.
async fn two(config: &str) -> Gateway {
    let gateway = TestGateway::new().server("a", fake(&[])).server("my_b", fake(&["--tools", "1"]));
    let gateway = gateway.config_toml(config).start().await;
    gateway.wait_state("a", "ready").await;
    gateway.wait_state("my_b", "ready").await;
    gateway
}

#[tokio::test]
async fn a_list_of_servers_is_an_address_for_who_may_use_all_of_them() {
    let gateway = TestGateway::new().server("a", fake(&[])).server("b", fake(&[])).server("c", fake(&[]));
    let gateway = gateway.start().await;
    for server in ["a", "b", "c"] {
        gateway.wait_state(server, "ready").await;
    }
    let tools = async |endpoint: &str, key: &str| {
        names(&modern(&gateway, endpoint).key(Some(key)).ask("tools/list", json!({})).result().await)
    };
    let owner = gateway.key().to_owned();
    let found = tools("b,a", &owner).await;
    let of = |server: &str| found.iter().filter(|name| name.starts_with(server)).count();
    assert!(found[0].starts_with("b__") && of("a__") == of("b__") && of("c__") == 0, "{found:?}");
    let id = gateway.server("a").await["id"].as_str().expect("an id").to_owned();
    assert_eq!(tools(&format!("b,{id},a,b"), &owner).await, found, "by id, and each once");
    let session = Session::open(&gateway, "b,a", json!({})).await;
    assert_eq!(session.told("a__echo", json!({"nonce": 1})).await["nonce"], 1);
    session.at("a,b").ask("ping", json!({})).refused(404, 404).await;
    // Unknown ones, and ones that a key may not use, are the same.
    let body = json!({"name": "some", "member": {"id": "user_b"}, "permissions": {"mcps": ["a", "b"]}});
    let some = make(&gateway, body).await;
    assert_eq!(tools("b,a", &some.text).await, found);
    let hidden = gateway.server("c").await["id"].as_str().expect("an id").to_owned();
    for (list, named) in [
        ("a,c", "c"),
        ("a,nobody", "nobody"),
        ("a,", ""),
        // The first that it may not use is told, whether it is there or not, and as it was written.
        ("c,nobody", "c"),
        ("nobody,c", "nobody"),
        (&format!("a,{hidden}"), &hidden),
    ] {
        let client = modern(&gateway, list).key(Some(&some.text));
        let told = client.ask("tools/list", json!({})).refused(404, 404).await;
        let text = told["error"]["message"].as_str().expect("a text");
        assert!(text.contains(&format!("'{named}'")), "{list}: {told}");
    }
    session.ended().await;
    gateway.stop().await;
}

#[tokio::test]
async fn names_follow_the_rule_and_full_ones_count_under_each() {
    for (config, echo_of_a, echo_of_b, tool) in [
        ("", "a__echo", "my_b__echo", "my_b__tool_0"),
        ("[mcp]\nprefix = \"conflict\"\n", "a__echo", "my_b__echo", "tool_0"),
        ("[mcp]\nprefix = \"never\"\n", "echo", "echo-", "tool_0"),
        ("[mcp]\nseparator = \"-\"\n", "a-echo", "my_b-echo", "my_b-tool_0"),
        ("[mcp]\nprefix = \"conflict\"\nseparator = \"_\"\n", "a_echo", "my-b_echo", "tool_0"),
    ] {
        let gateway = two(config).await;
        let found = listed(&gateway).await;
        assert!(
            found.contains(&echo_of_a.to_owned()) && found.contains(&tool.to_owned()),
            "{config}: {found:?}"
        );
        assert!(found.iter().any(|name| name.starts_with(echo_of_b)), "{config}: {found:?}");
        let unique: std::collections::HashSet<&String> = found.iter().collect();
        assert_eq!(unique.len(), found.len(), "{config}");
        let client = modern(&gateway, "");
        let separator = if config.contains("\"-\"") {
            "-"
        } else if config.contains("\"_\"") {
            "_"
        } else {
            "__"
        };
        let b = if separator == "_" { "my-b" } else { "my_b" };
        // By every name of the list, and by the full one.
        for name in found.iter().filter(|name| name.contains("pid")).chain([&format!("{b}{separator}pid")]) {
            assert!(client.told(name, json!({})).await["pid"].is_number(), "{config}: {name}");
        }
        let (a, b) = (format!("a{separator}pid"), format!("{b}{separator}pid"));
        assert_ne!(client.told(&a, json!({})).await, client.told(&b, json!({})).await, "{config}");
        assert_eq!(client.told("tool_0", json!({"nonce": 4})).await["nonce"], 4, "a bare name that is clear");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_bare_name_is_clear_by_what_the_key_sees() {
    let gateway = two("[mcp]\nprefix = \"conflict\"\n").await;
    let key = make(&gateway, json!({"name": "k", "permissions": {"mcps": ["my_b"]}})).await.text;
    let client = modern(&gateway, "").key(Some(&key));
    let found = names(&client.ask("tools/list", json!({})).result().await);
    assert!(found.contains(&"echo".to_owned()) && !found.iter().any(|name| name.contains("__")), "{found:?}");
    assert_eq!(client.told("echo", json!({"nonce": 1})).await["nonce"], 1);
    client.call("a__echo", json!({})).refused(200, -32602).await;
    let told = modern(&gateway, "").call("echo", json!({})).refused(200, -32602).await;
    assert!(told["error"]["message"].as_str().expect("a text").contains("several servers"), "{told}");
    gateway.stop().await;
}

/// What `find_tools` tells of a question, in both eras the same.
async fn find(gateway: &Gateway, endpoint: &str, key: &str, question: &str) -> Vec<Value> {
    let arguments = json!({"query": question, "limit": 50});
    let client = modern(gateway, endpoint).key(Some(key));
    let told = client.call("find_tools", arguments.clone()).result().await;
    assert_eq!((&told["resultType"], &told["isError"]), (&json!("complete"), &json!(false)));
    let session = Session::open_as(gateway, endpoint, key, LEGACY, json!({})).await;
    let same = session.call("find_tools", arguments).result().await;
    assert_eq!(same["structuredContent"], told["structuredContent"]);
    let text: Value =
        serde_json::from_str(told["content"][0]["text"].as_str().expect("a text")).expect("JSON");
    assert_eq!(text, told["structuredContent"]);
    session.ended().await;
    told["structuredContent"]["tools"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn tools_are_searched_for_where_there_are_many_of_them() {
    // 27 tools in each of the servers.
    let config = "[mcp]\nsearch = 30\n[audit]\ncalls = true\n[groups.few]\nservers = [\"legacy\"]\n\
        [groups.never]\nservers = [\"legacy\", \"modern\"]\nsearch = \"off\"\n\
        [groups.ever]\nservers = [\"legacy\"]\nsearch = \"on\"\nprefix = \"never\"\n";
    let gateway = world(config).await;
    assert_eq!(listed(&gateway).await, ["find_tools", "call_tool"]);
    for (group, count) in [("few", 27), ("never", 54), ("ever", 2)] {
        let told = modern(&gateway, group).ask("tools/list", json!({})).result().await;
        assert_eq!(names(&told).len(), count, "{group}");
    }
    let owner = gateway.key().to_owned();
    let found = find(&gateway, "", &owner, "id of the process").await;
    let first: Vec<&str> = found[..2].iter().map(|tool| tool["name"].as_str().expect("a name")).collect();
    assert_eq!(first, ["legacy__pid", "modern__pid"], "{found:?}");
    assert!(found[0]["inputSchema"].is_object() && found[0]["description"].is_string(), "{found:?}");
    let client = modern(&gateway, "");
    let by_search = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
    let told = client.told("call_tool", by_search("legacy__echo", json!({"nonce": 8}))).await;
    assert_eq!((&told["nonce"], &client.told("legacy__echo", json!({"nonce": 8})).await), (&json!(8), &told));
    for (wrong, part) in [
        (json!({}), "arguments.name"),
        (json!({"name": "legacy__echo", "arguments": 7}), "arguments.arguments"),
        (json!({"name": "nothing"}), "'nothing' not found"),
        (json!({"name": "call_tool"}), "'call_tool' not found"),
    ] {
        let told = client.call("call_tool", wrong).refused(200, -32602).await;
        assert!(told["error"]["message"].as_str().expect("a text").contains(part), "{told}");
    }
    client.call("find_tools", json!({"query": 1})).refused(200, -32602).await;
    client.call("find_tools", json!({"query": "x", "limit": 0})).refused(200, -32602).await;
    // Recorded as what was called.
    let calls = gateway.get("/v1/audit?action=call&per_page=100").await.expect(200)["data"].clone();
    let targets: Vec<&str> =
        calls.as_array().expect("a list").iter().filter_map(|call| call["target"].as_str()).collect();
    let echoes: Vec<&&str> = targets.iter().filter(|target| target.ends_with("/echo")).collect();
    assert_eq!((echoes.len(), echoes[0]), (2, echoes[1]), "{targets:?}");
    assert!(!targets.iter().any(|target| target.contains("_tool")), "{targets:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn only_tools_that_the_key_may_call_are_found() {
    let gateway = world("[mcp]\nsearch = \"on\"\nprefix = \"conflict\"\n").await;
    let permissions = json!({"tools": {"legacy": ["s*", "echo"], "modern": ["echo"], "*": []}});
    let key = make(&gateway, json!({"name": "k", "permissions": permissions})).await.text;
    let mut found: Vec<String> =
        find(&gateway, "", &key, "").await.iter().map(|tool| tool["name"].to_string()).collect();
    found.sort_unstable();
    let expected = ["\"legacy__echo\"", "\"modern__echo\"", "\"sleep\"", "\"spawn_child\"", "\"stats\""];
    assert_eq!(found, expected);
    let client = modern(&gateway, "").key(Some(&key));
    client.call("call_tool", json!({"name": "sleep", "arguments": {"ms": 1}})).result().await;
    client.call("call_tool", json!({"name": "legacy__pid"})).refused(200, -32602).await;
    gateway.stop().await;
}

#[tokio::test]
async fn tools_of_apps_are_not_found_and_no_header_is_wanted_of_who_searched() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tools.json");
    let striped =
        json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let tools = json!([
        {"name": "app_only", "description": "zebra", "inputSchema": {"type": "object"}, "_meta": {"ui": {"visibility": ["app"]}}},
        {"name": "striped", "description": "zebra", "inputSchema": striped},
    ]);
    std::fs::write(&file, tools.to_string()).expect("written");
    let flags = ["--era", "modern", "--tools-file", file.to_str().expect("UTF-8")];
    let gateway = TestGateway::new().server("zoo", fake(&flags)).config_toml("[mcp]\nsearch = \"on\"\n");
    let gateway = gateway.start().await;
    gateway.wait_state("zoo", "ready").await;
    let owner = gateway.key().to_owned();
    let found = find(&gateway, "", &owner, "zebras").await;
    let found: Vec<&Value> = found.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(found, [&json!("zoo__striped")]);
    let client = modern(&gateway, "");
    // An app calls it by the name that is written into it.
    client.call("app_only", json!({})).result().await;
    let arguments = json!({"region": "eu"});
    client.call("zoo__striped", arguments.clone()).refused(400, -32020).await;
    let told = client.told("call_tool", json!({"name": "zoo__striped", "arguments": arguments})).await;
    assert_eq!(told["region"], "eu");
    gateway.stop().await;
}

#[tokio::test]
async fn progress_and_questions_pass_through_a_call_by_search() {
    let gateway = world("[mcp]\nsearch = \"on\"\n").await;
    let interview = json!({"name": "legacy__interview", "arguments": {"rounds": [[form("name?")]]}});
    let client = modern(&gateway, "").can(both());
    let call = client.call("call_tool", interview.clone());
    let asked = call.clone().expect(200).await;
    let key = asked["result"]["inputRequests"].as_object().expect("one").keys().next().expect("one").clone();
    let told = call
        .param("inputResponses", json!({key: accept("a")}))
        .param("requestState", asked["result"]["requestState"].clone());
    let told = told.id(2).result().await;
    assert_eq!(told["structuredContent"]["rounds"][0]["q0"]["result"], accept("a"));
    let session = Session::open(&gateway, "", both()).await;
    let mut answer = session.call("call_tool", interview).send().await;
    let question = answer.until("elicitation/create").await;
    session.answer(&question, accept("b")).await;
    assert_eq!(answer.last().await["result"]["structuredContent"]["rounds"][0]["q0"]["result"], accept("b"));
    let progress = json!({"name": "modern__progress", "arguments": {"ms": 200, "every_ms": 20}});
    let mut answer = client.call("call_tool", progress).meta("progressToken", "p").send().await;
    assert_eq!(answer.until("notifications/progress").await["params"]["progressToken"], "p");
    answer.last().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_dead_server_is_named_and_what_it_had_stays_listed() {
    let never = with(fake(&["--exit", "3"]), json!({"start_timeout": "2s"}));
    let ends = with(fake(&[]), json!({"restart": "never"}));
    let gateway = servers(&[]).server("never", never).server("ends", ends).start().await;
    gateway.wait_state("legacy", "ready").await;
    gateway.wait_state("ends", "ready").await;
    modern(&gateway, "ends").call("crash", json!({"code": 5})).last().await;
    wait_until("it is not available", DEADLINE, || async {
        let state = gateway.server("ends").await["state"].clone();
        (state != "ready").then_some(())
    })
    .await;
    let told = modern(&gateway, "").ask("tools/list", json!({})).result().await;
    let unavailable = &told["_meta"]["mcpvisor/unavailable"];
    assert!(unavailable["never"].is_string() && unavailable["ends"].is_string(), "{unavailable}");
    assert!(unavailable.get("legacy").is_none(), "{unavailable}");
    assert!(names(&told).contains(&"ends__echo".to_owned()), "what it had stays listed");
    let opened = hello(&gateway, "", LEGACY, json!({})).result().await;
    let text = opened["instructions"].as_str().expect("a text");
    assert!(text.contains("never is not available") && text.contains("ends is not available"), "{text}");
    let failed = modern(&gateway, "").call("ends__echo", json!({})).last().await;
    assert!(failed["error"]["message"].as_str().expect("an error").contains("ends"), "{failed}");
    gateway.stop().await;
}
