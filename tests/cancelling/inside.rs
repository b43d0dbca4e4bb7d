//! The gateway in this process, with one server that runs, one that does not, and a model.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use mcpvisor::access::{KeyRing, Plan, Tenancy};
use mcpvisor::audit::{self, AuditQuery, AuditSettings};
use mcpvisor::doctor::{Doctor, StartEnvironment};
use mcpvisor::gateway::{
    Error, Gateway, GatewaySettings, Group, Groups, Naming, Parts, PreparedCall, Principal, State as Running,
    ToolCall, ToolReply, UnreadLimits,
};
use mcpvisor::http::{self, Guard, PeerInfo};
use mcpvisor::pins::PinBook;
use mcpvisor::process::{Host, HostSettings};
use mcpvisor::query::{Agent, LlmSettings};
use mcpvisor::registry::{Registry, Settings};
use mcpvisor::secrets::SecretBook;
use mcpvisor::store::{DataDir, DurableStore};
use mcpvisor::supervisor::{StartLimits, Supervisor};
use mcpvisor::telemetry::metrics::Metrics;
use mcpvisor::usage::{Accounting, Retention};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::model;
use crate::polled::Pieces;
use crate::routes::Asked;

/// Long enough for anything that is going to happen at all, on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How many logs a key may follow.
const STREAMS: usize = 8;

pub(crate) struct Inside {
    pub(crate) guard: Guard,
    pub(crate) gateway: Gateway,
    pub(crate) data: TempDir,
    key: String,
    caller: Principal,
    host: Host,
    model: JoinHandle<()>,
}

/// What is in force: servers, keys, approvals and written files, each as a text.
#[derive(Debug, PartialEq)]
pub(crate) struct State(BTreeMap<String, String>);

impl State {
    pub(crate) fn differences(before: &State, after: &State) -> Vec<String> {
        let names: BTreeSet<&String> = before.0.keys().chain(after.0.keys()).collect();
        let differ = names.into_iter().filter(|name| before.0.get(*name) != after.0.get(*name));
        differ.map(|name| format!("{name}: {:?} → {:?}", before.0.get(name), after.0.get(name))).collect()
    }
}

pub(crate) async fn wait_until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

/// A group that has the only server.
fn one_group() -> Groups {
    let some = Group { servers: vec!["fake".into()], ..Group::new("some", Naming::default()) };
    let mut groups = Groups::default();
    groups.by_name.insert("some".into(), Arc::new(some));
    groups
}

