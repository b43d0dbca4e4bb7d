//! Servers that others wrote behind `/mcp/{server}` and `/mcp`: the same lists and answers for clients of either era.

use std::fs;

use serde_json::{Value, json};

use super::{EVERYTHING, example, example_with, memory_in, repository, text, tools};
use crate::mcp::{accept, both, sampled};
use crate::support::gateway::{Gateway, TestGateway};
use crate::support::mcp::{Session, modern};
use crate::support::site::Site;

/// One of a server's tools, with arguments and what its answer says.
struct Sample {
    server: &'static str,
    tool: &'static str,
    arguments: Value,
    says: &'static str,
}

fn sample(server: &'static str, tool: &'static str, arguments: Value, says: &'static str) -> Sample {
    Sample { server, tool, arguments, says }
}

#[tokio::test]
async fn real_servers_are_the_same_to_clients_of_either_era_and_at_one_address() {
    let directory = tempfile::tempdir().expect("a directory");
    let (files, repo) = (directory.path().join("files"), directory.path().join("repo"));
    fs::create_dir(&files).expect("made");
    fs::create_dir(&repo).expect("made");
    fs::write(files.join("poem.txt"), "first line\n").expect("written");
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
    let tokyo = json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"});
    for sample in [
        sample("everything", "echo", json!({"message": "hello"}), "Echo: hello"),
        sample("files", "read_text_file", json!({"path": text(&files.join("poem.txt"))}), "first line"),
        sample("memory", "read_graph", json!({}), "entities"),
        sample("time", "convert_time", tokyo, "T21:00:00+09:00"),
        sample("git", "git_log", json!({"repo_path": text(&repo)}), "Begin the notes"),
        sample("fetch", "fetch", json!({"url": site.url("/notes.txt")}), "fetched over HTTP"),
    ] {
        gateway.wait_state(sample.server, "ready").await;
        check(&gateway, &sample).await;
    }
    gateway.stop().await;
}

/// Lists and calls as a client of each era, at the server's own address and at that of all.
async fn check(gateway: &Gateway, sample: &Sample) {
    let Sample { server, tool, arguments, says } = sample;
    let names = |listed: &Value| -> Vec<String> {
        let tools = listed["tools"].as_array().expect("a list").iter();
        tools.map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    };
    let expected: Vec<String> = tools(gateway, server).await.into_iter().map(|(name, _)| name).collect();
    let session = Session::open(gateway, server, json!({})).await;
    let client = modern(gateway, server);
    let (old, new) = (session.ask("tools/list", json!({})), client.ask("tools/list", json!({})));
    let (old, new) = (old.result().await, new.result().await);
    let mut of_both_eras = old["tools"].clone();
    for tool in of_both_eras.as_array_mut().expect("a list") {
        // Tasks as 2025-11-25 had them, which the modern era does not know.
        tool.as_object_mut().expect("a tool").remove("execution");
    }
    assert_eq!(of_both_eras, new["tools"], "{server}");
    assert_eq!(names(&new), expected, "{server}");
    let all = modern(gateway, "").ask("tools/list", json!({})).result().await;
    let prefix = format!("{server}__");
    let here: Vec<String> =
        names(&all).iter().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect();
    assert_eq!(here, expected, "{server} beside others");
    let beside = Session::open(gateway, "", json!({})).await;
    let full = format!("{server}__{tool}");
    for call in [
        client.call(tool, arguments.clone()),
        session.call(tool, arguments.clone()),
        modern(gateway, "").call(&full, arguments.clone()),
        beside.call(&full, arguments.clone()),
    ] {
        let told = call.result().await;
        assert_ne!(told["isError"], true, "{server} {told}");
        assert!(told["content"].to_string().contains(says), "{server} {told}");
    }
}

#[tokio::test]
async fn everything_that_a_real_server_shows_of_mcp_works_for_either_era() {
    let gateway = TestGateway::new().server("everything", example("everything")).start().await;
    gateway.wait_state("everything", "ready").await;
    let client = modern(&gateway, "everything").can(both());
    let session = Session::open(&gateway, "everything", both()).await;
    for is_modern in [true, false] {
        let ask = |method: &str, params: Value| match is_modern {
            true => client.ask(method, params),
            false => session.ask(method, params),
        };
        let listed = ask("tools/list", json!({})).result().await;
        assert_eq!(listed["tools"].as_array().map(Vec::len), Some(EVERYTHING.len()));
        let listed = ask("resources/list", json!({})).result().await;
        let uri = listed["resources"][0]["uri"].clone();
        let read = ask("resources/read", json!({"uri": uri})).result().await;
        assert_eq!(read["contents"][0]["uri"], uri);
        let prompts = ask("prompts/list", json!({})).result().await;
        let names: Vec<&Value> =
            prompts["prompts"].as_array().expect("a list").iter().map(|prompt| &prompt["name"]).collect();
        assert!(
            names.contains(&&json!("simple-prompt")) && names.contains(&&json!("args-prompt")),
            "{names:?}"
        );
        let prompt = ask("prompts/get", json!({"name": "args-prompt", "arguments": {"city": "Kyoto"}}));
        assert!(prompt.result().await["messages"].to_string().contains("Kyoto"));
        let arguments =
            json!({"name": "trigger-long-running-operation", "arguments": {"duration": 1, "steps": 2}});
        let mut answer = ask("tools/call", arguments).meta("progressToken", "mine").send().await;
        let progress = answer.until("notifications/progress").await;
        assert_eq!(progress["params"]["progressToken"], "mine", "{progress}");
        assert!(answer.last().await["result"]["content"].is_array());
    }
    questions(&gateway, &session).await;
    gateway.stop().await;
}

/// Lets the server ask a client of each era for input and for a sample.
async fn questions(gateway: &Gateway, session: &Session<'_>) {
    let arguments = |tool: &str| match tool {
        "trigger-sampling-request" => json!({"prompt": "Say it", "maxTokens": 10}),
        _ => json!({}),
    };
    let (filled, said) = (accept("Ida"), sampled("said by a model"));
    for (tool, answer, shown) in [
        ("trigger-elicitation-request", &filled, "Ida"),
        ("trigger-sampling-request", &said, "said by a model"),
    ] {
        let call = modern(gateway, "everything").can(both()).call(tool, arguments(tool));
        let asked = call.clone().result().await;
        assert_eq!(asked["resultType"], "input_required", "{tool}: {asked}");
        let key = asked["inputRequests"].as_object().and_then(|all| all.keys().next()).expect("a question");
        let again = call.id(2).param("inputResponses", json!({key: answer}));
        let told = again.param("requestState", asked["requestState"].clone()).result().await;
        assert!(told["content"].to_string().contains(shown), "{tool}: {told}");
        let mut stream = session.call(tool, arguments(tool)).send().await;
        let question = loop {
            let message = stream.message().await;
            if message.get("id").is_some() && message.get("method").is_some() {
                break message;
            }
        };
        session.answer(&question, answer.clone()).await;
        let told = stream.last().await;
        assert!(told["result"]["content"].to_string().contains(shown), "{tool}: {told}");
    }
}
