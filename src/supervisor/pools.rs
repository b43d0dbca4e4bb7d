//! The pools of a server whose children are not shared: whose each is, how many there may be, and which goes when
//! another needs room. Pure, but for a short lock: what a pool is, is for its user to say.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::upstream::PoolKey;

/// Reason that there is no pool for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolRefused {
    /// There are as many as there may be, and each has a child or is waited for.
    Full {
        /// Maximum number of pools.
        limit: usize,
    },
    /// The server, or the session that the pool would be of, is over.
    Over,
}

/// Number of a server's pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolSums {
    /// Number of pools, with and without a running child.
    pub count: usize,
    /// Number of those whose child takes calls.
    pub ready: usize,
}

/// The pools of one server by their owners. `P` is the pool.
pub(super) struct Pools<P> {
    table: Mutex<Table<P>>,
    /// `true` once there has been a pool: most servers never have one, and need not be asked.
    are_used: AtomicBool,
}

struct Table<P> {
    pools: HashMap<PoolKey, Entry<P>>,
    /// Number of the last use of any pool.
    last: u64,
    is_closed: bool,
}

struct Entry<P> {
    pool: Arc<P>,
    /// Number of its last use.
    used: u64,
}

impl<P> Default for Pools<P> {
    fn default() -> Pools<P> {
        let table = Table { pools: HashMap::new(), last: 0, is_closed: false };
        Pools { table: Mutex::new(table), are_used: AtomicBool::new(false) }
    }
}

/// A pool that was asked for.
pub(super) struct Found<P> {
    pub(super) pool: Arc<P>,
    /// Pool that had to go for it; `None` if there was room.
    pub(super) evicted: Option<Arc<P>>,
}

impl<P> Pools<P> {
    fn table(&self) -> MutexGuard<'_, Table<P>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the pool of this owner, or makes it if there is room for `at_most` of them: then the one that was not used
    /// for longest goes of those that `may_go`. `is_over` is asked under the lock, so that no owner that has ended before
    /// [`Pools::take`] was called leaves a pool behind.
    pub(super) fn get(
        &self,
        key: &PoolKey,
        at_most: usize,
        is_over: impl FnOnce() -> bool,
        may_go: impl Fn(&P) -> bool,
        make: impl FnOnce() -> P,
    ) -> Result<Found<P>, PoolRefused> {
        let mut table = self.table();
        if table.is_closed || is_over() {
            return Err(PoolRefused::Over);
        }
        table.last += 1;
        let used = table.last;
        if let Some(entry) = table.pools.get_mut(key) {
            entry.used = used;
            return Ok(Found { pool: entry.pool.clone(), evicted: None });
        }
        let evicted = match table.pools.len() < at_most {
            true => None,
            false => Some(table.evict(may_go).ok_or(PoolRefused::Full { limit: at_most })?),
        };
        self.are_used.store(true, Ordering::Release);
        let pool = Arc::new(make());
        table.pools.insert(key.clone(), Entry { pool: pool.clone(), used });
        Ok(Found { pool, evicted })
    }

    /// Returns the pool of this owner; `None` if it has none. This is no use of it.
    pub(super) fn find(&self, key: &PoolKey) -> Option<Arc<P>> {
        if self.are_unused() {
            return None;
        }
        self.table().pools.get(key).map(|entry| entry.pool.clone())
    }

    /// Returns all pools, in no particular order.
    pub(super) fn all(&self) -> Vec<Arc<P>> {
        if self.are_unused() {
            return Vec::new();
        }
        self.table().pools.values().map(|entry| entry.pool.clone()).collect()
    }

    /// Takes out the pools that `goes` is true of.
    pub(super) fn take(&self, goes: impl Fn(&P) -> bool) -> Vec<Arc<P>> {
        if self.are_unused() {
            return Vec::new();
        }
        let mut table = self.table();
        table.pools.extract_if(|_, entry| goes(&entry.pool)).map(|(_, entry)| entry.pool).collect()
    }

    /// Takes out all pools; there will be no further ones.
    pub(super) fn close(&self) -> Vec<Arc<P>> {
        let mut table = self.table();
        table.is_closed = true;
        table.pools.drain().map(|(_, entry)| entry.pool).collect()
    }

