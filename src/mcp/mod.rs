//! The MCP payloads that the gateway itself reads or writes. Pure: text in, text or values out.

mod answer;
mod digest;
mod era;
mod handshake;
mod list;
mod logging;
mod result;
mod tool;
mod tool_index;
pub mod translate;

pub use answer::{Answer, answer};
pub use digest::{NoDigest, ToolDigest};
pub use era::{Era, MODERN_VERSION, OFFERED_LEGACY_VERSION, modern_meta};
pub use handshake::{
    Declared, HandshakeInfo, Probe, initialize_params, read_discover, read_initialize, read_probe_error,
};
pub use list::{ListKind, ListPage, NextPage, read_page};
pub use logging::read_log_message;
pub use result::{CAPABILITY_REQUIRED, NoResult, ReadContents, ToolResult, read_contents, read_tool_result};
pub use tool::{is_for_models, tool_meta};
pub use tool_index::ToolIndex;

/// Method names of MCP.
pub mod method {
    /// Request that opens a connection of the legacy era.
    pub const INITIALIZE: &str = "initialize";
    /// Notification that ends the legacy handshake.
    pub const INITIALIZED: &str = "notifications/initialized";
    /// Request for the description of a server of the modern era.
    pub const DISCOVER: &str = "server/discover";
    /// Request that checks whether the peer is alive (legacy era).
    pub const PING: &str = "ping";
    /// Request that opens a stream of change notifications (modern era).
    pub const LISTEN: &str = "subscriptions/listen";
    /// Request for a page of the tools.
    pub const TOOLS_LIST: &str = "tools/list";
    /// Request that calls a tool.
    pub const TOOLS_CALL: &str = "tools/call";
    /// Request for a page of the resources.
    pub const RESOURCES_LIST: &str = "resources/list";
    /// Request for a page of the resource templates.
    pub const TEMPLATES_LIST: &str = "resources/templates/list";
    /// Request for the contents of a resource.
    pub const RESOURCES_READ: &str = "resources/read";
    /// Request for a prompt with its arguments filled in.
    pub const PROMPTS_GET: &str = "prompts/get";
    /// Request for values of an argument of a prompt or of a resource template.
    pub const COMPLETE: &str = "completion/complete";
    /// Request for a page of the prompts.
    pub const PROMPTS_LIST: &str = "prompts/list";
    /// Request for updates of a resource (legacy era).
    pub const SUBSCRIBE: &str = "resources/subscribe";
    /// Request that ends the updates of a resource (legacy era).
    pub const UNSUBSCRIBE: &str = "resources/unsubscribe";
    /// Request that sets the least severity of log messages (legacy era).
    pub const SET_LEVEL: &str = "logging/setLevel";
    /// Notification that a resource has changed.
    pub const RESOURCE_UPDATED: &str = "notifications/resources/updated";
    /// Notification that says which changes a stream announces (modern era).
    pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
    /// Notification that a request's result is no longer wanted.
    pub const CANCELLED: &str = "notifications/cancelled";
    /// Notification of a request's progress.
    pub const PROGRESS: &str = "notifications/progress";
    /// Notification with a server's log report (legacy and modern era).
    pub const MESSAGE: &str = "notifications/message";
    /// Notification that the tool list changed.
    pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
    /// Notification that the resource list changed.
    pub const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";
    /// Notification that the prompt list changed.
    pub const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
}
