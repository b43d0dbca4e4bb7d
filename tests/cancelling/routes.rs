//! What is asked on each route, so that it does something.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use mcpvisor::gateway::{KeyRequest, MemberRequest, PlanRecord, Role};
use mcpvisor::http::Route;
use serde_json::{Value, json};

use crate::inside::{Inside, wait_until};

/// Acts that change nothing that is kept: a restart, which is looked at by [`restarted`], a stop and a start, by
/// [`stopped`], and a backup, which goes to its caller.
pub(crate) const UNSEEN: [&str; 4] = ["server.restart", "server.stop", "server.start", "backup.make"];
/// Target of an export that goes to its caller; one to a file is seen there.
pub(crate) const UNSEEN_EXPORT: &str = "/v1/export";

type Later<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
type Prepare = Box<dyn for<'a> Fn(&'a Inside) -> Later<'a, Asked>>;
type Done = Box<dyn for<'a> FnOnce(&'a Inside, &'a [Value]) -> Later<'a, ()>>;

/// What is asked.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    pub(crate) request_id: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Whether an answer means that there was a call, which is recorded.
    pub(crate) is_call: bool,
    /// What is looked at, or tidied up, afterwards.
    pub(crate) done: Option<Done>,
}

impl Asked {
    pub(crate) fn of(path: impl Into<String>) -> Asked {
        let request_id = format!("cancelled-{}", number());
        Asked { path: path.into(), body: None, request_id, headers: Vec::new(), is_call: true, done: None }
    }

    fn with(self, body: Value) -> Asked {
        Asked { body: Some(body), ..self }
    }

    fn then(self, done: impl for<'a> FnOnce(&'a Inside, &'a [Value]) -> Later<'a, ()> + 'static) -> Asked {
        Asked { done: Some(Box::new(done)), ..self }
    }
}

/// A way to ask for a route.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) prepare: Prepare,
}

fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn case(name: &'static str, prepare: impl for<'a> Fn(&'a Inside) -> Later<'a, Asked> + 'static) -> Case {
    Case { name, prepare: Box::new(prepare) }
}

/// One that needs nothing but a path and a body.
fn plain(path: &str, body: Option<Value>) -> Case {
    let path = path.to_owned();
    case("", move |_| {
        let asked = Asked { body: body.clone(), ..Asked::of(path.clone()) };
        Box::pin(async move { asked })
    })
}

/// The ways to ask for a route.
pub(crate) fn cases(route: &Route) -> Vec<Case> {
    let with = |body: Value| vec![plain(route.path, Some(body))];
    match (route.method, route.path) {
        ("POST", "/v1/mcp/invoke") => {
            with(json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": 5}}))
        }
        ("POST", "/v1/mcp/resources") => with(json!({"mcp_id": "fake", "uri": "fake://one"})),
        ("POST", "/api/query") => [false, true]
            .map(|stream| {
                plain(route.path, Some(json!({"server": "fake", "query": "What is x?", "stream": stream})))
            })
            .into(),
        ("POST", "/v1/api-keys") => with(json!({"name": "made", "permissions": {"mcps": ["fake"]}})),
        ("PATCH" | "DELETE", "/v1/api-keys/{id}") => vec![case("", |inside| change_of_key(inside, ""))],
        ("POST", "/v1/api-keys/{id}/rotate") => vec![case("", |inside| change_of_key(inside, "/rotate"))],
        ("POST", "/v1/organization/members") => vec![case("", |_| {
            Box::pin(async {
                let name = format!("member {}", number());
                Asked::of("/v1/organization/members").with(json!({"name": name})).then(without_members)
            })
        })],
        ("PATCH" | "DELETE", "/v1/organization/members/{id}") => vec![case("", change_of_member)],
        ("PUT", "/v1/organization/plans/{name}") => vec![case("", |_| {
            Box::pin(async {
                let limits = json!({"monthly_requests": number()});
                Asked::of("/v1/organization/plans/small").with(limits)
            })
        })],
        ("DELETE", "/v1/organization/plans/{name}") => vec![case("", |inside| {
            Box::pin(async {
                inside.gateway.put_plan(inside.caller(), plan("gone")).await.expect("a plan");
                Asked::of("/v1/organization/plans/gone")
            })
        })],
        ("PUT", "/v1/members/{id}/secrets/{name}") => vec![case("", put_secret)],
        ("DELETE", "/v1/members/{id}/secrets/{name}") => vec![case("", remove_secret)],
        ("POST", "/v1/mcps/{id}/restart") => vec![case("", restart)],
        ("POST", "/v1/mcps/{id}/stop") => vec![case("", |inside| stopped(inside, true))],
        ("POST", "/v1/mcps/{id}/start") => vec![case("", |inside| stopped(inside, false))],
        ("POST", "/v1/mcps/{id}/enable") => vec![case("", |inside| switched(inside, true))],
        ("POST", "/v1/mcps/{id}/disable") => vec![case("", |inside| switched(inside, false))],
        // Whoever signs in calls nothing.
        (_, "/ui/session") => {
            let body = (route.method == "POST").then(|| json!({}));
            vec![case("", move |_| {
                let asked = Asked { body: body.clone(), is_call: false, ..Asked::of("/ui/session") };
                Box::pin(async move { asked })
            })]
        }
        ("POST", "/v1/mcps/{id}/pins/approve") => vec![case("", approve)],
        ("POST", "/api/servers") => vec![case("", add)],
        ("PUT", "/api/servers/{name}") => vec![case("", |_| {
            Box::pin(async { Asked::of("/api/servers/still").with(json!({"args": [number().to_string()]})) })
        })],
        ("DELETE", "/api/servers/{name}") => vec![case("", remove)],
        ("POST", "/api/config/export") => vec![case("", |_| {
            Box::pin(async {
                Asked::of("/api/config/export").with(json!({"filepath": format!("out{}.json", number())}))
            })
        })],
        ("POST", "/api/config/import") => vec![case("", import)],
        ("GET", "/v1/doctor") => vec![plain("/v1/doctor", None)],
        ("GET", "/v1/mcps/{id}/logs") => {
            vec![plain("/v1/mcps/fake/logs", None), plain("/v1/mcps/fake/logs?follow=true", None)]
        }
        (method, "/mcp") => mcp(method, "/mcp", "fake__sleep"),
        (method, "/mcp/{server}") => {
            let (one, group) = (mcp(method, "/mcp/fake", "sleep"), mcp(method, "/mcp/some", "fake__sleep"));
            one.into_iter().chain(group).collect()
        }
        (method, path) => {
            let name = if path.starts_with("/v1/api-keys") { "none" } else { "fake" };
            let path = path.replace("{id}", name).replace("{name}", name);
            vec![plain(&path, (method != "GET").then(|| json!({})))]
        }
    }
}

fn put_secret(_: &Inside) -> Later<'_, Asked> {
    let value = json!({"value": number().to_string()});
    Box::pin(async { Asked::of("/v1/members/me/secrets/TOKEN").with(value) })
}

fn remove_secret(inside: &Inside) -> Later<'_, Asked> {
    Box::pin(async {
        let stored = inside.gateway.put_secret(inside.caller(), "me", "GONE", "x".to_owned()).await;
        stored.expect("stored");
        Asked::of("/v1/members/me/secrets/GONE")
    })
}

/// The requests of MCP clients of both eras at an endpoint, to the server that runs: alone, in a group, or among all.
fn mcp(method: &str, path: &'static str, tool: &'static str) -> Vec<Case> {
    let sleep = json!({"name": tool, "arguments": {"ms": 5}});
    match method {
        "POST" => vec![
            modern("a modern call", path, "tools/call", sleep.clone()),
            modern("a stream of changes", path, "subscriptions/listen", json!({"notifications": {}})),
            case("an opening", move |_| Box::pin(async move { Asked { is_call: false, ..hello(path) } })),
            in_session("a call in a session", path, Some(sleep)),
        ],
        _ => vec![in_session("", path, None)],
    }
}

