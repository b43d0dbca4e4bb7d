//! Words that members of answers have for values, and values that have a form of their own.
#![expect(dead_code, reason = "the values are never made: only their descriptions are read")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::http::core::openapi::schemas;

/// Availability of an MCP.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "McpStatus")]
pub(in crate::http::plexmcp) enum Status {
    /// It can be called.
    Active,
    /// The operator has switched it off, or it is remote.
    Inactive,
}

/// Way in which the gateway speaks to an MCP.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::http::plexmcp) enum Transport {
    /// Standard input and output of a process on the gateway's machine.
    Stdio,
    /// Streamable HTTP, for a remote one.
    StreamableHttp,
    /// HTTP with Server-Sent Events, for a remote one.
    Sse,
    /// A WebSocket, which is not supported.
    #[serde(rename = "websocket")]
    WebSocket,
}

/// State of an MCP's process.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ProcessState")]
pub(in crate::http::plexmcp) enum State {
    /// It is switched off in its definition.
    Disabled,
    /// It was stopped, and stays so until it is started or the gateway is.
    Stopped,
    /// It is started by the first call.
    Idle,
    /// It is being started.
    Starting,
    /// It answers calls.
    Ready,
    /// It runs, but does not answer as it should.
    Degraded,
    /// It is being stopped.
    Stopping,
    /// It has ended, and waits for its next start.
    Backoff,
    /// It is a remote server that refuses the credentials, or wants some.
    Unauthorized,
    /// It cannot be started, and is not tried again by itself.
    Failed,
    /// It has ended, and is not to be started again.
    Exited,
}

/// Progress of a start.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http::plexmcp) enum StartPhase {
    /// It waits for its turn, since only a few are started at once.
    Waiting,
    /// The process has been started.
    Spawned,
    /// Its launcher fetches it.
    Installing,
    /// A remote server is connected to, and asked which era it speaks.
    Probing,
    /// It introduces itself and lists its tools.
    Handshake,
    /// A remote server lists its tools.
    Listing,
}

/// State of the circuit breaker of an MCP.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BreakerState")]
pub(in crate::http::plexmcp) enum Breaker {
    /// Calls are let through.
    Closed,
    /// Calls are refused, since the last ones were not answered.
    Open,
    /// One call is let through as a trial.
    HalfOpen,
}

/// Source of a line of a log.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "LogStream")]
pub(in crate::http::plexmcp) enum ChildStream {
    /// Standard error.
    Stderr,
    /// Standard output, where it was no message of MCP.
    Stdout,
    /// A log message of MCP, which begins with its level.
    Log,
    /// A remark of the gateway.
    Mcpvisor,
}

/// Treatment of tools that are not as they were approved.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http::plexmcp) enum PinMode {
    /// They are not compared.
    Off,
    /// They are reported.
    Warn,
    /// They are reported, and neither listed nor called until they are approved.
    Block,
}

/// State of a tool against the approved one of the same name.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http::plexmcp) enum PinState {
    /// It is as it was approved.
    Pinned,
    /// Only the order of what it enumerates is another one, which is let through.
    Reordered,
    /// It is not as it was approved.
    Changed,
    /// None of this name was approved.
    New,
    /// It was approved and is not announced any more.
    Gone,
}

/// Status of an API key.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http::plexmcp) enum KeyStatus {
    /// It is accepted.
    Active,
    /// It was revoked.
    Revoked,
    /// It has expired.
    Expired,
}

/// Role of a member. Each may do what the ones after it may.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http::plexmcp) enum Role {
    /// Makes plans and gives them to members.
    Owner,
    /// Manages members, all keys, logs, restarts, approvals and the audit.
    Admin,
    /// Calls tools, reads resources, and has keys of its own.
    Member,
    /// Sees what there is, and the usage of its own keys.
    Viewer,
}

/// Place where something was made and can be changed.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::http::plexmcp) enum Source {
    /// It is there without being made.
    BuiltIn,
    /// The gateway's configuration file.
    File,
    /// This API.
    Api,
}

/// Name of a span of time.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "UsagePeriod")]
pub(in crate::http::plexmcp) enum Period {
    /// The current hour.
    Hour,
    /// The current day (UTC).
    Day,
    /// The current week, from Monday.
    Week,
    /// The current calendar month.
    Month,
    /// A span that was given by its two ends.
    Custom,
}

