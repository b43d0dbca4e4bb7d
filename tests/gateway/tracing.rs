//! Calls can be followed: as spans at a collector, in what their servers are told, and as lines of the log.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::{DEADLINE, wait_until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A collector that notes what it gets, and answers as it was told; then that all is well. What others make of the spans is
/// tried by `make traces`.
struct Collector {
    address: SocketAddr,
    noted: Arc<Noted>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Noted {
    answers: Mutex<Vec<u16>>,
    posts: Mutex<Vec<(HeaderMap, Bytes)>>,
}

impl Collector {
    async fn start(answers: &[u16]) -> Collector {
        let noted = Arc::new(Noted { answers: Mutex::new(answers.to_vec()), ..Noted::default() });
        let note = |State(noted): State<Arc<Noted>>, headers: HeaderMap, body: Bytes| async move {
            noted.posts.lock().unwrap().push((headers, body));
            let mut answers = noted.answers.lock().unwrap();
            let status = if answers.is_empty() { 200 } else { answers.remove(0) };
            (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")], "")
        };
        let router = Router::new().route("/v1/traces", axum::routing::post(note)).with_state(noted.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Collector { address, noted, task }
    }

    /// Settings of a daemon that sends its spans here.
    fn config(&self) -> String {
        format!("[telemetry.otlp]\nendpoint = \"http://{}\"\n", self.address)
    }

    fn posts(&self) -> Vec<(HeaderMap, Bytes)> {
        self.noted.posts.lock().unwrap().clone()
    }

    fn has(&self, wanted: &[u8]) -> bool {
        self.posts().iter().any(|(_, body)| memchr::memmem::find(body, wanted).is_some())
    }

    async fn wait_for(&self, wanted: &[u8]) {
        wait_until("the collector has the spans", DEADLINE, || async { self.has(wanted).then_some(()) })
            .await;
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn talker() -> TestGateway {
    TestGateway::new().server("talker", fake(&["--converse"]))
}

/// What the server is told of the trace of a call that is made with this `traceparent`.
async fn seen_with(gateway: &Gateway, traceparent: &str) -> Value {
    let call = json!({"mcp_id": "talker", "tool": "meta", "arguments": {}});
    let headers = [("traceparent", traceparent), ("tracestate", "a=1")];
    let mut connection = gateway.connect_with(&headers).await;
    let told = connection.send("POST", "/v1/mcp/invoke", Some(&call)).await.expect("an answer").expect(200);
    told["data"]["result"].clone()
}

async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.get("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test]
async fn a_call_and_its_server_are_on_the_trace_of_the_caller() {
    let collector = Collector::start(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    fs::write(&key, "Bearer not-to-be-shown\n").expect("written");
    let config = format!(
        "[log]\nlevel = \"debug\"\n{}headers = {{ authorization = \"${{file:{}}}\" }}\n",
        collector.config(),
        key.display()
    );
    let gateway = talker().config_toml(&config).start().await;
    gateway.wait_state("talker", "ready").await;
    let seen = seen_with(&gateway, &format!("00-{TRACE}-{SPAN}-01")).await;
    let parts: Vec<&str> = seen["traceparent"].as_str().expect("a trace").split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "01"), "{seen}");
    assert_ne!(parts[2], SPAN, "the server is called by the gateway");
    assert_eq!(seen["tracestate"], "a=1");
    let of_child = [&b"\x12\x08"[..], &bytes_of(parts[2])].concat();
    collector.wait_for(&of_child).await;
    for wanted in [&bytes_of(TRACE)[..], &bytes_of(SPAN), b"tools/call meta", b"mcpvisor.request_id"] {
        assert!(collector.has(wanted), "{wanted:?}");
    }
    let (headers, _) = collector.posts().remove(0);
    assert_eq!(
        (&headers["authorization"], &headers["content-type"]),
        (&"Bearer not-to-be-shown".parse().unwrap(), &"application/x-protobuf".parse().unwrap(),)
    );
    // A call that names no trace begins one.
    let new = gateway.call("talker", "meta", json!({})).await;
    assert!(new["traceparent"].as_str().is_some_and(|text| !text.contains(TRACE)), "{new}");
    assert!(!gateway.output().contains("not-to-be-shown"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_read_of_a_resource_is_on_the_trace_of_the_caller() {
    let collector = Collector::start(&[]).await;
    let gateway = talker().config_toml(&collector.config()).start().await;
    gateway.wait_state("talker", "ready").await;
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let mut connection = gateway.connect_with(&[("traceparent", &parent)]).await;
    let read = json!({"mcp_id": "talker", "uri": "fake://one"});
    connection.send("POST", "/v1/mcp/resources", Some(&read)).await.expect("an answer").expect(200);
    collector.wait_for(b"resources/read").await;
    assert!(collector.has(&bytes_of(TRACE)), "the caller's trace goes on");
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_that_samples_not_is_not_traced_and_its_trace_goes_on() {
    let collector = Collector::start(&[]).await;
    let mut gateway = talker().config_toml(&collector.config()).start().await;
    gateway.wait_state("talker", "ready").await;
    let unsampled = format!("00-{TRACE}-{SPAN}-00");
    assert_eq!(seen_with(&gateway, &unsampled).await["traceparent"], unsampled.as_str());
    // What is not sent by now is sent by the stop.
    gateway.call("talker", "meta", json!({})).await;
    gateway.terminate().await;
    assert!(collector.has(b"tools/call meta") && !collector.has(&bytes_of(TRACE)));
    gateway.stop().await;
}

#[tokio::test]
async fn spans_come_again_to_a_busy_collector_and_are_counted_if_refused() {
    let collector = Collector::start(&[503, 429, 200, 400]).await;
    let gateway = talker().config_toml(&collector.config()).start().await;
    gateway.wait_state("talker", "ready").await;
    gateway.call("talker", "meta", json!({})).await;
    wait_until("they were taken", DEADLINE, || async {
        (metric(&gateway, "mcpvisor_spans_exported_total ").await == 2).then_some(())
    })
    .await;
    assert_eq!(metric(&gateway, "mcpvisor_spans_dropped_total ").await, 0);
    let posts = collector.posts();
    assert!(posts.len() == 3 && posts.iter().all(|(_, body)| *body == posts[0].1), "the same thrice");
    gateway.v1_invoke("talker", "no such tool", json!({})).await.expect(404);
    wait_until("they were dropped", DEADLINE, || async {
        (metric(&gateway, "mcpvisor_spans_dropped_total ").await == 1).then_some(())
    })
    .await;
    assert_eq!(collector.posts().len(), 4, "what is refused for good is not sent again");
    assert!(gateway.output().contains("it answers 400"), "{}", gateway.output());
    gateway.stop().await;
}

#[tokio::test]
async fn a_collector_that_is_silent_delays_neither_calls_nor_the_stop() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let config = format!("[telemetry.otlp]\nendpoint = \"http://{}\"\n", silent.local_addr().expect("bound"));
    let mut gateway = talker().config_toml(&config).start().await;
    gateway.wait_state("talker", "ready").await;
    gateway.call("talker", "meta", json!({})).await;
    let (stream, _) = silent.accept().await.expect("the exporter has come");
    gateway.call("talker", "meta", json!({})).await;
    let asked = Instant::now();
    assert!(gateway.terminate().await.success());
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
    drop(stream);
    gateway.stop().await;
}

/// The lines about calls in a log of JSON.
fn lines_of_calls(gateway: &Gateway) -> Vec<Value> {
    let output = gateway.output();
    let written = output.lines().filter_map(|line| line.strip_prefix("err: "));
    let lines = written.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "mcpvisor::calls").collect()
}

#[tokio::test]
async fn calls_have_lines_on_demand_without_what_they_carry() {
    let collector = Collector::start(&[]).await;
    let config = format!("[log]\nformat = \"json\"\ncalls = true\n{}", collector.config());
    let gateway = talker().config_toml(&config).start().await;
    gateway.wait_state("talker", "ready").await;
    gateway.call("talker", "meta", json!({"secret": "sesame"})).await;
    gateway.v1_invoke("talker", "no such tool", json!({})).await.expect(404);
    let lines = wait_until("both lines are there", DEADLINE, || async {
        let lines = lines_of_calls(&gateway);
        (lines.len() == 2).then_some(lines)
    })
    .await;
    let (good, bad) = (&lines[0], &lines[1]);
    for (name, wanted) in
        [("outcome", "ok"), ("tool", "meta"), ("server", "talker"), ("dialect", "plexmcp"), ("level", "info")]
    {
        assert_eq!(good[name], wanted, "{good}");
    }
    assert!(good["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{good}");
    assert!(good["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{good}");
    assert!(good["key"].as_str().is_some_and(|id| !id.is_empty()), "{good}");
    assert_eq!(good["trace_id"].as_str().map(str::len), Some(32), "{good}");
    collector.wait_for(&bytes_of(good["trace_id"].as_str().unwrap())).await;
    assert_eq!((&bad["outcome"], &bad["tool"]), (&json!("tool_not_found"), &json!("no such tool")));
    assert!(!gateway.output().contains("sesame"));
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_logged_changes_on_sighup() {
    let gateway = talker().config_toml("[log]\nformat = \"json\"\nlevel = \"warn\"\n").start().await;
    gateway.wait_state("talker", "ready").await;
    gateway.call("talker", "meta", json!({})).await;
    assert!(lines_of_calls(&gateway).is_empty());
    let file = gateway.data().parent().expect("the test's directory").join("mcpvisor.toml");
    let text = fs::read_to_string(&file).expect("it is there");
    let new = text.replace("level = \"warn\"", "level = \"info\"\ncalls = true");
    fs::write(&file, new).expect("written");
    gateway.signal(Signal::SIGHUP);
    wait_until("calls have lines", DEADLINE, || async {
        gateway.call("talker", "meta", json!({})).await;
        (!lines_of_calls(&gateway).is_empty()).then_some(())
    })
    .await;
    assert!(gateway.output().contains("applied the settings of the log"));
    fs::write(&file, text).expect("written");
    gateway.signal(Signal::SIGHUP);
    wait_until("calls have no lines any more", DEADLINE, || async {
        let before = lines_of_calls(&gateway).len();
        gateway.call("talker", "meta", json!({})).await;
        (lines_of_calls(&gateway).len() == before).then_some(())
    })
    .await;
    gateway.stop().await;
}
