//! Access tokens of an authorization server, beside keys: which are accepted, what they allow, what becomes of them, and what
//! a client is told that has none.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use super::{SERVERS, servers, world};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::issuer::{Behaviour, Issuer, PUBLIC_URL, SigningKey, now, unsigned};
use crate::support::mcp::{Answer, LEGACY, Session, hello, modern};
use crate::support::{DEADLINE, wait_until};

/// Path of the metadata.
const METADATA: &str = "/.well-known/oauth-protected-resource";

/// Calls a server with a token, and returns the head of the answer with its text.
async fn call(gateway: &Gateway, token: &str) -> (Answer, String) {
    let mut answer =
        modern(gateway, "legacy").key(Some(token)).call("echo", json!({"nonce": 1})).send().await;
    let text = answer.whole().await;
    (answer, text)
}

/// The status that a call with a token gets.
async fn status(gateway: &Gateway, token: &str) -> u16 {
    call(gateway, token).await.0.status
}

fn challenge(answer: &Answer) -> &str {
    answer.headers["www-authenticate"].to_str().expect("visible ASCII")
}

#[tokio::test]
async fn a_token_is_let_in_in_both_eras_and_over_rest() {
    let issuer = Issuer::start().await;
    let gateway = world(&issuer.config("roles = { ops = \"admin\" }")).await;
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let key = SigningKey::new("first", algorithm);
        let issuer = Issuer::start().await;
        issuer.rotate(key);
        let gateway = world(&issuer.config("")).await;
        assert_eq!(status(&gateway, &issuer.token(json!({}))).await, 200, "{algorithm}");
        gateway.stop().await;
    }
    let token = issuer.token(json!({}));
    for server in SERVERS {
        let client = modern(&gateway, server).key(Some(&token));
        assert_eq!(client.told("echo", json!({"nonce": 1})).await["nonce"], 1, "{server}");
        let session = Session::open_as(&gateway, server, &token, LEGACY, json!({})).await;
        assert_eq!(session.told("echo", json!({"nonce": 2})).await["nonce"], 2, "{server}");
        session.ended().await;
    }
    assert!(
        modern(&gateway, "").key(Some(&token)).ask("tools/list", json!({})).result().await["tools"]
            .is_array()
    );
    let invoke = json!({"mcp_id": "legacy", "tool": "echo", "arguments": {"nonce": 3}}).to_string();
    let invoked = ask(&gateway, "POST", "/v1/mcp/invoke").key(&token).json(invoke).send().await.expect(200);
    assert_eq!(invoked["data"]["result"]["nonce"], 3, "{invoked}");
    ask(&gateway, "GET", "/v1/mcps").key(&token).send().await.expect(200);
    for way in [("authorization", format!("bearer {token}")), ("x-api-key", token.clone())] {
        ask(&gateway, "GET", "/v1/mcps").without_key().header(way.0, &way.1).send().await.expect(200);
    }
    ask(&gateway, "GET", "/metrics").key(&token).send().await;
    ask(&gateway, "GET", "/api/servers").key(&token).send().await.expect(403);
    let admin = issuer.token(json!({"roles": ["ops"]}));
    ask(&gateway, "GET", "/api/servers").key(&admin).send().await.expect(200);
    ask(&gateway, "POST", "/v1/api-keys").key(&token).json(r#"{"name": "k"}"#).send().await.expect(422);
    assert_eq!(issuer.asked(), ["/.well-known/openid-configuration", "/keys"], "once for all tokens");
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_that_is_not_right_is_401_with_the_reason() {
    let issuer = Issuer::start().await;
    let gateway = world(&issuer.config("")).await;
    let stranger = SigningKey::new("first", "ES256");
    let claims = issuer.claims(json!({}));
    let point =
        |name: &str| BASE64_URL_SAFE_NO_PAD.decode(issuer.public_key()[name].as_str().unwrap()).unwrap();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &[vec![4], point("x"), point("y")].concat());
    let shared = unsigned(&json!({"alg": "HS256", "kid": "first"}), &claims);
    let shared =
        format!("{shared}.{}", BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&secret, shared.as_bytes())));
    let none = format!("{}.", unsigned(&json!({"alg": "none", "kid": "first"}), &claims));
    // Few that may be forged: an address that goes on like this is let in no more.
    for (token, reason) in [
        (none, "cannot be read"),
        (shared, "algorithm"),
        (stranger.sign(json!({}), &claims), "signature"),
        (issuer.signed(json!({"kid": "other"}), json!({})), "does not publish"),
        (issuer.signed(json!({"typ": "logout+jwt"}), json!({})), "no access token"),
        (issuer.token(json!({"iss": "https://other.example"})), "another issuer"),
        (issuer.token(json!({"aud": "https://other.example"})), "another resource"),
        (issuer.token(json!({"aud": format!("{PUBLIC_URL}/mcp/modern")})), "another resource"),
        (issuer.token(json!({"aud": null})), "another resource"),
        (issuer.token(json!({"exp": now() - 1})), "has expired"),
        (issuer.token(json!({"exp": null})), "lacks a claim"),
        (issuer.token(json!({"nbf": now() + 600})), "not valid yet"),
        (issuer.token(json!({"sub": null})), "lacks a claim"),
        (issuer.token(json!({"cnf": {"jkt": "x"}})), "bound to a key"),
    ] {
        let (answer, text) = call(&gateway, &token).await;
        assert_eq!(answer.status, 401, "{reason}: {text}");
        assert!(text.contains(reason) && challenge(&answer).contains(reason), "{reason}: {text}");
        assert!(challenge(&answer).contains("error=\"invalid_token\""), "{}", challenge(&answer));
        let way = format!("resource_metadata=\"{PUBLIC_URL}{METADATA}/mcp/legacy\"");
        assert!(challenge(&answer).contains(&way), "{}", challenge(&answer));
        assert!(!text.contains(&token), "{text}");
    }
    let expired = issuer.token(json!({"exp": now() - 1}));
    for path in ["/v1/mcps", "/api/servers", "/metrics"] {
        let reply = ask(&gateway, "GET", path).key(&expired).send().await;
        let told = reply.headers["www-authenticate"].to_str().expect("ASCII").to_owned();
        assert_eq!(reply.status, 401, "{}", reply.text());
        assert!(told.contains(&format!("resource_metadata=\"{PUBLIC_URL}{METADATA}\"")), "{told}");
    }
    assert_eq!(status(&gateway, &issuer.token(json!({"aud": [PUBLIC_URL, "x"]}))).await, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn keys_of_the_issuer_may_change_and_old_tokens_end_with_theirs() {
    let issuer = Issuer::start().await;
    let gateway = world(&issuer.config("")).await;
    let old = issuer.token(json!({}));
    assert_eq!(status(&gateway, &old).await, 200);
    issuer.rotate(SigningKey::new("second", "EdDSA"));
    let new = issuer.token(json!({}));
    assert_eq!(status(&gateway, &old).await, 200, "nothing has been asked since");
    // Not at once: whoever sends ids that are not there must not have the issuer asked without end.
    wait_until("the new key is read", DEADLINE, || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        (status(&gateway, &new).await == 200).then_some(())
    })
    .await;
    assert_eq!(status(&gateway, &old).await, 401, "its key was taken back");
    assert!(issuer.asked().len() <= 6, "{:?}", issuer.asked());
    gateway.stop().await;
}