/// Length of the sums that an answer about usage is made of.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http::plexmcp) enum UsageResolution {
    /// A minute: of a span that began in the last three hours.
    Minute,
    /// An hour: of one that began in the last 30 days, unless the gateway is configured otherwise.
    Hour,
    /// A day (UTC).
    Day,
}

/// Dialect that a call was made in.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http::plexmcp) enum CallDialect {
    /// This one, `/v1`.
    #[serde(rename = "plexmcp")]
    PlexMcp,
    /// `/api`, also the calls that a question led to.
    McpCli,
    /// MCP itself, `/mcp`.
    Mcp,
    /// None of them.
    Other,
}

/// What a call asked for.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http::plexmcp) enum CallKind {
    /// A tool.
    Tool,
    /// A resource.
    Resource,
    /// A list.
    List,
    /// A prompt.
    Prompt,
    /// Values for an argument.
    Completion,
    /// An extension of MCP.
    Extension,
}

/// Calls that went before the reader of a stream could have them.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct CallGap {
    /// Number of these calls, matching or not.
    calls: u64,
}

/// Reason why the stream of a log ends.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http::plexmcp) enum LogEndReason {
    /// The MCP was removed.
    Removed,
    /// The gateway is shutting down.
    ShuttingDown,
    /// The key was revoked.
    RevokedKey,
    /// The key has expired.
    ExpiredKey,
    /// The key's member may not read logs any more.
    Forbidden,
    /// The key may not use this MCP any more.
    McpNotPermitted,
}

/// Lines of a log that the reader of a stream has missed.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct LogGap {
    /// Number of these lines.
    lines: u64,
}

/// End of the stream of a log.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct LogEnd {
    /// Reason why it ends.
    reason: LogEndReason,
}

/// MCPs and tools that a key may use.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct Permissions {
    /// MCPs: `*` for all, also those to come, or the ids of some.
    mcps: AllOrSome,
    /// Tools; absent if the key may use all tools of its MCPs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ToolPermissions")]
    tools: Option<ToolPermissions>,
}

/// The word `*`, or names.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(in crate::http::plexmcp) enum AllOrSome {
    All(Everything),
    Some(Vec<String>),
}

/// Names of tools, in which `*` stands for any characters: for all MCPs, or by the id of an MCP, with `*` for all others.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(in crate::http::plexmcp) enum ToolPermissions {
    OfAll(Vec<String>),
    ByMcp(BTreeMap<String, Vec<String>>),
}

schemas! {
    /// The word `*`.
    Everything = {"type": "string", "const": "*"};
    /// Status of a key that was just made.
    ActiveKey = {"type": "string", "const": "active"};
    /// Status of what was just removed.
    Removed = {"type": "string", "const": "removed"};
    /// Status of what was just stored.
    Stored = {"type": "string", "const": "stored"};
    /// Digest of a tool, or of all tools of an MCP.
    Digest = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"};
}

/// Names of the variants of an enum as its schema has them.
fn words_of<T: JsonSchema>() -> Vec<String> {
    let schema = crate::http::core::openapi::Schemas::alone::<T>();
    let words = schema["enum"].as_array().expect("words").iter();
    words.map(|word| word.as_str().expect("a word").to_owned()).collect()
}

#[test]
fn the_words_of_the_document_are_those_of_the_code() {
    use crate::gateway;
    assert_eq!(words_of::<State>(), gateway::State::NAMES);
    // The document begins with the role that may do most.
    let roles: Vec<&str> = gateway::Role::ALL.iter().rev().map(|(name, _)| *name).collect();
    assert_eq!(words_of::<Role>(), roles);
    let pins = [
        gateway::PinState::Pinned,
        gateway::PinState::Reordered,
        gateway::PinState::Changed,
        gateway::PinState::New,
        gateway::PinState::Gone,
    ];
    assert_eq!(words_of::<PinState>(), pins.map(gateway::PinState::name));
    let statuses = [gateway::KeyStatus::Active, gateway::KeyStatus::Revoked, gateway::KeyStatus::Expired];
    assert_eq!(words_of::<KeyStatus>(), statuses.map(gateway::KeyStatus::name));
    let streams =
        [gateway::Stream::Stderr, gateway::Stream::Stdout, gateway::Stream::Log, gateway::Stream::Gateway];
    assert_eq!(words_of::<ChildStream>(), streams.map(gateway::Stream::name));
}
