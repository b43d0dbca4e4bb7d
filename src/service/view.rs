//! What goes in and out of the gateway: plain data, shaped for no dialect.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::pins::ToolPins;
use crate::child::{Catalog, CounterReading};
use crate::supervisor::{BreakerState, Definition, Status};

/// A server as it is now, for showing: a snapshot, taken without asking anybody.
#[derive(Debug, Clone)]
pub struct ServerView {
    /// `mcp_…`: assigned at creation, never reused.
    pub id: Arc<str>,
    /// The name, unique among the servers.
    pub name: Arc<str>,
    /// The definition.
    pub definition: Arc<Definition>,
    /// When the server was made.
    pub created_at: SystemTime,
    /// When its definition last changed.
    pub updated_at: SystemTime,
    /// State, cause, incarnation and what the child said of itself.
    pub status: Arc<Status>,
    /// The last good lists, without tools that are blocked.
    pub catalog: Arc<Catalog>,
    /// The tools beside what was approved of them.
    pub pins: ToolPins,
    /// Calls since the daemon started.
    pub traffic: Traffic,
    /// What its children did beside answering calls, since the daemon started.
    pub counters: CounterReading,
    /// Calls in flight now.
    pub in_flight: usize,
    /// Calls that wait for a place now.
    pub queued: usize,
    /// Whether calls are let through.
    pub breaker: BreakerState,
}

/// What went through a server since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// Tool calls and resource reads that reached dispatch.
    pub calls: u64,
    /// Those of them that did not end well.
    pub errors: u64,
    /// Calls of the current UTC day.
    pub calls_today: u64,
    /// The sum of all durations.
    pub total_latency: Duration,
    /// When the last call ended.
    pub last_active: Option<SystemTime>,
}

/// A tool call as a dialect hands it over.
#[derive(Debug)]
pub struct ToolCall {
    /// Id or exact name of the server.
    pub server: String,
    /// The tool's own name.
    pub tool: String,
    /// The `arguments` object, raw JSON; `None` stands for `{}`.
    pub arguments: Option<Bytes>,
    /// Forwarded as `_meta["plexmcp/context"]`, raw JSON object.
    pub context: Option<Bytes>,
    /// The caller's deadline, which nothing extends. Without one the default applies, and
    /// progress extends it up to the longest deadline a caller may ask for.
    pub timeout: Option<Duration>,
}

/// What a tool answered. The payloads are slices of the child's frame, untouched.
#[derive(Debug, Clone)]
pub struct ToolReply {
    /// The server's id.
    pub server_id: Arc<str>,
    /// `structuredContent`, raw JSON, when the reply has one.
    pub structured: Option<Bytes>,
    /// `content`, a raw JSON array; `[]` when the reply has none.
    pub content: Bytes,
    /// `isError`.
    pub is_error: bool,
    /// How long the whole result was of which these are slices, and which they keep in memory.
    pub whole: usize,
    /// From admission to the child's answer.
    pub latency: Duration,
}

/// What `resources/read` answered.
#[derive(Debug, Clone)]
pub struct ResourceReply {
    /// The server's id.
    pub server_id: Arc<str>,
    /// The entries of `contents`, each raw JSON.
    pub contents: Vec<Box<RawValue>>,
    /// The resource's name in the catalog, when it is listed there.
    pub name: Option<Box<str>>,
    /// From admission to the child's answer.
    pub latency: Duration,
}

/// Whether the daemon can serve, for `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// True when every enabled server has left its first start and the daemon is not stopping.
    pub ready: bool,
    /// Why not, one sentence each.
    pub waiting_for: Vec<String>,
    /// What does not work although calls do, one sentence each.
    pub problems: Vec<String>,
}
