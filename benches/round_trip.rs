//! A call to a real child and back, without HTTP before it: the child's link, the table of calls,
//! two pipes and a process that echoes. What a call through the daemon costs more is the front's.
#![allow(clippy::expect_used, reason = "a bench that cannot run fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mcpvisor::process::{Host, HostSettings};
use mcpvisor::supervisor::{Admitted, Definition, ServerSpec, StartLimits, Supervisor};
use mcpvisor::upstream::{Call, Link, Outcome};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// For starting and for a single call; neither comes near it unless something is broken.
const DEADLINE: Duration = Duration::from_secs(30);

/// The supervisor with one scripted server.
async fn start() -> (Supervisor, Link) {
    let instance = format!("bench-{}", std::process::id());
    let host = Host::new(HostSettings {
        instance,
        base_env: Vec::new(),
        own_command: None,
        cgroups: false,
        sandboxes: std::env::temp_dir(),
        private: std::env::temp_dir().join("none"),
        alone: false,
    });
    let host = host.expect("a host for processes");
    let (supervisor, _) = Supervisor::start(host, StartLimits::default()).await.expect("a supervisor");
    let entry = json!({"command": env!("CARGO_BIN_EXE_fake-mcp"), "mcpvisor": {"era": "legacy"}});
    let entry = entry.as_object().expect("an object").clone();
    let definition = Arc::new(Definition::parse(entry).expect("a definition"));
    let id: Arc<str> = "fake".into();
    supervisor.apply(vec![ServerSpec {
        id: id.clone(),
        name: id.clone(),
        definition,
        is_of_api: false,
        remembered: None,
    }]);
    let handle = supervisor.directory().get(&id).expect("in the directory at once");
    let mut changes = handle.watch();
    let ready = tokio::time::timeout(DEADLINE, changes.wait_for(|_| handle.takes_calls())).await;
    ready.expect("ready in time").expect("still supervised");
    let Ok(Admitted::Now(permit)) = handle.admit(&id, Instant::now()) else { panic!("it takes calls") };
    (supervisor, permit.link().clone())
}

/// Makes `calls` calls, one after the other, and checks each answer.
async fn call(link: Link, calls: u64) {
    let members = Bytes::from_static(br#""name":"echo","arguments":{"nonce":"0123456789abcdef"}"#);
    for _ in 0..calls {
        let now = Instant::now();
        let call = Call { progress: true, ..Call::new("tools/call", members.clone()) };
        match link.call(call, Link::within(now + DEADLINE, now)).await {
            Outcome::Result(result) => {
                assert!(memchr::memmem::find(&result, b"0123456789abcdef").is_some(), "{result:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The time for `calls` calls, of which `in_flight` are under way at any time.
async fn timed(link: Link, calls: u64, in_flight: u64) -> Duration {
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..in_flight.min(calls) {
        let share = calls / in_flight + u64::from(caller < calls % in_flight);
        callers.spawn(call(link.clone(), share));
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("every call is answered");
    }
    started.elapsed()
}

fn round_trip(criterion: &mut Criterion) {
    // One thread, as the daemon has by default.
    let runtime: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (supervisor, link) = runtime.block_on(start());
    let mut group = criterion.benchmark_group("round_trip");
    group.throughput(Throughput::Elements(1));
    for in_flight in [1, 64] {
        group.bench_function(BenchmarkId::new("in_flight", in_flight), |bencher| {
            bencher.to_async(&runtime).iter_custom(|calls| timed(link.clone(), calls, in_flight));
        });
    }
    group.finish();
    runtime.block_on(supervisor.shutdown(Duration::ZERO));
}

criterion_group!(benches, round_trip);
criterion_main!(benches);
