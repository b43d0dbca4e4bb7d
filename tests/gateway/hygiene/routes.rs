//! Which route, which method, which key: in this order, before anything else is looked at.

use std::collections::BTreeSet;

use super::{WITH_BODY, WITHOUT_BODY, serving};
use crate::support::ask::{ask, check_shape};
use crate::support::gateway::INVOKE;
use crate::support::wire::Wire;

#[tokio::test]
async fn an_unknown_route_is_404_in_the_shape_of_its_dialect_and_asks_for_no_key() {
    let gateway = serving("").await;
    let paths = [
        "/v1",
        "/v1/",
        "/v1/mcps/",
        "/v1/mcps/fake/",
        "/v1/mcps/fake/tools",
        "/v1/mcp",
        "/v1/mcp/invoke/",
        "/v1/MCPS",
        "/v1//mcps",
        "/v1/usage/",
        "/v1/organization/",
        "/v1/api-keys/",
        "/api",
        "/api/",
        "/api/status/",
        "/api/servers/",
        "/api/servers/fake/",
        "/api/servers/fake/tools/",
        "/api/v1/mcps",
        "/api/query/",
        "/api/config",
        "/",
        "/v2/mcps",
        "/apiary",
        "/v10",
        "/mcps",
        "/mcp/fake/more",
        "/healthz/",
        "/favicon.ico",
    ];
    for path in paths {
        for method in ["GET", "POST", "DELETE", "PATCH", "HEAD"] {
            // Neither the key, nor the body, nor its type is looked at.
            let request =
                ask(&gateway, method, path).without_key().header("content-type", "text/html").bytes("{");
            let reply = request.send().await;
            assert_eq!(reply.status, 404, "{method} {path}");
            if path.starts_with("/v1/") && method != "HEAD" {
                assert_eq!(reply.json()["error"]["code"], "not_found", "{method} {path}");
            }
            assert!(reply.headers.get("location").is_none(), "no redirect");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_known_route_asks_for_the_key_before_anything_else() {
    let gateway = serving("[api]\nauth = \"required\"\n").await;
    let mut routes: Vec<(&str, &str)> = WITH_BODY.iter().map(|(method, path, _)| (*method, *path)).collect();
    routes.extend(WITHOUT_BODY.iter().map(|path| ("GET", *path)));
    routes.extend([
        ("DELETE", "/api/servers/fake"),
        ("PATCH", "/v1/mcps"),
        ("GET", INVOKE),
        ("PATCH", "/api/status"),
    ]);
    for (method, path) in routes {
        // Announced and not sent: the answer does not wait for it.
        let mut wire = Wire::open(&gateway).await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: 99999999\r\n\r\n"
        );
        wire.send(head).await;
        let reply = wire.reply().await;
        check_shape(method, path, &reply);
        assert_eq!(reply.status, 401, "{method} {path}");
        assert!(
            reply.headers.contains_key("www-authenticate") && !reply.headers.contains_key("allow"),
            "{method} {path}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn then_come_the_method_the_type_the_size_and_the_content_in_this_order() {
    let gateway = serving("").await;
    let unsent = "content-length: 99999999\r\n\r\n";
    let cases = [
        ("PATCH", "/v1/mcp/invoke", "text/plain", unsent, 405),
        ("POST", "/v1/mcp/invoke", "text/plain", unsent, 415),
        ("POST", "/v1/mcp/invoke", "application/json", unsent, 413),
        ("POST", "/v1/mcp/invoke", "application/json", "content-length: 1\r\n\r\n{", 400),
        (
            "POST",
            "/v1/mcp/invoke",
            "application/json",
            "content-length: 20\r\n\r\n{\"mcp_id\": \"nobody\"}",
            400,
        ),
        ("PATCH", "/api/servers/nobody", "text/plain", unsent, 405),
        ("PUT", "/api/servers/nobody", "text/plain", unsent, 415),
        ("PUT", "/api/servers/nobody", "application/json", unsent, 413),
        ("PUT", "/api/servers/nobody", "application/json", "content-length: 2\r\n\r\n{}", 400),
        ("PUT", "/api/servers/nobody", "application/json", "content-length: 11\r\n\r\n{\"args\":[]}", 404),
    ];
    for (method, path, kind, rest, status) in cases {
        let key = gateway.key();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: {kind}\r\n{rest}"
        );
        let (_, reply) = Wire::exchange(&gateway, head).await;
        check_shape(method, path, &reply);
        assert_eq!(reply.status, status, "{method} {path} {kind} {rest}: {}", reply.text());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_known_route_with_another_method_is_405_and_names_its_methods() {
    let gateway = serving("").await;
    let routes = [
        ("/v1/mcps", "GET HEAD"),
        ("/v1/mcps/fake", "GET HEAD"),
        ("/v1/mcps/nobody", "GET HEAD"),
        ("/v1/mcp/invoke", "POST"),
        ("/v1/mcp/resources", "POST"),
        ("/api/status", "GET HEAD"),
        ("/api/servers", "GET HEAD POST"),
        ("/api/servers/fake", "DELETE GET HEAD PUT"),
        ("/api/servers/nobody/tools", "GET HEAD"),
        ("/api/config/export", "POST"),
        ("/api/config/import", "POST"),
        ("/healthz", "GET HEAD"),
        ("/readyz", "GET HEAD"),
        ("/metrics", "GET HEAD"),
    ];
    for (path, methods) in routes {
        let known: BTreeSet<&str> = methods.split(' ').collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "SPAM"] {
            if known.contains(method) {
                continue;
            }
            let reply = ask(&gateway, method, path).send().await;
            assert_eq!(reply.status, 405, "{method} {path}: {}", reply.text());
            let allow = reply.headers["allow"].to_str().expect("ASCII");
            let allowed: BTreeSet<&str> = allow.split(',').map(str::trim).collect();
            assert_eq!(allowed, known, "{method} {path}");
            if path.starts_with("/v1") {
                assert_eq!(reply.json()["error"]["code"], "method_not_allowed");
            }
        }
        let reply = ask(&gateway, "OPTIONS", path).without_key().send().await;
        assert_eq!(reply.status, 204, "OPTIONS {path}");
        let allow = reply.headers["allow"].to_str().expect("ASCII");
        assert!(known.iter().chain(&["OPTIONS"]).all(|method| allow.contains(method)), "{path}: {allow}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn head_answers_as_get_does_without_a_body() {
    let gateway = serving("").await;
    for path in WITHOUT_BODY.into_iter().chain([
        "/v1/mcps/nobody",
        "/api/servers/nobody",
        "/v1/mcps?page=0",
        "/healthz",
        "/nowhere",
    ]) {
        let get = ask(&gateway, "GET", path).send().await;
        let head = ask(&gateway, "HEAD", path).send().await;
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.headers["content-type"], get.headers["content-type"], "{path}");
        assert_eq!(head.headers["content-length"], get.headers["content-length"], "{path}");
    }
    // Where there is no GET, there is no HEAD.
    assert_eq!(ask(&gateway, "HEAD", INVOKE).send().await.status, 405);
    gateway.stop().await;
}

#[tokio::test]
async fn a_get_or_delete_may_say_that_its_missing_body_is_json() {
    let gateway = serving("").await;
    for path in WITHOUT_BODY.into_iter().chain(["/healthz", "/readyz", "/metrics"]) {
        let reply = ask(&gateway, "GET", path).header("content-type", "application/json").send().await;
        assert_eq!(reply.status, 200, "{path}");
        let reply = ask(&gateway, "GET", path).json("{not json").send().await;
        assert_eq!(reply.status, 200, "{path}: a body that nobody asked for is not read");
    }
    let delete = ask(&gateway, "DELETE", "/api/servers/other").header("content-type", "application/json");
    delete.send().await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_is_named_by_its_client_or_by_the_gateway() {
    let gateway = serving("").await;
    let longest = "x".repeat(128);
    for path in ["/v1/mcps", "/api/status", "/healthz", "/v1/nowhere", "/api/servers/nobody"] {
        for id in ["1", "b7f1-{\"'!~}", longest.as_str()] {
            let reply = ask(&gateway, "GET", path).header("x-request-id", id).send().await;
            assert_eq!(reply.headers["x-request-id"], id, "{path}");
        }
        let too_long = "x".repeat(129);
        let mut made = BTreeSet::new();
        for id in ["", "a b", "ü", "a\tb", too_long.as_str()] {
            let reply = ask(&gateway, "GET", path).header("x-request-id", id).send().await;
            let given = reply.headers["x-request-id"].to_str().expect("ASCII").to_owned();
            assert_ne!(given, id, "{path}");
            assert!(made.insert(given), "each request has an id of its own");
        }
        let twice =
            ask(&gateway, "GET", path).header("x-request-id", "a").header("x-request-id", "b").send().await;
        let given = twice.headers["x-request-id"].to_str().expect("ASCII");
        assert!(given != "a" && given != "b", "of two names none is right");
    }
    gateway.stop().await;
}