impl Inside {
    pub(crate) async fn start() -> Inside {
        let data = TempDir::new().expect("a directory");
        let dir = DataDir::open(data.path()).expect("a data directory");
        let durable = DurableStore::open(&dir, |_| Ok(())).expect("a store");
        let store = durable.store().clone();
        let mut tenancy = Tenancy::default();
        tenancy.organization.plan = Plan::built_in()["unlimited"].clone();
        let (keys, pins) = (KeyRing::new(tenancy), PinBook::default());
        let settings = Settings {
            data_dir: data.path().to_owned(),
            config_root: Some(data.path().to_owned()),
            allowed: Default::default(),
        };
        let registry = Registry::open(durable, settings, &keys, &pins).expect("a registry");
        let settings = HostSettings {
            instance: registry.instance_id().to_string(),
            base_env: Vec::new(),
            own_command: None,
            cgroups: false,
            sandboxes: data.path().join("servers"),
            private: data.path().to_owned(),
            alone: false,
        };
        let doctor = Doctor::new(StartEnvironment { host: settings.clone(), variable: |_| None });
        let host = Host::new(settings).expect("a host");
        let (supervisor, _) =
            Supervisor::start(host.clone(), StartLimits::default()).await.expect("a supervisor");
        let metrics = Metrics::new("test", &Running::NAMES, || None).expect("metrics");
        let limits = GatewaySettings {
            call_timeout: DEADLINE,
            max_call_timeout: DEADLINE,
            // One that is not given back is noticed by the next call.
            calls_per_key: 1,
            unread: UnreadLimits::default(),
        };
        let backups = Some(data.path().to_owned());
        let accounting =
            Accounting::open(store, keys.clone(), Retention::default(), backups).await.expect("usage");
        let calls = AuditSettings { calls: true, ..AuditSettings::default() };
        let audit = audit::open(data.path(), calls).expect("an audit");
        let secrets = SecretBook::open(data.path());
        let groups = one_group();
        let parts = Parts {
            registry,
            doctor,
            applied: Vec::new(),
            groups,
            pins,
            keys,
            secrets,
            accounting,
            audit,
            supervisor,
            metrics,
            tracer: None,
        };
        let gateway = Gateway::start(parts, limits).expect("a gateway");
        let (url, model) = model::start().await;
        // The same of places for questions.
        let llm = LlmSettings { base_url: Some(url), max_queries: 1, ..LlmSettings::default() };
        let address = "127.0.0.1:5000".parse().expect("an address");
        let guard = http::service(http::Settings::default(), gateway.clone(), Agent::new(llm), address);
        let key = std::fs::read_to_string(data.path().join("owner.key")).expect("a key").trim().to_owned();
        let caller = gateway.authenticate(&key, SystemTime::now()).expect("the owner");
        let inside = Inside { guard, gateway, data, key, caller, host, model };
        inside
            .add(
                "fake",
                json!({"command": env!("CARGO_BIN_EXE_fake-mcp"), "args": [], "mcpvisor": {"pin": "warn"}}),
            )
            .await;
        inside.add("still", json!({"command": "/no/such/program"})).await;
        wait_until("the server is ready and its tools are pinned", async || {
            let server = inside.gateway.server(&inside.caller, "fake").ok()?;
            let pins = inside.gateway.pins(&inside.caller, "fake").ok()?;
            let are_pinned =
                !pins.tools.is_empty() && pins.tools.iter().all(|tool| tool.approved_digest.is_some());
            (server.status.state == Running::Ready && are_pinned).then_some(())
        })
        .await;
        inside
    }

    pub(crate) fn caller(&self) -> &Principal {
        &self.caller
    }

    /// A request comes from this machine.
    pub(crate) fn visit(&self) -> PeerInfo {
        PeerInfo::from(IpAddr::from([127, 0, 0, 1]))
    }

    /// The request, and what to tell when its connection is gone.
    pub(crate) fn request(&self, method: &str, asked: &Asked) -> (Request<Pieces>, Arc<AtomicBool>) {
        let gone = Arc::<AtomicBool>::default();
        let text = asked.body.as_ref().map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(&asked.path)
            .header("host", "localhost:5000")
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .header("x-request-id", &asked.request_id);
        let request =
            asked.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        (request.body(Pieces::of(&text, gone.clone())).expect("a request"), gone)
    }

