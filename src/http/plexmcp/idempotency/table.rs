//! Which calls with an `Idempotency-Key` there were, and what became of them. Pure: the time is given.
//!
//! Full, it forgets what is the least loss: of whoever has the most, the oldest. Replies go first, and leave a mark, so
//! that what was carried out is still not carried out again; marks go when there are too many calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers that the table has room for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// Most calls, under way and ended.
    pub(super) calls: usize,
    /// Most bytes of all replies that are kept.
    pub(super) bytes: usize,
    /// Most bytes of a reply that is kept.
    pub(super) reply: usize,
    /// Time that a call is known after its end.
    pub(super) kept_for: Duration,
}

/// The calls: `K` names one, `A` is what was asked for, `R` is one that is under way, `D` the reply of one that is done.
#[derive(Debug)]
pub(super) struct Table<K, A, R, D> {
    capacity: Capacity,
    calls: HashMap<K, Known<A, R, D>>,
    /// Ended calls by their number, which counts up from end to end: the oldest comes first.
    ended: BTreeMap<u64, (Instant, K)>,
    shares: HashMap<Arc<str>, Share>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Known<A, R, D> {
    asked: A,
    caller: Arc<str>,
    state: State<R, D>,
}

#[derive(Debug)]
enum State<R, D> {
    UnderWay(R),
    Ended(End<D>),
}

/// What a caller has in the table; there is none for a caller without an ended call.
#[derive(Debug, Default)]
struct Share {
    /// Numbers of its ended calls.
    ended: BTreeSet<u64>,
    /// Those of them whose reply is kept.
    replies: BTreeSet<u64>,
    bytes: usize,
}

/// What became of a call that the server may have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End<D> {
    /// It was answered; the reply has so many bytes.
    Answered(D, usize),
    /// It was answered, and its reply is not kept.
    NotKept,
    /// It was cancelled, or its end was lost.
    Cancelled,
}

/// What is known of a call that somebody wants to make.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<R, D> {
    /// Nothing: it is under way from now on.
    New,
    /// The key was used for something else.
    Other,
    /// It is under way.
    UnderWay(R),
    /// It has ended.
    Ended(End<D>),
    /// Nothing, and there is no room for it: so many calls are under way.
    Full,
}

impl<K: Clone + Eq + Hash, A: PartialEq, R: Clone, D: Clone> Table<K, A, R, D> {
    pub(super) fn new(capacity: Capacity) -> Table<K, A, R, D> {
        let (calls, ended, shares) = Default::default();
        Table { capacity, calls, ended, shares, bytes: 0, next: 0 }
    }

    /// Returns what is known of a call. Nothing is known: then it is under way as `run` from now on, until [`Table::end`].
    pub(super) fn begin(
        &mut self,
        caller: &Arc<str>,
        key: K,
        asked: A,
        run: impl FnOnce() -> R,
        now: Instant,
    ) -> Found<R, D> {
        self.expire(now);
        if let Some(known) = self.calls.get(&key) {
            return match &known.state {
                _ if known.asked != asked => Found::Other,
                State::UnderWay(run) => Found::UnderWay(run.clone()),
                State::Ended(end) => Found::Ended(end.clone()),
            };
        }
        while self.calls.len() >= self.capacity.calls {
            let Some(oldest) = self.oldest_of_most(|share| &share.ended, |share| share.ended.len()) else {
                return Found::Full;
            };
            self.forget(oldest);
        }
        let state = State::UnderWay(run());
        self.calls.insert(key, Known { asked, caller: caller.clone(), state });
        Found::New
    }

