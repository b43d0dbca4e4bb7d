//! Counters of the bytes of answers that wait to be read. Atomics only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Number of bytes of answers that wait to be read by one key, one member, or all. Cheap to clone; clones
/// share the counter.
#[derive(Debug, Clone, Default)]
pub struct Unread(Arc<AtomicUsize>);

impl Unread {
    /// Returns the current number of bytes.
    pub fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Adds bytes to the count until the guard is dropped; `None` if that would exceed the limit. A single
    /// answer is always accepted, since otherwise a limit below the longest answer would let nothing
    /// through.
    pub fn hold(&self, bytes: usize, limit: usize) -> Option<HeldUnread> {
        let fits = |before: usize| {
            let after = before.checked_add(bytes)?;
            (before == 0 || after <= limit).then_some(after)
        };
        self.0.fetch_update(Relaxed, Relaxed, fits).ok()?;
        Some(HeldUnread { unread: self.clone(), bytes })
    }
}

/// Returns the number of bytes that one holder may have of a shared amount: `limit` of `all` while nobody
/// else holds any, and less as more of it (`held`, including its own) is taken. However many take as much
/// as they may, something is left for a holder of nothing: of `n` who do, at least the part
/// `1 / (1 + n * limit / (all - limit))`, if answers are small beside the shared amount.
///
/// The idea comes from switches that share a buffer among their ports, with thresholds that follow the free
/// space (Choudhury and Hahne, 1998).
pub fn fair_share(limit: usize, all: usize, held: usize) -> usize {
    let Some(of_others) = all.checked_sub(limit).filter(|others| *others > 0) else { return limit };
    let free = all.saturating_sub(held);
    let share = limit as u128 * free as u128 / of_others as u128;
    usize::try_from(share).map_or(limit, |share| share.min(limit))
}

/// Guard that keeps bytes counted as unread until it is dropped.
#[derive(Debug)]
pub struct HeldUnread {
    unread: Unread,
    bytes: usize,
}

impl Drop for HeldUnread {
    fn drop(&mut self) {
        self.unread.0.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// With any number of holders that take all they may, in turns, the promised part is left, so that
        /// a holder of nothing gets an answer; and one alone may have all of its limit.
        #[test]
        fn something_is_left_for_whoever_holds_nothing(
            all in 2usize..5000, part in 0.0f64..1.0, greedy in 1usize..40,
        ) {
            let limit = ((all as f64 * part) as usize).max(1);
            let everybody = Unread::default();
            let mut held = Vec::new();
            let each: Vec<Unread> = (0..greedy).map(|_| Unread::default()).collect();
            let mut somebody_got_one = true;
            while somebody_got_one {
                somebody_got_one = false;
                for one in &each {
                    let own = one.hold(1, fair_share(limit, all, everybody.bytes() + 1));
                    let both = own.and_then(|own| Some((own, everybody.hold(1, all)?)));
                    somebody_got_one |= both.is_some();
                    held.extend(both);
                }
            }
            prop_assert!(each.iter().all(|one| one.bytes() <= limit));
            if greedy == 1 {
                prop_assert_eq!(each[0].bytes(), limit);
            }
            if limit < all {
                let promised = all as f64 / (1.0 + (greedy * limit) as f64 / (all - limit) as f64);
                // Each may have one byte too many, by the rule that a single answer is always accepted.
                prop_assert!((all - everybody.bytes()) as f64 >= promised - greedy as f64 - 1.0);
            }
        }

        /// With answers that come and are read in any order, there is never more than the limit, or one
        /// answer.
        #[test]
        fn no_more_waits_than_may_and_all_is_given_back(
            steps in proptest::collection::vec((any::<bool>(), 1usize..60), 0..80), limit in 1usize..100,
        ) {
            let (unread, mut held) = (Unread::default(), Vec::new());
            for (comes, number) in steps {
                if comes {
                    let before = unread.bytes();
                    let one = unread.hold(number, limit);
                    prop_assert_eq!(one.is_some(), before == 0 || before + number <= limit);
                    held.extend(one.map(|one| (one, number)));
                } else if !held.is_empty() {
                    held.swap_remove(number % held.len());
                }
                prop_assert_eq!(unread.bytes(), held.iter().map(|(_, bytes)| bytes).sum::<usize>());
                prop_assert!(unread.bytes() <= limit || held.len() == 1);
            }
            drop(held);
            prop_assert_eq!(unread.bytes(), 0);
        }
    }
}
