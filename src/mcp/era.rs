//! The two protocol eras and what each request carries because of them.

use bytes::Bytes;
use serde_json::json;

/// The stateless revision that is spoken.
pub const MODERN_VERSION: &str = "2026-07-28";

/// What `initialize` asks for. The modern revision must never be asked for that way (spec
/// 2026-07-28, basic/versioning).
pub const OFFERED_LEGACY_VERSION: &str = "2025-11-25";

/// How a child is spoken to. A property of the process, settled once in its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize`, then requests without envelope.
    Legacy,
    /// 2026-07-28: each request carries version, client and capabilities in `_meta`.
    Modern,
}

/// The members that every request to a modern child carries in `params._meta`.
pub fn modern_meta() -> Bytes {
    let members = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientInfo": client_info(),
        "io.modelcontextprotocol/clientCapabilities": {},
    })
    .to_string();
    let members_end = members.len() - 1;
    // Without the braces, so that a progress token and a caller's own members can stand beside them.
    Bytes::from(members).slice(1..members_end)
}

/// How the gateway names itself to a child.
pub(super) fn client_info() -> serde_json::Value {
    json!({"name": "mcpvisor", "version": env!("CARGO_PKG_VERSION")})
}
