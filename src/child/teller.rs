//! Says what an operator should know of a child: in the daemon's log, with the server's name, and in the
//! server's own.

use std::sync::Arc;

use super::log::{ServerLog, Stream};

/// The longest remark, in characters: parts of it come from the child.
const MAX_REMARK: usize = 1_000;

/// For one child. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    pub(super) server: Arc<str>,
    pub(super) log: ServerLog,
    pub(super) incarnation: u64,
}

impl Teller {
    /// A warning.
    pub(super) fn warn(&self, remark: &str) {
        let remark: String = remark.chars().take(MAX_REMARK).collect();
        tracing::warn!(server = %self.server, "{remark}");
        self.log.push(self.incarnation, Stream::Gateway, &remark);
    }

    /// What belongs beside the server's own lines only.
    pub(super) fn note(&self, remark: &str) {
        tracing::debug!(server = %self.server, "{remark}");
        self.log.push(self.incarnation, Stream::Gateway, remark);
    }
}
