//! Keys while they live: narrowed, widened, given another text, limited (`docs/http-api.md`, P14 and P3).

use serde_json::{Value, json};

use super::keys::{MEMBERS, make, text};
use super::{error, names_fields, post};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};
use crate::support::http::Reply;
use crate::support::{DEADLINE, wait_until};

const KEYS: &str = "/v1/api-keys";
const UNLIMITED: &str = "[organization]\nplan = \"unlimited\"\n";

fn path(made: &Value) -> String {
    format!("{KEYS}/{}", made["id"].as_str().expect("an id"))
}

async fn patch(gateway: &Gateway, path: &str, body: Value) -> Reply {
    ask(gateway, "PATCH", path).json(body.to_string()).send().await
}

async fn rotate(gateway: &Gateway, path: &str, key: &str, body: Option<Value>) -> Reply {
    let path = format!("{path}/rotate");
    let request = ask(gateway, "POST", &path).key(key);
    match body {
        Some(body) => request.json(body.to_string()).send().await,
        None => request.send().await,
    }
}

async fn call(gateway: &Gateway, key: &str, tool: &str) -> Reply {
    post(gateway, INVOKE, &json!({"mcp_id": "fake", "tool": tool})).key(key).send().await
}

/// The same once the key's rate allows it.
async fn paced(gateway: &Gateway, key: &str, tool: &str) -> Reply {
    wait_until("the key's rate allows a request", DEADLINE, || async {
        let reply = call(gateway, key, tool).await;
        (reply.status != 429).then_some(reply)
    })
    .await
}

fn limit(reply: &Reply) -> &str {
    reply.headers["x-ratelimit-limit"].to_str().expect("text")
}

