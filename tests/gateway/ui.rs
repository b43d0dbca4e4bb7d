//! The dashboard's door: who signs in, what a cookie opens and what it does not, what ends it, and what the page is sent.

use std::io::Read;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::logs::Following;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::http::{Connection, Reply};

const CONFIG: &str = "[api]\nauth = \"required\"\n[organization]\nplan = \"unlimited\"\n\
    [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n\
    [[members]]\nid = \"user_viewer\"\nrole = \"viewer\"\n";

/// What a browser has of a sign-in.
struct Page {
    cookie: String,
    token: String,
}

impl Page {
    fn headers(&self) -> Vec<(&str, &str)> {
        vec![
            ("cookie", self.cookie.as_str()),
            ("x-csrf-token", self.token.as_str()),
            ("sec-fetch-site", "same-origin"),
        ]
    }
}

async fn send(
    gateway: &Gateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Reply {
    let mut connection = Connection::open(gateway.address(), &[]).await.expect("a connection");
    let mut all = headers.to_vec();
    if body.is_some() {
        all.push(("content-type", "application/json"));
    }
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    connection.send_bytes(method, path, &all, body).await.expect("an answer")
}

async fn sign_in(gateway: &Gateway, key: &str) -> Page {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("sec-fetch-site", "same-origin")];
    page_of(&send(gateway, "POST", "/ui/session", &headers, None).await)
}

fn page_of(reply: &Reply) -> Page {
    let token = reply.expect(200)["token"].as_str().expect("a token").to_owned();
    let set = reply.headers["set-cookie"].to_str().expect("text");
    Page { cookie: set.split(';').next().expect("a cookie").to_owned(), token }
}

/// Makes a key and returns its id and its text.
async fn new_key(gateway: &Gateway, body: Value) -> (String, String) {
    let made = gateway.post("/v1/api-keys", &body).await.expect(201)["data"].clone();
    let text = |member: &str| made[member].as_str().expect("text").to_owned();
    (text("id"), text("key"))
}

#[tokio::test]
async fn a_key_signs_in_and_the_page_then_asks_what_the_key_may() {
    let gateway = TestGateway::new().config_toml(CONFIG).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let page = sign_in(&gateway, gateway.key()).await;
    let who = send(&gateway, "GET", "/ui/session", &page.headers(), None).await.expect(200);
    assert_eq!((&who["member"]["role"], &who["may"]["define"]), (&json!("owner"), &json!(true)));
    assert!(who.get("token").is_none(), "the token is told once");
    let listed = send(&gateway, "GET", "/ui/api/v1/mcps?per_page=5", &page.headers(), None).await.expect(200);
    assert_eq!(listed["data"][0]["name"], "fake");
    let call = json!({"mcp_id": "fake", "tool": "echo", "arguments": {"text": "hi"}});
    let called =
        send(&gateway, "POST", "/ui/api/v1/mcp/invoke", &page.headers(), Some(call)).await.expect(200);
    assert_eq!(called["data"]["is_error"], false);
    // `/api` needs an administrator's key without limits here, and the page has one.
    let new = gateway.marked(json!({"name": "second", "command": env!("CARGO_BIN_EXE_fake-mcp")}));
    send(&gateway, "POST", "/ui/api/api/servers", &page.headers(), Some(new)).await.expect(200);
    send(&gateway, "DELETE", "/ui/api/api/servers/second", &page.headers(), None).await.expect(200);
    let lines = gateway.get("/v1/audit").await.expect(200)["data"].clone();
    let lines = lines.as_array().expect("lines");
    let of = |action: &str| lines.iter().find(|line| line["action"] == action).cloned().unwrap_or_default();
    assert_eq!(
        (&of("server.add")["target"], &of("server.add")["member_id"]),
        (&json!("second"), &json!("user_owner"))
    );
    assert_eq!(of("dashboard.sign_in")["outcome"], "done");
    gateway.stop().await;
}

