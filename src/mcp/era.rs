//! The two protocol eras, and the parts of each request that depend on them.

use bytes::Bytes;
use serde_json::json;

/// The stateless protocol revision that the gateway speaks.
pub const MODERN_VERSION: &str = "2026-07-28";

/// Version that `initialize` asks for. The modern revision must never be requested that way (spec
/// 2026-07-28, basic/versioning).
pub const OFFERED_LEGACY_VERSION: &str = "2025-11-25";

/// Protocol era spoken to a child. A property of the process, settled once in its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize`, then requests without envelope.
    Legacy,
    /// 2026-07-28: each request carries version, client and capabilities in `_meta`.
    Modern,
}

/// Returns the members that every request to a modern child carries in `params._meta`, without braces.
pub fn modern_meta() -> Bytes {
    let members = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientInfo": client_info(),
        "io.modelcontextprotocol/clientCapabilities": {},
    })
    .to_string();
    let members_end = members.len() - 1;
    // No braces, so that a progress token and a caller's own members can stand beside them.
    Bytes::from(members).slice(1..members_end)
}

/// Returns the name and version that the gateway states to a child.
pub(super) fn client_info() -> serde_json::Value {
    json!({"name": "mcpvisor", "version": env!("CARGO_PKG_VERSION")})
}
