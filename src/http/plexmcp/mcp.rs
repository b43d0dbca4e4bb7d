//! MCPs and their logs as `/v1` shows them (`docs/http-api.md`, P7 and P8). The comments of the members are their
//! descriptions in the OpenAPI document, so they speak to those who call the API.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::gateway::PinSums;
#[cfg(test)]
use {
    super::openapi::words::{Breaker, ChildStream, PinMode, PinState, StartPhase, State, Status, Transport},
    crate::http::core::openapi::{OpenObject, Time},
};

/// Health of an MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum Health {
    /// It answers calls.
    Healthy,
    /// It has crashed, waits for its next start, has failed, or does not answer.
    Unhealthy,
    /// It was not started yet.
    Unknown,
}

/// An MCP server.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Mcp<'a> {
    /// Id, which begins with `mcp_`. It stays when the definition changes and is never used again.
    pub(super) id: &'a str,
    /// Unique name. Wherever an MCP is addressed, its name does as well as its id.
    pub(super) name: &'a str,
    /// Address of a remote MCP, without what may be a secret in it; `null` for one that runs on the gateway's machine.
    pub(super) endpoint_url: Option<String>,
    /// Description from its definition; `null` if there is none.
    pub(super) description: Option<&'a str>,
    /// Availability: `inactive` if the operator has switched it off, or if it is remote.
    #[cfg_attr(test, schemars(with = "Status"))]
    pub(super) status: &'static str,
    /// Health, as `state` and earlier crashes show it.
    pub(super) health: Health,
    /// Time at which it was added.
    #[cfg_attr(test, schemars(with = "Time"))]
    pub(super) created_at: String,
    /// Time at which a call last ended; `null` before the first.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    pub(super) last_active: Option<String>,
    /// Number of its calls.
    pub(super) request_count: u64,
    /// Way in which the gateway speaks to it.
    #[cfg_attr(test, schemars(with = "Transport"))]
    pub(super) transport: &'static str,
    /// `false` if it is switched off in its definition, by `disabled`.
    pub(super) enabled: bool,
    /// State of its process.
    #[cfg_attr(test, schemars(with = "State"))]
    pub(super) state: &'static str,
    /// Time at which the state began.
    #[cfg_attr(test, schemars(with = "Time"))]
    pub(super) since: String,
    /// Progress of the start; only while `state` is `starting`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "StartPhase"))]
    pub(super) phase: Option<&'static str>,
    /// Reason why it does not run, for people; `null` if there is none. It begins with `last: ` while it is started again.
    pub(super) cause: Option<String>,
    /// The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause_code: Option<&'static str>,
    #[serde(flatten)]
    pub(super) advice: Advice,
    /// Number of times that its process was started in place of an earlier one.
    pub(super) restarts: u64,
    /// Version of MCP that it speaks; `null` before its first start.
    pub(super) protocol_version: Option<&'a str>,
    /// Name and version that it gives itself; `null` before its first start.
    pub(super) server_info: Option<ServerInfo<'a>>,
    /// Number of tools that this key may use.
    pub(super) tools_count: usize,
    /// Number of resources that it announces.
    pub(super) resources_count: usize,
    /// Number of prompts that it announces.
    pub(super) prompts_count: usize,
}

/// What is known of the fault that a cause shows.
#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Advice {
    /// Id of the fault, where it is a known one; it stays the same when sentences change. `docs/doctor.md` lists them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<&'static str>,
    /// What to do about it, for people; absent where the fault is not a known one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// Name and version that an MCP gives itself.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ServerInfo<'a> {
    /// Name; `null` if it says none.
    pub(super) name: Option<&'a str>,
    /// Version; `null` if it says none.
    pub(super) version: Option<&'a str>,
}

