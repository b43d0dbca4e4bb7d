//! Counts of each member's keys, and the ended keys that need not be kept. Counted as keys come, change and
//! go, so that one more key costs the same however many there are. Pure: the time is given.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::key::KeyRecord;

/// Maximum number of keys in total that are neither revoked nor expired.
pub const MAX_KEYS: u64 = 10_000;
/// Number of such keys that a member may have however many members there are.
const MIN_SHARE: u64 = 10;
/// Number of ended keys that are kept per member; of more, those that ended first go.
pub const ENDED_KEPT: usize = 500;
/// Time for which a revoked key is kept, in seconds: 90 days.
pub const REVOKED_KEPT: u64 = 90 * 86_400;

/// Returns the number of keys a member may have that are neither revoked nor expired, if there are
/// `members` members.
pub fn share(members: usize) -> u64 {
    (MAX_KEYS / (members as u64).max(1)).max(MIN_SHARE)
}

/// Standing of a key among its member's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyRank {
    /// Accepted until that time; for ever if `None`.
    Live {
        until: Option<u64>,
    },
    Revoked {
        at: u64,
    },
    Expired {
        at: u64,
    },
}

/// An ended key, ordered by which goes first: revoked ones before expired ones, which a wrong clock may
/// have ended, and within each kind by the time of the end.
type Ended = (bool, u64, Arc<str>);

#[derive(Debug, Default)]
struct KeyCounts {
    live: u64,
    ended: BTreeSet<Ended>,
}

/// Counts of all keys; see the module documentation.
#[derive(Debug, Default)]
pub(super) struct Census {
    keys: HashMap<Arc<str>, (Arc<str>, KeyRank)>,
    members: HashMap<Arc<str>, KeyCounts>,
    /// The live keys that will expire, the next one first.
    ends: BTreeSet<(u64, Arc<str>)>,
    /// Time that the counts hold for, in seconds since 1970.
    at: u64,
}

impl Census {
    /// Adds or updates a key.
    pub(super) fn note(&mut self, key: &KeyRecord) {
        self.forget(&key.id);
        let standing = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => KeyRank::Revoked { at },
            (None, Some(at)) if at <= self.at => KeyRank::Expired { at },
            (None, until) => KeyRank::Live { until },
        };
        self.enter(key.id.clone(), key.member_id.clone(), standing);
    }

    fn enter(&mut self, id: Arc<str>, member: Arc<str>, standing: KeyRank) {
        let tally = self.members.entry(member.clone()).or_default();
        match standing {
            KeyRank::Live { until } => {
                tally.live += 1;
                self.ends.extend(until.map(|until| (until, id.clone())));
            }
            KeyRank::Revoked { .. } | KeyRank::Expired { .. } => {
                tally.ended.extend(ended(&id, standing));
            }
        }
        self.keys.insert(id, (member, standing));
    }

    /// Removes a key that is no longer kept.
    pub(super) fn forget(&mut self, id: &Arc<str>) {
        let Some((member, standing)) = self.keys.remove(id) else { return };
        let tally = self.members.entry(member).or_default();
        match standing {
            KeyRank::Live { until } => {
                tally.live -= 1;
                if let Some(until) = until {
                    self.ends.remove(&(until, id.clone()));
                }
            }
            KeyRank::Revoked { .. } | KeyRank::Expired { .. } => {
                if let Some(ended) = ended(id, standing) {
                    tally.ended.remove(&ended);
                }
            }
        }
    }

    /// Updates the counts to a time in seconds since 1970. If the clock was set back, expired keys become
    /// live again.
    pub(super) fn advance(&mut self, now: u64) {
        if now < self.at {
            let back = |(id, (member, standing)): (&Arc<str>, &(Arc<str>, KeyRank))| match standing {
                KeyRank::Expired { at } if *at > now => Some((id.clone(), member.clone(), *at)),
                _ => None,
            };
            let back: Vec<_> = self.keys.iter().filter_map(back).collect();
            for (id, member, at) in back {
                self.forget(&id);
                self.enter(id, member, KeyRank::Live { until: Some(at) });
            }
        }
        self.at = now;
        while let Some((until, id)) = self.ends.first().cloned().filter(|(until, _)| *until <= now) {
            let Some((member, _)) = self.keys.get(&id) else { break };
            let member = member.clone();
            self.forget(&id);
            self.enter(id, member, KeyRank::Expired { at: until });
        }
    }

    /// Returns the number of a member's keys that are neither revoked nor expired.
    pub(super) fn live(&self, member: &str) -> u64 {
        self.members.get(member).map_or(0, |tally| tally.live)
    }

    /// Returns the ended keys of a member that need not be kept any longer. `settled` is the time by a
    /// trustworthy clock; if `None`, no key is too old.
    pub(super) fn outlived(&self, member: &str, settled: Option<u64>) -> Vec<Arc<str>> {
        let Some(tally) = self.members.get(member) else { return Vec::new() };
        let too_many = tally.ended.len().saturating_sub(ENDED_KEPT);
        let is_old = |(is_expired, at, _): &Ended| {
            !is_expired && settled.is_some_and(|now| at.saturating_add(REVOKED_KEPT) <= now)
        };
        let gone = tally.ended.iter().enumerate().take_while(|(n, ended)| *n < too_many || is_old(ended));
        gone.map(|(_, (_, _, id))| id.clone()).collect()
    }
}

