//! The MCP payloads that the gateway itself reads or writes. Pure: text in, text or values out.

mod answer;
mod digest;
mod era;
mod handshake;
mod list;
mod logging;
mod result;
mod tool;

pub use answer::{Answer, answer};
pub use digest::{NoDigest, ToolDigest};
pub use era::{Era, MODERN_VERSION, OFFERED_LEGACY_VERSION, modern_meta};
pub use handshake::{Facts, Probe, initialize_params, read_discover, read_initialize, read_probe_error};
pub use list::{ListKind, ListPage, NextPage, read_page};
pub use logging::read_log_message;
pub use result::{CAPABILITY_REQUIRED, NoResult, ReadContents, ToolResult, read_contents, read_tool_result};
pub use tool::{is_for_models, tool_meta};

/// Method names, as constants.
pub mod method {
    /// Opens a connection of the legacy era.
    pub const INITIALIZE: &str = "initialize";
    /// Ends the legacy handshake.
    pub const INITIALIZED: &str = "notifications/initialized";
    /// Asks a server of the modern era what it is.
    pub const DISCOVER: &str = "server/discover";
    /// Asks whether the peer is alive (legacy era).
    pub const PING: &str = "ping";
    /// Opens a stream of change notifications (modern era).
    pub const LISTEN: &str = "subscriptions/listen";
    /// Lists tools.
    pub const TOOLS_LIST: &str = "tools/list";
    /// Calls a tool.
    pub const TOOLS_CALL: &str = "tools/call";
    /// Lists resources.
    pub const RESOURCES_LIST: &str = "resources/list";
    /// Lists resource templates.
    pub const TEMPLATES_LIST: &str = "resources/templates/list";
    /// Reads a resource.
    pub const RESOURCES_READ: &str = "resources/read";
    /// Lists prompts.
    pub const PROMPTS_LIST: &str = "prompts/list";
    /// Says that a request's result is not wanted any more.
    pub const CANCELLED: &str = "notifications/cancelled";
    /// Says how far a request has come.
    pub const PROGRESS: &str = "notifications/progress";
    /// What a server reports (legacy and modern era).
    pub const MESSAGE: &str = "notifications/message";
    /// The tool list changed.
    pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
    /// The resource list changed.
    pub const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";
    /// The prompt list changed.
    pub const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
}