#[tokio::test]
async fn a_colleagues_key_is_made_changed_and_revoked_and_no_child_notices() {
    let gateway = TestGateway::new().config_toml(UNLIMITED).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let child = gateway.child("fake").await;
    let incarnation = gateway.server("fake").await["supervision"]["incarnation"].clone();

    // Two tools and five calls a second, for a member that was not there before: one request.
    let wish = json!({
        "name": "Bob's assistant", "member": {"name": "Bob"}, "limits": {"requests_per_second": 5},
        "permissions": {"mcps": ["fake"], "tools": ["echo", "stats"]},
    });
    let made = post(&gateway, KEYS, &wish).send().await.expect(201);
    assert_eq!(made.get("warnings"), None, "{made}");
    let (made, bob) = (made["data"].clone(), text(&made["data"]));
    let member = format!("/v1/organization/members/{}", made["owner_id"].as_str().expect("an id"));
    let member = gateway.get(&member).await.expect(200)["data"].clone();
    assert_eq!(
        (&member["name"], &member["role"], &member["source"]),
        (&json!("Bob"), &json!("member"), &json!("api"))
    );
    call(&gateway, &bob, "echo").await.expect(200);
    call(&gateway, &bob, "stats").await.expect(200);
    error(&call(&gateway, &bob, "env").await, 403, "tool_not_permitted");
    let mut refused = None;
    for _ in 0..40 {
        let reply = call(&gateway, &bob, "echo").await;
        assert_eq!(limit(&reply), "5");
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
    }
    error(&refused.expect("40 calls at once are more than five a second"), 429, "rate_limited");
    gateway.call("fake", "echo", json!({"nonce": 1})).await;

    // Narrowed: from the very next request on.
    let narrowed =
        json!({"permissions": {"mcps": ["fake"], "tools": ["echo"]}, "limits": {"requests_per_second": 2}});
    let shown = patch(&gateway, &path(&made), narrowed).await.expect(200)["data"].clone();
    assert_eq!(shown["permissions"]["tools"], json!(["echo"]));
    assert_eq!(
        shown["limits"],
        json!({"requests_per_second": 2, "monthly_requests": null, "calls_at_once": null})
    );
    let reply = paced(&gateway, &bob, "stats").await;
    error(&reply, 403, "tool_not_permitted");
    assert_eq!(limit(&reply), "2");

    // Rotated: the text that it had is refused at once.
    let rotated = rotate(&gateway, &path(&made), gateway.key(), None).await;
    assert_eq!(rotated.headers["cache-control"], "no-store");
    let (rotated, second) = (rotated.expect(200)["data"].clone(), text(&rotated.expect(200)["data"]));
    assert_eq!((&rotated["id"], &rotated["previous_key_until"]), (&made["id"], &Value::Null));
    error(&call(&gateway, &bob, "echo").await, 401, "revoked_key");
    assert_eq!(limit(&paced(&gateway, &second, "echo").await), "2");

    // Revoked.
    gateway.delete(&path(&made)).await.expect(200);
    error(&call(&gateway, &second, "echo").await, 401, "revoked_key");
    assert_eq!(gateway.child("fake").await, child);
    assert_eq!(gateway.server("fake").await["supervision"]["incarnation"], incarnation);
    let acts = gateway.get("/v1/audit?outcome=done&per_page=100").await.expect(200)["data"].clone();
    let acts: Vec<&str> =
        acts.as_array().expect("a list").iter().filter_map(|act| act["action"].as_str()).collect();
    for act in ["key.create", "key.change", "key.rotate", "key.revoke"] {
        assert!(acts.contains(&act), "{act}: {acts:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_text_in_its_grace_is_accepted_beside_the_new_one_also_after_a_crash() {
    let mut gateway = TestGateway::new().start().await;
    let made = make(&gateway, json!({"name": "x", "limits": {"calls_at_once": 3}})).await;
    let first = text(&made);
    // Whoever holds a key may have it anew.
    let rotated = rotate(&gateway, &format!("{KEYS}/self"), &first, Some(json!({"grace": "1h"}))).await;
    let (rotated, second) = (rotated.expect(200)["data"].clone(), text(&rotated.expect(200)["data"]));
    assert!(rotated["previous_key_until"].is_string() && rotated["id"] == made["id"], "{rotated}");
    gateway.kill_9().await;
    gateway.restart().await;
    for key in [&first, &second] {
        ask(&gateway, "GET", "/v1/mcps").key(key).send().await.expect(200);
    }
    let shown = gateway.get(&path(&made)).await.expect(200)["data"].clone();
    assert_eq!((&shown["limits"]["calls_at_once"], &shown["prefix"]), (&json!(3), &json!(second[..11])));
    assert_eq!(gateway.get(KEYS).await.expect(200)["pagination"]["total"], 2, "it is one key");
    let third = text(&rotate(&gateway, &path(&made), &second, None).await.expect(200)["data"]);
    error(&ask(&gateway, "GET", "/v1/mcps").key(&first).send().await, 401, "unauthorized");
    error(&ask(&gateway, "GET", "/v1/mcps").key(&second).send().await, 401, "revoked_key");
    for (body, fields) in [
        (json!({"grace": "soon"}), ["grace"]),
        (json!({"grace": null}), ["grace"]),
        (json!({"gracee": "1h"}), ["gracee"]),
    ] {
        names_fields(
            &rotate(&gateway, &path(&made), &third, Some(body.clone())).await,
            &fields,
            &body.to_string(),
        );
    }
    let long = rotate(&gateway, &path(&made), &third, Some(json!({"grace": "169h"}))).await;
    assert!(error(&long, 422, "validation_error")["details"]["grace"].is_string());
    let output = gateway.output();
    assert!([&first, &second, &third].iter().all(|key| !output.contains(key.as_str())), "no key is logged");
    gateway.stop().await;
}

#[tokio::test]
async fn what_has_ended_is_neither_changed_nor_rotated() {
    let gateway = TestGateway::new().start().await;
    let revoked = make(&gateway, json!({"name": "x"})).await;
    gateway.delete(&path(&revoked)).await.expect(200);
    error(&patch(&gateway, &path(&revoked), json!({"permissions": {"mcps": []}})).await, 409, "conflict");
    error(&rotate(&gateway, &path(&revoked), gateway.key(), None).await, 409, "conflict");
    patch(&gateway, &path(&revoked), json!({"description": "lost in a train"})).await.expect(200);
    let soon = time::OffsetDateTime::now_utc() + time::Duration::seconds(1);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).expect("a time");
    let short = make(&gateway, json!({"name": "short", "expires_at": soon})).await;
    wait_until("the key has expired", DEADLINE, || async {
        (gateway.get(&path(&short)).await.expect(200)["data"]["status"] == "expired").then_some(())
    })
    .await;
    error(&rotate(&gateway, &path(&short), gateway.key(), None).await, 409, "conflict");
    let shown = patch(&gateway, &path(&short), json!({"limits": {"calls_at_once": 1}})).await.expect(200);
    assert_eq!(shown["warnings"], json!(["the key has expired: nothing that it allows is in force"]));
    // An end is a date and not a revocation: another one can be set.
    let again = patch(&gateway, &path(&short), json!({"expires_at": null})).await.expect(200);
    assert_eq!((&again["data"]["status"], again.get("warnings")), (&json!("active"), None));
    ask(&gateway, "GET", "/v1/mcps").key(&text(&short)).send().await.expect(200);
    let past = patch(&gateway, &path(&short), json!({"expires_at": "2020-01-01"})).await;
    assert!(error(&past, 422, "validation_error")["details"]["expires_at"].is_string());
    error(&patch(&gateway, &format!("{KEYS}/nobody"), json!({"name": "x"})).await, 404, "not_found");
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_widens_a_key_beyond_its_own_and_nobody_is_locked_out() {
    let gateway = TestGateway::new().config_toml(MEMBERS).server("fake", fake(&[])).start().await;
    let new = async |owner: &str, permissions: Value, limits: Value| {
        let made = make(
            &gateway,
            json!({"name": owner, "owner_id": owner, "permissions": permissions, "limits": limits}),
        );
        let made = made.await;
        (path(&made), text(&made))
    };
    let (all, some) = (json!({"mcps": "*"}), json!({"mcps": ["fake"], "tools": ["e*"]}));
    let (admin_path, admin) = new("user_admin", all.clone(), json!({})).await;
    let (narrow_path, narrow) = new("user_admin", some.clone(), json!({})).await;
    let (member_path, member) = new("user_member", some.clone(), json!({})).await;
    let (slow_path, slow) = new("user_admin", all.clone(), json!({"requests_per_second": 5})).await;
    let change = async |key: &str, path: &str, body: Value| {
        ask(&gateway, "PATCH", path).key(key).json(body.to_string()).send().await
    };
    let owner = gateway.get(KEYS).await.expect(200)["data"].clone();
    let owner = owner
        .as_array()
        .expect("a list")
        .iter()
        .find(|key| key["name"] == "owner key")
        .expect("listed")
        .clone();
    let owner = path(&owner);

    // Its own key may be narrowed, and not widened again.
    change(&narrow, &narrow_path, json!({"permissions": {"mcps": ["fake"], "tools": ["echo"]}}))
        .await
        .expect(200);
    error(&change(&narrow, &narrow_path, json!({"permissions": some})).await, 403, "forbidden");
    change(&admin, &narrow_path, json!({"permissions": some})).await.expect(200);
    error(&change(&narrow, &member_path, json!({"permissions": all})).await, 403, "forbidden");
    change(&member, &member_path, json!({"limits": {"requests_per_second": 9}})).await.expect(200);
    error(
        &change(&member, &member_path, json!({"limits": {"requests_per_second": null}})).await,
        403,
        "forbidden",
    );
    error(&change(&member, &admin_path, json!({"name": "mine"})).await, 403, "forbidden");
    // Another's text is as good as another's key.
    for (key, path) in [(&narrow, &admin_path), (&narrow, &owner), (&admin, &owner), (&slow, &narrow_path)] {
        error(&rotate(&gateway, path, key, None).await, 403, "forbidden");
    }
    // A key with limits of its own makes no second one, and is not held up in having its own anew.
    error(&post(&gateway, KEYS, &json!({"name": "x"})).key(&slow).send().await, 403, "forbidden");
    change(&slow, &admin_path, json!({"limits": {"calls_at_once": 9}})).await.expect(200);
    error(&change(&slow, &admin_path, json!({"limits": {"calls_at_once": 10}})).await, 403, "forbidden");
    rotate(&gateway, &slow_path, &slow, None).await.expect(200);

    // An end of the only key that may administer is an end of everything.
    for path in [&admin_path, &slow_path] {
        gateway.delete(path).await.expect(200);
    }
    for body in [json!({"permissions": {"mcps": []}}), json!({"expires_at": "2090-01-01"})] {
        let refused = error(&patch(&gateway, &owner, body).await, 403, "forbidden");
        assert_eq!(refused["message"], "Cannot limit your only active key");
    }
    patch(&gateway, &owner, json!({"name": "mine"})).await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_keys_and_its_members_bucket_are_both_charged_and_the_tighter_is_told() {
    let config = "[organization]\nplan = \"hundred\"\n[plans.hundred]\nrequests_per_second = 100\n";
    let gateway = TestGateway::new().config_toml(config).start().await;
    let own = text(&make(&gateway, json!({"name": "own", "limits": {"requests_per_second": 1}})).await);
    let body = json!({"name": "wide", "limits": {"requests_per_second": 500}});
    let wide = post(&gateway, KEYS, &body).send().await.expect(201);
    let warning = "limits.requests_per_second is 500, and the plan 'hundred' of its member allows 100";
    assert_eq!(wide["warnings"], json!([warning]));
    let wide = text(&wide["data"]);
    let ask = async |key: &str| ask(&gateway, "GET", "/v1/mcps").key(key).send().await;
    let mut refused = 0;
    for number in 0..300 {
        let reply = ask(&own).await;
        assert_eq!(limit(&reply), "1");
        refused += u32::from(reply.status == 429);
        // What the key's own bucket refuses is not missing in the member's.
        if number % 10 == 0 {
            let reply = ask(&wide).await;
            assert_eq!((reply.status, limit(&reply)), (200, "100"));
        }
    }
    assert!(refused > 0, "300 requests in less than five minutes are too many");
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_s_month_is_its_own_beside_the_plan_s_and_outlives_the_daemon() {
    let config = "[organization]\nplan = \"small\"\n[plans.small]\nmonthly_requests = 12\n";
    let mut gateway = TestGateway::new().config_toml(config).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let made = make(&gateway, json!({"name": "x", "limits": {"monthly_requests": 5}})).await;
    let (own, other) = (text(&made), text(&make(&gateway, json!({"name": "y"})).await));
    for _ in 0..4 {
        call(&gateway, &own, "echo").await.expect(200);
    }
    // What is refused before it reaches the server is given back to both.
    error(&call(&gateway, &own, "nothing").await, 404, "tool_not_found");
    gateway.terminate().await;
    gateway.restart().await;
    gateway.wait_state("fake", "ready").await;
    call(&gateway, &own, "echo").await.expect(200);
    for _ in 0..3 {
        let refused = call(&gateway, &own, "echo").await;
        let details = json!({"resource": "monthly_requests", "limit": 5, "of": "key"});
        assert_eq!(error(&refused, 429, "quota_exceeded")["details"], details);
    }
    let usage = gateway.get(&format!("{}/usage", path(&made))).await.expect(200)["data"]["requests"].clone();
    assert_eq!(usage, json!({"total": 5, "limit": 5, "percentage": 100}));
    // The refusals took nothing from the plan: it has seven left.
    for _ in 0..7 {
        call(&gateway, &other, "echo").await.expect(200);
    }
    let refused = call(&gateway, &other, "echo").await;
    let details = json!({"resource": "monthly_requests", "limit": 12});
    assert_eq!(error(&refused, 429, "quota_exceeded")["details"], details);
    // And what the plan refuses is not taken from the key.
    patch(&gateway, &path(&made), json!({"limits": {"monthly_requests": 6}})).await.expect(200);
    assert_eq!(error(&call(&gateway, &own, "echo").await, 429, "quota_exceeded")["details"], details);
    gateway.stop().await;
}

#[tokio::test]
async fn keys_without_limits_of_their_own_have_the_default_for_keys() {
    let config = "[organization]\nplan = \"unlimited\"\n[limits]\ncalls_per_key = 7\n[limits.keys]\nrequests_per_second = 40\n\
        [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n[[members]]\nid = \"user_member\"\n";
    let gateway = TestGateway::new().config_toml(config).start().await;
    let plain = text(&make(&gateway, json!({"name": "x"})).await);
    assert_eq!(limit(&ask(&gateway, "GET", "/v1/mcps").key(&plain).send().await), "40");
    // Whoever administers may give more, others may not: the default would limit nobody.
    let limits = json!({"requests_per_second": 90, "calls_at_once": 8});
    let made = post(&gateway, KEYS, &json!({"name": "x", "limits": limits})).send().await.expect(201);
    assert_eq!(
        made["warnings"],
        json!(["limits.calls_at_once is 8, and the setting limits.calls_per_key allows 7"])
    );
    assert_eq!(limit(&ask(&gateway, "GET", "/v1/mcps").key(&text(&made["data"])).send().await), "90");
    let member = text(&make(&gateway, json!({"name": "m", "owner_id": "user_member"})).await);
    let wish = |rate: u32| json!({"name": "x", "limits": {"requests_per_second": rate}});
    error(&post(&gateway, KEYS, &wish(41)).key(&member).send().await, 403, "forbidden");
    post(&gateway, KEYS, &wish(39)).key(&member).send().await.expect(201);
    gateway.stop().await;
}
