//! What is followed: a server's log, or the calls. A slow reader learns how much it missed; nothing is kept for it.

use super::Error;

/// Reason why a follower has no more news.
#[derive(Debug, Clone)]
pub enum FollowEnd {
    /// What was followed was removed.
    Removed,
    /// The daemon is stopping.
    Stopping,
    /// The reader may not read it any more.
    Refused(Error),
}

/// What a follower hands over.
#[derive(Debug)]
pub enum Followed<T> {
    /// Further items, and the number of items missed before them.
    Items(u64, Vec<T>),
    /// End; no more items follow.
    End(FollowEnd),
}

/// A follower of what grows, until it is removed, the daemon stops, or the reader loses the right.
pub trait Follow: Send + 'static {
    /// What is followed, one by one.
    type Item: Send + 'static;

    /// Returns a check, to be made at any time, that gives the reason that items may not be handed over any more.
    fn guard(&self) -> impl Fn() -> Option<FollowEnd> + Send + 'static;

    /// Waits until the reader may not read any more.
    fn refused(&self) -> impl Future<Output = Error> + Send;

    /// Waits for the next items or the end.
    fn next(&mut self) -> impl Future<Output = Followed<Self::Item>> + Send;
}
