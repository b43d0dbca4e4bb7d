//! Who is let in: keys, hosts, origins, and what is open to this machine only (`docs/http-api.md`, G5, G6 and M1).

use serde_json::json;

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway};

const MINE: &str = "Bearer realm=\"mcp\"";
const INVALID: &str = "Bearer realm=\"mcp\", error=\"invalid_token\"";

async fn status(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = ask(gateway, "GET", path).without_key();
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.send().await.status
}

#[tokio::test]
async fn a_key_is_taken_from_each_of_its_three_places_and_from_nowhere_else() {
    let mut gateway = TestGateway::new().start().await;
    let key = gateway.key().to_owned();
    let other = "pk_live_notakeyofourssss";
    let bearer = format!("Bearer {key}");
    let accepted: [Vec<(&str, String)>; 8] = [
        vec![("authorization", bearer.clone())],
        vec![("authorization", format!("bEARER {key}"))],
        vec![("authorization", format!("Bearer   {key} "))],
        vec![("authorization", format!("ApiKey {key}"))],
        vec![("authorization", format!("apikey {key}"))],
        vec![("x-api-key", key.clone())],
        vec![("authorization", bearer.clone()), ("x-api-key", key.clone())],
        vec![("authorization", format!("ApiKey {key}")), ("authorization", bearer.clone())],
    ];
    let refused: [(Vec<(&str, String)>, &str); 15] = [
        (vec![], MINE),
        (vec![("authorization", format!("Bearer {other}"))], INVALID),
        (vec![("authorization", format!("Bearer {}", &key[..key.len() - 1]))], INVALID),
        (vec![("authorization", format!("Bearer {key}x"))], INVALID),
        (vec![("authorization", format!("Bearer {}", key.to_uppercase()))], INVALID),
        (vec![("authorization", format!("Basic {key}"))], INVALID),
        (vec![("authorization", key.clone())], INVALID),
        (vec![("authorization", "Bearer".to_owned())], INVALID),
        (vec![("authorization", "Bearer ".to_owned())], INVALID),
        (vec![("authorization", format!("Bearer {}", "x".repeat(5000)))], INVALID),
        (vec![("authorization", "Bearer ü".to_owned())], INVALID),
        (vec![("x-api-key", String::new())], INVALID),
        (vec![("authorization", bearer.clone()), ("x-api-key", other.to_owned())], INVALID),
        (vec![("x-api-key", key.clone()), ("x-api-key", other.to_owned())], INVALID),
        (vec![("authorization", bearer.clone()), ("authorization", "Basic eA==".to_owned())], INVALID),
    ];
    for headers in accepted {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(status(&gateway, "/v1/mcps", &headers).await, 200, "{headers:?}");
    }
    for (number, (headers, challenge)) in refused.into_iter().enumerate() {
        if number % 9 == 8 {
            // More bad keys a minute than nine or ten are not told what is wrong with them.
            gateway.terminate().await;
            gateway.restart().await;
        }
        let mut request = ask(&gateway, "GET", "/v1/mcps").without_key();
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let reply = request.send().await;
        let error = reply.expect(401)["error"].clone();
        assert_eq!(
            error,
            json!({"code": "unauthorized", "message": "Invalid or missing API key"}),
            "{headers:?}"
        );
        assert_eq!(reply.headers["www-authenticate"], challenge, "{headers:?}");
    }
    for query in ["api_key", "key", "token", "access_token"] {
        assert_eq!(status(&gateway, &format!("/v1/mcps?{query}={key}"), &[]).await, 401, "{query}");
    }
    let output = gateway.output();
    assert!(output.contains("authentication failed"), "{output}");
    assert!(!output.contains(&key) && !output.contains(other), "no key is logged: {output}");
    gateway.stop().await;
}

