//! Names in the data directory that belong to the daemon, of whichever part of it.

use std::ffi::OsStr;

use super::data_dir::{LOCK, STORE};
use super::files::{QUARANTINE, ROOM_FILE};
use super::{backup, clock_file, journal, marker, reserve};

/// Name of the Unix socket, unless another path is configured.
const SOCKET: &str = "mcpvisor.sock";

/// Name of the file with what members have stored for their children, sealed.
pub const PRINCIPAL_SECRETS: &str = "principal-secrets.json";

/// Name of the file with the key that those are sealed with.
pub const PRINCIPAL_SECRETS_KEY: &str = "principal-secrets.key";

/// Names directly inside the data directory that belong to the daemon.
const RESERVED_NAMES: [&str; 14] = [
    LOCK,
    STORE,
    "owner.key",
    "mcp-sessions.key",
    PRINCIPAL_SECRETS,
    PRINCIPAL_SECRETS_KEY,
    "audit",
    clock_file::FILE,
    SOCKET,
    ROOM_FILE,
    reserve::FILE,
    journal::FILE,
    backup::DIR,
    marker::FILE,
];

/// Reports whether a name directly inside the data directory belongs to the daemon; no caller of the API may have a
/// file written there.
pub fn is_reserved(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(QUARANTINE.as_bytes()) || RESERVED_NAMES.iter().any(|own| own.as_bytes() == name)
}
