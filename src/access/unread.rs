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