fn modern(name: &'static str, path: &'static str, method: &'static str, mut params: Value) -> Case {
    let is_call = method == "tools/call";
    let tool = params["name"].as_str().map(str::to_owned);
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    case(name, move |_| {
        let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        let headers = headers.into_iter().map(|(name, value)| (name, value.to_owned()));
        let headers = headers.chain(tool.clone().map(|tool| ("mcp-name", tool))).collect();
        let asked = Asked { headers, is_call, ..Asked::of(path).with(body.clone()) };
        Box::pin(async move { asked })
    })
}

fn hello(path: &str) -> Asked {
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    Asked::of(path).with(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
}

/// A call of a tool in a session, or a request without a body.
fn in_session(name: &'static str, path: &'static str, call: Option<Value>) -> Case {
    case(name, move |inside| {
        let is_call = call.is_some();
        let body = call
            .clone()
            .map(|params| json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
        Box::pin(async move {
            let opened = inside.ask("POST", path, hello(path).body).await;
            let id = opened.headers()["mcp-session-id"].to_str().expect("ASCII").to_owned();
            Asked { headers: vec![("mcp-session-id", id)], is_call, body, ..Asked::of(path) }
        })
    })
}

fn plan(name: &str) -> PlanRecord {
    PlanRecord {
        name: name.into(),
        requests_per_second: None,
        monthly_requests: Some(number()),
        max_mcps: None,
        max_api_keys: None,
        max_members: None,
    }
}

/// A member to be changed or removed: the method says which, and a removal reads no body.
fn change_of_member(inside: &Inside) -> Later<'_, Asked> {
    Box::pin(async {
        let (id, name, email, plan) = (None, Some("one".to_owned()), None, None);
        let wish = MemberRequest { id, name, email, role: Role::Member, plan };
        let made = inside.gateway.add_member(inside.caller(), wish).await.expect("a member");
        let path = format!("/v1/organization/members/{}", made.member.id);
        Asked::of(path).with(json!({"name": "other"})).then(without_members)
    })
}

/// Members share the number of keys: none stays.
fn without_members<'a>(inside: &'a Inside, _: &'a [Value]) -> Later<'a, ()> {
    Box::pin(async {
        for seen in inside.gateway.members(inside.caller()) {
            // The owner is not one that was made here.
            let _ = inside.gateway.remove_member(inside.caller(), &seen.member.id).await;
        }
    })
}

/// A key to be changed, given another text or revoked: the method says which, and a revocation reads no
/// body.
fn change_of_key<'a>(inside: &'a Inside, what: &'static str) -> Later<'a, Asked> {
    Box::pin(async move {
        let wish = KeyRequest {
            name: "one".to_owned(),
            description: None,
            expires_at: None,
            permissions: None,
            owner: None,
            member: None,
            limits: Default::default(),
        };
        let made =
            inside.gateway.create_key(inside.caller(), wish).await.unwrap_or_else(|_| panic!("no key"));
        let body = if what.is_empty() { json!({"name": "other"}) } else { json!({"grace": "1h"}) };
        Asked::of(format!("/v1/api-keys/{}{what}", made.record.id)).with(body)
    })
}

fn restart(inside: &Inside) -> Later<'_, Asked> {
    Box::pin(async {
        let before = ready(inside).await;
        Asked::of("/v1/mcps/fake/restart")
            .then(move |inside, lines| Box::pin(restarted(inside, before, lines)))
    })
}

/// Stops, or starts, the server that cannot run; it is started again afterwards.
fn stopped(inside: &Inside, stops: bool) -> Later<'_, Asked> {
    async fn is_stopped(inside: &Inside, wanted: bool) {
        wait_until("the server is as it was told to be", async || {
            let status = inside.gateway.server(inside.caller(), "still").ok()?.status;
            ((status.state.name() == "stopped") == wanted).then_some(())
        })
        .await;
    }
    Box::pin(async move {
        if !stops {
            inside.gateway.stop_server(inside.caller(), "still").expect("stopped");
        }
        is_stopped(inside, !stops).await;
        let verb = if stops { "stop" } else { "start" };
        Asked::of(format!("/v1/mcps/still/{verb}")).then(move |inside, lines| {
            Box::pin(async move {
                let is_done = lines.iter().any(|line| line["outcome"] == "done");
                is_stopped(inside, if is_done { stops } else { !stops }).await;
                inside.gateway.start_server(inside.caller(), "still").expect("started");
                is_stopped(inside, false).await;
            })
        })
    })
}