#[tokio::test]
async fn an_issuer_that_is_down_costs_its_tokens_alone_and_is_asked_again() {
    let issuer = Issuer::start().await;
    issuer.behave(Behaviour::Down);
    let gateway = world(&issuer.config("")).await;
    let token = issuer.token(json!({}));
    let (answer, text) = call(&gateway, &token).await;
    assert_eq!(
        answer.status, 503,
        "not 401, from which a client would conclude that its token is bad: {text}"
    );
    assert!(answer.headers.contains_key("retry-after") && !answer.headers.contains_key("www-authenticate"));
    for (path, status) in [("/v1/mcps", 503), ("/api/servers", 503), ("/metrics", 503)] {
        let reply = ask(&gateway, "GET", path).key(&token).send().await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    assert_eq!(modern(&gateway, "legacy").told("echo", json!({"nonce": 1})).await["nonce"], 1, "a key works");
    issuer.behave(Behaviour::Good);
    wait_until("the issuer is asked again", DEADLINE, || async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        (status(&gateway, &token).await == 200).then_some(())
    })
    .await;
    issuer.behave(Behaviour::Down);
    assert_eq!(status(&gateway, &token).await, 200);
    assert_eq!(status(&gateway, &issuer.token(json!({"sub": "bob"}))).await, 200, "the keys are kept");
    gateway.stop().await;
}

