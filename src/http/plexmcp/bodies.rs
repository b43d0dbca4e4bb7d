//! Request and answer bodies of `/v1` (`docs/http-api.md`, P4 and P7 to P11); payloads of children are in `payloads`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::errors::ApiError;
use super::fields::{Fields, MAX_NAME, Page, last, success};
use super::mcp::{self, Health, Mcp, McpDetail};
use super::supervision::{advice_of, supervision};
use crate::gateway::{
    LogLine, Permissions, PinState, ServerView, State, Tool, ToolCall, ToolPins, Usage, on_the_wall,
};
use crate::http::core::body::{object, string};
use crate::http::core::timestamp::timestamp;
use crate::jsonrpc::{members, one_line, plain_string};

/// Reads the body of `POST /v1/mcp/invoke`. `arguments` and `context` stay slices of it.
pub(super) fn read_invoke(body: &Bytes, longest: Duration) -> Result<ToolCall<'_>, ApiError> {
    if let Some(call) = plain_invoke(body) {
        return Ok(call);
    }
    let [server, tool, arguments, timeout, context] =
        object(body, ["mcp_id", "tool", "arguments", "timeout", "context"])?.members;
    let mut fields = Fields::default();
    let call = ToolCall {
        server: fields.name("mcp_id", server),
        tool: fields.name("tool", tool),
        arguments: fields.object("arguments", arguments).map(RawValue::get),
        timeout: fields.timeout(timeout, longest),
        meta: fields.object("context", context).map_or_else(Bytes::new, context_meta),
    };
    fields.finish(call)
}

/// Reads a call as nearly all are: names without escapes, arguments, and no timeout or context. `None` for any other.
fn plain_invoke(body: &Bytes) -> Option<ToolCall<'_>> {
    let text = std::str::from_utf8(body).ok()?;
    let names = ["mcp_id", "tool", "arguments", "timeout", "context"];
    let [server, tool, arguments, None, None] = members(text, names)? else { return None };
    // Bytes, of which there are at least as many as characters.
    let name = |raw| plain_string(raw).filter(|name| (1..=MAX_NAME).contains(&name.len())).map(Cow::Borrowed);
    let (server, tool) = (name(server?)?, name(tool?)?);
    match arguments {
        Some(arguments) if !arguments.starts_with('{') => None,
        _ => Some(ToolCall { server, tool, arguments, meta: Bytes::new(), timeout: None }),
    }
}

/// Returns the member of `_meta` that a `context` is forwarded as (`docs/http-api.md`, P10.2).
fn context_meta(context: &RawValue) -> Bytes {
    [b"\"plexmcp/context\":", &*one_line(context.get().as_bytes())].concat().into()
}

/// Request of `POST /v1/mcp/resources`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResourceQuery {
    /// Id or name of the server.
    pub(super) server: String,
    /// URI of the resource to read; `None` lists the resources.
    pub(super) uri: Option<String>,
    /// Timeout that the caller sets; `None` if it sets none.
    pub(super) timeout: Option<Duration>,
}

/// Reads the body of `POST /v1/mcp/resources`.
pub(super) fn read_resources(body: &[u8], longest: Duration) -> Result<ResourceQuery, ApiError> {
    let [server, uri, timeout] = object(body, ["mcp_id", "uri", "timeout"])?.members;
    let mut fields = Fields::default();
    let server = fields.name("mcp_id", server).into_owned();
    let uri = uri.and_then(|raw| match string(raw) {
        Some(uri) if !uri.is_empty() => Some(uri),
        _ => {
            fields.problem("uri", "must be a non-empty string");
            None
        }
    });
    let timeout = fields.timeout(timeout, longest);
    fields.finish(ResourceQuery { server, uri, timeout })
}

/// Query of `GET /v1/mcps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListQuery {
    page: Page,
    /// `true` for `active` only, `false` for `inactive` only; `None` for both.
    active: Option<bool>,
    health: Option<Health>,
}

