//! Makers of a key, stored with the key itself, so that a revocation can include the keys it made, even if
//! some of those between are no longer kept.

use std::collections::HashSet;
use std::sync::Arc;

use super::key::{KeyRecord, Maker};

/// Number of generations of makers that are kept with a key. Further ones are reached by way of the keys
/// between.
const GENERATIONS: usize = 32;

impl Maker {
    /// Describes a key as the maker of others.
    pub fn of(maker: &KeyRecord) -> Maker {
        let before = maker.created_by.iter().flat_map(Maker::generations).take(GENERATIONS - 1);
        Maker {
            key_id: maker.id.clone(),
            member_id: maker.member_id.clone(),
            before: before.cloned().collect(),
        }
    }

    /// Returns the ids of the maker and of the makers before it, the nearest first.
    pub fn generations(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.key_id).chain(&self.before)
    }
}

/// Returns the ids of all keys that a key has made, directly or through other keys.
pub(super) fn descendants<'a>(
    id: &str,
    keys: impl Iterator<Item = &'a KeyRecord> + Clone,
) -> HashSet<Arc<str>> {
    let mut found = HashSet::new();
    // Each round reaches as many generations as a key stores, so one is nearly always enough.
    loop {
        let is_made = |key: &KeyRecord| {
            let mut makers = key.created_by.iter().flat_map(Maker::generations);
            makers.any(|maker| **maker == *id || found.contains(maker))
        };
        let new: Vec<Arc<str>> = keys
            .clone()
            .filter(|key| !found.contains(&key.id) && is_made(key))
            .map(|key| key.id.clone())
            .collect();
        if new.is_empty() {
            // A maker is older than what it makes, so a key is never its own descendant.
            found.remove(id);
            return found;
        }
        found.extend(new);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NewKey, NewKeySpec, Permissions};
    use super::*;
    use proptest::prelude::*;

    fn record(id: usize, maker: Option<&KeyRecord>) -> KeyRecord {
        let wish = NewKeySpec {
            limits: super::super::limits::KeyLimits::default(),
            name: String::new(),
            description: None,
            member_id: "user_owner".into(),
            expires_at: None,
            permissions: Permissions::default(),
        };
        let mut record = NewKey::generate(wish, 0).expect("random bytes").record;
        record.id = format!("key_{id}").into();
        record.created_by = maker.map(Maker::of);
        record
    }

    #[test]
    fn a_long_line_is_followed_past_the_generations_that_a_key_keeps() {
        let mut keys = vec![record(0, None)];
        for id in 1..100 {
            let next = record(id, keys.last());
            keys.push(next);
        }
        assert_eq!(keys[99].created_by.iter().flat_map(Maker::generations).count(), GENERATIONS);
        assert_eq!(descendants("key_0", keys.iter()).len(), 99);
        assert_eq!(descendants("key_98", keys.iter()).len(), 1);
        // The keys between are no longer kept, nor is the first one.
        let kept: Vec<KeyRecord> =
            keys.iter().enumerate().filter(|(at, _)| at % 30 == 9).map(|(_, key)| key.clone()).collect();
        assert_eq!(descendants("key_0", kept.iter()).len(), kept.len());
    }

    proptest! {
        #[test]
        fn exactly_those_are_found_that_come_from_a_key(makers in prop::collection::vec(any::<prop::sample::Index>(), 1..40), of: prop::sample::Index) {
            let mut keys = vec![record(0, None)];
            let mut parents: Vec<usize> = vec![usize::MAX];
            for (at, maker) in makers.iter().enumerate() {
                let maker = maker.index(at + 2);
                let parent = keys.get(maker);
                let key = record(at + 1, parent);
                parents.push(if parent.is_some() { maker } else { usize::MAX });
                keys.push(key);
            }
            let of = of.index(keys.len());
            let comes_from = |mut at: usize| loop {
                at = parents[at];
                if at == of { return true }
                if at == usize::MAX { return false }
            };
            let expected: HashSet<Arc<str>> = (0..keys.len()).filter(|at| comes_from(*at)).map(|at| keys[at].id.clone()).collect();
            prop_assert_eq!(descendants(&keys[of].id, keys.iter()), expected);
        }
    }
}
