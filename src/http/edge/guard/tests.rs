//! Tests of the guard before routes of the tests' own.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    CONNECTION, CONTENT_LENGTH, VARY,
};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::*;
use crate::http::DIALECTS;
use crate::http::core::response_meta::Defect;
use crate::http::edge::cors::options;
use crate::http::edge::request_id::X_REQUEST_ID;

fn guard(bound_to_loopback: bool, debug: bool) -> Guard {
    async fn panics() -> Response {
        panic!("at the disco")
    }
    async fn fails() -> Response {
        let mut response = Response::new(Body::from("half an answer"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.extensions_mut().insert(Defect("the cause".into()));
        response
    }
    async fn local(request: axum::extract::Request) -> String {
        request
            .extensions()
            .get::<Arc<RequestContext>>()
            .is_some_and(|context| context.claims_nearness)
            .to_string()
    }
    let router = Router::new()
        .route("/ok", get(async || "ok").post(async || "made"))
        .route("/v1/panics", get(panics))
        .route("/api/fails", get(fails))
        .route("/api/local", get(local))
        .route("/local", get(local))
        .route("/v1/local", get(local))
        .method_not_allowed_fallback(async |method: Method| {
            if method == Method::OPTIONS { options() } else { Response::new(Body::from("wrong method")) }
        });
    let policy = Policy::new(bound_to_loopback, &[], &["https://gui.example".to_owned()]);
    Guard::new(policy, debug, DIALECTS, router, AuditHandle::to_nobody())
}

async fn ask(
    guard: &Guard,
    visit: PeerInfo,
    line: &str,
    headers: &[(&'static str, &str)],
) -> (Response, Value) {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let mut request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    let Ok(mut response) = guard.call(request, visit).await;
    let body =
        axum::body::to_bytes(std::mem::take(response.body_mut()), usize::MAX).await.expect("in memory");
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
    (response, body)
}

fn here() -> PeerInfo {
    PeerInfo::from(IpAddr::from([127, 0, 0, 1]))
}

const HOST: (&str, &str) = ("host", "localhost:5000");

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused_on_every_path() {
    let guard = guard(true, false);
    for path in ["/ok", "/v1/panics", "/api/fails", "/metrics", "/nowhere", "/v1/nowhere"] {
        let line = format!("GET {path}");
        for (headers, status) in [
            (vec![("host", "evil.example")], 403),
            (vec![HOST, ("origin", "http://evil.example")], 403),
            (vec![HOST, ("origin", "null")], 403),
            (vec![], 400),
            (vec![HOST, HOST], 400),
        ] {
            let (response, body) = ask(&guard, here(), &line, &headers).await;
            assert_eq!(response.status(), status, "{path} {headers:?}");
            assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
            assert!(response.headers().contains_key(X_REQUEST_ID));
            // No further request is read from a connection after an unreadable one.
            assert_eq!(response.headers().contains_key(CONNECTION), status == 400, "{path} {headers:?}");
            if path.starts_with("/v1") {
                let code = if status == 403 { "forbidden" } else { "invalid_request" };
                assert_eq!((&body["success"], &body["error"]["code"]), (&json!(false), &json!(code)));
            } else {
                assert!(body["error"].is_string(), "{path}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn ambiguous_framing_is_refused_and_the_connection_closed() {
    for line in ["POST /v1/x", "POST /api/x", "POST /x"] {
        let visit = PeerInfo { misframed: Some(Misframed::Ambiguous), ..here() };
        let (response, _) = ask(&guard(true, false), visit, line, &[HOST]).await;
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[CONNECTION], "close", "{line}");
    }
}

#[tokio::test]
async fn a_request_id_is_repeated_or_made() {
    let guard = guard(true, false);
    let long = "x".repeat(129);
    for (given, kept) in
        [("abc-1", true), ("with blank", false), ("", false), (&long, false), (&long[1..], true)]
    {
        let (response, _) = ask(&guard, here(), "GET /ok", &[HOST, ("x-request-id", given)]).await;
        let answered = response.headers()[X_REQUEST_ID].to_str().expect("visible").to_owned();
        assert_eq!(answered == given, kept, "{given:?} {answered:?}");
        assert!(kept || answered.starts_with("req_"));
    }
    let twice = [HOST, ("x-request-id", "a"), ("x-request-id", "a")];
    let (first, _) = ask(&guard, here(), "GET /ok", &twice).await;
    let (second, _) = ask(&guard, here(), "GET /ok", &twice).await;
    assert_ne!(first.headers()[X_REQUEST_ID], second.headers()[X_REQUEST_ID]);
}

#[tokio::test]
async fn a_panic_is_an_internal_error_of_its_request() {
    let (response, body) =
        ask(&guard(true, false), here(), "GET /v1/panics", &[HOST, ("x-request-id", "r1")]).await;
    assert_eq!(response.status(), 500);
    assert_eq!(body["error"]["code"], json!("internal_error"));
    assert_eq!(body["error"]["details"], json!({"request_id": "r1"}));
    assert!(!body.to_string().contains("disco"));
}

#[tokio::test]
async fn a_defect_is_worded_by_the_guard_with_its_cause_only_in_debug() {
    let headers = [HOST, ("x-request-id", "r1")];
    let (_, body) = ask(&guard(true, false), here(), "GET /api/fails", &headers).await;
    assert_eq!(body, json!({"error": "An unexpected error occurred", "request_id": "r1"}));
    let (_, body) = ask(&guard(true, true), here(), "GET /api/fails", &headers).await;
    assert_eq!(body["error"], json!("An unexpected error occurred: the cause"));
}

#[tokio::test]
async fn a_preflight_is_answered_for_known_paths_and_accepted_origins() {
    let guard = guard(true, false);
    let preflight = |origin: &'static str| {
        [
            HOST,
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type, authorization"),
        ]
    };
    for origin in ["http://localhost:3000", "https://gui.example"] {
        let (response, _) = ask(&guard, here(), "OPTIONS /ok", &preflight(origin)).await;
        let headers = response.headers();
        assert_eq!(response.status(), 204);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "GET, HEAD, POST, OPTIONS");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], "content-type, authorization");
        assert_eq!(headers[VARY], "Origin");
        assert!(!headers.contains_key(CONTENT_LENGTH));
    }
    let (response, _) = ask(&guard, here(), "OPTIONS /ok", &preflight("https://evil.example")).await;
    assert_eq!(response.status(), 403);
    let (response, _) = ask(&guard, here(), "OPTIONS /nowhere", &preflight("http://localhost:3000")).await;
    assert_eq!(response.status(), 404);
    let (response, _) = ask(&guard, here(), "OPTIONS /ok", &[HOST]).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()[ALLOW]),
        (204, &HeaderValue::from_static("GET, HEAD, POST, OPTIONS"))
    );
    assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS));
}