#[tokio::test]
async fn a_slow_issuer_holds_up_nobody_who_has_a_key() {
    let issuer = Issuer::start().await;
    issuer.behave(Behaviour::Slow(Duration::from_secs(3)));
    let gateway = world(&issuer.config("")).await;
    let (token, other) = (issuer.token(json!({})), issuer.token(json!({"sub": "bob"})));
    let waiting = async { (status(&gateway, &token).await, status(&gateway, &other).await) };
    let keyed = async {
        let begun = Instant::now();
        for _ in 0..10 {
            modern(&gateway, "legacy").told("echo", json!({"nonce": 1})).await;
        }
        begun.elapsed()
    };
    let (got, took) = tokio::join!(waiting, keyed);
    assert_eq!(got, (200, 200));
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(issuer.asked().len(), 2, "asked once for both: {:?}", issuer.asked());
    gateway.stop().await;
}

#[tokio::test]
async fn keys_are_not_read_without_end_nor_from_elsewhere() {
    let (issuer, other) = (Issuer::start().await, Issuer::start().await);
    for behaviour in [Behaviour::Huge, Behaviour::Elsewhere(format!("{}/keys", other.url()))] {
        issuer.behave(behaviour);
        let gateway = world(&issuer.config("")).await;
        let (answer, text) = call(&gateway, &issuer.token(json!({}))).await;
        assert_eq!(answer.status, 503, "{text}");
        gateway.stop().await;
    }
    assert_eq!(other.asked(), [""; 0]);
}

#[tokio::test]
async fn a_token_without_a_scope_is_told_which_it_needs() {
    let issuer = Issuer::start().await;
    let gateway = world(&issuer.config("required_scopes = [\"mcp:use\", \"mcp:more\"]")).await;
    for (scope, expected) in [("mcp:use other", 403), ("mcp:more mcp:use", 200)] {
        let (answer, text) = call(&gateway, &issuer.token(json!({"scope": scope}))).await;
        assert_eq!(answer.status, expected, "{text}");
        if expected == 403 {
            for part in ["error=\"insufficient_scope\"", "scope=\"mcp:use mcp:more\"", "resource_metadata=\""]
            {
                assert!(challenge(&answer).contains(part), "{}", challenge(&answer));
            }
        }
    }
    let reply = ask(&gateway, "GET", "/v1/mcps").key(&issuer.token(json!({}))).send().await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(reply.headers["www-authenticate"].to_str().expect("ASCII").contains("insufficient_scope"));
    gateway.stop().await;
}

#[tokio::test]
async fn claims_give_the_role_and_the_permissions_that_are_mapped() {
    let issuer = Issuer::start().await;
    let config = issuer.config(
        "default_role = \"viewer\"\nrole_claim = \"realm_access.roles\"\nroles = { dev = \"member\", ops = \"admin\" }\n\
         permission_claim = \"groups\"\n[auth.oidc.permissions.echoes]\nmcps = [\"legacy\"]\ntools = [\"echo\"]\n\
         [auth.oidc.permissions.all]\nmcps = \"*\"\n",
    );
    let gateway = world(&config).await;
    let token = |roles: Value, groups: &str| {
        issuer.token(json!({"realm_access": {"roles": roles}, "groups": [groups], "role": "owner"}))
    };
    assert_eq!(status(&gateway, &token(json!([]), "all")).await, 403);
    assert_eq!(status(&gateway, &token(json!(["owner"]), "all")).await, 403, "not mapped");
    ask(&gateway, "GET", "/v1/mcps").key(&token(json!([]), "all")).send().await.expect(200);
    let limited = token(json!(["dev"]), "echoes");
    let client = modern(&gateway, "legacy").key(Some(&limited));
    let tools = client.ask("tools/list", json!({})).result().await["tools"].clone();
    let names: Vec<&str> =
        tools.as_array().expect("a list").iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["echo"]);
    client.call("pid", json!({})).refused(200, -32602).await;
    modern(&gateway, "modern").key(Some(&limited)).call("echo", json!({})).refused(404, 404).await;
    assert_eq!(status(&gateway, &token(json!(["dev"]), "other")).await, 404, "no group is mapped: nothing");
    ask(&gateway, "GET", "/v1/audit").key(&limited).send().await.expect(403);
    ask(&gateway, "GET", "/v1/audit").key(&token(json!(["dev", "ops"]), "all")).send().await.expect(200);
    ask(&gateway, "GET", "/api/servers").key(&token(json!(["ops"]), "echoes")).send().await.expect(403);
    gateway.stop().await;
}

