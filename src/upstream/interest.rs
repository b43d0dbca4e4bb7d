//! What clients want to hear of a server's children beside answers: updates of resources, and log messages from a
//! severity on. Each child is told what all clients together want; who leaves takes its wish along.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::mcp::translate::Level;

/// Longest time that a client waits for the child to be told of its wish.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Maximum number of resources that the clients of one server may follow together.
const MAX_RESOURCES: usize = 4096;

/// Sum of the wishes, for a child to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Number of the change that led to it.
    pub version: u64,
    /// URIs of the resources whose updates are wanted, in order.
    pub resources: Arc<Vec<Arc<str>>>,
    /// Least severity of the log messages that are wanted; `None` if nobody has said.
    pub level: Option<Level>,
}

#[derive(Default)]
struct Counts {
    version: u64,
    resources: BTreeMap<Arc<str>, usize>,
    levels: BTreeMap<Level, usize>,
}

/// Wishes of the clients of one server.
pub struct Interests {
    counts: Mutex<Counts>,
    wanted: watch::Sender<Wishes>,
    /// Version of the wishes that a child was told last.
    told: watch::Sender<u64>,
}

impl Default for Interests {
    fn default() -> Interests {
        Interests {
            counts: Mutex::default(),
            wanted: watch::Sender::new(Wishes::default()),
            told: watch::Sender::new(0),
        }
    }
}

/// Wish of one client; taken back when dropped.
pub struct Interest {
    interests: Arc<Interests>,
    wish: Wish,
    version: u64,
}

enum Wish {
    Resource(Arc<str>),
    Level(Level),
}

/// Longest URI that can be followed, in bytes.
const MAX_URI: usize = 8 * 1024;

/// Refusal of a wish: as many resources are followed as may be, or the URI is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clients of this server follow {MAX_RESOURCES} resources, which is as many as they may, or the URI is longer than \
     {MAX_URI} bytes"
)]
pub struct TooManyResources;

impl Interests {
    /// Asks for updates of a resource.
    pub fn resource(self: &Arc<Interests>, uri: &str) -> Result<Interest, TooManyResources> {
        if uri.len() > MAX_URI {
            return Err(TooManyResources);
        }
        let mut counts = self.counts();
        let uri: Arc<str> = uri.into();
        if counts.resources.len() >= MAX_RESOURCES && !counts.resources.contains_key(&uri) {
            return Err(TooManyResources);
        }
        *counts.resources.entry(uri.clone()).or_default() += 1;
        Ok(self.changed(counts, Wish::Resource(uri)))
    }

    /// Asks for log messages of this severity and above.
    pub fn level(self: &Arc<Interests>, level: Level) -> Interest {
        let mut counts = self.counts();
        *counts.levels.entry(level).or_default() += 1;
        self.changed(counts, Wish::Level(level))
    }

    fn changed(self: &Arc<Interests>, mut counts: MutexGuard<'_, Counts>, wish: Wish) -> Interest {
        self.publish(&mut counts);
        Interest { interests: self.clone(), wish, version: counts.version }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, counts: &mut Counts) {
        counts.version += 1;
        let sum = Wishes {
            version: counts.version,
            resources: Arc::new(counts.resources.keys().cloned().collect()),
            level: counts.levels.keys().next().copied(),
        };
        self.wanted.send_replace(sum);
    }

    /// Reports whether updates of any resource are wanted.
    pub fn has_resources(&self) -> bool {
        !self.wanted.borrow().resources.is_empty()
    }

    /// Subscribes to the sum of the wishes, for a child.
    pub(super) fn wanted(&self) -> watch::Receiver<Wishes> {
        self.wanted.subscribe()
    }

    /// Records that a child was told the wishes of this version.
    pub(super) fn told(&self, version: u64) {
        self.told.send_if_modified(|told| {
            let is_newer = version > *told;
            *told = version.max(*told);
            is_newer
        });
    }
}

/// Waits until the children were told of all these wishes, for two seconds at most altogether.
pub async fn are_known(interests: &[&Interest]) {
    let known = async {
        for interest in interests {
            let mut told = interest.interests.told.subscribe();
            let _ = told.wait_for(|told| *told >= interest.version).await;
        }
    };
    let _ = tokio::time::timeout(TOLD_WITHIN, known).await;
}

impl Drop for Interest {
    fn drop(&mut self) {
        fn leave<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
            if let Some(count) = counts.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(key);
                }
            }
        }
        let mut counts = self.interests.counts();
        match &self.wish {
            Wish::Resource(uri) => leave(&mut counts.resources, uri),
            Wish::Level(level) => leave(&mut counts.levels, level),
        }
        self.interests.publish(&mut counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_holds_as_long_as_one_client_has_it() {
        let interests = Arc::new(Interests::default());
        let wanted = interests.wanted();
        let now = || wanted.borrow().clone();
        let (one, again) = (interests.resource("a:1").expect("room"), interests.resource("a:1"));
        let debug = interests.level(Level::named("debug").expect("known"));
        let _error = interests.level(Level::named("error").expect("known"));
        assert_eq!((now().resources.len(), now().level.map(Level::name)), (1, Some("debug")));
        drop((one, debug));
        assert_eq!((now().resources.len(), now().level.map(Level::name)), (1, Some("error")));
        drop(again);
        assert!(now().resources.is_empty() && now().version > 5);
    }

    #[test]
    fn resources_beyond_the_bound_are_refused_and_known_ones_are_not() {
        let interests = Arc::new(Interests::default());
        let held: Vec<_> = (0..MAX_RESOURCES).map(|n| interests.resource(&n.to_string())).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(interests.resource("more").err(), Some(TooManyResources));
        assert!(interests.resource("7").is_ok());
        drop(held);
        assert!(interests.resource("more").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_child_to_know_waits_no_longer_than_two_seconds() {
        let interests = Arc::new(Interests::default());
        let others = Arc::new(Interests::default());
        let (wish, other) = (interests.resource("a").expect("room"), others.resource("b").expect("room"));
        let begun = tokio::time::Instant::now();
        are_known(&[&wish, &other]).await;
        assert_eq!(begun.elapsed(), TOLD_WITHIN, "for both together");
        interests.told(wish.version);
        others.told(other.version);
        are_known(&[&wish, &other]).await;
        assert_eq!(begun.elapsed(), TOLD_WITHIN);
    }
}