/// Reads the query of `GET /v1/mcps`: of repeated parameters the last counts, and every bad one is named.
pub(super) fn read_list(query: &[(String, String)]) -> Result<ListQuery, ApiError> {
    let mut fields = Fields::default();
    let page = Page::read(query, &mut fields);
    let last = |name: &str| last(query, name);
    let active = match last("status") {
        None | Some("all") => None,
        Some("active") => Some(true),
        Some("inactive") => Some(false),
        Some(_) => {
            fields.problem("status", "must be active, inactive or all");
            None
        }
    };
    let health = match last("health") {
        None => None,
        Some("healthy") => Some(Health::Healthy),
        Some("unhealthy") => Some(Health::Unhealthy),
        Some("unknown") => Some(Health::Unknown),
        Some(_) => {
            fields.problem("health", "must be healthy, unhealthy or unknown");
            None
        }
    };
    fields.finish(ListQuery { page, active, health })
}

/// Returns the health of a state. `fails` tells a start after a crash, and the end of one, from others.
fn health(state: &State, fails: bool) -> Health {
    match state {
        State::Ready => Health::Healthy,
        State::Starting | State::Stopping if fails => Health::Unhealthy,
        State::Disabled | State::Stopped | State::Idle | State::Starting | State::Stopping => Health::Unknown,
        State::Degraded
        | State::Backoff { .. }
        | State::Unauthorized { .. }
        | State::Failed { .. }
        | State::Exited { .. } => Health::Unhealthy,
    }
}

fn health_of(server: &ServerView) -> Health {
    health(&server.status.state, server.status.last_failure().is_some())
}

/// Writes the answer to `GET /v1/mcps`: newest first, ties by id.
pub(super) fn list(mut servers: Vec<ServerView>, query: ListQuery, permissions: &Permissions) -> Vec<u8> {
    servers.retain(|server| {
        query.active.is_none_or(|active| server.definition.is_active() == active)
            && query.health.is_none_or(|health| health_of(server) == health)
    });
    servers.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    let (shown, pagination) = query.page.of(&servers);
    let items: Vec<Mcp<'_>> = shown.iter().map(|server| item(server, permissions)).collect();
    success(items, Some(pagination))
}

/// Writes the answer to `GET /v1/mcps/{id}`.
pub(super) fn detail(server: &ServerView, usage: &Usage, permissions: &Permissions) -> Vec<u8> {
    let traffic = &server.traffic;
    let health = health_of(server);
    success(
        McpDetail {
            mcp: item(server, permissions),
            health_checked_at: (health != Health::Unknown).then(|| timestamp(server.status.since)),
            updated_at: timestamp(server.updated_at),
            stats: mcp::Stats {
                total_requests: traffic.calls,
                requests_today: traffic.calls_today,
                error_rate: error_rate(traffic.errors, traffic.calls),
                avg_latency_ms: average_ms(traffic.total_latency, traffic.calls),
            },
            supervision: supervision(&server.status, server.pools),
            traffic: traffic_now(server),
            tree: mcp::Tree {
                processes: usage.processes,
                rss_bytes: usage.rss_bytes,
                cpu_seconds: (usage.cpu_time.as_secs_f64() * 100.0).round() / 100.0,
            },
            output: mcp::Output {
                stderr_lines: server.counters.stderr_lines,
                stdout_noise_lines: server.counters.noise,
                late_replies: server.counters.late_replies,
                lines_left_out: server.counters.left_out,
            },
            pins: mcp::PinCounts { mode: server.pins.mode().name(), sums: server.pins.sums() },
            tools: visible_tools(server, permissions).map(|tool| tool_item(tool, &server.pins)).collect(),
        },
        None,
    )
}

fn traffic_now(server: &ServerView) -> mcp::Traffic {
    mcp::Traffic {
        in_flight: server.in_flight,
        queued: server.queued,
        breaker: server.breaker.name(),
        breaker_until: server.breaker.until().map(|until| timestamp(on_the_wall(until))),
    }
}

/// Writes the answer to an order that is being carried out.
pub(super) fn accepted() -> Vec<u8> {
    success(serde_json::json!({}), None)
}

/// Number of lines shown by default, and at most.
const TAIL: (usize, usize) = (100, 1000);

/// Query of `GET /v1/mcps/{id}/logs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogQuery {
    /// Number of latest lines to return.
    pub(super) tail: usize,
    /// `true` if the lines to come are wanted, too.
    pub(super) follow: bool,
}

