//! The guard before routes of the tests' own.

use axum::routing::get;
use serde_json::{Value, json};

use super::*;

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
        request.extensions().get::<Arc<Visitor>>().is_some_and(|visitor| visitor.is_local).to_string()
    }
    let router = Router::new()
        .route("/ok", get(async || "ok").post(async || "made"))
        .route("/v1/panics", get(panics))
        .route("/api/fails", get(fails))
        .route("/api/local", get(local))
        .route("/local", get(local))
        .method_not_allowed_fallback(async |method: Method| {
            if method == Method::OPTIONS { options() } else { Response::new(Body::from("wrong method")) }
        });
    let policy = Policy::new(bound_to_loopback, &[], &["https://gui.example".to_owned()]);
    Guard::new(policy, debug, router, AuditHandle::to_nobody())
}

async fn ask(guard: &Guard, visit: Visit, line: &str, headers: &[(&'static str, &str)]) -> (Response, Value) {
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

fn here() -> Visit {
    Visit::from(IpAddr::from([127, 0, 0, 1]))
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
            // What cannot be read is not to be read on.
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
        let visit = Visit { misframed: Some(Misframed::Ambiguous), ..here() };
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
async fn only_an_unproxied_loopback_request_is_local() {
    let there = || Visit::from(IpAddr::from([10, 0, 0, 9]));
    let listed = ("origin", "https://gui.example");
    for (bound, visit, path, headers, local) in [
        (true, here(), "/api/local", vec![HOST], true),
        (true, here(), "/api/local", vec![HOST, ("origin", "http://localhost:3000")], true),
        (true, here(), "/api/local", vec![HOST, listed], false),
        (true, here(), "/api/local", vec![HOST, ("x-forwarded-for", "10.0.0.1")], false),
        (true, there(), "/api/local", vec![HOST], false),
        (false, here(), "/api/local", vec![("host", "10.0.0.5")], false),
        (true, here(), "/local", vec![HOST], false),
    ] {
        let (_, body) = ask(&guard(bound, false), visit, &format!("GET {path}"), &headers).await;
        assert_eq!(body, json!(local), "{path} {headers:?}");
    }
}
