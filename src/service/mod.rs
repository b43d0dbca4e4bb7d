//! What the gateway does, in the words of no dialect: plain data in, plain data out.

mod error;
pub mod registry;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use crate::access::{Principal, Refused, Role};
pub use crate::child::{Catalog, Resource, Tool};
pub use crate::supervisor::{Cause, Definition, Introduction, Problem, State, Status};
pub use error::{Error, Fault, Retry};

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
    /// The last good lists.
    pub catalog: Arc<Catalog>,
    /// Calls since the daemon started.
    pub traffic: Traffic,
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
    /// The caller's deadline.
    pub timeout: Duration,
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
    /// True when every enabled server has left `starting` for the first time and the daemon is not stopping.
    pub ready: bool,
    /// Why not, one sentence each.
    pub waiting_for: Vec<String>,
}

/// The one entrance to everything the gateway does. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {}

impl Gateway {
    /// Says who a key belongs to.
    pub fn authenticate(&self, token: &str) -> Result<Principal, Refused> {
        let _ = token;
        unimplemented!()
    }
    /// All servers, in the order they were made.
    pub fn servers(&self) -> Vec<ServerView> {
        unimplemented!()
    }
    /// The server of this id or exact name; an id wins over a name.
    pub fn server(&self, id_or_name: &str) -> Result<ServerView, Error> {
        let _ = id_or_name;
        unimplemented!()
    }
    /// The server of this exact name.
    pub fn server_named(&self, name: &str) -> Result<ServerView, Error> {
        let _ = name;
        unimplemented!()
    }
    /// The catalog of a server; waits for a starting child up to its start deadline.
    pub async fn catalog(
        &self,
        id_or_name: &str,
        wait: Option<Duration>,
    ) -> Result<(ServerView, Arc<Catalog>), Error> {
        let _ = (id_or_name, wait);
        unimplemented!()
    }
    /// Calls a tool. Never repeats a call that may have reached the child. Dropping the future cancels the call.
    pub async fn call_tool(&self, call: ToolCall) -> Result<ToolReply, Error> {
        let _ = call;
        unimplemented!()
    }
    /// Reads a resource.
    pub async fn read_resource(
        &self,
        server: &str,
        uri: &str,
        timeout: Duration,
    ) -> Result<ResourceReply, Error> {
        let _ = (server, uri, timeout);
        unimplemented!()
    }
    /// Adds a server. The same definition again is no change; another one is [`Error::AlreadyExists`]. Durable when it returns.
    pub async fn add_server(&self, name: &str, raw: Map<String, Value>) -> Result<(), Error> {
        let _ = (name, raw);
        unimplemented!()
    }
    /// Replaces the given members of a definition. Durable when it returns.
    pub async fn update_server(&self, name: &str, members: Map<String, Value>) -> Result<(), Error> {
        let _ = (name, members);
        unimplemented!()
    }
    /// Removes a server; its child is stopped in the background. Durable when it returns.
    pub async fn remove_server(&self, name: &str) -> Result<(), Error> {
        let _ = name;
        unimplemented!()
    }
    /// Writes all definitions to a file.
    pub async fn export_config(&self, path: &str) -> Result<(), Error> {
        let _ = path;
        unimplemented!()
    }
    /// Replaces all definitions by those of a file, all or nothing; identical ones keep running.
    pub async fn import_config(&self, path: &str) -> Result<(), Error> {
        let _ = path;
        unimplemented!()
    }
    /// Whether the daemon can serve.
    pub fn readiness(&self) -> Readiness {
        unimplemented!()
    }
    /// All metrics in the Prometheus text format.
    pub fn render_metrics(&self) -> String {
        unimplemented!()
    }
}