/// Reads the query of `GET /v1/mcps/{id}/logs`.
pub(super) fn read_logs(query: &[(String, String)]) -> Result<LogQuery, ApiError> {
    let mut fields = Fields::default();
    let given = |name: &str| last(query, name);
    let tail = match given("tail").map(str::parse::<usize>) {
        None => TAIL.0,
        Some(Ok(count)) if count >= 1 => count.min(TAIL.1),
        Some(_) => {
            fields.problem("tail", "must be an integer >= 1");
            0
        }
    };
    let follow = match given("follow") {
        None | Some("false" | "0") => false,
        Some("true" | "1" | "") => true,
        Some(_) => {
            fields.problem("follow", "must be true or false");
            false
        }
    };
    fields.finish(LogQuery { tail, follow })
}

/// Writes the answer to `GET /v1/mcps/{id}/logs`.
pub(super) fn logs(lines: &[Arc<LogLine>]) -> Vec<u8> {
    success(lines.iter().map(|line| log_item(line)).collect::<Vec<_>>(), None)
}

/// Formats a line as an event's data.
pub(super) fn log_line(line: &LogLine) -> String {
    serde_json::to_string(&log_item(line)).unwrap_or_default()
}

fn log_item(line: &LogLine) -> mcp::LogLine<'_> {
    mcp::LogLine {
        at: timestamp(line.at),
        incarnation: line.incarnation,
        pool: line.pool.as_deref(),
        stream: line.stream.name(),
        number: line.number,
        line: &line.text,
    }
}

fn tool_item<'a>(tool: &'a Tool, pins: &ToolPins) -> mcp::Tool<'a> {
    mcp::Tool {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: &tool.input_schema,
        meta: tool.meta(),
        pin: pins.state_of(tool).map(PinState::name),
    }
}

fn item<'a>(server: &'a ServerView, permissions: &Permissions) -> Mcp<'a> {
    let introduction = server.status.introduction.as_deref();
    Mcp {
        id: &server.id,
        name: &server.name,
        endpoint_url: server.definition.remote().map(|remote| remote.shown_address()),
        description: server.definition.description(),
        status: if server.definition.is_active() { "active" } else { "inactive" },
        health: health_of(server),
        created_at: timestamp(server.created_at),
        last_active: server.traffic.last_active.map(timestamp),
        request_count: server.traffic.calls,
        transport: server.definition.transport().name(),
        enabled: server.definition.enabled(),
        state: server.status.state.name(),
        since: timestamp(server.status.since),
        phase: server.status.phase(),
        cause: cause(server),
        cause_code: server.status.cause_code(),
        advice: advice(server),
        restarts: server.status.restarts,
        protocol_version: introduction.map(|said| &*said.protocol_version),
        server_info: introduction.map(|said| mcp::ServerInfo {
            name: said.server_name.as_deref(),
            version: said.server_version.as_deref(),
        }),
        tools_count: visible_tools(server, permissions).count(),
        resources_count: server.catalog.resources().len(),
        prompts_count: server.catalog.prompts().len(),
    }
}

/// Returns the tools that a key of these permissions may use.
fn visible_tools<'a>(server: &'a ServerView, permissions: &'a Permissions) -> impl Iterator<Item = &'a Tool> {
    server.catalog.tools().iter().filter(|tool| permissions.allow_tool(&server.id, &tool.name))
}

/// Returns the reason why a server does not run: its state's, else its pending edit's, else its definition's.
fn cause(server: &ServerView) -> Option<String> {
    let edit = || {
        let cause = server.status.update.as_ref()?.state.cause()?;
        Some(format!("its changed definition {cause}; the earlier one goes on serving"))
    };
    let idle = || server.definition.idle_reason().map(str::to_owned);
    server.status.cause().or_else(edit).or_else(idle)
}

/// Returns what is known of the fault that [`cause`] tells.
fn advice(server: &ServerView) -> mcp::Advice {
    let of_edit = || server.status.update.as_ref()?.state.cause()?.diagnosis();
    advice_of(server.status.diagnosis().or_else(|| server.status.cause().is_none().then(of_edit).flatten()))
}

/// Returns a fraction from 0 to 1 with two decimals; 0 without calls.
fn error_rate(errors: u64, calls: u64) -> f64 {
    if calls == 0 { 0.0 } else { (errors as f64 / calls as f64 * 100.0).round() / 100.0 }
}

fn average_ms(total: Duration, calls: u64) -> Option<u64> {
    (calls > 0).then(|| u64::try_from(total.as_millis() / u128::from(calls)).unwrap_or(u64::MAX))
}
