//! Settings of the audit.

use std::time::Duration;

/// Retention settings of the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSettings {
    /// Age after which segments are removed.
    pub keep: Duration,
    /// Maximum total size, in bytes.
    pub keep_bytes: u64,
    /// `true` if calls are recorded, too, each with a hash of its arguments.
    pub calls: bool,
}

impl Default for AuditSettings {
    fn default() -> AuditSettings {
        AuditSettings { keep: Duration::from_secs(400 * 86_400), keep_bytes: 64 * 1024 * 1024, calls: false }
    }
}
