//! Members and plans that change while the daemon runs: over the API and by the configuration file.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::keys::{MEMBERS, make, text};
use super::{error, names_fields, post};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};
use crate::support::http::Reply;
use crate::support::{DEADLINE, wait_until};

const PEOPLE: &str = "/v1/organization/members";
const PLANS: &str = "/v1/organization/plans";

async fn send(gateway: &Gateway, key: &str, method: &str, path: &str, body: Value) -> Reply {
    ask(gateway, method, path).key(key).json(body.to_string()).send().await
}

fn limit(reply: &Reply) -> Option<&str> {
    reply.headers.get("x-ratelimit-limit").map(|value| value.to_str().expect("text"))
}

#[tokio::test]
async fn a_member_is_made_changed_and_removed_with_its_keys_and_stays_so() {
    let mut gateway = TestGateway::new().config_toml(MEMBERS).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let child = gateway.child("fake").await;
    let wish = json!({"id": "user_bob", "name": "Bob", "email": "bob@example.org"});
    let made = post(&gateway, PEOPLE, &wish).send().await;
    assert_eq!(made.headers["location"], "/v1/organization/members/user_bob");
    let made = made.expect(201)["data"].clone();
    assert_eq!(
        (&made["role"], &made["source"], &made["plan"]),
        (&json!("member"), &json!("api"), &Value::Null)
    );
    error(&post(&gateway, PEOPLE, &wish).send().await, 409, "conflict");
    let key = text(&make(&gateway, json!({"name": "x", "owner_id": "user_bob"})).await);
    let call = json!({"mcp_id": "fake", "tool": "echo"});
    let calls = async |key: &str| post(&gateway, INVOKE, &call).key(key).send().await;
    calls(&key).await.expect(200);
    let bob = format!("{PEOPLE}/user_bob");
    send(&gateway, gateway.key(), "PATCH", &bob, json!({"role": "viewer", "email": null})).await.expect(200);
    error(&calls(&key).await, 403, "forbidden");
    send(&gateway, gateway.key(), "PATCH", &bob, json!({"role": "admin"})).await.expect(200);
    ask(&gateway, "GET", "/v1/audit").key(&key).send().await.expect(200);
    assert_eq!(gateway.child("fake").await, child);

    gateway.kill_9().await;
    gateway.restart().await;
    ask(&gateway, "GET", "/v1/audit").key(&key).send().await.expect(200);
    let removed = gateway.delete(&bob).await.expect(200)["data"].clone();
    assert_eq!(removed, json!({"id": "user_bob", "status": "removed", "keys_revoked": 1, "durable": true}));
    error(&ask(&gateway, "GET", "/v1/mcps").key(&key).send().await, 401, "revoked_key");
    error(&gateway.get(&bob).await, 404, "not_found");
    error(&gateway.delete(&bob).await, 404, "not_found");
    // Somebody else of that name is somebody else.
    post(&gateway, PEOPLE, &wish).send().await.expect(201);
    error(&ask(&gateway, "GET", "/v1/mcps").key(&key).send().await, 401, "revoked_key");
    let fields = post(&gateway, PEOPLE, &json!({"nmae": "x"})).send().await;
    names_fields(&fields, &["name", "nmae"], "a new member");
    let acts = gateway.get("/v1/audit?action=member&outcome=done").await.expect(200)["data"].clone();
    let acts: Vec<&str> =
        acts.as_array().expect("a list").iter().filter_map(|act| act["action"].as_str()).collect();
    assert_eq!(acts, ["member.create", "member.remove", "member.change", "member.change", "member.create"]);
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_makes_anybody_more_than_itself_and_the_files_members_stay() {
    let gateway = TestGateway::new().config_toml(MEMBERS).start().await;
    let key = async |owner: &str| text(&make(&gateway, json!({"name": owner, "owner_id": owner})).await);
    let (admin, member) = (key("user_admin").await, key("user_member").await);
    let wish = |id: &str, role: &str| json!({"id": id, "name": id, "role": role});
    error(&send(&gateway, &member, "POST", PEOPLE, wish("user_x", "viewer")).await, 403, "forbidden");
    error(&send(&gateway, &admin, "POST", PEOPLE, wish("user_x", "owner")).await, 403, "forbidden");
    let along = json!({"name": "x", "member": {"id": "user_x", "role": "owner"}});
    error(&send(&gateway, &admin, "POST", "/v1/api-keys", along).await, 403, "forbidden");
    error(
        &send(&gateway, &member, "POST", "/v1/api-keys", json!({"name": "x", "member": {}})).await,
        403,
        "forbidden",
    );
    error(&gateway.get(&format!("{PEOPLE}/user_x")).await, 404, "not_found");
    send(&gateway, &admin, "POST", PEOPLE, wish("user_x", "admin")).await.expect(201);
    send(&gateway, gateway.key(), "POST", PEOPLE, wish("user_y", "owner")).await.expect(201);
    let y = format!("{PEOPLE}/user_y");
    error(&send(&gateway, &admin, "PATCH", &y, json!({"role": "viewer"})).await, 403, "forbidden");
    error(&ask(&gateway, "DELETE", &y).key(&admin).send().await, 403, "forbidden");
    let x = format!("{PEOPLE}/user_x");
    error(&send(&gateway, &admin, "PATCH", &x, json!({"role": "owner"})).await, 403, "forbidden");
    // How much somebody may cost is for owners to say.
    error(&send(&gateway, &admin, "PATCH", &x, json!({"plan": "unlimited"})).await, 403, "forbidden");
    error(
        &send(&gateway, &admin, "PUT", &format!("{PLANS}/p"), json!({"max_mcps": 1})).await,
        403,
        "forbidden",
    );
    let unknown = send(&gateway, gateway.key(), "PATCH", &x, json!({"plan": "gold"})).await;
    assert!(error(&unknown, 422, "validation_error")["details"]["plan"].is_string());
    for (method, body) in [("PATCH", json!({"role": "admin"})), ("DELETE", json!({}))] {
        let refused = send(&gateway, gateway.key(), method, &format!("{PEOPLE}/user_member"), body).await;
        let message = error(&refused, 409, "conflict")["message"].clone();
        assert!(message.as_str().expect("a text").contains("configuration file"), "{message}");
    }
    // The last key that may administer is kept, whatever becomes of the others' owners.
    let y_key = text(&make(&gateway, json!({"name": "y", "owner_id": "user_y"})).await);
    let keys = gateway.get("/v1/api-keys?per_page=100").await.expect(200)["data"].clone();
    for key in keys.as_array().expect("a list").iter().filter(|key| key["owner_id"] != "user_y") {
        let path = format!("/v1/api-keys/{}", key["id"].as_str().expect("an id"));
        ask(&gateway, "DELETE", &path).key(&y_key).send().await.expect(200);
    }
    error(&ask(&gateway, "DELETE", &y).key(&y_key).send().await, 403, "forbidden");
    error(&send(&gateway, &y_key, "PATCH", &y, json!({"role": "member"})).await, 403, "forbidden");
    gateway.stop().await;
}

#[tokio::test]
async fn a_plan_is_in_force_for_the_next_request_of_whoever_has_it() {
    let config = format!("{MEMBERS}[plans.fixed]\nrequests_per_second = 9\n");
    let gateway = TestGateway::new().config_toml(&config).start().await;
    let put = async |name: &str, body: Value| {
        send(&gateway, gateway.key(), "PUT", &format!("{PLANS}/{name}"), body).await
    };
    put("slow", json!({"requests_per_second": 20, "monthly_requests": 1000})).await.expect(200);
    let wish = json!({"name": "x", "member": {"id": "user_x", "plan": "slow"}});
    let key = text(&make(&gateway, wish).await);
    let look = async || ask(&gateway, "GET", "/v1/mcps").key(&key).send().await;
    assert_eq!(limit(&look().await), Some("20"));
    let shown = put("slow", json!({"requests_per_second": 30})).await.expect(200)["data"].clone();
    assert_eq!(
        (&shown["members"], &shown["source"], &shown["monthly_requests"]),
        (&json!(1), &json!("api"), &Value::Null)
    );
    assert_eq!(limit(&look().await), Some("30"));
    let delete = async |name: &str| gateway.delete(&format!("{PLANS}/{name}")).await;
    error(&delete("slow").await, 409, "conflict");
    send(&gateway, gateway.key(), "PATCH", &format!("{PEOPLE}/user_x"), json!({"plan": null}))
        .await
        .expect(200);
    assert_eq!(limit(&look().await), None);
    delete("slow").await.expect(200);
    error(&delete("slow").await, 404, "not_found");
    error(&delete("fixed").await, 409, "conflict");
    error(&delete("free").await, 409, "conflict");
    error(&put("fixed", json!({"max_mcps": 1})).await, 409, "conflict");
    names_fields(&put("x", json!({})).await, &["body"], "nothing");
    names_fields(&put("x", json!({"request_per_second": 5})).await, &["request_per_second"], "a slip");
    // One that is built in may be made anew, and is as it was afterwards.
    let rate = async || {
        let plans = gateway.get(PLANS).await.expect(200)["data"].clone();
        let free = plans.as_array().expect("a list").iter().find(|plan| plan["name"] == "free").cloned();
        free.expect("built in")["requests_per_second"].clone()
    };
    put("free", json!({"requests_per_second": 2})).await.expect(200);
    assert_eq!(rate().await, 2);
    delete("free").await.expect(200);
    assert_eq!(rate().await, 10);
    gateway.stop().await;
}

#[tokio::test]
async fn sighup_takes_the_files_members_plans_and_limits_and_nobody_else_notices() {
    let base = "[organization]\nplan = \"slow\"\n[plans.slow]\nrequests_per_second = 1000\nmonthly_requests = 20\n\
        [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n[[members]]\nid = \"user_a\"\nplan = \"free\"\n";
    let gateway = TestGateway::new().config_toml(base).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let a = text(&make(&gateway, json!({"name": "a", "owner_id": "user_a"})).await);
    let child = gateway.child("fake").await;
    let config = gateway.data().parent().expect("a parent").join("mcpvisor.toml");
    let reload = async |text: String| {
        let before = gateway.output().matches("applied members, plans").count();
        std::fs::write(&config, text).expect("written");
        gateway.signal(Signal::SIGHUP);
        wait_until("the members are applied", DEADLINE, || async {
            (gateway.output().matches("applied members, plans").count() > before).then_some(())
        })
        .await;
    };
    let remaining = async || {
        let reply = ask(&gateway, "GET", "/v1/mcps").key(&a).send().await;
        (limit(&reply).map(str::to_owned), reply.status)
    };
    // As empty as it can be, so that a bucket that was filled would show.
    while remaining().await.1 == 200 {}
    reload(format!(
        "{base}[[members]]\nid = \"user_b\"\nrole = \"viewer\"\n[limits.keys]\nrequests_per_second = 77\n"
    ))
    .await;
    let mut passed = 0;
    for _ in 0..10 {
        passed += u32::from(remaining().await.1 == 200);
    }
    assert!(passed < 10, "the member's bucket was filled by a change that is not about it");
    gateway.get(&format!("{PEOPLE}/user_b")).await.expect(200);
    let b = text(&make(&gateway, json!({"name": "b", "owner_id": "user_b"})).await);
    assert_eq!(limit(&ask(&gateway, "GET", "/v1/mcps").key(&b).send().await), Some("77"));
    // The month goes on where it was: two calls of the owner are counted, by the number of the file then.
    assert_eq!(gateway.child("fake").await, child);
    reload(base.replace("monthly_requests = 20", "monthly_requests = 3")).await;
    error(&ask(&gateway, "GET", "/v1/mcps").key(&b).send().await, 401, "revoked_key");
    gateway.call("fake", "echo", json!({"nonce": 1})).await;
    let refused = gateway.v1_invoke("fake", "echo", json!({"nonce": 1})).await;
    assert_eq!(error(&refused, 429, "quota_exceeded")["details"]["limit"], 3);
    // A file with a mistake in it changes nothing.
    std::fs::write(&config, base.replace("role = \"owner\"", "role = \"king\"")).expect("written");
    gateway.signal(Signal::SIGHUP);
    wait_until("the mistake is logged", DEADLINE, || async {
        gateway.output().contains("members.role must be one of").then_some(())
    })
    .await;
    gateway.get(PEOPLE).await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn what_the_file_names_wins_over_what_was_made_here() {
    let mut gateway = TestGateway::new().config_toml(MEMBERS).start().await;
    post(&gateway, PEOPLE, &json!({"id": "user_b", "name": "Made", "role": "admin"}))
        .send()
        .await
        .expect(201);
    let config = gateway.data().parent().expect("a parent").join("mcpvisor.toml");
    std::fs::write(&config, format!("{MEMBERS}[[members]]\nid = \"user_b\"\nname = \"Filed\"\n"))
        .expect("written");
    gateway.terminate().await;
    gateway.restart().await;
    let path = format!("{PEOPLE}/user_b");
    let b = gateway.get(&path).await.expect(200)["data"].clone();
    assert_eq!((&b["name"], &b["role"], &b["source"]), (&json!("Filed"), &json!("member"), &json!("file")));
    assert!(gateway.output().contains("the member 'user_b' is as the configuration file says"));
    error(&gateway.delete(&path).await, 409, "conflict");
    std::fs::write(&config, MEMBERS).expect("written");
    gateway.terminate().await;
    gateway.restart().await;
    assert_eq!(gateway.get(&path).await.expect(200)["data"]["name"], "Made");
    gateway.stop().await;
}
