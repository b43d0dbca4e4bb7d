//! What a body may be: its type, its JSON, its depth and its size.

use serde_json::json;

use super::{Bystander, WITH_BODY, serving};
use crate::support::ask::{ask, check_shape};
use crate::support::gateway::INVOKE;
use crate::support::wire::Wire;

#[tokio::test]
async fn json_is_recognized_by_its_content_type_and_nothing_else_is() {
    let gateway = serving("").await;
    for (method, path, body) in WITH_BODY {
        for json in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\" ; x=y",
            "application/vnd.mcp+json",
            "application/ld+JSON; profile=x",
        ] {
            let reply = ask(&gateway, method, path).header("content-type", json).bytes(body).send().await;
            assert!([200, 201].contains(&reply.status), "{method} {path} {json}: {}", reply.text());
        }
        for other in [
            None,
            Some("text/plain"),
            Some("text/json"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=x"),
            Some("application/jsonp"),
            Some("application/+json"),
            Some("application"),
            Some(""),
        ] {
            let mut request = ask(&gateway, method, path).bytes(body);
            if let Some(other) = other {
                request = request.header("content-type", other);
            }
            let reply = request.send().await;
            assert_eq!(reply.status, 415, "{method} {path} {other:?}: {}", reply.text());
            if path.starts_with("/v1") {
                assert_eq!(reply.json()["error"]["code"], "invalid_request");
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_400_and_says_what_is_wrong() {
    let gateway = serving("").await;
    let before = gateway.get("/api/servers").await.expect(200);
    let bodies: [&[u8]; 21] = [
        b"",
        b"  \r\n ",
        b"{",
        b"}",
        b"{\"mcp_id\": }",
        b"{\"mcp_id\": \"fake\",}",
        b"{'mcp_id': 'fake'}",
        b"{} {}",
        b"{\"a\": NaN}",
        b"{\"a\": Infinity}",
        b"{\"a\": 01}",
        b"{\"a\": \"\n\"}",
        b"{\"a\": \"\xff\"}",
        b"{\"a\": \"\\ud800\"",
        b"mcp_id=fake",
        b"5",
        b"-0.5e3",
        b"\"text\"",
        b"true",
        b"[1]",
        b"[{\"mcp_id\": \"fake\", \"tool\": \"echo\"}]",
    ];
    for (method, path, _) in WITH_BODY {
        for body in bodies {
            let reply = ask(&gateway, method, path).json(body).send().await;
            let shown = String::from_utf8_lossy(body);
            assert_eq!(reply.status, 400, "{method} {path} {shown}: {}", reply.text());
            if path.starts_with("/v1") {
                assert_eq!(reply.json()["error"]["code"], "invalid_request", "{shown}");
            } else {
                assert_ne!(reply.json()["error"], "No data provided", "{shown}");
            }
        }
    }
    for path in [INVOKE, "/v1/mcp/resources"] {
        for nothing in ["null", "[]"] {
            ask(&gateway, "POST", path).json(nothing).send().await.expect(400);
        }
    }
    assert_eq!(gateway.get("/api/servers").await.expect(200), before);
    gateway.stop().await;
}

#[tokio::test]
async fn unknown_members_are_ignored_and_of_repeated_ones_the_last_counts() {
    let gateway = serving("").await;
    let call = r#"{"tool": 5, "x": [{"mcp_id": 1}], "mcp_id": "nobody", "tool": "echo", "arguments": [],
        "mcp_id": "fake", "arguments": {"nonce": 2}}"#;
    let answer = ask(&gateway, "POST", INVOKE).json(call).send().await.expect(200);
    assert_eq!(answer["data"]["result"]["nonce"], 2);
    let gone = r#"{"mcp_id": "fake", "tool": "echo", "tool": null}"#;
    ask(&gateway, "POST", INVOKE).json(gone).send().await.expect(400);
    let escaped = r#"{"mcp\u005fid": "fake", "too\u006c": "ech\u006f"}"#;
    ask(&gateway, "POST", INVOKE).json(escaped).send().await.expect(200);
    let server =
        r#"{"name": "a", "name": "b", "command": "/no/such/program", "args": ["1"], "args": ["2"], "x": {}}"#;
    ask(&gateway, "POST", "/api/servers").json(server).send().await.expect(200);
    let shown = ask(&gateway, "GET", "/api/servers/b").send().await.expect(200);
    assert_eq!(shown["args"], json!(["2"]));
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_nested_too_deep_is_400_and_disturbs_nobody() {
    let gateway = serving("").await;
    let bystander = Bystander::start(&gateway).await;
    let arrays = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let inside = |member: &str| format!(r#"{{"mcp_id": "fake", "tool": "echo", "{member}": {arrays}}}"#);
    let bodies = [
        arrays.clone(),
        objects,
        "[".repeat(100_000),
        inside("arguments"),
        inside("context"),
        inside("unknown"),
        inside("mcp_id"),
    ];
    for (method, path, _) in WITH_BODY {
        for body in &bodies {
            let reply = ask(&gateway, method, path).json(body.clone()).send().await;
            assert_eq!(reply.status, 400, "{method} {path}");
            assert!(reply.text().contains("nested"), "{}", reply.text());
        }
    }
    bystander.undisturbed(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_however_it_is_sent_and_disturbs_nobody() {
    let gateway = serving("").await;
    let bystander = Bystander::start(&gateway).await;
    let authorization = format!("Bearer {}", gateway.key());
    for (method, path, _) in WITH_BODY {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\ncontent-type: application/json\r\n"
        );
        let five_mib = 5 * 1024 * 1024;
        let mut whole = format!("{head}content-length: {five_mib}\r\n\r\n").into_bytes();
        whole.resize(whole.len() + five_mib, b' ');
        let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
        for _ in 0..5 {
            chunked.extend_from_slice(b"100000\r\n");
            chunked.resize(chunked.len() + 0x10_0000, b'[');
            chunked.extend_from_slice(b"\r\n");
        }
        chunked.extend_from_slice(b"0\r\n\r\n");
        let announced = format!("{head}content-length: {five_mib}\r\n\r\n").into_bytes();
        for request in [whole, chunked, announced] {
            let (mut wire, reply) = Wire::open(&gateway).await.send_much(request).await;
            check_shape(method, path, &reply);
            assert_eq!(reply.status, 413, "{method} {path}");
            assert_eq!(reply.headers["connection"], "close");
            if path.starts_with("/v1") {
                assert_eq!(reply.json()["error"]["code"], "payload_too_large");
            }
            wire.closed().await;
        }
    }
    bystander.undisturbed(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_at_the_configured_limit_is_taken_and_one_byte_more_is_not() {
    let gateway = serving("[http]\nbody_limit = 2000\n").await;
    let body = |length: usize| {
        let mut body = br#"{"mcp_id": "fake", "tool": "echo"}"#.to_vec();
        body.resize(length, b' ');
        body
    };
    ask(&gateway, "POST", INVOKE).json(body(2000)).send().await.expect(200);
    ask(&gateway, "POST", INVOKE).json(body(2001)).send().await.expect(413);
    gateway.stop().await;
}
