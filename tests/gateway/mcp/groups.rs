//! Groups of servers at `/mcp/{group}`: what is in one for whom, and how it changes while it is used.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{SERVERS, accept, both, child, form, servers};
use crate::reloading::rewrite;
use crate::revoking::make;
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::mcp::{Answer, LEGACY, Session, hello, modern};
use crate::support::{DEADLINE, wait_until};

const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";
const DEV: &str = r#"
[groups.dev]
servers = ["modern", "legacy"]
prefix = "conflict"
allow = ["legacy.*", "modern.echo", "modern.stats"]
deny = ["*.crash"]
rename = {"legacy.pid" = "which_process"}
describe = {"modern.echo" = "Says it once more."}
description = "For tests"
instructions = "Be quick."
"#;

async fn world(config: &str) -> Gateway {
    let gateway = servers(&[]).config_toml(config).start().await;
    for server in SERVERS {
        gateway.wait_state(server, "ready").await;
    }
    gateway
}

/// The names in a list of tools.
fn names(result: &Value) -> Vec<String> {
    let tools = result["tools"].as_array().unwrap_or_else(|| panic!("{result}"));
    tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

async fn listed(gateway: &Gateway, endpoint: &str, key: &str) -> Vec<String> {
    names(&modern(gateway, endpoint).key(Some(key)).ask("tools/list", json!({})).result().await)
}

/// Puts another configuration in place and waits until the daemon has read it, well or not.
async fn reconfigure(gateway: &Gateway, config: &str, is_good: bool) {
    let said = if is_good { "applied the groups of servers" } else { "groups stay as they were" };
    let before = gateway.output().matches(said).count();
    let file = gateway.data().parent().expect("a directory").join("mcpvisor.toml");
    let rest = "[organization]\nplan = \"unlimited\"\n[limits]\ncalls_per_key = 100000\n";
    std::fs::write(file, format!("{config}\n{rest}")).expect("written");
    gateway.signal(Signal::SIGHUP);
    wait_until("the configuration was read again", DEADLINE, || async {
        (gateway.output().matches(said).count() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_group_has_what_it_is_given_under_its_names_in_either_era() {
    let gateway = world(DEV).await;
    let session = Session::open(&gateway, "dev", json!({})).await;
    let tools = modern(&gateway, "dev").ask("tools/list", json!({})).result().await;
    let found = names(&tools);
    assert_eq!(names(&session.ask("tools/list", json!({})).result().await), found);
    assert_eq!(found[..2], ["modern__echo", "modern__stats"], "in the order of the group");
    for there in ["legacy__echo", "which_process", "sleep", "interview"] {
        assert!(found.contains(&there.to_owned()), "{there}: {found:?}");
    }
    assert!(!found.iter().any(|name| name.contains("crash") || name == "modern__sleep"), "{found:?}");
    assert_eq!(tools["tools"][0]["description"], "Says it once more.");
    let process = child(&gateway, "legacy").await.pid;
    for name in ["which_process", "legacy__pid", "pid"] {
        let told = modern(&gateway, "dev").told(name, json!({})).await;
        assert_eq!(
            (&told, &session.told(name, json!({})).await),
            (&json!({"pid": process}), &told),
            "{name}"
        );
    }
    for gone in ["crash", "legacy__crash", "modern__sleep", "modern__pid", "echo"] {
        modern(&gateway, "dev").call(gone, json!({})).refused(200, -32602).await;
        session.call(gone, json!({})).refused(200, -32602).await;
    }
    let hello = hello(&gateway, "dev", LEGACY, json!({})).result().await;
    assert_eq!(
        (&hello["serverInfo"]["name"], &hello["serverInfo"]["description"]),
        (&json!("dev"), &json!("For tests"))
    );
    assert!(hello["instructions"].as_str().expect("a text").starts_with("Be quick."));
    let discovered = modern(&gateway, "dev").ask("server/discover", json!({})).result().await;
    assert_eq!(discovered["instructions"], hello["instructions"]);
    gateway.stop().await;
}

#[tokio::test]
async fn resources_prompts_and_questions_work_in_a_group() {
    let gateway = world(DEV).await;
    let client = modern(&gateway, "dev").can(both());
    let session = Session::open(&gateway, "dev", both()).await;
    let uri = "mcpvisor://legacy/fake://one";
    let listed = client.ask("resources/list", json!({})).result().await;
    assert!(listed["resources"].as_array().expect("a list").iter().any(|one| one["uri"] == uri), "{listed}");
    let read = client.ask("resources/read", json!({"uri": uri})).result().await;
    assert_eq!(
        (&read["contents"][0]["uri"], &read["contents"][0]["text"]),
        (&json!(uri), &json!("the first resource"))
    );
    let prompts = client.ask("prompts/list", json!({})).result().await;
    assert!(prompts["prompts"].is_array(), "{prompts}");
    // A question of the server, to each client of its own.
    let call = client.call("interview", json!({"rounds": [[form("name?")]]}));
    let asked = call.clone().expect(200).await;
    let (key, question) =
        asked["result"]["inputRequests"].as_object().expect("one").iter().next().expect("one");
    assert_eq!(question, &form("name?"));
    let told = call
        .param("inputResponses", json!({key: accept("a")}))
        .param("requestState", asked["result"]["requestState"].clone());
    let told = told.id(2).result().await;
    assert_eq!(told["structuredContent"]["rounds"][0]["q0"]["result"], accept("a"));
    let mut answer = session.call("interview", json!({"rounds": [[form("name?")]]})).send().await;
    let question = answer.until("elicitation/create").await;
    session.answer(&question, accept("b")).await;
    let told = answer.last().await;
    assert_eq!(told["result"]["structuredContent"]["rounds"][0]["q0"]["result"], accept("b"), "{told}");
    // Updates, by the group's address.
    let (mut stream, _) = client.listen(7, json!({"resourceSubscriptions": [uri]})).await;
    session.ask("resources/subscribe", json!({"uri": uri})).result().await;
    let mut own = session.stream().send().await;
    client.told("touch", json!({"uri": "fake://one"})).await;
    assert_eq!(stream.until(UPDATED).await["params"]["uri"], uri);
    assert_eq!(own.until(UPDATED).await["params"]["uri"], uri);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_sees_in_a_group_what_it_may_use_and_no_other_group() {
    let config = format!("{DEV}\n[groups.other]\nservers = [\"modern\"]\n");
    let gateway = world(&config).await;
    let key = async |permissions: Value| {
        make(&gateway, json!({"name": "k", "permissions": permissions})).await.text
    };
    let legacy = key(json!({"mcps": ["legacy"]})).await;
    let found = listed(&gateway, "dev", &legacy).await;
    assert!(found.contains(&"echo".to_owned()) && !found.iter().any(|name| name.contains("__")), "{found:?}");
    let client = modern(&gateway, "dev").key(Some(&legacy));
    client.call("echo", json!({"nonce": 1})).result().await;
    client.call("modern__echo", json!({})).refused(200, -32602).await;
    modern(&gateway, "dev").call("echo", json!({})).refused(200, -32602).await;
    let one = key(json!({"tools": {"legacy": ["sleep", "crash"], "*": []}})).await;
    assert_eq!(listed(&gateway, "dev", &one).await, ["sleep"], "both the key and the group must have it");
    // To a key that may use nothing of it a group is not there, as a server is not.
    let none = key(json!({"mcps": []})).await;
    for (key, endpoint) in [(&none, "dev"), (&none, "legacy"), (&none, "nobody"), (&legacy, "other")] {
        let told = modern(&gateway, endpoint).key(Some(key)).ask("tools/list", json!({})).expect(404).await;
        assert!(told["error"]["message"].as_str().expect("a text").contains("There is no server"), "{told}");
        let hello = hello(&gateway, endpoint, LEGACY, json!({}));
        hello.header("authorization", &format!("Bearer {key}")).expect(404).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_of_a_group_is_of_no_other_endpoint() {
    let gateway = world(&format!("{DEV}\n[groups.other]\nservers = [\"legacy\"]\n")).await;
    let session = Session::open(&gateway, "dev", json!({})).await;
    for other in ["other", "legacy", "", "nobody"] {
        session.at(other).ask("ping", json!({})).refused(404, 404).await;
    }
    session.ask("ping", json!({})).result().await;
    session.ended().await;
    gateway.stop().await;
}

#[tokio::test]
async fn no_server_gets_the_name_of_a_group() {
    let gateway = world(DEV).await;
    let mut added = gateway.marked(fake(&[]));
    added["name"] = "dev".into();
    let refused = gateway.post("/api/servers", &added).await.expect(409);
    assert!(refused.to_string().contains("group"), "{refused}");
    let file = json!({"mcpServers": {"dev": gateway.marked(fake(&[]))}});
    std::fs::write(gateway.data().join("in.json"), file.to_string()).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "in.json"})).await.expect(409);
    // A servers file may say so: that entry starts nothing, and the others run.
    let process = child(&gateway, "legacy").await;
    let mut entries = serde_json::Map::new();
    for (name, era) in [("legacy", "legacy"), ("modern", "modern"), ("dev", "legacy")] {
        entries.insert(name.to_owned(), gateway.marked(fake(&["--converse", "--era", era])));
    }
    rewrite(&gateway, &json!({"mcpServers": entries}).to_string());
    let seen = wait_until("the entry is there", DEADLINE, || async {
        let reply = gateway.get("/v1/mcps/dev").await;
        (reply.status == 200).then(|| reply.expect(200)["data"].clone())
    })
    .await;
    assert_eq!(seen["state"], "failed", "{seen}");
    assert!(seen["cause"].as_str().expect("a text").contains("[groups.dev]"), "{seen}");
    assert_eq!(child(&gateway, "legacy").await, process);
    let pid = modern(&gateway, "dev").told("which_process", json!({})).await["pid"].clone();
    assert_eq!(pid, process.pid, "the group is what answers");
    gateway.stop().await;
}

#[tokio::test]
async fn a_start_with_a_group_of_a_servers_name_is_refused() {
    let bad = "[groups.legacy]\nservers = [\"modern\"]\n";
    for arguments in [&[][..], &["--check"]] {
        let (status, output) = servers(&[]).config_toml(bad).arguments(arguments).start_refused().await;
        assert_eq!(status.code(), Some(78), "{output}");
        assert!(output.contains("mcpvisor.toml: groups.legacy must not have the name"), "{output}");
        assert!(output.contains("mcpServers.legacy of"), "{output}");
    }
    // One that was made over the API is known only once the store is open.
    let data = tempfile::tempdir().expect("a directory");
    let gateway = TestGateway::new().data_in(data.path()).start().await;
    let mut added = gateway.marked(fake(&[]));
    added["name"] = "made".into();
    gateway.post("/api/servers", &added).await.expect(200);
    gateway.stop().await;
    let bad = "[groups.made]\nservers = [\"other\"]\n";
    let (status, output) = TestGateway::new().data_in(data.path()).config_toml(bad).start_refused().await;
    assert_eq!(status.code(), Some(78), "{output}");
    assert!(output.contains("groups.made must not have the name or the id of a server"), "{output}");
}

#[tokio::test]
async fn a_member_that_is_added_later_is_named_before_and_told_of_then() {
    let config = "[groups.dev]\nservers = [\"legacy\", \"later\"]\n";
    let gateway = world(config).await;
    assert!(gateway.output().contains("a group names a server that there is not (yet)"));
    let client = modern(&gateway, "dev");
    let (mut stream, _) = client.listen(1, json!({"toolsListChanged": true})).await;
    let session = Session::open(&gateway, "dev", json!({})).await;
    let mut own = session.stream().send().await;
    let mut added = gateway.marked(fake(&["--tools", "1"]));
    added["name"] = "later".into();
    gateway.post("/api/servers", &added).await.expect(200);
    stream.until(TOOLS).await;
    own.until(TOOLS).await;
    let found = listed(&gateway, "dev", gateway.key()).await;
    assert!(found.contains(&"later__tool_0".to_owned()), "{found:?}");
    assert_eq!(client.told("later__tool_0", json!({"nonce": 3})).await["nonce"], 3);
    // And when it is gone.
    let (mut stream, _) = modern(&gateway, "").listen(2, json!({"toolsListChanged": true})).await;
    gateway.delete("/api/servers/later").await.expect(200);
    stream.until(TOOLS).await;
    own.until(TOOLS).await;
    assert!(!listed(&gateway, "dev", gateway.key()).await.contains(&"later__tool_0".to_owned()));
    gateway.stop().await;
}

/// Waits for the end of a stream, whatever comes before.
async fn ends(mut stream: Answer) {
    stream.messages().await;
}

#[tokio::test]
async fn sighup_changes_groups_and_no_server_and_tells_who_is_there() {
    let gateway = world(&format!("{DEV}\n[groups.goes]\nservers = [\"legacy\"]\n")).await;
    let before = (child(&gateway, "legacy").await, child(&gateway, "modern").await);
    let session = Session::open(&gateway, "dev", json!({})).await;
    let mut own = session.stream().send().await;
    let (mut stream, _) = modern(&gateway, "dev").listen(1, json!({"toolsListChanged": true})).await;
    let (gone, _) = modern(&gateway, "goes").listen(1, json!({"toolsListChanged": true})).await;
    let other = "[groups.dev]\nservers = [\"legacy\"]\nallow = [\"legacy.echo\"]\n[groups.comes]\nservers = [\"modern\"]\n";
    reconfigure(&gateway, other, true).await;
    own.until(TOOLS).await;
    stream.until(TOOLS).await;
    assert_eq!(names(&session.ask("tools/list", json!({})).result().await), ["legacy__echo"]);
    session.call("sleep", json!({"ms": 1})).refused(200, -32602).await;
    assert_eq!(modern(&gateway, "comes").told("echo", json!({"nonce": 1})).await["nonce"], 1);
    ends(gone).await;
    modern(&gateway, "goes").ask("tools/list", json!({})).expect(404).await;
    assert_eq!((child(&gateway, "legacy").await, child(&gateway, "modern").await), before);
    // A group that cannot be changes nothing.
    reconfigure(&gateway, &format!("{other}\n[groups.legacy]\nservers = [\"modern\"]\n"), false).await;
    assert_eq!(modern(&gateway, "comes").told("echo", json!({"nonce": 2})).await["nonce"], 2);
    assert_eq!(modern(&gateway, "legacy").told("echo", json!({"nonce": 2})).await["nonce"], 2);
    ask(&gateway, "GET", "/readyz").without_key().send().await.expect(200);
    gateway.stop().await;
}
