//! Tokens of remote servers, by a login and by client credentials, from an authorization server in this process that takes
//! each refresh token once (R60 to R65).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::edits::define;
use super::{FAR, cause, echo};
use crate::support::gateway::{Gateway, TestGateway};
use crate::support::scripted_http::{ScriptedHttp, Way};
use crate::support::{DEADLINE, wait_until};

/// A server of the modern era that wants tokens, and the authorization server that gives them out.
pub(crate) struct Guarded {
    state: Arc<Mutex<State>>,
    pub(crate) origin: String,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    origin: String,
    /// Number of the access token that is good.
    good: u64,
    /// Number of the refresh token that is good.
    refresh: u64,
    /// Every grant that was asked for: its type, and the code or token that came with it.
    grants: Vec<(String, String)>,
    registrations: usize,
    /// `true` to answer every grant with `invalid_grant`.
    refuses: bool,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Guarded {
    pub(crate) async fn start() -> Guarded {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let origin = format!("http://{}", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State { origin: origin.clone(), ..State::default() }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Guarded { state, origin, task }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn definition(&self, auth: Value) -> Value {
        json!({"url": format!("{}/mcp", self.origin), "mcpvisor": {"auth": auth}})
    }

    /// Every grant of this type that was asked for.
    fn grants(&self, kind: &str) -> Vec<String> {
        let of_it = |state: &mut State| {
            state.grants.iter().filter(|(known, _)| known == kind).map(|(_, with)| with.clone()).collect()
        };
        self.with(of_it)
    }
}

/// Answers one request, and closes the connection.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    let (head, body) = loop {
        let Ok(count @ 1..) = stream.read(&mut piece).await else { return };
        text.extend_from_slice(&piece[..count]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let (status, extra, answer) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        answer(&mut state, &head, &body)
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{extra}connection: close\r\n\r\n",
        answer.len()
    );
    let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn answer(state: &mut State, head: &str, body: &str) -> (u16, String, Value) {
    let origin = state.origin.clone();
    let path = head.split(' ').nth(1).unwrap_or_default();
    match path {
        "/.well-known/oauth-protected-resource/mcp" => (
            200,
            String::new(),
            json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin]}),
        ),
        "/.well-known/oauth-authorization-server" => (
            200,
            String::new(),
            json!({
                "issuer": origin, "token_endpoint": format!("{origin}/token"),
                "authorization_endpoint": format!("{origin}/authorize"),
                "registration_endpoint": format!("{origin}/register"),
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true,
            }),
        ),
        "/register" => {
            state.registrations += 1;
            (201, String::new(), json!({"client_id": "registered"}))
        }
        "/token" => granted(state, body),
        "/mcp" => {
            let authorization = format!("Bearer access-{}", state.good);
            let is_good = head.lines().any(|line| {
                line.split_once(": ").is_some_and(|(name, value)| {
                    name.eq_ignore_ascii_case("authorization") && value == authorization
                })
            });
            match is_good && state.good > 0 {
                true => (200, String::new(), said(&serde_json::from_str(body).unwrap_or_default())),
                false => {
                    let place = format!("{origin}/.well-known/oauth-protected-resource/mcp");
                    let challenge = format!("www-authenticate: Bearer resource_metadata=\"{place}\"\r\n");
                    (401, challenge, json!({"error": "invalid_token"}))
                }
            }
        }
        _ => (404, String::new(), json!({})),
    }
}

fn granted(state: &mut State, body: &str) -> (u16, String, Value) {
    let form: HashMap<&str, &str> = body.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let kind = form.get("grant_type").copied().unwrap_or_default().to_owned();
    let with = ["refresh_token", "code"].iter().find_map(|name| form.get(name)).copied().unwrap_or_default();
    state.grants.push((kind.clone(), with.to_owned()));
    let is_known = match kind.as_str() {
        "refresh_token" => with == format!("refresh-{}", state.refresh),
        "authorization_code" => form.contains_key("code_verifier") && form.contains_key("resource"),
        _ => true,
    };
    if state.refuses || !is_known {
        return (400, String::new(), json!({"error": "invalid_grant"}));
    }
    state.good += 1;
    let mut token =
        json!({"access_token": format!("access-{}", state.good), "token_type": "Bearer", "expires_in": 3600});
    if kind != "client_credentials" {
        state.refresh += 1;
        token["refresh_token"] = format!("refresh-{}", state.refresh).into();
    }
    (200, String::new(), token)
}

fn said(message: &Value) -> Value {
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete",
        }),
        "tools/list" => {
            json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}], "resultType": "complete"})
        }
        _ => {
            let text = message["params"]["arguments"].to_string();
            json!({"content": [{"type": "text", "text": text}], "structuredContent": message["params"]["arguments"], "resultType": "complete"})
        }
    };
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
}

