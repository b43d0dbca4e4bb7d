//! `subscriptions/listen`: what is told of changes, to whom, and how it ends.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{SERVERS, kill, world};
use crate::support::gateway::{TestGateway, fake};
use crate::support::mcp::{Answer, OURS, modern};
use crate::support::{DEADLINE, wait_until};

const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";
const RESOURCES: &str = "notifications/resources/list_changed";
const UPDATED: &str = "notifications/resources/updated";

/// The id of the listen that a message belongs to.
fn tag(message: &Value) -> &Value {
    &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]
}

/// The next message, which is to be of this kind and to belong to this listen.
async fn told(stream: &mut Answer, method: &str, id: &Value) -> Value {
    let message = stream.message().await;
    assert_eq!((&message["method"], tag(&message)), (&json!(method), id), "{message}");
    message
}

#[tokio::test]
async fn a_listen_is_acknowledged_first_with_what_can_be_told() {
    let gateway = world("").await;
    for server in SERVERS {
        for (id, asked, expected) in [
            (json!(7), json!({}), json!({})),
            (json!("l"), json!({"toolsListChanged": true}), json!({"toolsListChanged": true})),
            (json!("7"), json!({"toolsListChanged": false, "unknown": true}), json!({})),
            (
                json!(0),
                json!({"promptsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["fake://one"]}),
                json!({"promptsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["fake://one"]}),
            ),
        ] {
            let (stream, first) = modern(&gateway, server).listen(id.clone(), asked).await;
            assert_eq!(stream.headers["x-accel-buffering"], "no");
            assert!(!stream.headers.contains_key("mcp-session-id"));
            assert_eq!((&first["params"]["notifications"], tag(&first)), (&expected, &id), "{server}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_listen_that_the_server_can_tell_nothing_for_stays_open_and_empty() {
    let gateway = TestGateway::new().server("plain", fake(&["--no-resources"])).start().await;
    gateway.wait_state("plain", "ready").await;
    let client = modern(&gateway, "plain");
    let wish = json!({"promptsListChanged": true, "resourceSubscriptions": ["fake://one"]});
    let (mut empty, first) = client.listen(1, wish).await;
    assert_eq!(first["params"]["notifications"], json!({}));
    let (mut tools, _) = client.listen(2, json!({"toolsListChanged": true})).await;
    client.told("change_tools", json!({})).await;
    told(&mut tools, TOOLS, &json!(2)).await;
    gateway.delete("/api/servers/plain").await.expect(200);
    let end = empty.message().await;
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&json!(1), &json!("complete")), "{end}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_is_refused() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy");
    for params in [
        json!({}),
        json!({"notifications": []}),
        json!({"notifications": null}),
        json!({"notifications": {"resourceSubscriptions": "fake://one"}}),
        json!({"notifications": {"resourceSubscriptions": [1]}}),
        json!({"notifications": {"resourceSubscriptions": vec!["fake://one"; 257]}}),
    ] {
        client.ask("subscriptions/listen", params).refused(400, -32602).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn each_listen_is_told_only_what_it_asked_for_and_under_its_own_id() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server);
        // Two clients take the same id, and a third one the same digits as a text.
        let (mut tools, _) = client.listen(1, json!({"toolsListChanged": true})).await;
        let (mut prompts, _) = client.listen(1, json!({"promptsListChanged": true})).await;
        let (mut all, _) = client
            .listen(
                "1",
                json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true}),
            )
            .await;
        let (mut nothing, _) = client.listen(2, json!({})).await;
        client.told("change", json!({"list": "resources"})).await;
        told(&mut all, RESOURCES, &json!("1")).await;
        client.told("change", json!({"list": "prompts"})).await;
        told(&mut all, PROMPTS, &json!("1")).await;
        told(&mut prompts, PROMPTS, &json!(1)).await;
        client.told("change_tools", json!({})).await;
        told(&mut all, TOOLS, &json!("1")).await;
        told(&mut tools, TOOLS, &json!(1)).await;
        gateway.delete(&format!("/api/servers/{server}")).await.expect(200);
        for (stream, id) in [
            (&mut tools, json!(1)),
            (&mut prompts, json!(1)),
            (&mut all, json!("1")),
            (&mut nothing, json!(2)),
        ] {
            let end = stream.messages().await;
            assert_eq!(end.len(), 1, "{server}: only the end: {end:?}");
            assert_eq!((&end[0]["id"], &end[0]["result"]["resultType"]), (&id, &json!("complete")));
            let meta = &end[0]["result"]["_meta"];
            assert_eq!(meta[format!("{OURS}subscriptionId")], id, "{server}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn updates_reach_the_listens_that_wished_for_the_resource() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server);
        let (mut one, _) = client.listen("one", json!({"resourceSubscriptions": ["fake://one"]})).await;
        let (mut two, _) = client
            .listen(
                "two",
                json!({"resourceSubscriptions": ["fake://two", "fake://one/part"], "toolsListChanged": true}),
            )
            .await;
        let touch = async |uri: &str| client.told("touch", json!({"uri": uri})).await["followed"].clone();
        assert_eq!(
            touch("fake://two").await,
            json!(["fake://one", "fake://one/part", "fake://two"]),
            "{server}"
        );
        let update = told(&mut two, UPDATED, &json!("two")).await;
        assert_eq!(update["params"]["uri"], "fake://two");
        // A part of what is followed is an update of it.
        touch("fake://one/part").await;
        for (stream, id) in [(&mut one, "one"), (&mut two, "two")] {
            let update = told(stream, UPDATED, &json!(id)).await;
            assert_eq!(update["params"]["uri"], "fake://one/part", "{server}");
        }
        drop(two);
        wait_until("the child has heard that one has left", DEADLINE, || async {
            (touch("fake://nobody's").await == json!(["fake://one"])).then_some(())
        })
        .await;
        touch("fake://one").await;
        assert_eq!(told(&mut one, UPDATED, &json!("one")).await["params"]["uri"], "fake://one");
        drop(one);
        wait_until("nobody follows anything", DEADLINE, || async {
            (touch("fake://nobody's").await == json!([])).then_some(())
        })
        .await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_listen_ends_with_its_result_when_the_daemon_stops() {
    let mut gateway = world("[server]\ndrain = \"1s\"\n").await;
    let (mut number, _) = modern(&gateway, "legacy").listen(5, json!({"toolsListChanged": true})).await;
    let (mut text, _) = modern(&gateway, "modern").listen("five", json!({})).await;
    gateway.signal(Signal::SIGTERM);
    for (stream, id) in [(&mut number, json!(5)), (&mut text, json!("five"))] {
        let end = stream.messages().await;
        assert_eq!(end.len(), 1, "{end:?}");
        assert_eq!((&end[0]["id"], &end[0]["result"]["resultType"]), (&id, &json!("complete")));
        assert_eq!(end[0]["result"]["_meta"][format!("{OURS}subscriptionId")], id);
    }
    let status = gateway.wait_exit("the daemon ends").await;
    assert!(status.success(), "a listen is no work that was cut off: {status}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_listen_goes_on_with_the_next_child_which_is_told_its_wishes() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server);
        let wish = json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["fake://one"]});
        let (mut stream, _) = client.listen("l", wish).await;
        kill(&gateway, server).await;
        wait_until("the new child knows what is wanted", DEADLINE, || async {
            let followed = client.told("followed", json!({})).await["followed"].clone();
            (followed == json!(["fake://one"])).then_some(())
        })
        .await;
        client.told("touch", json!({"uri": "fake://one"})).await;
        assert_eq!(tag(&stream.until(UPDATED).await), "l", "{server}");
        client.told("change", json!({"list": "prompts"})).await;
        assert_eq!(tag(&stream.until(PROMPTS).await), "l", "{server}");
        client.told("change_tools", json!({})).await;
        assert_eq!(tag(&stream.until(TOOLS).await), "l", "{server}");
        // The next child does not have the tool that was added.
        kill(&gateway, server).await;
        assert_eq!(tag(&stream.until(TOOLS).await), "l", "{server}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn one_key_cannot_have_all_streams_and_is_told_by_which_setting() {
    let gateway = world("[http]\nmax_connections = 16\n").await;
    let client = modern(&gateway, "legacy");
    let mut held = Vec::new();
    let refused = loop {
        let mut answer = client.ask("subscriptions/listen", json!({"notifications": {}})).send().await;
        if !answer.is_stream() {
            break (answer.status, answer.whole().await);
        }
        answer.message().await;
        held.push(answer);
        assert!(held.len() < 16);
    };
    assert!(refused.0 == 503 && refused.1.contains("mcp.max_streams_per_key"), "{refused:?}");
    drop(held.pop());
    wait_until("there is room again", DEADLINE, || async {
        let answer = client.ask("subscriptions/listen", json!({"notifications": {}})).send().await;
        answer.is_stream().then_some(())
    })
    .await;
    drop(held);
    gateway.stop().await;
}
