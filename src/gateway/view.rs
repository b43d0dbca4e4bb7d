//! The input and output types of the gateway: plain data, shaped for no dialect.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::access::DialectName;
use crate::pins::ToolPins;
use crate::supervisor::{BreakerState, Definition, PoolSums, Status};
use crate::telemetry::metrics::Surface;
use crate::upstream::{Catalog, CounterReading};
use crate::usage::Traffic;

/// Snapshot of a server, for display, taken without asking its children.
#[derive(Debug, Clone)]
pub struct ServerView {
    /// Id of the form `mcp_…`: assigned at creation, never reused.
    pub id: Arc<str>,
    /// Name, unique among the servers.
    pub name: Arc<str>,
    /// Definition as it is in the registry.
    pub definition: Arc<Definition>,
    /// Time when the server was made.
    pub created_at: SystemTime,
    /// Time when its definition last changed.
    pub updated_at: SystemTime,
    /// State, cause, incarnation and what the child announced of itself.
    pub status: Arc<Status>,
    /// Number of the pools of sessions and principals; `None` if all callers share its children.
    pub pools: Option<PoolSums>,
    /// Last good lists, without tools that are blocked.
    pub catalog: Arc<Catalog>,
    /// Tools compared with what was approved of them.
    pub pins: ToolPins,
    /// Calls to the server, including those of earlier runs of the daemon.
    pub traffic: Traffic,
    /// Counts of what its children did beside answering calls, since the daemon started.
    pub counters: CounterReading,
    /// Number of calls in flight now.
    pub in_flight: usize,
    /// Number of calls that wait for a place now.
    pub queued: usize,
    /// State of the breaker, which tells whether calls are let through.
    pub breaker: BreakerState,
}

/// The calls of one key to a server that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyQueue {
    /// Id of the key.
    pub key_id: Arc<str>,
    /// Its name; `None` if the key is gone.
    pub key_name: Option<String>,
    /// Number of its calls that wait for a place.
    pub waiting: usize,
}

impl From<Surface> for DialectName {
    fn from(surface: Surface) -> DialectName {
        match surface {
            Surface::PlexMcp => DialectName::PlexMcp,
            Surface::McpCli => DialectName::McpCli,
            Surface::Mcp => DialectName::Mcp,
            Surface::Ui | Surface::OAuth | Surface::Admin => DialectName::Other,
        }
    }
}

/// Tool call as a dialect hands it over.
#[derive(Debug)]
pub struct ToolCall<'a> {
    /// Id or exact name of the server.
    pub server: Cow<'a, str>,
    /// Name of the tool, as the server announces it.
    pub tool: Cow<'a, str>,
    /// The `arguments` object, raw JSON; `None` stands for `{}`.
    pub arguments: Option<&'a str>,
    /// Members of `_meta` to forward without braces, JSON on one line; empty to forward none.
    pub meta: Bytes,
    /// Deadline of the caller, which nothing extends. If `None`, the default applies, and progress extends it up to
    /// the longest deadline a caller may ask for.
    pub timeout: Option<Duration>,
}

/// Read of a resource as a dialect hands it over.
#[derive(Debug)]
pub struct ResourceRead<'a> {
    /// Id or exact name of the server.
    pub server: &'a str,
    /// Address of the resource, as the server announces it.
    pub uri: &'a str,
    /// As in [`ToolCall`].
    pub meta: Bytes,
    /// As in [`ToolCall`].
    pub timeout: Option<Duration>,
}

/// Answer of a tool. The payloads are slices of the child's frame, untouched.
#[derive(Debug, Clone)]
pub struct ToolReply {
    /// Id of the server.
    pub server_id: Arc<str>,
    /// `structuredContent`, raw JSON; `None` if the reply has none.
    pub structured: Option<Bytes>,
    /// `content`, a raw JSON array; `[]` if the reply has none.
    pub content: Bytes,
    /// `isError` of the reply.
    pub is_error: bool,
    /// Length in bytes of the whole result that the slices are of, and that they keep in memory.
    pub whole: usize,
    /// Time from admission to the child's answer.
    pub latency: Duration,
}

/// Answer of a server to `resources/read`.
#[derive(Debug, Clone)]
pub struct ResourceReply {
    /// Id of the server.
    pub server_id: Arc<str>,
    /// Entries of `contents`, each raw JSON.
    pub contents: Vec<Box<RawValue>>,
    /// Name of the resource in the catalog; `None` if it is not listed there or has no name.
    pub name: Option<Box<str>>,
    /// Time from admission to the child's answer.
    pub latency: Duration,
}

/// Readiness of the daemon, for `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// `true` if every enabled server has left its first start and the daemon is not stopping.
    pub ready: bool,
    /// Reasons for not being ready, one sentence each.
    pub waiting_for: Vec<String>,
    /// Problems of a daemon that still serves calls, one sentence each.
    pub problems: Vec<String>,
}
