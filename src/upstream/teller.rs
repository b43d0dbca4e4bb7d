//! Remarks for the operator about a child: written to the daemon's log, with the server's name, and to the server's
//! own.

use std::sync::Arc;

use super::log::{ServerLog, Stream};

/// Longest warning, in characters: parts of it come from the child.
const MAX_REMARK: usize = 1_000;

/// Writer of remarks about one child. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    pub(super) server: Arc<str>,
    pub(super) log: ServerLog,
    pub(super) incarnation: u64,
}

impl Teller {
    /// Writes a warning to both logs.
    pub(super) fn warn(&self, remark: &str) {
        let remark: String = remark.chars().take(MAX_REMARK).collect();
        tracing::warn!(server = %self.server, "{remark}");
        self.log.push(self.incarnation, Stream::Gateway, &remark);
    }

    /// Writes a remark to the server's own log; the daemon's log gets it at debug level only.
    pub(super) fn note(&self, remark: &str) {
        tracing::debug!(server = %self.server, "{remark}");
        self.log.push(self.incarnation, Stream::Gateway, remark);
    }
}