/// Begins a login; returns the state that is in the address.
async fn begin(gateway: &Gateway) -> String {
    let told =
        gateway.post("/api/servers/far/login", &json!({"redirect_uri": "http://127.0.0.1:9/callback"})).await;
    let told = told.expect(200);
    let url = told["authorization_url"].as_str().expect("an address");
    assert!(url.contains("code_challenge_method=S256") && url.contains("client_id="), "{url}");
    told["state"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_login_outlives_a_restart_and_no_refresh_token_is_used_twice() {
    let server = Guarded::start().await;
    let definition = server.definition(json!({"type": "login"}));
    let mut gateway = TestGateway::new().server(FAR, definition).start().await;
    let seen = gateway.wait_state(FAR, "unauthorized").await;
    assert_eq!(cause(&seen), "wants a login: mcpvisor login far");
    let state = begin(&gateway).await;
    let back = json!({"state": state, "code": "c0de", "iss": server.origin});
    gateway.post("/api/servers/far/login/finish", &back).await.expect(200);
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    assert_eq!((server.grants("authorization_code").len(), server.with(|state| state.registrations)), (1, 1));
    // The server takes the token for nothing any more: one renewal for all calls that meet that.
    server.with(|state| state.good += 1);
    let calls = super::at_once(&gateway, "echo", 20).await.join_all().await;
    assert!(
        calls.iter().all(|reply| reply.status == 200),
        "{:?}",
        calls.iter().map(|one| one.status).collect::<Vec<_>>()
    );
    assert_eq!(server.grants("refresh_token"), ["refresh-1"]);
    assert!(gateway.terminate().await.success());
    gateway.restart().await;
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 2).await;
    assert_eq!(
        server.grants("refresh_token"),
        ["refresh-1", "refresh-2"],
        "each once, and the last one after the restart"
    );
    assert_eq!(server.with(|state| state.registrations), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_login_that_is_not_its_own_is_refused_and_one_that_is_over_is_asked_for() {
    let server = Guarded::start().await;
    let definition = server.definition(json!({"type": "login"}));
    let gateway = TestGateway::new().server(FAR, definition).start().await;
    gateway.wait_state(FAR, "unauthorized").await;
    let state = begin(&gateway).await;
    for (back, piece) in [
        (
            json!({"state": "another", "code": "c", "iss": server.origin}),
            "no login was begun with this state",
        ),
        (json!({"state": state, "code": "c", "iss": "https://evil.example"}), "another authorization server"),
        (json!({"state": state, "code": "c", "iss": server.origin}), "no login was begun with this state"),
    ] {
        let told = gateway.post("/api/servers/far/login/finish", &back).await.expect(409);
        assert!(told["error"].as_str().is_some_and(|text| text.contains(piece)), "{told}");
        assert_eq!(told["code"], "login_failed");
    }
    assert_eq!(server.grants("authorization_code"), Vec::<String>::new(), "no code was sent");
    let back = json!({"state": begin(&gateway).await, "code": "c", "iss": server.origin});
    gateway.post("/api/servers/far/login/finish", &back).await.expect(200);
    gateway.wait_state(FAR, "ready").await;
    server.with(|state| (state.good, state.refuses) = (state.good + 1, true));
    let told = gateway.v1_invoke(FAR, "echo", json!({})).await.expect(502);
    assert!(
        told["error"]["message"].as_str().is_some_and(|text| text.contains("mcpvisor login far")),
        "{told}"
    );
    assert_eq!(told["error"]["details"]["phase"], "not_sent");
    let seen = gateway.wait_state(FAR, "unauthorized").await;
    assert_eq!(seen["cause_code"], "login_required", "R12: {seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn client_credentials_are_exchanged_once_and_again_when_they_are_refused() {
    let server = Guarded::start().await;
    let auth = json!({"type": "client_credentials", "client_id": "gateway", "client_secret": "of the test"});
    let gateway = TestGateway::new().server(FAR, server.definition(auth)).start().await;
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    assert_eq!(server.grants("client_credentials").len(), 1);
    server.with(|state| state.good += 1);
    echo(&gateway, 2).await;
    assert_eq!(server.grants("client_credentials").len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_login_goes_to_no_other_server_when_the_entry_is_edited() {
    let (server, other) = (Guarded::start().await, ScriptedHttp::start(Way::Modern).await);
    let auth = json!({"type": "login"});
    let gateway = TestGateway::new().server(FAR, server.definition(auth.clone())).start().await;
    gateway.wait_state(FAR, "unauthorized").await;
    let back = json!({"state": begin(&gateway).await, "code": "c", "iss": server.origin});
    gateway.post("/api/servers/far/login/finish", &back).await.expect(200);
    gateway.wait_state(FAR, "ready").await;
    define(&gateway, json!({"url": other.url(), "mcpvisor": {"auth": auth}}));
    wait_until("calls go to the other one", DEADLINE, || async {
        echo(&gateway, 1).await;
        (!other.executed().is_empty()).then_some(())
    })
    .await;
    let told: Vec<_> =
        other.all().iter().filter_map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(told, Vec::<String>::new(), "what was granted at one is for that one");
    gateway.stop().await;
}