#[tokio::test]
async fn open_streams_end_when_their_token_does() {
    let issuer = Issuer::start().await;
    let gateway = world(&issuer.config("")).await;
    for server in SERVERS {
        let (token, begun) = (issuer.token(json!({"exp": now() + 4})), Instant::now());
        let client = modern(&gateway, server).key(Some(&token));
        let (mut listen, _) = client.listen("l", json!({"toolsListChanged": true})).await;
        let session = Session::open_as(&gateway, server, &token, LEGACY, json!({})).await;
        let mut own = session.stream().send().await;
        assert_eq!(own.messages().await, Vec::<Value>::new(), "{server}");
        let end = listen.messages().await;
        assert!(end.iter().all(|one| one["id"] == "l"), "nothing but its end: {end:?}");
        client.call("echo", json!({})).refused(401, 401).await;
        assert!((3..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        // The session itself is the subject's, and goes on with its next token.
        let next = session.with_key(Some(&issuer.token(json!({}))));
        assert_eq!(next.told("echo", json!({"nonce": 1})).await["nonce"], 1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_is_its_subjects_and_nobody_elses() {
    let issuer = Issuer::start().await;
    let gateway = world(&issuer.config("")).await;
    let session = Session::open_as(&gateway, "legacy", &issuer.token(json!({})), LEGACY, json!({})).await;
    let other = issuer.token(json!({"sub": "bob"}));
    for stranger in [other.as_str(), gateway.key()] {
        session.with_key(Some(stranger)).ask("ping", json!({})).refused(404, 404).await;
    }
    assert_eq!(session.ask("ping", json!({})).result().await, json!({}));
    gateway.stop().await;
}

#[tokio::test]
async fn subjects_are_in_the_usage_and_the_audit_and_their_tokens_nowhere() {
    let issuer = Issuer::start().await;
    let config = issuer.config("[audit]\ncalls = true\n");
    let gateway = servers(&[]).config_toml(&config).variable("MCPVISOR_LOG", "trace").start().await;
    gateway.wait_state("legacy", "ready").await;
    let tokens = [issuer.token(json!({"name": "Ann"})), issuer.token(json!({"name": "Ann"}))];
    for token in &tokens {
        assert_eq!(status(&gateway, token).await, 200);
    }
    assert_eq!(status(&gateway, &format!("{}x", tokens[0])).await, 401);
    let admitted = gateway.get("/v1/audit?action=subject.admit").await.expect(200)["data"].clone();
    let [line] = admitted.as_array().expect("lines").as_slice() else { panic!("one line: {admitted}") };
    let id = line["target"].as_str().expect("an id");
    assert!(id.starts_with("oidc_") && line["member_id"] == id && line["key_id"] == id, "{line}");
    assert_eq!(
        (&line["details"]["name"], &line["details"]["subject"]),
        (&json!("Ann"), &json!("ann")),
        "{line}"
    );
    let calls =
        gateway.get(&format!("/v1/audit?action=call&member_id={id}")).await.expect(200)["data"].clone();
    assert_eq!(calls.as_array().expect("lines").len(), 2, "{calls}");
    wait_until("both calls are in the usage of the subject", DEADLINE, || async {
        let usage = gateway.get(&format!("/v1/api-keys/{id}/usage")).await;
        (usage.status == 200 && usage.json()["data"]["requests"]["total"] == 2).then_some(())
    })
    .await;
    let own = ask(&gateway, "GET", "/v1/usage").key(&tokens[0]).send().await.expect(200);
    assert_eq!(own["data"]["requests"]["total"], 2, "its own usage, and nobody else's: {own}");
    let output = gateway.output();
    for token in &tokens {
        let signature = token.rsplit('.').next().expect("a part");
        assert!(!output.contains(signature), "a token is in the log");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_subject_has_the_limits_of_its_plan_whatever_its_tokens() {
    let issuer = Issuer::start().await;
    let config = issuer.config("plan = \"two\"\n[plans.two]\nrequests_per_second = 2\n");
    let gateway = world(&config).await;
    let mut refused = 0;
    for number in 0..20 {
        let token = issuer.token(json!({"name": number.to_string()}));
        let reply = ask(&gateway, "GET", "/v1/mcps").key(&token).send().await;
        assert!([200, 429].contains(&reply.status), "{}", reply.text());
        refused += u32::from(reply.status == 429);
    }
    assert!(refused > 0, "20 at once are more than 2 a second");
    ask(&gateway, "GET", "/v1/mcps").key(&issuer.token(json!({"sub": "bob"}))).send().await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_resource_says_where_its_tokens_come_from() {
    let issuer = Issuer::start().await;
    let config = issuer.config("required_scopes = [\"mcp:use\"]\n[mcp]\nauth = \"required\"");
    let gateway = world(&config).await;
    for (path, resource) in
        [("", ""), ("/mcp", "/mcp"), ("/mcp/legacy", "/mcp/legacy"), ("/mcp/no%20one", "/mcp/no%20one")]
    {
        let origin = ("origin", "http://localhost:3000");
        let path = format!("{METADATA}{path}");
        let request = ask(&gateway, "GET", &path).without_key();
        let reply = request.header(origin.0, origin.1).send().await;
        assert_eq!(reply.headers["access-control-allow-origin"], origin.1);
        let document = reply.expect(200);
        assert_eq!(document["resource"], format!("{PUBLIC_URL}{resource}"));
        assert_eq!(document["authorization_servers"], json!([issuer.url()]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
        assert_eq!(document["scopes_supported"], json!(["mcp:use"]));
    }
    for path in ["/nothing", "/mcp/a/b", "/mcp/"] {
        ask(&gateway, "GET", &format!("{METADATA}{path}")).without_key().send().await.expect(404);
    }
    ask(&gateway, "POST", METADATA).without_key().json("{}").send().await.expect(405);
    let told = ask(&gateway, "GET", &format!("{METADATA}?colour=red")).without_key().send().await.expect(400);
    assert!(told["error"].as_str().expect("a text").contains("'colour'"), "{told}");
    let mut answer = hello(&gateway, "legacy", LEGACY, json!({})).without("authorization").send().await;
    answer.of_status(401).await;
    let expected = format!(
        "Bearer realm=\"mcp\", scope=\"mcp:use\", resource_metadata=\"{PUBLIC_URL}{METADATA}/mcp/legacy\""
    );
    assert_eq!(challenge(&answer), expected);
    let (answer, _) = call(&gateway, "no-key").await;
    assert!(challenge(&answer).contains("error=\"invalid_token\", scope=\"mcp:use\", resource_metadata="));
    assert_eq!(issuer.asked(), [""; 0], "nobody has shown a token");
    gateway.stop().await;
}

#[tokio::test]
async fn without_an_authorization_server_nothing_points_to_one() {
    let config = "[mcp]\nauth = \"required\"\n";
    let gateway = TestGateway::new().server("legacy", fake(&[])).config_toml(config).start().await;
    for path in ["", "/mcp", "/mcp/legacy"] {
        for method in ["GET", "POST"] {
            let path = format!("{METADATA}{path}");
            let request = ask(&gateway, method, &path).without_key();
            let request = if method == "POST" { request.json("{}") } else { request };
            assert_eq!(request.send().await.expect(404), json!({"error": "Not found"}), "{method} {path}");
        }
    }
    let mut answer = hello(&gateway, "legacy", LEGACY, json!({})).without("authorization").send().await;
    answer.of_status(401).await;
    assert_eq!(challenge(&answer), "Bearer realm=\"mcp\"");
    let key = SigningKey::new("first", "ES256");
    let (answer, text) = call(&gateway, &key.sign(json!({}), &json!({"sub": "ann"}))).await;
    assert_eq!(
        (answer.status, challenge(&answer)),
        (401, "Bearer realm=\"mcp\", error=\"invalid_token\""),
        "{text}"
    );
    gateway.stop().await;
}