/// Switches the server that cannot run on or off; it is on again afterwards.
fn switched(inside: &Inside, on: bool) -> Later<'_, Asked> {
    Box::pin(async move {
        inside.gateway.switch_server(inside.caller(), "still", !on).await.expect("switched");
        let verb = if on { "enable" } else { "disable" };
        Asked::of(format!("/v1/mcps/still/{verb}")).then(move |inside, _| {
            Box::pin(async move {
                inside.gateway.switch_server(inside.caller(), "still", true).await.expect("switched on");
            })
        })
    })
}

/// The run of the server's child, once it is ready.
async fn ready(inside: &Inside) -> u64 {
    wait_until("the server is ready", async || {
        let status = inside.gateway.server(inside.caller(), "fake").ok()?.status;
        (status.state.serves() && status.update.is_none()).then_some(status.incarnation)
    })
    .await
}

/// What is recorded as done was done, and what was not done is not recorded.
async fn restarted(inside: &Inside, before: u64, lines: &[Value]) {
    if lines.iter().any(|line| line["outcome"] == "done") {
        wait_until("another child serves", async || (ready(inside).await != before).then_some(())).await;
    } else {
        assert_eq!(ready(inside).await, before, "a restart that nobody recorded");
    }
}

/// One tool more than was approved: an approval of the same ones changes nothing.
fn approve(inside: &Inside) -> Later<'_, Asked> {
    Box::pin(async {
        inside.call("change_tools", "another tool").await;
        let digest = wait_until("there is a tool that nobody has approved", async || {
            let pins = inside.gateway.pins(inside.caller(), "fake").ok()?;
            let is_new = pins.tools.iter().any(|tool| tool.approved_digest.is_none());
            is_new.then(|| pins.digest.to_string())
        })
        .await;
        Asked::of("/v1/mcps/fake/pins/approve").with(json!({"digest": digest}))
    })
}

fn add(_: &Inside) -> Later<'_, Asked> {
    Box::pin(async {
        let name = format!("added{}", number());
        let body = json!({"name": name, "command": "/no/such/program", "args": ["--token", "s3cret"]});
        Asked::of("/api/servers").with(body).then(move |inside, lines| {
            Box::pin(async move {
                assert!(!format!("{lines:?}").contains("s3cret"));
                drop(inside.gateway.remove_server(inside.caller(), &name).await);
            })
        })
    })
}

fn remove(inside: &Inside) -> Later<'_, Asked> {
    Box::pin(async {
        let name = format!("gone{}", number());
        inside.add(&name, json!({"command": "/no/such/program"})).await;
        Asked::of(format!("/api/servers/{name}")).then(move |inside, _| {
            Box::pin(async move { drop(inside.gateway.remove_server(inside.caller(), &name).await) })
        })
    })
}

/// A file with one server more than there are.
fn import(inside: &Inside) -> Later<'_, Asked> {
    Box::pin(async {
        let (name, file) = (format!("came{}", number()), "in.json");
        inside.gateway.export_config(inside.caller(), file).await.expect("written");
        let path = inside.data.path().join(file);
        let mut content: Value = serde_json::from_slice(&std::fs::read(&path).expect("there")).expect("JSON");
        content["mcpServers"][&name] = json!({"command": "/no/such/program"});
        std::fs::write(&path, content.to_string()).expect("written");
        Asked::of("/api/config/import").with(json!({"filepath": file})).then(move |inside, _| {
            Box::pin(async move { drop(inside.gateway.remove_server(inside.caller(), &name).await) })
        })
    })
}
