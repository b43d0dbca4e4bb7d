//! The acts under way. Each runs to its end even if its caller has left, so the number of acts without a caller is
//! bounded, and a stop waits for all acts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;

/// Maximum number of acts under way whose callers have left.
const MAX_LEFT: usize = 256;

/// State bit: the caller has left.
const LEFT: u8 = 1;
/// State bit: the act has ended.
const ENDED: u8 = 2;

/// Registry of all acts under way. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Acts(Arc<watch::Sender<Counts>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    under_way: usize,
    left: usize,
}

/// Guard of an act under way, which ends when this is dropped.
#[derive(Debug)]
pub struct UnderWay {
    acts: Acts,
    state: Arc<AtomicU8>,
}

/// Guard of the caller that waits for an act; dropping it means that the caller has left.
#[derive(Debug)]
pub struct Listener {
    acts: Acts,
    state: Arc<AtomicU8>,
}

impl Acts {
    /// Begins an act; `None` while too many acts are under way whose callers have left.
    pub fn begin(&self) -> Option<(UnderWay, Listener)> {
        let has_begun = self.0.send_if_modified(|counts| {
            let may = counts.left < MAX_LEFT;
            counts.under_way += usize::from(may);
            may
        });
        let state = Arc::<AtomicU8>::default();
        let (under_way, listener) =
            (UnderWay { acts: self.clone(), state: state.clone() }, Listener { acts: self.clone(), state });
        if has_begun {
            return Some((under_way, listener));
        }
        // The act was not counted, so the guards must not be subtracted.
        under_way.state.store(LEFT | ENDED, Ordering::Relaxed);
        None
    }

    /// Returns the number of acts under way.
    pub fn under_way(&self) -> usize {
        self.0.borrow().under_way
    }

    /// Waits until no act is under way.
    pub async fn settled(&self) {
        // The sender is in `self`, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(|counts| counts.under_way == 0).await;
    }

    /// Sets a bit in the state of an act; calls `change` with the previous state if the bit was not set.
    fn note(&self, state: &AtomicU8, what: u8, change: impl FnOnce(&mut Counts, u8)) {
        // The counts and the state change together, because every change of a state is made in here.
        self.0.send_modify(|counts| {
            let before = state.fetch_or(what, Ordering::Relaxed);
            if before & what == 0 {
                change(counts, before);
            }
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.acts.note(&self.state, ENDED, |counts, before| {
            counts.under_way -= 1;
            counts.left -= usize::from(before & LEFT != 0);
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.acts.note(&self.state, LEFT, |counts, before| counts.left += usize::from(before & ENDED == 0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_every_act_whoever_listens() {
        let acts = Acts::default();
        let (first, listener) = acts.begin().expect("room");
        let (second, _listens) = acts.begin().expect("room");
        drop(listener);
        let mut settled = looked_at(acts.settled());
        assert!(!settled.is_over().await);
        drop(first);
        assert!(!settled.is_over().await);
        drop(second);
        assert!(settled.is_over().await);
    }

    /// Future that a test polls step by step.
    struct Looked<F>(std::pin::Pin<Box<F>>);

    fn looked_at<F: Future<Output = ()>>(future: F) -> Looked<F> {
        Looked(Box::pin(future))
    }

    impl<F: Future<Output = ()>> Looked<F> {
        async fn is_over(&mut self) -> bool {
            std::future::poll_fn(|cx| std::task::Poll::Ready(self.0.as_mut().poll(cx).is_ready())).await
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// For any order of beginning, ending and leaving: both counts are right, no more acts are left than
        /// allowed, and at the end both counts are 0.
        #[test]
        fn counts_are_right_in_every_order(steps in prop::collection::vec((0u8..3, any::<prop::sample::Index>()), 0..2_000)) {
            let acts = Acts::default();
            let mut there: Vec<(Option<UnderWay>, Option<Listener>)> = Vec::new();
            for (step, which) in steps {
                if step == 0 || there.is_empty() {
                    let left = there.iter().filter(|(act, listener)| act.is_some() && listener.is_none()).count();
                    let begun = acts.begin();
                    prop_assert_eq!(begun.is_some(), left < MAX_LEFT);
                    there.extend(begun.map(|(act, listener)| (Some(act), Some(listener))));
                } else {
                    let one = which.index(there.len());
                    if step == 1 { there[one].0 = None } else { there[one].1 = None }
                }
                let left = there.iter().filter(|(act, listener)| act.is_some() && listener.is_none()).count();
                let under_way = there.iter().filter(|(act, _)| act.is_some()).count();
                prop_assert_eq!(*acts.0.borrow(), Counts { under_way, left });
            }
            drop(there);
            prop_assert_eq!(*acts.0.borrow(), Counts::default());
        }
    }
}