#[tokio::test]
async fn an_accepted_origin_may_read_the_answer() {
    let (response, body) =
        ask(&guard(true, false), here(), "GET /ok", &[HOST, ("origin", "http://127.0.0.1:8")]).await;
    assert_eq!(
        (response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN].to_str().ok(), body),
        (Some("http://127.0.0.1:8"), json!("ok"))
    );
    let (response, _) = ask(&guard(true, false), here(), "GET /ok", &[HOST]).await;
    assert!(!response.headers().contains_key(VARY));
}

#[tokio::test]
async fn only_an_unproxied_request_to_loopback_claims_to_be_near() {
    let listed = ("origin", "https://gui.example");
    for (bound, path, headers, claims) in [
        (true, "/api/local", vec![HOST], true),
        (true, "/api/local", vec![HOST, ("origin", "http://localhost:3000")], true),
        (true, "/api/local", vec![HOST, listed], false),
        (true, "/api/local", vec![HOST, ("x-forwarded-for", "127.0.0.1")], false),
        (true, "/api/local", vec![HOST, ("via", "1.1 edge")], false),
        (false, "/api/local", vec![("host", "10.0.0.5")], false),
        (true, "/local", vec![HOST], true),
        (true, "/v1/local", vec![HOST], false),
    ] {
        let (_, body) = ask(&guard(bound, false), here(), &format!("GET {path}"), &headers).await;
        assert_eq!(body, json!(claims), "{path} {headers:?}");
    }
}

/// A guard before routes that act, with the semaphore that they wait for and the record of their acts.
struct Acting {
    guard: Guard,
    audit: AuditHandle,
    /// Semaphore whose permits let an act go on.
    go: Arc<tokio::sync::Semaphore>,
    done: Arc<AtomicU64>,
    _directory: tempfile::TempDir,
}

