//! The follower of a server's log.

use std::sync::Arc;

use tokio::sync::watch;

use super::follow::{Follow, FollowEnd, Followed};
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
    fn refused(&self) -> Option<FollowEnd> {
        present(&self.caller).and_then(|caller| self.may(&caller)).err().map(FollowEnd::Refused)
    }
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

    async fn news(&mut self) -> Followed<Arc<LogLine>> {
        loop {
            self.newest.borrow_and_update();
            let (lost, lines) = self.handle.log().after(self.after, BATCH);
            if let Some(last) = lines.last() {
                self.after = last.number;
                return Followed::Items(lost, lines);
            }
            self.status.borrow_and_update();
            if *self.stopping.borrow_and_update() > Stage::Serving {
                return Followed::End(FollowEnd::Stopping);
            }
            if self.handle.leaving().is_some() {
                return Followed::End(FollowEnd::Removed);
            }
            // Senders live as long as the handle and the gateway do.
            let changed = tokio::select! {
                changed = self.newest.changed() => changed,
                changed = self.status.changed() => changed,
                changed = self.stopping.changed() => changed,
            };
            if changed.is_err() {
                return Followed::End(FollowEnd::Stopping);
            }
        }
    }
}

impl Follow for LogFollower {
    type Item = Arc<LogLine>;

    fn guard(&self) -> impl Fn() -> Option<FollowEnd> + Send + 'static {
        let reader = self.reader.clone();
        move || reader.refused()
    }

    async fn refused(&self) -> Error {
        refused(&self.reader.caller, |caller| self.reader.may(caller)).await
    }

    async fn next(&mut self) -> Followed<Arc<LogLine>> {
        let reader = self.reader.clone();
        tokio::select! {
            biased;
            error = refused(&reader.caller, |caller| reader.may(caller)) => Followed::End(FollowEnd::Refused(error)),
            news = self.news() => news,
        }
    }
}
