//! What an operator sets for a server and sees of it: on demand, idle, several replicas, edits
//! without loss, the breaker, fairness.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gateway::{INVOKE, TestGateway, fake, with};
use crate::support::processes::Process;
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn an_on_demand_server_starts_with_the_first_call_and_stops_when_it_is_idle() {
    let lazy = with(fake(&["--tools", "1"]), json!({"start": "on-demand", "idle_stop": "300ms"}));
    let gateway = TestGateway::new().server("lazy", lazy).start().await;
    gateway.get("/readyz").await.expect(200);
    let seen = gateway.server("lazy").await;
    assert_eq!(
        (&seen["state"], &seen["supervision"]["pid"], &seen["tools"]),
        (&json!("idle"), &json!(null), &json!([]))
    );
    let child = gateway.child("lazy").await;
    gateway.wait_state("lazy", "idle").await;
    wait_until("the idle child is gone", DEADLINE, || async { (!child.is_there()).then_some(()) }).await;
    let seen = gateway.server("lazy").await;
    assert!(seen["tools"].as_array().is_some_and(|tools| !tools.is_empty()), "its tools stay listed");
    assert_eq!(seen["restarts"], 0, "a start on demand is no restart");
    let again = gateway.child("lazy").await;
    assert!(!child.is_there() && again.is_there());
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_that_takes_long_is_no_idleness() {
    let lazy = with(fake(&[]), json!({"start": "on-demand", "idle_stop": "100ms"}));
    let gateway = TestGateway::new().server("lazy", lazy).start().await;
    let slept = gateway.call("lazy", "sleep", json!({"ms": 1000})).await;
    assert!(!slept.is_null());
    gateway.wait_state("lazy", "idle").await;
    gateway.stop().await;
}

#[tokio::test]
async fn tools_are_listed_from_the_store_while_nothing_runs() {
    let lazy = with(fake(&["--tools", "3"]), json!({"start": "on-demand"}));
    let mut gateway = TestGateway::new().server("lazy", lazy).start().await;
    let listed = gateway.get("/api/servers/lazy/tools").await.expect(200);
    // What was seen first is pinned a moment later.
    let before = wait_until("the tools are pinned", DEADLINE, || async {
        let server = gateway.server("lazy").await;
        (server["tools"][0]["pin"] == "pinned").then_some(server)
    })
    .await;
    assert_eq!(before["state"], "ready", "asking for lists that nobody knows starts the server");
    assert!(gateway.terminate().await.success());
    gateway.restart().await;
    let after = gateway.server("lazy").await;
    assert_eq!(after["state"], "idle");
    for member in ["tools", "protocol_version", "server_info", "resources_count", "prompts_count"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    assert_eq!(gateway.get("/api/servers/lazy/tools").await.expect(200), listed);
    assert_eq!(gateway.server("lazy").await["state"], "idle", "known lists start nothing");
    // The lists of another program are not told of this one.
    let edited = gateway.put("/api/servers/lazy", &json!({"args": ["--tools", "1"]})).await;
    edited.expect(200);
    let fresh = gateway.get("/api/servers/lazy/tools").await.expect(200);
    assert!(fresh.to_string().contains("tool_0") && !fresh.to_string().contains("tool_2"), "{fresh}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_edit_under_load_loses_no_call() {
    let gateway = Arc::new(TestGateway::new().server("fake", fake(&[])).start().await);
    gateway.wait_state("fake", "ready").await;
    let first = gateway.child("fake").await;
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let (gateway, done, answered) = (gateway.clone(), done.clone(), answered.clone());
        clients.spawn(async move {
            let mut connection = gateway.connect().await;
            while !done.load(Ordering::Relaxed) {
                let body = json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": 5 + client * 3}});
                connection.send("POST", INVOKE, Some(&body)).await.expect("an answer").expect(200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 1..=5 {
        let before = answered.load(Ordering::Relaxed);
        let flags = json!({"args": ["--tools", round.to_string(), "--slow-init", "100"]});
        gateway.put("/api/servers/fake", &flags).await.expect(200);
        wait_until("the new definition serves alone", DEADLINE, || async {
            let seen = gateway.server("fake").await;
            let tools = seen["tools"].to_string();
            let replicas = seen["supervision"]["replicas"].as_array().map_or(0, Vec::len);
            let current = tools.contains(&format!("tool_{}", round - 1)) && replicas == 1;
            (current && answered.load(Ordering::Relaxed) > before + 20).then_some(())
        })
        .await;
    }
    done.store(true, Ordering::Relaxed);
    clients.join_all().await;
    assert_ne!(gateway.child("fake").await, first);
    Arc::into_inner(gateway).expect("all clients have ended").stop().await;
}

#[tokio::test]
async fn a_failing_new_definition_leaves_the_old_one_serving_and_says_so() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let before = gateway.child("fake").await;
    gateway.put("/api/servers/fake", &json!({"command": "/no/such/program"})).await.expect(200);
    let seen = wait_until("the failure of the edit is told", DEADLINE, || async {
        let seen = gateway.server("fake").await;
        (seen["supervision"]["update"]["state"] == "failed").then_some(seen)
    })
    .await;
    assert_eq!((&seen["state"], &seen["health"]), (&json!("ready"), &json!("healthy")));
    let cause = seen["supervision"]["update"]["cause"].as_str().unwrap_or_default();
    assert!(cause.contains("/no/such/program") && cause.contains("ENOENT"), "{cause}");
    assert_eq!(gateway.child("fake").await, before);
    let good = fake(&["--tools", "1"]);
    gateway.put("/api/servers/fake", &good).await.expect(200);
    assert_eq!(gateway.call("fake", "tool_0", json!({"nonce": 1})).await["nonce"], 1);
    wait_until("nothing is pending any more", DEADLINE, || async {
        gateway.server("fake").await["supervision"].get("update").is_none().then_some(())
    })
    .await;
    assert_ne!(gateway.child("fake").await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn a_change_of_treatment_keeps_the_child() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let before = gateway.child("fake").await;
    let mut other = gateway.marked(with(fake(&[]), json!({"queue": 3, "restart": "never"})));
    other["description"] = "another text".into();
    let file = json!({"mcpServers": {"fake": other}});
    std::fs::write(gateway.data().join("import.json"), file.to_string()).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await.expect(200);
    assert_eq!(gateway.server("fake").await["description"], "another text");
    assert_eq!(gateway.child("fake").await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn one_replica_s_crash_costs_only_its_own_calls() {
    let pool = with(fake(&[]), json!({"replicas": 3}));
    let gateway = TestGateway::new().server("pool", pool).start().await;
    let seen = wait_until("all replicas are ready", DEADLINE, || async {
        let seen = gateway.server("pool").await;
        let replicas = seen["supervision"]["replicas"].as_array().cloned().unwrap_or_default();
        let ready = replicas.iter().filter(|replica| replica["state"] == "ready").count();
        (ready == 3).then_some(replicas)
    })
    .await;
    let mut calls = JoinSet::new();
    for _ in 0..9 {
        let mut connection = gateway.connect().await;
        let body = json!({"mcp_id": "pool", "tool": "sleep", "arguments": {"ms": 2000}});
        calls.spawn(async move { connection.send("POST", INVOKE, Some(&body)).await.expect("an answer") });
    }
    wait_until("all calls are in flight", DEADLINE, || async {
        (gateway.server("pool").await["traffic"]["in_flight"] == 9).then_some(())
    })
    .await;
    Process::of(seen[1]["pid"].as_i64().expect("a pid")).kill();
    let replies = calls.join_all().await;
    let lost: Vec<_> = replies.iter().filter(|reply| reply.status == 502).collect();
    assert_eq!(lost.len(), 3, "calls go where the fewest are in flight");
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 6);
    assert_eq!(gateway.server("pool").await["state"], "ready");
    wait_until("the third is back", DEADLINE, || async {
        let seen = gateway.server("pool").await;
        let replicas = seen["supervision"]["replicas"].as_array().cloned().unwrap_or_default();
        replicas.iter().all(|replica| replica["state"] == "ready").then_some(())
    })
    .await;
    assert_eq!(gateway.server("pool").await["restarts"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_busy_server_gets_further_replicas_within_its_range() {
    let pool = with(fake(&[]), json!({"replicas": "1..3", "max_in_flight": 2}));
    let gateway = TestGateway::new().server("pool", pool).start().await;
    gateway.wait_state("pool", "ready").await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let mut connection = gateway.connect().await;
        let body = json!({"mcp_id": "pool", "tool": "sleep", "arguments": {"ms": 400}});
        calls.spawn(async move { connection.send("POST", INVOKE, Some(&body)).await.expect("an answer") });
    }
    wait_until("a second replica serves", DEADLINE, || async {
        let seen = gateway.server("pool").await;
        let replicas = seen["supervision"]["replicas"].as_array().map_or(0, Vec::len);
        (replicas >= 2).then_some(())
    })
    .await;
    assert!(calls.join_all().await.iter().all(|reply| reply.status == 200));
    gateway.stop().await;
}

#[tokio::test]
async fn after_five_unanswered_calls_the_breaker_opens_and_lets_one_through() {
    let gateway = TestGateway::new()
        .server("mute", with(fake(&[]), json!({"breaker_pause": "700ms"})))
        .server("well", fake(&[]))
        .config_toml("[http]\ncall_timeout = \"100ms\"\nmax_call_timeout = \"10s\"\n")
        .start()
        .await;
    gateway.wait_state("mute", "ready").await;
    gateway.wait_state("well", "ready").await;
    for _ in 0..5 {
        gateway.v1_invoke("mute", "sleep", json!({"ms": 600_000})).await.expect(504);
    }
    let refused = gateway.v1_invoke("mute", "echo", json!({})).await;
    let body = refused.expect(503);
    assert_eq!(body["error"]["details"]["breaker"], "open");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(gateway.server("mute").await["traffic"]["breaker"], "open");
    gateway.call("well", "echo", json!({"nonce": 1})).await;
    wait_until("the breaker has let one call through and closed", DEADLINE, || async {
        (gateway.v1_invoke("mute", "echo", json!({"nonce": 1})).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(gateway.server("mute").await["traffic"]["breaker"], "closed");
    gateway.stop().await;
}

#[tokio::test]
async fn impatient_callers_do_not_open_the_breaker_for_others() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let hasty = json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": 60_000}, "timeout": 20});
    for _ in 0..10 {
        gateway.post(INVOKE, &hasty).await.expect(504);
    }
    gateway.call("fake", "echo", json!({"nonce": 1})).await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_deadline_of_a_server_counts_for_its_breaker_however_short_it_is() {
    let short = json!({"call_timeout": "100ms"});
    let gateway = TestGateway::new().server("fake", with(fake(&[]), short)).start().await;
    gateway.wait_state("fake", "ready").await;
    for _ in 0..5 {
        gateway.v1_invoke("fake", "sleep", json!({"ms": 60_000})).await.expect(504);
    }
    let refused = gateway.v1_invoke("fake", "echo", json!({"nonce": 1})).await.expect(503);
    assert_eq!(refused["error"]["details"]["breaker"], "open");
    gateway.stop().await;
}

#[tokio::test]
async fn a_restart_that_is_asked_for_replaces_the_child_and_ends_every_wait() {
    let gateway = TestGateway::new()
        .server("fake", fake(&[]))
        .server("broken", json!({"command": "/no/such/program"}))
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    let before = gateway.child("fake").await;
    gateway.post("/v1/mcps/fake/restart", &json!({})).await.expect(200);
    wait_until("the old child is gone", DEADLINE, || async { (!before.is_there()).then_some(()) }).await;
    gateway.call("fake", "echo", json!({"nonce": 1})).await;
    let failed = gateway.wait_state("broken", "failed").await;
    gateway.post("/v1/mcps/broken/restart", &json!({})).await.expect(200);
    wait_until("it was tried again", DEADLINE, || async {
        let seen = gateway.server("broken").await;
        let later =
            seen["supervision"]["incarnation"].as_u64() > failed["supervision"]["incarnation"].as_u64();
        (later && seen["state"] == "failed").then_some(())
    })
    .await;
    gateway.post("/v1/mcps/nobody/restart", &json!({})).await.expect(404);
    gateway.stop().await;
}

#[tokio::test]
async fn a_502_says_how_the_server_is() {
    let gateway = TestGateway::new().server("broken", with(fake(&["--exit", "3"]), json!({}))).start().await;
    let refused: Value = wait_until("the server is in a crash loop", DEADLINE, || async {
        let reply = gateway.v1_invoke("broken", "echo", json!({})).await;
        let refused = (reply.status == 502).then(|| reply.expect(502))?;
        // A call may also be refused while the next start is under way.
        (refused["error"]["details"]["server"]["state"] == "backoff").then_some(refused)
    })
    .await;
    let server = &refused["error"]["details"]["server"];
    assert_eq!(server["state"], "backoff", "{refused}");
    assert!(server["cause"].as_str().is_some_and(|cause| cause.contains('3')), "{refused}");
    for member in ["since", "incarnation", "next_start_at", "last_stderr", "failures"] {
        assert!(server.get(member).is_some(), "{member} in {refused}");
    }
    gateway.stop().await;
}