impl Acting {
    fn new() -> Acting {
        type Visited = axum::Extension<Arc<RequestContext>>;
        let directory = tempfile::tempdir().expect("a directory");
        let audit = AuditHandle::below(directory.path());
        let (go, done) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::<AtomicU64>::default());
        let act = {
            let (go, done) = (go.clone(), done.clone());
            async move |axum::Extension(context): Visited| {
                context.audit_as("thing.change", "a thing");
                go.acquire().await.expect("open").forget();
                done.fetch_add(1, Ordering::Relaxed);
                "done"
            }
        };
        let look = {
            let go = go.clone();
            async move |axum::Extension(context): Visited| {
                context.looks("secrets.read", "secrets");
                go.acquire().await.expect("open").forget();
            }
        };
        async fn breaks(axum::Extension(context): Visited) {
            context.audit_as("thing.change", "a thing");
            panic!("in the middle of it")
        }
        let router = Router::new()
            .route("/act", axum::routing::post(act))
            .route("/breaks", axum::routing::post(breaks))
            .route("/unnamed", axum::routing::delete(async || "done"))
            .route("/look", get(look));
        let guard = Guard::new(Policy::new(true, &[], &[]), false, DIALECTS, router, audit.clone());
        Acting { guard, audit, go, done, _directory: directory }
    }

    /// Sends a request and drops it once it waits for the semaphore.
    async fn leave(&self, method: &str, path: &str) {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let mut answer = self.guard.call(request.body(Body::empty()).expect("a request"), here());
        let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut answer).poll(cx).is_ready())).await;
        assert!(!polled, "{path} was answered at once");
        // Lets the act go on as far as it does by itself.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    async fn told(&self) -> Vec<(Value, Value, Value)> {
        let lines = self.audit.lines().await;
        lines
            .iter()
            .map(|line| (line["action"].clone(), line["outcome"].clone(), line["status"].clone()))
            .collect()
    }
}

#[tokio::test]
async fn an_act_goes_on_and_is_recorded_when_its_caller_leaves() {
    let acting = Acting::new();
    acting.leave("POST", "/act").await;
    assert_eq!((acting.guard.acts.under_way(), acting.told().await), (1, Vec::new()));
    acting.go.add_permits(1);
    acting.guard.acts.settled().await;
    assert_eq!(acting.done.load(Ordering::Relaxed), 1);
    assert_eq!(acting.told().await, [(json!("thing.change"), json!("done"), json!(200))]);
}

#[tokio::test]
async fn what_is_no_act_is_given_up_with_its_caller_and_recorded_as_unknown() {
    let acting = Acting::new();
    acting.leave("GET", "/look").await;
    assert_eq!(acting.guard.acts.under_way(), 0);
    let lines = acting.audit.lines().await;
    assert_eq!(
        (lines.len(), &lines[0]["outcome"], &lines[0]["status"]),
        (1, &json!("unknown"), &Value::Null)
    );
    assert_eq!(lines[0]["details"], json!({"why": "the caller left"}));
}

#[tokio::test]
async fn an_act_that_breaks_in_the_middle_may_have_been_done() {
    let acting = Acting::new();
    let (response, _) = ask(&acting.guard, here(), "POST /breaks", &[HOST]).await;
    assert_eq!(response.status(), 500);
    assert_eq!(acting.told().await, [(json!("thing.change"), json!("unknown"), json!(500))]);
    assert_eq!(acting.guard.acts.under_way(), 0);
}

#[tokio::test]
async fn an_act_that_its_handler_has_not_named_is_recorded_all_the_same() {
    let acting = Acting::new();
    let (response, _) = ask(&acting.guard, here(), "DELETE /unnamed", &[HOST]).await;
    assert_eq!(response.status(), 200);
    let lines = acting.audit.lines().await;
    assert_eq!((&lines[0]["action"], &lines[0]["target"]), (&json!("request"), &json!("DELETE /unnamed")));
    // A request to a path without a route is no act.
    ask(&acting.guard, here(), "DELETE /nowhere", &[HOST]).await;
    assert_eq!(acting.audit.lines().await.len(), 1);
}

#[tokio::test]
async fn acts_whose_callers_have_left_are_bounded_and_the_next_is_told_so() {
    let acting = Acting::new();
    let mut left = 0;
    let refused = loop {
        let request =
            Request::post("/act").header("host", "localhost").body(Body::empty()).expect("a request");
        let mut answer = acting.guard.call(request, here());
        match std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut answer).poll(cx))).await {
            Poll::Ready(Ok(response)) => break response,
            Poll::Pending => left += 1,
        }
        assert!(left < 1_000, "somewhere there is an end");
    };
    assert_eq!((left, refused.status().as_u16()), (256, 503));
    assert_eq!(refused.headers()["retry-after"], "1");
    let (response, _) = ask(&acting.guard, here(), "GET /nowhere", &[HOST]).await;
    assert_eq!(response.status(), 404, "what is no act is answered");
    acting.go.add_permits(left + 1);
    acting.guard.acts.settled().await;
    assert_eq!(acting.done.load(Ordering::Relaxed), 256);
    let (response, _) = ask(&acting.guard, here(), "POST /act", &[HOST]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(acting.told().await.len(), 257);
}