/// An MCP server with its tools and how it fares.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct McpDetail<'a> {
    #[serde(flatten)]
    pub(super) mcp: Mcp<'a>,
    /// Time since which `state` is what it is; `null` while `health` is `unknown`.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    pub(super) health_checked_at: Option<String>,
    /// Time at which its definition was last changed.
    #[cfg_attr(test, schemars(with = "Time"))]
    pub(super) updated_at: String,
    /// Numbers of its calls.
    pub(super) stats: Stats,
    /// State of its processes, for whoever has to find out why it does not work.
    pub(super) supervision: Supervision<'a>,
    /// Calls at this moment.
    pub(super) traffic: Traffic,
    /// Counts of what its processes wrote beside answers to calls, since the gateway was started.
    pub(super) output: Output,
    /// Resources that its processes use at this moment.
    pub(super) tree: Tree,
    /// Numbers of tools that are not as they were approved.
    pub(super) pins: PinCounts,
    /// Tools that this key may use, as the MCP last announced them.
    pub(super) tools: Vec<Tool<'a>>,
}

/// State of an MCP's processes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Supervision<'a> {
    /// Time at which the state began.
    #[cfg_attr(test, schemars(with = "Time"))]
    pub(super) since: String,
    /// Number of the current or last process; 0 before the first.
    pub(super) incarnation: u64,
    /// Process id; `null` if none runs.
    pub(super) pid: Option<u32>,
    /// Number of failed starts and crashes in a row.
    pub(super) failures: u32,
    /// `true` after so many of them that another start is unlikely to help.
    pub(super) crash_loop: bool,
    /// Time of the next start; `null` if none is due.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    pub(super) next_start_at: Option<String>,
    /// Reason why the last process ended, for people; `null` if it was stopped on request.
    pub(super) last_exit: Option<String>,
    /// First lines that the last ended process wrote on its standard error, without those of `last_stderr`; absent if
    /// there are none.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) first_stderr: &'a [String],
    /// Last lines that the last ended process wrote on its standard error, newest last.
    pub(super) last_stderr: &'a [String],
    /// Remarks about an MCP that works all the same, such as that it offers no tools; absent if there are none.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) remarks: &'a [String],
    /// Limits of its definition that the gateway's machine does not, or not fully, enforce; absent if there are none.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) unenforced: &'a [String],
    /// Processes of sessions and principals, where they do not share those of the MCP; absent if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Pools"))]
    pub(super) pools: Option<Pools>,
    /// Processes, where an MCP may have several; empty while it rests.
    pub(super) replicas: Vec<Replica>,
    /// State of a changed definition while the earlier one still serves; absent if there is no such change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) update: Option<PendingUpdate<'a>>,
}

/// Number of the pools of an MCP: the places for a process of one session or one principal.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Pools {
    /// Number of all of them, also of those whose process is not running.
    pub(super) count: usize,
    /// Number of those whose process takes calls.
    pub(super) ready: usize,
}

/// One of an MCP's processes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Replica {
    /// Number of its place, never used twice.
    pub(super) number: u64,
    /// State of the process.
    #[cfg_attr(test, schemars(with = "State"))]
    pub(super) state: &'static str,
    /// Time at which the state began.
    #[cfg_attr(test, schemars(with = "Time"))]
    pub(super) since: String,
    /// Number of the current or last process in this place; 0 before the first.
    pub(super) incarnation: u64,
    /// Process id; `null` if none runs.
    pub(super) pid: Option<u32>,
    /// `true` if it runs a definition that has been changed since.
    pub(super) outdated: bool,
}

/// A changed definition that has yet to take over from the one that serves.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PendingUpdate<'a> {
    /// State of the process that runs the changed definition.
    #[cfg_attr(test, schemars(with = "State"))]
    pub(super) state: &'static str,
    /// Time at which that state began.
    #[cfg_attr(test, schemars(with = "Time"))]
    pub(super) since: String,
    /// Reason why it does not run, for people; `null` if there is none.
    pub(super) cause: Option<String>,
    /// The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause_code: Option<&'static str>,
    #[serde(flatten)]
    pub(super) advice: Advice,
    /// Time of the next start; `null` if none is due.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    pub(super) next_start_at: Option<String>,
    /// Last lines that its last ended process wrote on its standard error, newest last.
    pub(super) last_stderr: &'a [String],
}

