//! The key that ids of MCP sessions are sealed with: a file of the data directory, made at the first start, so that sessions
//! outlive a restart of the daemon.

use std::fs;
use std::path::Path;

use crate::http::SessionKey;
use crate::store::write_private;

/// Name of the file in the data directory: 64 hexadecimal digits.
const FILE: &str = "mcp-sessions.key";

/// Returns the key of the installation. `None`, with a warning, if it can be neither read nor made: sessions then end with
/// the daemon, and nothing else does.
pub(super) fn load(data_dir: &Path) -> Option<SessionKey> {
    let path = data_dir.join(FILE);
    if let Some(key) = fs::read_to_string(&path).ok().and_then(|text| SessionKey::read(text.trim())) {
        return Some(key);
    }
    let key = SessionKey::random()?;
    match write_private(&path, format!("{}\n", key.text()).as_bytes()) {
        Ok(()) => Some(key),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "sessions of MCP clients will end with this run: their key cannot be kept");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_for_the_daemons_user_and_anew_if_damaged() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = load(dir.path()).expect("a key");
        assert_eq!(load(dir.path()).map(|key| key.text()), Some(first.text()));
        let mode = fs::metadata(dir.path().join(FILE)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(dir.path().join(FILE), "short").expect("written");
        let second = load(dir.path()).expect("a key");
        assert_ne!(second.text(), first.text());
        assert!(load(&dir.path().join("missing")).is_none());
    }
}