    fn are_unused(&self) -> bool {
        !self.are_used.load(Ordering::Acquire)
    }
}

impl<P> Table<P> {
    fn evict(&mut self, may_go: impl Fn(&P) -> bool) -> Option<Arc<P>> {
        let may_go = self.pools.iter().filter(|(_, entry)| may_go(&entry.pool));
        let oldest = may_go.min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone())?;
        self.pools.remove(&oldest).map(|entry| entry.pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A pool of the tests: its owner, and whether it has nothing to do.
    type Played = (u64, bool);

    fn get(
        pools: &Pools<Played>,
        owner: u64,
        rests: bool,
        at_most: usize,
    ) -> Result<Found<Played>, PoolRefused> {
        pools.get(&PoolKey::Session(owner), at_most, || false, |pool| pool.1, || (owner, rests))
    }

    fn owners(pools: &Pools<Played>) -> Vec<u64> {
        let mut owners: Vec<u64> = pools.all().iter().map(|pool| pool.0).collect();
        owners.sort_unstable();
        owners
    }

    #[test]
    fn a_full_table_gives_up_the_pool_that_rests_for_longest_or_refuses() {
        let pools = Pools::<Played>::default();
        for (owner, rests) in [(1, true), (2, true), (3, false)] {
            assert!(get(&pools, owner, rests, 3).is_ok_and(|found| found.evicted.is_none()));
        }
        assert!(get(&pools, 1, true, 3).is_ok(), "known, and used again");
        let found = get(&pools, 4, false, 3).ok().and_then(|found| found.evicted);
        assert_eq!(found.map(|pool| pool.0), Some(2));
        assert!(get(&pools, 5, false, 3).is_ok());
        assert_eq!(get(&pools, 6, false, 3).err(), Some(PoolRefused::Full { limit: 3 }));
        assert_eq!(owners(&pools), [3, 4, 5]);
    }

    #[test]
    fn nothing_is_made_for_an_owner_that_is_over_or_after_the_end() {
        let pools = Pools::<Played>::default();
        let over = pools.get(&PoolKey::Session(1), 9, || true, |_| true, || (1, true));
        assert_eq!(over.err(), Some(PoolRefused::Over));
        assert!(get(&pools, 2, false, 9).is_ok() && get(&pools, 3, false, 9).is_ok());
        assert_eq!(pools.take(|pool| pool.0 == 2).len(), 1);
        assert!(pools.find(&PoolKey::Session(2)).is_none() && pools.find(&PoolKey::Session(3)).is_some());
        assert_eq!(pools.close().len(), 1);
        assert_eq!(get(&pools, 4, false, 9).err(), Some(PoolRefused::Over));
    }

    proptest! {
        #[test]
        fn there_are_never_too_many_and_none_that_works_is_given_up(
            steps in prop::collection::vec((0u64..8, any::<bool>(), any::<bool>()), 0..60), at_most in 1usize..5
        ) {
            let pools = Pools::<Played>::default();
            for (owner, rests, ends) in steps {
                if ends {
                    pools.take(|pool| pool.0 == owner);
                    prop_assert!(!owners(&pools).contains(&owner));
                    continue;
                }
                let before = owners(&pools);
                match get(&pools, owner, rests, at_most) {
                    Ok(Found { pool, evicted }) => {
                        prop_assert_eq!(pool.0, owner);
                        prop_assert!(owners(&pools).contains(&owner));
                        prop_assert!(evicted.as_ref().is_none_or(|gone| gone.1 && before.contains(&gone.0)));
                        prop_assert_eq!(owners(&pools).len() <= before.len(), before.contains(&owner) || evicted.is_some());
                    }
                    Err(refused) => {
                        prop_assert_eq!(refused, PoolRefused::Full { limit: at_most });
                        prop_assert!(pools.all().iter().all(|pool| !pool.1) && !before.contains(&owner));
                        prop_assert_eq!(&owners(&pools), &before);
                    }
                }
                prop_assert!(owners(&pools).len() <= at_most);
            }
        }
    }
}