    /// Asks and waits for the whole answer.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> axum::response::Response {
        let asked = Asked { body, ..Asked::of(path) };
        let (request, _) = self.request(method, &asked);
        let Ok(response) = self.guard.call(request.map(Body::new), self.visit()).await;
        response
    }

    pub(crate) async fn add(&self, name: &str, definition: Value) {
        self.gateway.add_server(&self.caller, name, object(definition)).await.expect("added");
    }

    pub(crate) async fn state(&self) -> State {
        let mut state = BTreeMap::new();
        for server in self.gateway.all_servers() {
            let definition = Value::Object(server.definition.raw().clone()).to_string();
            state.insert(format!("server {}", server.name), definition);
        }
        for key in self.gateway.keys(&self.caller).await.expect("keys") {
            state.insert(format!("key {}", key.record.id), format!("{:?}", key.record));
        }
        for seen in self.gateway.members(&self.caller) {
            state.insert(format!("member {}", seen.member.id), format!("{:?}", seen.member));
        }
        for seen in self.gateway.plans(&self.caller) {
            state.insert(format!("plan {}", seen.plan.name), format!("{:?}", seen.plan));
        }
        let pins = self.gateway.pins(&self.caller, "fake").expect("pins");
        let approved: Vec<_> =
            pins.tools.iter().map(|tool| (tool.approved_at_ms, &tool.approved_by)).collect();
        state.insert("pins".to_owned(), format!("{approved:?}"));
        for file in std::fs::read_dir(self.data.path()).expect("there").flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(".json") {
                let modified = file.metadata().and_then(|metadata| metadata.modified());
                state.insert(format!("file {name}"), format!("{modified:?}"));
            }
        }
        State(state)
    }

    /// Waits until nothing is under way any more that somebody has begun.
    pub(crate) async fn settled(&self) {
        tokio::time::timeout(DEADLINE, self.gateway.acts().settled()).await.expect("acts come to their end");
        // The registry does one after the other: this comes after whatever was asked before.
        self.gateway.import_config(&self.caller, "none").await.expect_err("there is no such file");
    }

    /// What the audit has of a request.
    pub(crate) async fn lines_of(&self, request_id: &str) -> Vec<Value> {
        let page = self.gateway.audit_page(&self.caller, AuditQuery::default(), 0, 20).await;
        let lines = page.expect("readable").1;
        let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter(|line| line["request_id"] == request_id).collect()
    }

    /// Waits until no call is under way, whoever began it.
    pub(crate) async fn is_quiet(&self, what: &str) {
        wait_until(&format!("no call is in flight after {what}"), async || {
            let server = self.gateway.server(&self.caller, "fake").ok()?;
            (server.in_flight == 0 && server.queued == 0).then_some(())
        })
        .await;
    }

    /// Nobody holds a place any more: the key's one call can be made, and the one question asked.
    pub(crate) async fn holds_nothing(&self, what: &str) {
        self.is_quiet(what).await;
        self.call("echo", what).await;
        // A question that nobody can answer, but that would be refused before if there were no place.
        let question = json!({"server": "none", "query": "Are you there?"});
        let status = self.ask("POST", "/api/query", Some(question)).await.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{what}: a question's place");
        assert_eq!(self.gateway.acts().under_way(), 0, "{what}");
    }

    /// How many calls the server has carried out so far, this look included.
    pub(crate) async fn executed(&self) -> u64 {
        let told = self.call("stats", "a look at the server").await;
        let told: Value = serde_json::from_slice(&told.structured.expect("a structure")).expect("JSON");
        told["executions"].as_u64().expect("a number")
    }

    /// Calls a tool of the server that runs. A call of a session goes on when its client has left, and holds the key's
    /// one place until it is over.
    pub(crate) async fn call(&self, tool: &str, what: &str) -> ToolReply {
        let (server, tool) = ("fake".into(), tool.into());
        let call = ToolCall { server, tool, arguments: None, meta: bytes::Bytes::new(), timeout: None };
        wait_until(&format!("the key's place is free after {what}"), async || {
            match self.gateway.call_tool(&call, &mut PreparedCall::of(&call), &self.caller).await {
                Err(Error::TooManyCalls { .. }) => None,
                called => Some(called.unwrap_or_else(|error| panic!("{what}: {error}"))),
            }
        })
        .await
    }

    /// All logs that may be followed can be.
    async fn streams_are_free(&self) {
        wait_until("every stream is free", async || {
            let mut open = Vec::new();
            for _ in 0..STREAMS {
                let response = self.ask("GET", "/v1/mcps/fake/logs?follow=true", None).await;
                if response.status() != StatusCode::OK {
                    return None;
                }
                open.push(response);
            }
            Some(())
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        self.streams_are_free().await;
        self.gateway.stop(Duration::from_secs(5)).await.expect("a clean stop");
        self.host.kill_strays();
        self.model.abort();
    }
}