#[tokio::test]
async fn a_cookie_opens_nothing_alone_nor_from_another_page_nor_elsewhere() {
    let gateway = TestGateway::new().config_toml(CONFIG).start().await;
    let page = sign_in(&gateway, gateway.key()).await;
    let (cookie, token) = (page.cookie.as_str(), page.token.as_str());
    let (with_cookie, with_token) = (("cookie", cookie), ("x-csrf-token", token));
    for (headers, status, code) in [
        (vec![], 401, "not_signed_in"),
        (vec![with_token], 401, "not_signed_in"),
        (vec![with_cookie], 403, "wrong_token"),
        (vec![with_cookie, ("x-csrf-token", "0")], 403, "wrong_token"),
        (vec![with_cookie, with_token, ("sec-fetch-site", "same-site")], 403, "foreign_page"),
        (vec![with_cookie, with_token, ("sec-fetch-site", "cross-site")], 403, "foreign_page"),
        (vec![with_cookie, with_token, ("origin", "http://localhost:3000")], 403, "foreign_page"),
    ] {
        for (method, path) in [
            ("GET", "/ui/session"),
            ("DELETE", "/ui/session"),
            ("GET", "/ui/events"),
            ("GET", "/ui/api/v1/mcps"),
            ("DELETE", "/ui/api/v1/api-keys/self"),
            ("POST", "/ui/api/api/servers"),
        ] {
            let reply = send(&gateway, method, path, &headers, None).await;
            let what = format!("{method} {path} {headers:?}: {}", reply.text());
            assert_eq!((reply.status, &reply.json()["code"]), (status, &json!(code)), "{what}");
        }
    }
    // The cookie is nothing to the other dialects, with the token or without.
    for path in ["/v1/mcps", "/api/servers", "/metrics"] {
        let reply =
            send(&gateway, "GET", path, &[with_cookie, with_token, ("x-forwarded-for", "203.0.113.5")], None)
                .await;
        assert_eq!(reply.status, 401, "{path}");
    }
    // Nor does another one stand for more than the two dialects.
    for path in ["/ui/api/metrics", "/ui/api/mcp", "/ui/api/ui/session", "/ui/api/v1", "/ui/api//v1/mcps"] {
        let reply = send(&gateway, "GET", path, &page.headers(), None).await;
        assert_eq!(reply.status, 404, "{path}");
    }
    // Whoever sends a key beside it is the page's all the same.
    let mut mixed = page.headers();
    mixed.push(("authorization", "Bearer pk_live_other"));
    send(&gateway, "GET", "/ui/api/v1/mcps", &mixed, None).await.expect(200);
    send(&gateway, "GET", "/ui/session", &page.headers(), None).await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_revoked_key_ends_the_sign_in_and_its_stream_at_once() {
    let gateway = TestGateway::new().config_toml(CONFIG).server("fake", fake(&[])).start().await;
    let (id, key) = new_key(&gateway, json!({"name": "page"})).await;
    let page = sign_in(&gateway, &key).await;
    let head: String = page.headers().iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET /ui/events HTTP/1.1\r\nhost: {}\r\n{head}\r\n", gateway.address());
    let mut stream = Following::of(gateway.raw_socket().await, request.as_bytes()).await;
    stream.until("\"name\":\"fake\"").await;
    gateway.delete(&format!("/v1/api-keys/{id}")).await.expect(200);
    stream.until("\"reason\":\"revoked\"").await;
    for path in ["/ui/session", "/ui/api/v1/mcps", "/ui/events"] {
        assert_eq!(send(&gateway, "GET", path, &page.headers(), None).await.status, 401, "{path}");
    }
    gateway.stop().await;
}

/// Opens a stream as the page does.
async fn follow(gateway: &Gateway, page: &Page, path: &str) -> Following {
    let head: String = page.headers().iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{head}\r\n", gateway.address());
    Following::of(gateway.raw_socket().await, request.as_bytes()).await
}

#[tokio::test]
async fn signing_out_ends_every_stream_of_that_sign_in_and_of_no_other() {
    let gateway = TestGateway::new().config_toml(CONFIG).server("fake", fake(&[])).start().await;
    let (page, other) = (sign_in(&gateway, gateway.key()).await, sign_in(&gateway, gateway.key()).await);
    let paths = [
        ("/ui/events?log=fake", "event: servers"),
        ("/ui/api/v1/mcps/fake/logs?follow=true", "text/event-stream"),
        ("/ui/api/v1/activity?follow=true", "text/event-stream"),
    ];
    let mut streams = Vec::new();
    for (path, sign) in paths {
        for page in [&page, &other] {
            let mut stream = follow(&gateway, page, path).await;
            stream.until(sign).await;
            streams.push((path, stream));
        }
    }
    let out = send(&gateway, "DELETE", "/ui/session", &page.headers(), None).await;
    assert_eq!(out.status, 204);
    assert!(out.headers["set-cookie"].to_str().expect("text").contains("Max-Age=0"));
    let mut others = Vec::new();
    for (n, (path, mut stream)) in streams.into_iter().enumerate() {
        match n % 2 {
            0 => drop(stream.until("\"reason\":\"signed_out\"").await.len()),
            _ => others.push((path, stream)),
        }
    }
    for path in ["/ui/session", "/ui/events", "/ui/api/v1/mcps"] {
        assert_eq!(send(&gateway, "GET", path, &page.headers(), None).await.status, 401, "{path}");
    }
    // Those of the other sign-in go on: they bring what happens from now on.
    let call = json!({"mcp_id": "fake", "tool": "echo", "arguments": {"text": "hi"}});
    send(&gateway, "POST", "/ui/api/v1/mcp/invoke", &other.headers(), Some(call)).await.expect(200);
    for (path, mut stream) in others {
        match path {
            "/ui/api/v1/activity?follow=true" => drop(stream.until("\"tool\":\"echo\"").await.len()),
            "/ui/events?log=fake" => drop(stream.until("\"calls\":1").await.len()),
            // Removing the server ends it for a reason of its own.
            _ => {
                gateway.delete("/api/servers/fake").await.expect(200);
                stream.until("\"reason\":\"removed\"").await;
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn settings_are_told_to_administrators_with_where_each_comes_from() {
    let config =
        format!("{CONFIG}[llm]\nbase_url = \"http://127.0.0.1:9/v1?key=s3cret\"\n[log]\nlevel = \"info\"\n");
    let gateway = TestGateway::new().config_toml(&config).start().await;
    let page = sign_in(&gateway, gateway.key()).await;
    let reply = send(&gateway, "GET", "/ui/api/v1/settings", &page.headers(), None).await;
    let settings = reply.expect(200)["data"].clone();
    let of = |name: &str| {
        let all = settings.as_array().expect("a list").iter();
        all.clone().find(|setting| setting["setting"] == name).expect(name).clone()
    };
    assert_eq!(of("api.auth")["value"], "\"required\"");
    assert!(of("api.auth")["origin"].as_str().expect("text").ends_with(".toml:2"), "{}", of("api.auth"));
    assert_eq!(
        (&of("http.body_limit")["value"], &of("http.body_limit")["origin"]),
        (&json!("\"1MiB\""), &json!("default"))
    );
    assert!(
        !reply.text().contains("s3cret") && reply.text().contains("[REDACTED]"),
        "{}",
        of("llm.base_url")
    );
    let (_, key) = new_key(&gateway, json!({"name": "eyes", "owner_id": "user_viewer"})).await;
    let eyes = sign_in(&gateway, &key).await;
    assert_eq!(send(&gateway, "GET", "/ui/api/v1/settings", &eyes.headers(), None).await.status, 403);
    gateway.stop().await;
}

#[tokio::test]
async fn a_viewer_sees_and_changes_nothing() {
    let gateway = TestGateway::new().config_toml(CONFIG).server("fake", fake(&[])).start().await;
    let (_, key) = new_key(&gateway, json!({"name": "eyes", "owner_id": "user_viewer"})).await;
    let page = sign_in(&gateway, &key).await;
    let who = send(&gateway, "GET", "/ui/session", &page.headers(), None).await.expect(200);
    assert_eq!(who["may"], json!({"call": false, "administer": false, "define": false}));
    send(&gateway, "GET", "/ui/api/v1/mcps/fake", &page.headers(), None).await.expect(200);
    for (method, path, body) in [
        ("POST", "/ui/api/v1/mcp/invoke", Some(json!({"mcp_id": "fake", "tool": "echo"}))),
        ("POST", "/ui/api/v1/mcps/fake/restart", None),
        ("GET", "/ui/api/v1/mcps/fake/logs", None),
        ("POST", "/ui/api/v1/api-keys", Some(json!({"name": "x"}))),
        ("GET", "/ui/api/v1/audit", None),
        ("POST", "/ui/api/api/servers", Some(json!({"name": "x", "command": "true"}))),
        ("DELETE", "/ui/api/api/servers/fake", None),
        ("GET", "/ui/events?log=fake", None),
    ] {
        let reply = send(&gateway, method, path, &page.headers(), body).await;
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_daemons_own_user_needs_no_key_where_the_api_needs_none() {
    let open = TestGateway::new().start().await;
    let own = [("sec-fetch-site", "same-origin")];
    let page = page_of(&send(&open, "POST", "/ui/session", &own, None).await);
    let who = send(&open, "GET", "/ui/session", &page.headers(), None).await.expect(200);
    assert_eq!(who["key"]["is_local"], true);
    send(&open, "GET", "/ui/api/v1/mcps", &page.headers(), None).await.expect(200);
    let (_, key) = {
        let made =
            send(&open, "POST", "/ui/api/v1/api-keys", &page.headers(), Some(json!({"name": "made"}))).await;
        let made = made.expect(201)["data"].clone();
        (made["id"].clone(), made["key"].as_str().expect("text").to_owned())
    };
    sign_in(&open, &key).await;
    // Not for another page, and not by a proxy that speaks for others.
    for (header, status) in
        [(("sec-fetch-site", "same-site"), 403), (("x-forwarded-for", "203.0.113.5"), 401)]
    {
        assert_eq!(send(&open, "POST", "/ui/session", &[header], None).await.status, status, "{header:?}");
    }
    open.stop().await;
    let closed = TestGateway::new().config_toml(CONFIG).start().await;
    assert_eq!(send(&closed, "POST", "/ui/session", &own, None).await.status, 401);
    closed.stop().await;
}

#[tokio::test]
async fn the_page_is_sent_packed_and_strict_and_is_right_below_any_prefix() {
    let gateway = TestGateway::new().start().await;
    let to = send(&gateway, "GET", "/ui", &[], None).await;
    assert_eq!((to.status, to.headers["location"].to_str().expect("text")), (308, "ui/"));
    let index = send(&gateway, "GET", "/ui/", &[("accept-encoding", "gzip, br")], None).await;
    assert_eq!(index.headers["content-encoding"], "gzip");
    let policy = index.headers["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    assert_eq!(index.headers["x-content-type-options"], "nosniff");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&index.body[..]).read_to_string(&mut text).expect("gzip");
    // Whatever the page names is beside it, so no prefix of a proxy needs to be known.
    let named: Vec<&str> = ["src=\"", "href=\""]
        .iter()
        .flat_map(|by| text.split(by).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(named.len() > 4, "{text}");
    for name in named {
        assert!(!name.contains('/') && !name.contains(':'), "{name}");
        let file = send(&gateway, "GET", &format!("/ui/{name}"), &[], None).await;
        assert_eq!(file.status, 200, "{name}");
        let etag = file.headers["etag"].to_str().expect("text");
        let again = send(&gateway, "GET", &format!("/ui/{name}"), &[("if-none-match", etag)], None).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{name}");
    }
    assert_eq!(send(&gateway, "GET", "/ui/", &[("accept-encoding", "identity")], None).await.status, 406);
    for missing in ["/ui/vendor.lock.json", "/ui/..%2fCargo.toml", "/ui/none.js", "/ui/a/b"] {
        assert_eq!(send(&gateway, "GET", missing, &[], None).await.status, 404, "{missing}");
    }
    // A cookie without a path is the folder's that the browser asked, whatever stands before it.
    let own = send(&gateway, "POST", "/ui/session", &[("sec-fetch-site", "same-origin")], None).await;
    let cookie = own.headers["set-cookie"].to_str().expect("text");
    assert!(!cookie.contains("Path") && !cookie.contains("Domain"), "{cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    gateway.stop().await;
}

#[test]
fn vendored_files_are_what_their_lock_says() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/ui/web/vendor");
    let lock = std::fs::read_to_string(folder.join("vendor.lock.json")).expect("the lock");
    let lock: Vec<Value> = serde_json::from_str(&lock).expect("JSON");
    let text = |entry: &Value, member: &str| entry[member].as_str().expect("text").to_owned();
    let mut known: Vec<String> = lock.iter().map(|entry| text(entry, "file")).collect();
    for entry in &lock {
        let bytes = std::fs::read(folder.join(text(entry, "file"))).expect("the file");
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hash,
            text(entry, "sha256"),
            "{entry}: take the file from the package as it is, or mend the lock"
        );
        assert!(["MIT", "Apache-2.0"].contains(&&*text(entry, "licence")), "{entry}");
        assert!(
            folder.join(format!("LICENSE-{}", text(entry, "name"))).is_file(),
            "{entry}: its licence is missing"
        );
    }
    let mut there: Vec<String> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".mjs") || name.ends_with(".js") || name.ends_with(".css"))
        .collect();
    known.sort();
    there.sort();
    assert_eq!(known, there, "each vendored file has its line in the lock");
}
