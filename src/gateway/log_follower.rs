//! The follower of a server's log. A slow reader learns the number of lines it missed; nothing is kept for it.

use std::sync::Arc;

use tokio::sync::watch;

use super::standing::{present, refused};
use super::stop::Stage;
use super::{Error, Principal, ServerEntry, check_permitted};
use crate::access::Right;
use crate::supervisor::{ServerHandle, Status};
use crate::upstream::LogLine;

/// Maximum number of lines handed over at once.
const BATCH: usize = 64;

/// Reader of a log: the caller, and the server of the log.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) caller: Principal,
    pub(super) entry: Arc<ServerEntry>,
}

impl Reader {
    fn may(&self, caller: &Principal) -> Result<(), Error> {
        caller.require(Right::Administer)?;
        check_permitted(caller, &self.entry)
    }

    /// Returns the reason that the reader may not read the log any more; `None` while it may.
    fn refused(&self) -> Option<LogEnd> {
        present(&self.caller).and_then(|caller| self.may(&caller)).err().map(LogEnd::Refused)
    }
}

/// Reason that a log ends.
#[derive(Debug, Clone)]
pub enum LogEnd {
    /// The server was removed.
    Removed,
    /// The daemon is stopping.
    Stopping,
    /// The reader may not read the log any more.
    Refused(Error),
}

/// Event of a log.
#[derive(Debug)]
pub enum LogNews {
    /// Further lines, and the number of lines missed before them.
    Lines(u64, Vec<Arc<LogLine>>),
    /// End of the log; no more lines follow.
    End(LogEnd),
}

/// Follower of a server's log until the server is removed, the daemon stops, or the reader loses the right.
pub struct LogFollower {
    reader: Reader,
    handle: Arc<ServerHandle>,
    after: u64,
    newest: watch::Receiver<u64>,
    status: watch::Receiver<Arc<Status>>,
    stopping: watch::Receiver<Stage>,
}

impl LogFollower {
    pub(super) fn new(
        reader: Reader,
        handle: Arc<ServerHandle>,
        tail: usize,
        after: Option<u64>,
        stopping: watch::Receiver<Stage>,
    ) -> LogFollower {
        let log = handle.log();
        let newest = log.watch();
        // A number beyond the newest comes from before the daemon's last start.
        let known = after.filter(|after| *after <= *newest.borrow());
        let after = known.unwrap_or_else(|| match log.tail(tail).first() {
            Some(first) => first.number - 1,
            None => *newest.borrow(),
        });
        LogFollower { reader, after, newest, status: handle.watch(), stopping, handle }
    }

    /// Returns a check, to be made at any time, that gives the reason that lines may not be handed over any more.
    pub fn guard(&self) -> impl Fn() -> Option<LogEnd> + Send + 'static {
        let reader = self.reader.clone();
        move || reader.refused()
    }

    /// Waits until the reader may not read the log any more.
    pub async fn refused(&self) -> Error {
        refused(&self.reader.caller, |caller| self.reader.may(caller)).await
    }

    /// Waits for the next lines or the end of the log.
    pub async fn next(&mut self) -> LogNews {
        let reader = self.reader.clone();
        tokio::select! {
            biased;
            error = refused(&reader.caller, |caller| reader.may(caller)) => LogNews::End(LogEnd::Refused(error)),
            news = self.news() => news,
        }
    }

    async fn news(&mut self) -> LogNews {
        loop {
            self.newest.borrow_and_update();
            let (lost, lines) = self.handle.log().after(self.after, BATCH);
            if let Some(last) = lines.last() {
                self.after = last.number;
                return LogNews::Lines(lost, lines);
            }
            self.status.borrow_and_update();
            if *self.stopping.borrow_and_update() > Stage::Serving {
                return LogNews::End(LogEnd::Stopping);
            }
            if self.handle.leaving().is_some() {
                return LogNews::End(LogEnd::Removed);
            }
            // Senders live as long as the handle and the gateway do.
            let changed = tokio::select! {
                changed = self.newest.changed() => changed,
                changed = self.status.changed() => changed,
                changed = self.stopping.changed() => changed,
            };
            if changed.is_err() {
                return LogNews::End(LogEnd::Stopping);
            }
        }
    }
}
