//! Following a server's log. A reader that is slow is told what it missed; nothing is kept for it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::child::LogLine;
use crate::supervisor::{ServerHandle, Status};

/// How many lines are handed over at once.
const BATCH: usize = 64;

/// Follows a server's log until the server is removed or the daemon stops.
pub struct LogFollower {
    handle: Arc<ServerHandle>,
    after: u64,
    newest: watch::Receiver<u64>,
    status: watch::Receiver<Arc<Status>>,
    stopping: watch::Receiver<bool>,
}

impl LogFollower {
    pub(super) fn new(
        handle: Arc<ServerHandle>,
        tail: usize,
        after: Option<u64>,
        stopping: watch::Receiver<bool>,
    ) -> LogFollower {
        let log = handle.log();
        let newest = log.watch();
        // A number beyond the newest is from before the daemon's last start.
        let known = after.filter(|after| *after <= *newest.borrow());
        let after = known.unwrap_or_else(|| match log.tail(tail).first() {
            Some(first) => first.number - 1,
            None => *newest.borrow(),
        });
        LogFollower { after, newest, status: handle.watch(), stopping, handle }
    }

    /// The next lines, and how many were missed before them; `None` when there are no more to come.
    pub async fn next(&mut self) -> Option<(u64, Vec<LogLine>)> {
        loop {
            self.newest.borrow_and_update();
            let (lost, lines) = self.handle.log().after(self.after, BATCH);
            if let Some(last) = lines.last() {
                self.after = last.number;
                return Some((lost, lines));
            }
            self.status.borrow_and_update();
            if *self.stopping.borrow_and_update() || self.handle.leaving().is_some() {
                return None;
            }
            // Senders live as long as the handle and the gateway do.
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                changed = self.status.changed() => changed.ok()?,
                changed = self.stopping.changed() => changed.ok()?,
            }
        }
    }
}