/// Counts of what an MCP's processes wrote beside answers to calls.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Output {
    /// Number of lines on standard error.
    pub(super) stderr_lines: u64,
    /// Number of lines on standard output that were no messages of MCP.
    pub(super) stdout_noise_lines: u64,
    /// Number of answers to calls that were no longer waited for.
    pub(super) late_replies: u64,
    /// Number of lines that the log did not keep because there were too many.
    pub(super) lines_left_out: u64,
}

/// Resources that an MCP's processes use.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Tree {
    /// Number of processes, with those that they started.
    pub(super) processes: usize,
    /// Memory that is resident, in bytes.
    pub(super) rss_bytes: u64,
    /// Processor time that they have used, in seconds.
    pub(super) cpu_seconds: f64,
}

/// Calls of an MCP at this moment.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Traffic {
    /// Number of calls that it is working on.
    pub(super) in_flight: usize,
    /// Number of calls that wait for their turn.
    pub(super) queued: usize,
    /// State of the circuit breaker, which refuses calls of an MCP that does not answer.
    #[cfg_attr(test, schemars(with = "Breaker"))]
    pub(super) breaker: &'static str,
    /// Time at which a call is let through again as a trial; `null` unless the breaker is `open`.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    pub(super) breaker_until: Option<String>,
}

/// A line that one of an MCP's processes wrote beside its answers.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LogLine<'a> {
    /// Time at which it was read.
    #[cfg_attr(test, schemars(with = "Time"))]
    pub(super) at: String,
    /// Number of the process that wrote it.
    pub(super) incarnation: u64,
    /// Session or principal whose own process wrote it, such as `session 7`; absent for a process that all share.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) pool: Option<&'a str>,
    /// Source of the line.
    #[cfg_attr(test, schemars(with = "ChildStream"))]
    pub(super) stream: &'static str,
    /// Number of the line, which counts up.
    pub(super) number: u64,
    /// Text of the line. Characters that are not seen are written as `\u{…}`.
    pub(super) line: &'a str,
}

/// Numbers of an MCP's calls.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Stats {
    /// Number of all calls.
    pub(super) total_requests: u64,
    /// Number of calls since midnight (UTC).
    pub(super) requests_today: u64,
    /// Share of calls that failed, from 0 to 1, with two decimals.
    pub(super) error_rate: f64,
    /// Mean time to the answer, in milliseconds; `null` before the first call.
    pub(super) avg_latency_ms: Option<u64>,
}

/// A tool of an MCP.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Tool<'a> {
    /// Name, unique within its MCP.
    pub(super) name: &'a str,
    /// Description for people and models, as the MCP gives it; `null` if it gives none.
    pub(super) description: Option<&'a str>,
    /// JSON Schema of the arguments, as the MCP gives it.
    #[cfg_attr(test, schemars(with = "OpenObject"))]
    pub(super) input_schema: &'a RawValue,
    /// Further members that the MCP gives the tool; absent if it gives none.
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "OpenObject"))]
    pub(super) meta: Option<&'a RawValue>,
    /// State of the tool against the approved one; absent if the two are not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "PinState"))]
    pub(super) pin: Option<&'static str>,
}

/// Numbers of tools that are not as they were approved.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PinCounts {
    /// Treatment of such tools.
    #[cfg_attr(test, schemars(with = "PinMode"))]
    pub(super) mode: &'static str,
    #[serde(flatten)]
    pub(super) sums: PinSums,
}

/// State of an MCP that could not be reached, in the error that says so.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct McpState<'a> {
    /// State of its process.
    #[cfg_attr(test, schemars(with = "State"))]
    pub(super) state: &'static str,
    /// Reason why it does not run, for people; `null` if there is none.
    pub(super) cause: Option<String>,
    /// The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause_code: Option<&'static str>,
    #[serde(flatten)]
    pub(super) advice: Advice,
    /// Number of times that its process was started in place of an earlier one.
    pub(super) restarts: u64,
    #[serde(flatten)]
    pub(super) supervision: Supervision<'a>,
}
