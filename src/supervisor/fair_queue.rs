//! A bounded queue that is fair between callers: each caller has a line of its own, and the lines take
//! turns. A caller that fills the queue makes room for one that has fewer waiting. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Outcome of a request for a position in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed<T> {
    /// The item waits; the number takes it out again.
    Waiting(u64),
    /// The item waits, and this one of the caller with the longest line was removed for it.
    Displaced(u64, T),
    /// The queue is full, and no caller has more waiting than this one would have.
    Full(T),
}

/// Bounded queue with one line per caller; see the module documentation.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    lines: HashMap<Arc<str>, VecDeque<(u64, T)>>,
    /// Callers that wait, the next one first.
    turns: VecDeque<Arc<str>>,
    len: usize,
    next: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        FairQueue { lines: HashMap::new(), turns: VecDeque::new(), len: 0, next: 0 }
    }
}

impl<T> FairQueue<T> {
    /// Returns the number of items that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the callers that wait, each with the number of its items, in no order.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.lines.iter().map(|(caller, line)| (caller, line.len()))
    }

    /// Adds an item at the end of a caller's line, in a queue of at most `limit` items.
    pub(super) fn push(&mut self, caller: &Arc<str>, item: T, limit: usize) -> Pushed<T> {
        let displaced = if self.len < limit {
            None
        } else {
            match self.displace(self.lines.get(caller).map_or(0, VecDeque::len) + 1) {
                Some(displaced) => Some(displaced),
                None => return Pushed::Full(item),
            }
        };
        let number = self.next;
        self.next += 1;
        self.len += 1;
        match self.lines.get_mut(caller) {
            Some(line) => line.push_back((number, item)),
            None => {
                self.lines.insert(caller.clone(), VecDeque::from([(number, item)]));
                self.turns.push_back(caller.clone());
            }
        }
        displaced.map_or(Pushed::Waiting(number), |displaced| Pushed::Displaced(number, displaced))
    }

    /// Removes and returns the next item: the first in the line of the caller whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let caller = self.turns.pop_front()?;
        let line = self.lines.get_mut(&caller)?;
        let (_, item) = line.pop_front()?;
        self.len -= 1;
        if line.is_empty() {
            self.lines.remove(&caller);
        } else {
            self.turns.push_back(caller);
        }
        Some(item)
    }

    /// Removes an item that has stopped waiting; `None` if it is no longer in the queue.
    pub(super) fn remove(&mut self, caller: &str, number: u64) -> Option<T> {
        let line = self.lines.get_mut(caller)?;
        let place = line.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, item) = line.remove(place)?;
        self.len -= 1;
        if line.is_empty() {
            self.forget(caller);
        }
        Some(item)
    }

    /// Removes the newest item of the longest line; `None` if that line is not longer than `than`.
    fn displace(&mut self, than: usize) -> Option<T> {
        let longest = self.lines.iter().max_by_key(|(_, line)| line.len())?;
        if longest.1.len() <= than {
            return None;
        }
        let caller = longest.0.clone();
        let (_, item) = self.lines.get_mut(&caller)?.pop_back()?;
        self.len -= 1;
        Some(item)
    }

    fn forget(&mut self, caller: &str) {
        self.lines.remove(caller);
        self.turns.retain(|waiting| **waiting != *caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn caller(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn callers_take_turns_however_many_calls_each_has() {
        let mut queue = FairQueue::default();
        for n in 0..5 {
            queue.push(&caller("greedy"), ("greedy", n), 100);
        }
        queue.push(&caller("modest"), ("modest", 0), 100);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        let greedy = |n| ("greedy", n);
        assert_eq!(order, [greedy(0), ("modest", 0), greedy(1), greedy(2), greedy(3), greedy(4)]);
    }

    #[test]
    fn a_full_queue_takes_a_place_from_the_longest_line() {
        let mut queue = FairQueue::default();
        for n in 0..4 {
            queue.push(&caller("greedy"), n, 4);
        }
        assert_eq!(queue.push(&caller("greedy"), 9, 4), Pushed::Full(9));
        assert!(matches!(queue.push(&caller("modest"), 10, 4), Pushed::Displaced(_, 3)));
        assert!(matches!(queue.push(&caller("modest"), 11, 4), Pushed::Displaced(_, 2)));
        assert_eq!(queue.push(&caller("modest"), 12, 4), Pushed::Full(12), "both have the same now");
        assert_eq!(queue.len(), 4);
    }

    proptest! {
        /// After any sequence of steps: nothing is lost or given out twice, and no caller is passed over
        /// more often than there are others waiting.
        #[test]
        fn nothing_is_lost_and_nobody_starves(steps in proptest::collection::vec((0u8..4, 0u8..4), 0..300)) {
            let mut queue = FairQueue::default();
            let mut waiting: Vec<(u8, u64, u32)> = Vec::new();
            let mut item = 0u32;
            let mut passed_over = [0usize; 4];
            for (step, who) in steps {
                let name = caller(&who.to_string());
                match step {
                    0 | 1 => {
                        item += 1;
                        match queue.push(&name, (who, item), 20) {
                            Pushed::Waiting(number) => waiting.push((who, number, item)),
                            Pushed::Displaced(number, gone) => {
                                waiting.retain(|(_, _, item)| *item != gone.1);
                                waiting.push((who, number, item));
                            }
                            Pushed::Full(_) => prop_assert_eq!(waiting.len(), 20),
                        }
                    }
                    2 => {
                        let popped = queue.pop();
                        prop_assert_eq!(popped.is_some(), !waiting.is_empty());
                        if let Some((served, item)) = popped {
                            prop_assert!(waiting.iter().any(|(who, _, known)| *who == served && *known == item));
                            waiting.retain(|(_, _, known)| *known != item);
                            for other in 0..4u8 {
                                let waits = waiting.iter().any(|(who, ..)| *who == other);
                                let count = &mut passed_over[usize::from(other)];
                                *count = if other == served || !waits { 0 } else { *count + 1 };
                                prop_assert!(*count <= 4);
                            }
                        }
                    }
                    _ => {
                        if let Some(&(_, number, item)) = waiting.iter().find(|(owner, ..)| *owner == who) {
                            prop_assert_eq!(queue.remove(&name, number), Some((who, item)));
                            prop_assert_eq!(queue.remove(&name, number), None);
                            waiting.retain(|(_, _, known)| *known != item);
                        }
                    }
                }
                for caller in 0..4u8 {
                    if waiting.iter().all(|(who, ..)| *who != caller) {
                        passed_over[usize::from(caller)] = 0;
                    }
                }
                prop_assert_eq!(queue.len(), waiting.len());
            }
        }
    }
}
