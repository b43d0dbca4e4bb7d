//! Bytes of answers that wait to be read, counted for somebody. Atomics only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many bytes of answers wait to be read by one key, one member, or all. Cheap to clone; clones are
/// one.
#[derive(Debug, Clone, Default)]
pub struct Unread(Arc<AtomicUsize>);

impl Unread {
    /// How many there are now.
    pub fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Counts so many more until the guard is dropped; `None` where they would be more than the limit. One
    /// answer alone is never too much, or a limit below the longest answer would let nothing through.
    pub fn hold(&self, bytes: usize, limit: usize) -> Option<HeldUnread> {
        let fits = |before: usize| {
            let after = before.checked_add(bytes)?;
            (before == 0 || after <= limit).then_some(after)
        };
        self.0.fetch_update(Relaxed, Relaxed, fits).ok()?;
        Some(HeldUnread { unread: self.clone(), bytes })
    }
}

/// How many bytes one may hold of what several share: `limit` of `all` while nobody else holds any, and the
/// less the more of it (`held`, its own included) is taken. So however many take as much as they may,
/// something is left for one that holds nothing: of `n` who do, at least the part `1 / (1 + n * limit /
/// (all - limit))`, where answers are small beside what is shared.
///
/// The idea is that of switches that share a buffer among their ports, with thresholds that follow what is
/// free (Choudhury and Hahne, 1998).
pub fn fair_share(limit: usize, all: usize, held: usize) -> usize {
    let Some(of_others) = all.checked_sub(limit).filter(|others| *others > 0) else { return limit };
    let free = all.saturating_sub(held);
    let share = limit as u128 * free as u128 / of_others as u128;
    usize::try_from(share).map_or(limit, |share| share.min(limit))
}

/// Bytes that wait to be read.
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
        /// However many take all that they may, by turns: what is left is what was promised, so that one who
        /// holds nothing is answered; and one alone may have all of its limit.
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
                // Each may have one byte too many, by the rule that one answer alone is never too much.
                prop_assert!((all - everybody.bytes()) as f64 >= promised - greedy as f64 - 1.0);
            }
        }

        /// However answers come and are read: never more than the limit, or one.
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