#[tokio::test]
async fn the_servers_api_is_open_to_this_user_only_while_nobody_stands_between() {
    let gateway = TestGateway::new()
        .config_toml(
            "[http]\nallowed_hosts = [\"gateway.example\"]\nallowed_origins = [\"https://app.example\"]\n",
        )
        .start()
        .await;
    let open: [&[(&str, &str)]; 8] = [
        &[],
        &[("host", "localhost")],
        &[("host", "LOCALHOST:1")],
        &[("host", "127.0.0.1")],
        &[("host", "127.9.9.9:5000")],
        &[("host", "[::1]:5000")],
        &[("origin", "http://localhost:3000")],
        &[("origin", "http://127.0.0.1")],
    ];
    for headers in open {
        assert_eq!(status(&gateway, "/api/servers", headers).await, 200, "{headers:?}");
    }
    // Let in, but from elsewhere: a key is asked for.
    let keyed: [&[(&str, &str)]; 11] = [
        &[("host", "gateway.example")],
        &[("host", "gateway.example:8080")],
        &[("origin", "https://app.example")],
        &[("via", "1.1 edge")],
        &[("x-forwarded-proto", "https")],
        &[("x_forwarded_for", "127.0.0.1")],
        &[("x-forwarded-for", "127.0.0.1")],
        &[("x-forwarded-for", "192.0.2.1")],
        &[("x-forwarded-for", "127.0.0.1, 192.0.2.1")],
        &[("x-real-ip", "192.0.2.1")],
        &[("forwarded", "for=192.0.2.1")],
    ];
    for headers in keyed {
        let mut request = ask(&gateway, "GET", "/api/servers");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let reply = request.send().await;
        let reason = "the request was passed on, or is not addressed to this machine's loopback";
        assert_eq!(
            reply.expect(401),
            json!({"error": "Authentication required", "reason": reason}),
            "{headers:?}"
        );
        assert_eq!(reply.headers["www-authenticate"], MINE, "{headers:?}");
        let key = format!("Bearer {}", gateway.key());
        let with_key: Vec<(&str, &str)> =
            headers.iter().copied().chain([("authorization", key.as_str())]).collect();
        assert_eq!(status(&gateway, "/api/servers", &with_key).await, 200, "{headers:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_403_on_every_route_and_with_every_key() {
    let gateway = TestGateway::new().start().await;
    let foreign: [(&str, &str); 11] = [
        ("host", "evil.example"),
        ("host", "evil.example:5000"),
        ("host", "localhost.evil.example"),
        ("host", "evil-localhost"),
        ("host", "192.0.2.1"),
        ("host", "0.0.0.0"),
        ("origin", "https://evil.example"),
        ("origin", "http://localhost.evil.example"),
        ("origin", "null"),
        ("origin", "file://localhost"),
        ("origin", ""),
    ];
    for (name, value) in foreign {
        for path in ["/v1/mcps", "/v1/nowhere", "/api/servers", "/api/nowhere", "/healthz", "/metrics"] {
            let request = ask(&gateway, "GET", path).with_key().header(name, value);
            // The owner's key was sent twice to `/v1`, which is one credential.
            let reply = request.send().await;
            assert_eq!(reply.status, 403, "{path} {name}: {value}: {}", reply.text());
            assert!(!reply.headers.contains_key("access-control-allow-origin"), "{path} {value}");
            if path.starts_with("/v1") {
                assert_eq!(reply.json()["error"]["code"], "forbidden");
            }
        }
        let body = json!({"name": "planted", "command": "true"}).to_string();
        ask(&gateway, "POST", "/api/servers").header(name, value).json(body).send().await.expect(403);
    }
    assert_eq!(gateway.get("/api/servers").await.expect(200), json!({"servers": []}));
    gateway.stop().await;
}

#[tokio::test]
async fn a_page_of_this_machine_may_use_the_api_and_another_site_may_not() {
    let gateway = TestGateway::new().server("s", json!({"command": "/no/such/program"})).start().await;
    let preflight = async |path: &str, origin: &str, method: &str| {
        ask(&gateway, "OPTIONS", path)
            .without_key()
            .header("origin", origin)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "content-type, x-api-key")
            .send()
            .await
    };
    let page = "http://localhost:3000";
    for (path, method) in [
        ("/api/servers", "POST"),
        ("/api/servers/s", "PUT"),
        ("/api/servers/s", "DELETE"),
        ("/api/servers/s/tools", "GET"),
        ("/api/config/import", "POST"),
        ("/v1/mcps", "GET"),
        ("/v1/mcp/invoke", "POST"),
    ] {
        let reply = preflight(path, page, method).await;
        assert_eq!(reply.status, 204, "{path}");
        assert_eq!(reply.headers["access-control-allow-origin"], page);
        assert_eq!(reply.headers["access-control-allow-headers"], "content-type, x-api-key");
        assert_eq!(reply.headers["vary"], "Origin");
        let methods = reply.headers["access-control-allow-methods"].to_str().expect("ASCII");
        assert!(methods.split(", ").any(|allowed| allowed == method), "{path}: {methods}");
        let refused = preflight(path, "https://evil.example", method).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{path}");
    }
    assert_eq!(preflight("/api/nowhere", page, "GET").await.status, 404);
    // The request itself, and its errors, may be read by the page.
    for (path, expected) in [("/api/servers", 200), ("/api/servers/nobody", 404), ("/v1/mcps", 401)] {
        let reply = ask(&gateway, "GET", path).without_key().header("origin", page).send().await;
        assert_eq!(reply.status, expected, "{path}");
        assert_eq!(reply.headers["access-control-allow-origin"], page, "{path}");
    }
    // A page that may not read an answer may not cause one either.
    let body = json!({"name": "planted", "command": "true"}).to_string();
    let planted =
        ask(&gateway, "POST", "/api/servers").header("origin", "https://evil.example").json(body.clone());
    planted.send().await.expect(403);
    // What a form can send without a preflight is no JSON.
    let form = ask(&gateway, "POST", "/api/servers").header("content-type", "text/plain").bytes(body);
    form.send().await.expect(415);
    assert_eq!(gateway.get("/api/servers/planted").await.status, 404);
    gateway.stop().await;
}

#[tokio::test]
async fn bound_beyond_loopback_all_but_the_probes_asks_for_a_key_from_there() {
    let gateway = TestGateway::new().host("0.0.0.0").start().await;
    let key = gateway.key().to_owned();
    // By its address, as from elsewhere. This user's own programs at localhost need none, as the reference prints.
    let far = ("host", "192.0.2.1:5000");
    for path in ["/api/status", "/api/servers", "/metrics", "/v1/mcps"] {
        let mut challenges = Vec::new();
        for credential in [None, Some("pk_live_unknown")] {
            let mut request = ask(&gateway, "GET", path).without_key().header(far.0, far.1);
            if let Some(credential) = credential {
                request = request.header("x-api-key", credential);
            }
            let reply = request.send().await;
            assert_eq!(reply.status, 401, "{path}: {}", reply.text());
            challenges.push(reply.headers["www-authenticate"].clone());
        }
        assert_eq!(challenges, [MINE, INVALID], "{path}");
        assert_eq!(status(&gateway, path, &[far, ("x-api-key", &key)]).await, 200, "{path}");
        let expected = if path.starts_with("/v1") { 401 } else { 200 };
        assert_eq!(status(&gateway, path, &[("host", "localhost:5000")]).await, expected, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(&gateway, path, &[far]).await, 200, "{path}");
    }
    assert_eq!(status(&gateway, "/healthz", &[("host", "evil.example")]).await, 403);
    assert!(gateway.output().contains("/api needs a key"), "{}", gateway.output());
    gateway.stop().await;
}

#[tokio::test]
async fn whether_the_servers_api_asks_for_a_key_can_be_configured() {
    let required = TestGateway::new().config_toml("[api]\nauth = \"required\"\n").start().await;
    assert_eq!(status(&required, "/api/servers", &[]).await, 401);
    assert_eq!(status(&required, "/api/servers", &[("x-api-key", required.key())]).await, 200);
    assert_eq!(status(&required, "/healthz", &[]).await, 200);
    required.stop().await;

    let off = TestGateway::new().host("0.0.0.0").config_toml("[api]\nauth = \"off\"\n").start().await;
    assert_eq!(status(&off, "/api/servers", &[]).await, 200);
    assert_eq!(status(&off, "/v1/mcps", &[]).await, 401, "only `/api` is open");
    assert_eq!(status(&off, "/api/servers", &[("host", "evil.example")]).await, 403);
    assert!(off.output().contains("WARN") && off.output().contains("api.auth"), "{}", off.output());
    off.stop().await;
}

#[tokio::test]
async fn hosts_and_origins_can_be_allowed_by_configuration() {
    let gateway = TestGateway::new()
        .config_toml(
            "[http]\nallowed_hosts = [\"gateway.example\", \"one.example:8080\"]\nallowed_origins = [\"https://app.example\"]\n",
        )
        .start()
        .await;
    let key = gateway.key();
    for (name, value, expected) in [
        ("host", "gateway.example", 200),
        ("host", "Gateway.Example:1", 200),
        ("host", "one.example:8080", 200),
        ("host", "one.example:8081", 403),
        ("host", "one.example", 403),
        ("origin", "https://app.example", 200),
        ("origin", "http://app.example", 403),
        ("origin", "https://app.example:444", 403),
    ] {
        let headers = [("x-api-key", key), (name, value)];
        assert_eq!(status(&gateway, "/v1/mcps", &headers).await, expected, "{name}: {value}");
    }
    gateway.stop().await;

    let any = TestGateway::new().config_toml("[http]\nallowed_origins = [\"*\"]\n").start().await;
    let reply = ask(&any, "GET", "/v1/mcps").header("origin", "https://any.example").send().await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["access-control-allow-origin"], "https://any.example");
    // Readable by any page is not open to any page.
    let reply = ask(&any, "GET", "/api/servers").header("origin", "https://any.example").send().await;
    assert_eq!(reply.status, 401);
    any.stop().await;
}