fn ended(id: &Arc<str>, standing: KeyRank) -> Option<Ended> {
    match standing {
        KeyRank::Live { .. } => None,
        KeyRank::Revoked { at } => Some((false, at, id.clone())),
        KeyRank::Expired { at } => Some((true, at, id.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KeyStatus, NewKey, NewKeySpec, Permissions};
    use super::*;
    use proptest::prelude::*;

    fn key(id: usize, member: usize) -> KeyRecord {
        let wish = NewKeySpec {
            limits: super::super::limits::KeyLimits::default(),
            name: String::new(),
            description: None,
            member_id: format!("user_{member}").into(),
            expires_at: None,
            permissions: Permissions::default(),
        };
        let record = NewKey::generate(wish, 0).expect("random bytes").record;
        KeyRecord { id: format!("key_{id}").into(), ..record }
    }

    #[test]
    fn ended_keys_go_when_they_are_old_or_many_and_revoked_ones_go_first() {
        let mut census = Census::default();
        census.advance(1_000);
        for id in 0..ENDED_KEPT + 3 {
            let revoked_at = (id >= 2).then_some(10 + id as u64);
            census.note(&KeyRecord { revoked_at, expires_at: Some(5), ..key(id, 0) });
        }
        // The first two have expired before all others were revoked, and still stay.
        let gone: Vec<String> =
            census.outlived("user_0", Some(1_000)).iter().map(|id| id.to_string()).collect();
        assert_eq!(gone, ["key_2", "key_3", "key_4"]);
        census.advance(10 + 7 + REVOKED_KEPT);
        assert_eq!(census.outlived("user_0", Some(10 + 7 + REVOKED_KEPT)).len(), 6, "revoked 90 days ago");
        assert_eq!(
            census.outlived("user_0", None).len(),
            3,
            "a clock that is not believed makes nothing old"
        );
        census.advance(u64::MAX);
        assert_eq!(
            census.outlived("user_0", Some(u64::MAX)).len(),
            ENDED_KEPT + 1,
            "what has expired is only counted"
        );
        assert!(census.outlived("user_1", Some(u64::MAX)).is_empty());
    }

    #[test]
    fn shares_add_up_to_what_there_may_be() {
        for members in 1..1_000 {
            assert!(share(members) * members as u64 <= MAX_KEYS && share(members) >= MIN_SHARE);
        }
        assert_eq!((share(0), share(1), share(4), share(100_000)), (MAX_KEYS, MAX_KEYS, 2_500, MIN_SHARE));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Note { id: usize, member: usize, expires_at: Option<u64>, revoked_at: Option<u64> },
        Forget(usize),
        Clock(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let end = prop::option::of(0u64..60);
        prop_oneof![
            4 => (0usize..12, 0usize..3, end.clone(), end)
                .prop_map(|(id, member, expires_at, revoked_at)| Step::Note { id, member, expires_at, revoked_at }),
            1 => (0usize..12).prop_map(Step::Forget),
            2 => (0u64..60).prop_map(Step::Clock),
        ]
    }

    proptest! {
        /// With keys that come, change and go in any way, and a clock that is set in either direction.
        #[test]
        fn it_counts_what_counting_them_all_says(steps in prop::collection::vec(step(), 0..80)) {
            let (mut census, mut all, mut now) = (Census::default(), HashMap::new(), 0);
            for step in steps {
                match step {
                    Step::Note { id, member, expires_at, revoked_at } => {
                        let key = KeyRecord { expires_at, revoked_at, ..key(id, member) };
                        census.note(&key);
                        all.insert(key.id.clone(), key);
                    }
                    Step::Forget(id) => {
                        let id: Arc<str> = format!("key_{id}").into();
                        census.forget(&id);
                        all.remove(&id);
                    }
                    Step::Clock(at) => {
                        now = at;
                        census.advance(now);
                    }
                }
                for member in ["user_0", "user_1", "user_2"] {
                    let own = |key: &&KeyRecord| *key.member_id == *member;
                    let live = all.values().filter(own).filter(|key| key.status(now) == KeyStatus::Active);
                    prop_assert_eq!(census.live(member), live.count() as u64);
                    let ended = census.members.get(member).map_or(0, |tally| tally.ended.len());
                    let gone = all.values().filter(own).filter(|key| key.status(now) != KeyStatus::Active);
                    prop_assert_eq!(ended, gone.count());
                }
            }
        }
    }
}