    /// Ends a call that is under way: `None` if the server has provably not had it, so that it may be made anew.
    pub(super) fn end(&mut self, key: &K, end: Option<End<D>>, now: Instant) {
        let Some(mut known) = self.calls.remove(key) else { return };
        let Some(end) = end else { return };
        let end = match end {
            End::Answered(_, bytes) if bytes > self.capacity.reply.min(self.capacity.bytes) => End::NotKept,
            end => end,
        };
        let number = self.next;
        self.next += 1;
        self.ended.insert(number, (now, key.clone()));
        let share = self.shares.entry(known.caller.clone()).or_default();
        share.ended.insert(number);
        if let End::Answered(_, bytes) = end {
            self.bytes += bytes;
            share.bytes += bytes;
            share.replies.insert(number);
        }
        known.state = State::Ended(end);
        self.calls.insert(key.clone(), known);
        while self.bytes > self.capacity.bytes {
            let Some(oldest) = self.oldest_of_most(|share| &share.replies, |share| share.bytes) else {
                break;
            };
            self.drop_reply(oldest);
        }
    }

    /// Returns the number of the oldest call among those that `of` picks, of the caller that has the most.
    fn oldest_of_most(
        &self,
        of: impl Fn(&Share) -> &BTreeSet<u64>,
        size: impl Fn(&Share) -> usize,
    ) -> Option<u64> {
        let most = self.shares.values().max_by_key(|share| size(share))?;
        of(most).first().copied()
    }

    fn expire(&mut self, now: Instant) {
        while let Some((number, (at, _))) = self.ended.first_key_value()
            && now.saturating_duration_since(*at) >= self.capacity.kept_for
        {
            self.forget(*number);
        }
    }

    /// Forgets an ended call.
    fn forget(&mut self, number: u64) {
        self.drop_reply(number);
        let Some((_, key)) = self.ended.remove(&number) else { return };
        let Some(known) = self.calls.remove(&key) else { return };
        if let Some(share) = self.shares.get_mut(&known.caller) {
            share.ended.remove(&number);
            if share.ended.is_empty() {
                self.shares.remove(&known.caller);
            }
        }
    }

