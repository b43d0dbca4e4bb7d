//! Notifications of a server's children that belong to no call, for whoever follows this server, and for whoever follows
//! all of them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::broadcast;

/// Number of notifications buffered for those who subscribe; when more arrive, the oldest are dropped.
const MAX_NOTICES: usize = 64;
/// The same for those who follow all servers.
const MAX_OF_ALL: usize = 1024;

/// Owner of a pool of children: whoever shares them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PoolKey {
    /// Session of an MCP client, by the number that no other session of this run has.
    Session(u64),
    /// Member, by its id.
    Principal(Arc<str>),
    /// All clients of the legacy era, of a server that is spoken to in each client's own.
    Legacy,
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolKey::Session(number) => write!(f, "session {number}"),
            PoolKey::Principal(member) => write!(f, "principal {member}"),
            PoolKey::Legacy => f.write_str("legacy clients"),
        }
    }
}

/// A notification of the child that does not belong to one call.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Number of the run that sent it.
    pub incarnation: u64,
    /// Whom alone it concerns; `None` for whoever may use the server.
    pub owner: Option<PoolKey>,
    /// Name of the method.
    pub method: Arc<str>,
    /// The `params`, raw JSON; `None` if there are none or they exceed 64 KiB.
    pub params: Option<Bytes>,
}

/// Channel of what all servers announce. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NoticesOfAll(broadcast::Sender<(Arc<str>, Notification)>);

impl Default for NoticesOfAll {
    fn default() -> NoticesOfAll {
        NoticesOfAll(broadcast::Sender::new(MAX_OF_ALL))
    }
}

impl NoticesOfAll {
    /// Subscribes to what all servers announce, now and later, each with the server's id.
    pub fn subscribe(&self) -> broadcast::Receiver<(Arc<str>, Notification)> {
        self.0.subscribe()
    }
}

/// Channel of what one server announces. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notices {
    server: Arc<str>,
    own: broadcast::Sender<Notification>,
    all: NoticesOfAll,
    /// Pool of the children that send here; `None` for those that all share.
    pool: Option<PoolKey>,
}

impl Notices {
    /// Creates the channel of the server with this id.
    pub fn new(server: Arc<str>, all: NoticesOfAll) -> Notices {
        Notices { server, own: broadcast::Sender::new(MAX_NOTICES), all, pool: None }
    }

    /// Returns the same channel for the children of a pool.
    pub fn of_pool(&self, pool: PoolKey) -> Notices {
        Notices { pool: Some(pool), ..self.clone() }
    }

    /// Subscribes to what the server announces, now and later. A receiver that falls behind by 64 of them loses the oldest,
    /// and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<Notification> {
        self.own.subscribe()
    }

    /// Reports whether nobody would hear a notification.
    pub(super) fn are_unheard(&self) -> bool {
        self.own.receiver_count() == 0 && self.all.0.receiver_count() == 0
    }

    /// Sends a notification of the run with this number. Who has subscribed may leave at any time.
    pub fn send(&self, incarnation: u64, method: Arc<str>, params: Option<Bytes>) {
        self.deliver(Notification { incarnation, owner: self.pool.clone(), method, params });
    }

    /// Sends a notification that concerns only this member, where the children are shared.
    pub(super) fn send_to(
        &self,
        member: Arc<str>,
        incarnation: u64,
        method: Arc<str>,
        params: Option<Bytes>,
    ) {
        let owner = match &self.pool {
            None | Some(PoolKey::Legacy) => PoolKey::Principal(member),
            Some(owner) => owner.clone(),
        };
        self.deliver(Notification { incarnation, owner: Some(owner), method, params });
    }

    fn deliver(&self, notice: Notification) {
        if self.all.0.receiver_count() > 0 {
            let _ = self.all.0.send((self.server.clone(), notice.clone()));
        }
        let _ = self.own.send(notice);
    }
}

/// Log messages about no request that were told in this second.
#[derive(Default)]
pub(super) struct LogRate {
    since: Option<Instant>,
    count: u32,
}

/// Maximum number of them in a second.
const MAX_LOGS: u32 = 16;

impl LogRate {
    /// Counts one more. Returns `false` if there is no room for it.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            *self = LogRate { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= MAX_LOGS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_log_messages_are_told_in_a_second_and_then_again() {
        let (mut rate, begin) = (LogRate::default(), Instant::now());
        let told = (0..MAX_LOGS + 5).filter(|_| rate.has_room(begin)).count();
        assert_eq!(told, MAX_LOGS as usize);
        assert!(rate.has_room(begin + Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn a_notice_reaches_who_follows_the_server_and_who_follows_all() {
        let all = NoticesOfAll::default();
        let (one, other) = (Notices::new("a".into(), all.clone()), Notices::new("b".into(), all.clone()));
        assert!(one.are_unheard());
        let (mut of_one, mut of_all) = (one.subscribe(), all.subscribe());
        one.send(1, "m".into(), None);
        other.send(2, "m".into(), None);
        assert_eq!(of_one.recv().await.map(|notice| notice.incarnation), Ok(1));
        let told = (of_all.recv().await.expect("one"), of_all.recv().await.expect("two"));
        assert_eq!((&*told.0.0, &*told.1.0, told.1.1.incarnation), ("a", "b", 2));
        assert!(of_one.try_recv().is_err() && !other.are_unheard());
        one.of_pool(PoolKey::Session(7)).send(3, "m".into(), None);
        assert_eq!(of_one.recv().await.expect("one").owner, Some(PoolKey::Session(7)));
        one.send_to("member".into(), 3, "m".into(), None);
        assert_eq!(of_one.recv().await.expect("one").owner, Some(PoolKey::Principal("member".into())));
        one.of_pool(PoolKey::Legacy).send_to("member".into(), 3, "m".into(), None);
        assert_eq!(of_one.recv().await.expect("one").owner, Some(PoolKey::Principal("member".into())));
        one.of_pool(PoolKey::Session(7)).send_to("member".into(), 3, "m".into(), None);
        assert_eq!(of_one.recv().await.expect("one").owner, Some(PoolKey::Session(7)));
    }
}