#[tokio::test]
async fn operators_see_liveness_readiness_and_metrics() {
    use crate::support::gateway::{fake, with};
    use crate::support::{DEADLINE, wait_until};
    let slow = with(fake(&["--slow-init", "700"]), json!({"era": "legacy"}));
    let gateway = TestGateway::new().server("fake", fake(&[])).server("slow", slow).start().await;
    let health = ask(&gateway, "GET", "/healthz").send().await.expect(200);
    assert_eq!(health, json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
    let ready = wait_until("the daemon is ready", DEADLINE, || async {
        let reply = ask(&gateway, "GET", "/readyz").send().await;
        if reply.status == 503 {
            let body = reply.json();
            assert_eq!(body["status"], "not_ready");
            assert!(body["waiting_for"].as_array().is_some_and(|list| !list.is_empty()), "{body}");
            return None;
        }
        Some(reply)
    })
    .await;
    assert_eq!(ready.expect(200), json!({"status": "ready"}));
    assert_eq!(gateway.server("slow").await["state"], "ready", "ready means that the first starts are over");
    gateway.call("fake", "echo", json!({})).await;
    let metrics = ask(&gateway, "GET", "/metrics").send().await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.headers["content-type"]
            .to_str()
            .is_ok_and(|kind| kind.starts_with("text/plain; version=0.0.4"))
    );
    assert!(metrics.text().lines().any(|line| line.contains("server=\"fake\"") && !line.ends_with(" 0")));
    let open =
        metrics.text().lines().find_map(|line| line.strip_prefix("mcpvisor_http_connections ")?.parse().ok());
    assert!(open.is_some_and(|open: u32| open >= 1), "the scrape's own connection counts");
    gateway.stop().await;
}