    /// Drops the reply of an ended call, and keeps that it was carried out.
    fn drop_reply(&mut self, number: u64) {
        let Some(known) = self.ended.get(&number).and_then(|(_, key)| self.calls.get_mut(key)) else {
            return;
        };
        let State::Ended(end @ End::Answered(..)) = &mut known.state else { return };
        if let End::Answered(_, bytes) = std::mem::replace(end, End::NotKept) {
            self.bytes -= bytes;
            if let Some(share) = self.shares.get_mut(&known.caller) {
                share.bytes -= bytes;
                share.replies.remove(&number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Small = Table<(u8, u8), u8, u32, u32>;

    const HOUR: Duration = Duration::from_secs(3600);

    fn capacity() -> Capacity {
        Capacity { calls: 6, bytes: 100, reply: 40, kept_for: HOUR * 24 }
    }

    fn caller(number: u8) -> Arc<str> {
        format!("key_{number}").into()
    }

    fn begin(table: &mut Small, key: (u8, u8), asked: u8, now: Instant) -> Found<u32, u32> {
        table.begin(&caller(key.0), key, asked, || 7, now)
    }

    #[test]
    fn a_call_is_new_once_and_answers_again_for_a_day() {
        let (mut table, start) = (Small::new(capacity()), Instant::now());
        assert_eq!(begin(&mut table, (1, 1), 5, start), Found::New);
        assert_eq!(begin(&mut table, (1, 1), 5, start), Found::UnderWay(7));
        assert_eq!(begin(&mut table, (1, 1), 6, start), Found::Other);
        assert_eq!(begin(&mut table, (2, 1), 6, start), Found::New, "another caller's is another one");
        table.end(&(1, 1), Some(End::Answered(9, 10)), start + HOUR);
        assert_eq!(begin(&mut table, (1, 1), 5, start + HOUR * 24), Found::Ended(End::Answered(9, 10)));
        assert_eq!(begin(&mut table, (1, 1), 6, start + HOUR * 24), Found::Other);
        assert_eq!(begin(&mut table, (1, 1), 5, start + HOUR * 25), Found::New);
    }

    #[test]
    fn what_the_server_has_not_had_may_be_made_anew() {
        let (mut table, now) = (Small::new(capacity()), Instant::now());
        begin(&mut table, (1, 1), 5, now);
        table.end(&(1, 1), None, now);
        assert_eq!(begin(&mut table, (1, 1), 6, now), Found::New);
    }

    #[test]
    fn a_reply_that_is_too_long_or_whose_room_was_needed_leaves_its_mark() {
        let (mut table, now) = (Small::new(capacity()), Instant::now());
        for (key, bytes) in [((1, 1), 41), ((1, 2), 40), ((1, 3), 30), ((2, 1), 25), ((2, 2), 10)] {
            begin(&mut table, key, 0, now);
            table.end(&key, Some(End::Answered(1, bytes)), now);
        }
        assert_eq!(begin(&mut table, (1, 1), 0, now), Found::Ended(End::NotKept), "too long");
        assert_eq!(begin(&mut table, (1, 2), 0, now), Found::Ended(End::NotKept), "the oldest of the most");
        assert_eq!(begin(&mut table, (2, 1), 0, now), Found::Ended(End::Answered(1, 25)));
        assert_eq!(table.bytes, 65);
    }

    #[test]
    fn a_full_table_forgets_the_oldest_of_who_has_most_and_nothing_under_way() {
        let (mut table, now) = (Small::new(capacity()), Instant::now());
        for key in [(2, 1), (1, 1), (1, 2), (1, 3), (1, 4)] {
            begin(&mut table, key, 0, now);
            table.end(&key, Some(End::Cancelled), now);
        }
        begin(&mut table, (3, 1), 0, now);
        assert_eq!(begin(&mut table, (3, 2), 0, now), Found::New);
        assert_eq!(begin(&mut table, (2, 1), 0, now), Found::Ended(End::Cancelled), "has only one");
        assert_eq!(begin(&mut table, (1, 2), 0, now), Found::Ended(End::Cancelled));
        for key in 3..=6 {
            assert_eq!(begin(&mut table, (3, key), 0, now), Found::New);
        }
        assert_eq!(begin(&mut table, (3, 7), 0, now), Found::Full);
        assert_eq!(begin(&mut table, (3, 1), 0, now), Found::UnderWay(7));
    }

    proptest! {
        #[test]
        fn bounds_hold_and_nothing_is_new_while_it_is_known(
            steps in prop::collection::vec((0..3_u8, 0..5_u8, 0..4_u8, 0..60_usize, 0..9_u64), 1..200)
        ) {
            let (mut table, mut now) = (Small::new(capacity()), Instant::now());
            for (who, key, what, bytes, hours) in steps {
                now += HOUR * u32::try_from(hours).expect("few");
                let key = (who, key);
                let is_over = |(at, ended): &(Instant, _)| *ended == key && now - *at >= HOUR * 24;
                let is_known = table.calls.contains_key(&key) && !table.ended.values().any(is_over);
                match what {
                    0 | 1 => {
                        let found = begin(&mut table, key, what, now);
                        prop_assert!(found != Found::New || !is_known);
                        prop_assert_eq!(table.calls.contains_key(&key), found != Found::Full);
                    }
                    _ if matches!(table.calls.get(&key), Some(Known { state: State::UnderWay(_), .. })) => {
                        let end = match what {
                            2 => Some(End::Answered(3, bytes)),
                            _ => (bytes % 2 == 0).then_some(End::Cancelled),
                        };
                        table.end(&key, end, now);
                    }
                    _ => {}
                }
                let replies = |known: &Known<u8, u32, u32>| match known.state {
                    State::Ended(End::Answered(_, bytes)) => bytes,
                    _ => 0,
                };
                let ended = table.calls.values().filter(|known| matches!(known.state, State::Ended(..))).count();
                prop_assert!(table.calls.len() <= 6 && table.bytes <= 100);
                prop_assert_eq!(table.calls.values().map(replies).sum::<usize>(), table.bytes);
                prop_assert_eq!(ended, table.ended.len());
                prop_assert_eq!(ended, table.shares.values().map(|share| share.ended.len()).sum::<usize>());
                prop_assert_eq!(table.bytes, table.shares.values().map(|share| share.bytes).sum::<usize>());
                let marked = table.shares.values().flat_map(|share| &share.replies);
                prop_assert!(marked.clone().all(|number| table.ended.contains_key(number)));
            }
        }
    }
}
