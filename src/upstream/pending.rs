//! The table of calls in flight on one child. Pure: time is an argument, and each call leaves
//! the table exactly once, by exactly one of four ways: answered, expired, abandoned, drained.

use std::time::{Duration, Instant};

/// Greatest id. Some servers keep ids in signed 32 bits and answer with a truncated one.
const MAX_ID: u32 = i32::MAX as u32;
/// Maximum number of calls the table can hold.
const MAX_CALLS: usize = 1 << 16;
/// Initial size of the table.
const FIRST_SIZE: usize = 64;

/// Deadlines of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// End of the call without a sign of life: counted from the caller's request, so waiting for a place or for a child
    /// counts, too.
    pub first: Instant,
    /// Longest time without a sign of life. Each progress notification restarts it.
    pub idle: Duration,
    /// End of the call, whatever progress it makes.
    pub hard: Instant,
}

#[derive(Debug)]
struct Entry<W> {
    id: u64,
    idle: Duration,
    hard: Instant,
    deadline: Instant,
    waiter: W,
}

/// Calls in flight, each with its waiter.
#[derive(Debug)]
pub struct Pending<W> {
    /// Each at its id modulo the length, which is a power of two and at least twice the number of calls.
    entries: Vec<Option<Entry<W>>>,
    count: usize,
    next: u32,
    /// No deadline of the table is earlier than this. It may be too early, never too late: an
    /// answered call's deadline is not taken back.
    earliest: Option<Instant>,
}

impl<W> Default for Pending<W> {
    fn default() -> Self {
        Pending { entries: Vec::new(), count: 0, next: 1, earliest: None }
    }
}

impl<W> Pending<W> {
    /// Registers a call and returns its id: the next number, below 2^31, whose place in the table is free. An id
    /// repeats after two thousand million calls of one child, and never while its call is in flight. Fails with the
    /// waiter if the table is full.
    pub fn insert(&mut self, limits: Limits, waiter: W) -> Result<u64, W> {
        if self.count >= MAX_CALLS {
            return Err(waiter);
        }
        if (self.count + 1) * 2 > self.entries.len() {
            self.grow();
        }
        let id = self.next_id();
        let deadline = limits.first.min(limits.hard);
        let place = self.place(id);
        self.entries[place] = Some(Entry { id, idle: limits.idle, hard: limits.hard, deadline, waiter });
        self.count += 1;
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        Ok(id)
    }

    /// Returns the next id with a free place; half of the table is free, so there is one.
    fn next_id(&mut self) -> u64 {
        loop {
            let id = u64::from(self.next);
            self.next = if self.next == MAX_ID { 1 } else { self.next + 1 };
            if self.entries[self.place(id)].is_none() {
                return id;
            }
        }
    }

    /// Doubles the table. Ids with different places keep different places at twice the length.
    fn grow(&mut self) {
        let size = (self.entries.len() * 2).max(FIRST_SIZE);
        let before = std::mem::replace(&mut self.entries, (0..size).map(|_| None).collect());
        for entry in before.into_iter().flatten() {
            let place = self.place(entry.id);
            self.entries[place] = Some(entry);
        }
    }

    fn place(&self, id: u64) -> usize {
        id as usize & (self.entries.len().max(1) - 1)
    }

    fn entry(&mut self, id: u64) -> Option<&mut Entry<W>> {
        let place = self.place(id);
        self.entries.get_mut(place)?.as_mut().filter(|entry| entry.id == id)
    }

    /// Takes out the call that was answered; `None` for an id that is not in flight.
    pub fn complete(&mut self, id: u64) -> Option<W> {
        let place = self.place(id);
        let entry = self.entries.get_mut(place)?.take_if(|entry| entry.id == id)?;
        self.count -= 1;
        Some(entry.waiter)
    }

    /// Restarts the idle limit of a call after progress; returns its waiter, or `None` if it is not in flight.
    pub fn progress(&mut self, id: u64, now: Instant) -> Option<&mut W> {
        let entry = self.entry(id)?;
        entry.deadline = (now + entry.idle).min(entry.hard);
        Some(&mut entry.waiter)
    }

    /// Lets a call wait to its end without a sign of life.
    pub fn hold(&mut self, id: u64) {
        if let Some(entry) = self.entry(id) {
            entry.deadline = entry.hard;
        }
    }

    /// Returns the waiter of a call; `None` if it is not in flight.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut W> {
        self.entry(id).map(|entry| &mut entry.waiter)
    }

    /// Returns the waiters of all calls in flight.
    pub fn waiters(&self) -> impl Iterator<Item = &W> {
        self.with_ids().map(|(_, waiter)| waiter)
    }

    /// Returns all waiters with the ids of their calls, in no order.
    pub fn with_ids(&self) -> impl Iterator<Item = (u64, &W)> {
        self.entries.iter().flatten().map(|entry| (entry.id, &entry.waiter))
    }

    /// Returns the time to call [`Pending::expire`] next, never later than the earliest deadline; `None` if no call
    /// can expire.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.earliest
    }

    /// Removes and returns the calls whose deadline has passed.
    pub fn expire(&mut self, now: Instant) -> Vec<(u64, W)> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let expired = self.take_if(|entry| entry.deadline <= now);
        self.earliest = self.entries.iter().flatten().map(|entry| entry.deadline).min();
        expired
    }

    /// Removes and returns the calls whose caller has left.
    pub fn abandon(&mut self, is_abandoned: impl Fn(&W) -> bool) -> Vec<(u64, W)> {
        self.take_if(|entry| is_abandoned(&entry.waiter))
    }

    /// Removes and returns all calls.
    pub fn drain(&mut self) -> Vec<(u64, W)> {
        self.earliest = None;
        self.take_if(|_| true)
    }

    fn take_if(&mut self, take: impl Fn(&Entry<W>) -> bool) -> Vec<(u64, W)> {
        let taken = self.entries.iter_mut().filter_map(|place| place.take_if(|entry| take(entry)));
        let mut taken: Vec<Entry<W>> = taken.collect();
        self.count -= taken.len();
        // In the order of registration, unless the ids have wrapped around in between.
        taken.sort_unstable_by_key(|entry| entry.id);
        taken.into_iter().map(|entry| (entry.id, entry.waiter)).collect()
    }

    /// Returns the number of calls in flight.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Reports whether no call is in flight.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn progress_resets_the_idle_limit_and_never_the_hard_one() {
        let start = Instant::now();
        let mut pending = Pending::default();
        let id = pending
            .insert(Limits { first: start + SECOND, idle: SECOND, hard: start + 3 * SECOND }, ())
            .unwrap();
        assert!(pending.progress(id, start + SECOND / 2).is_some());
        assert!(pending.expire(start + SECOND).is_empty());
        for half in 2..6 {
            pending.progress(id, start + SECOND * half / 2);
        }
        assert!(pending.expire(start + SECOND * 29 / 10).is_empty());
        assert_eq!(pending.expire(start + 3 * SECOND).len(), 1);
        assert!(pending.progress(id, start).is_none());
    }

    #[test]
    fn a_full_table_gives_the_waiter_back() {
        let limits = limits(Instant::now());
        let mut pending = Pending::default();
        for n in 0..MAX_CALLS {
            pending.insert(limits, n).unwrap();
        }
        assert_eq!(pending.insert(limits, 7), Err(7));
        assert_eq!(pending.drain().len(), MAX_CALLS);
    }

    fn limits(now: Instant) -> Limits {
        Limits { first: now + SECOND, idle: SECOND, hard: now + SECOND }
    }

    #[test]
    fn ids_count_by_one_and_stay_below_two_to_the_31() {
        let limits = limits(Instant::now());
        let mut pending = Pending::default();
        for expected in 1..=200_000 {
            assert_eq!(pending.insert(limits, ()), Ok(expected));
            assert_eq!(pending.complete(expected), Some(()));
        }
        let open = pending.insert(limits, ()).unwrap();
        pending.next = MAX_ID;
        assert_eq!(pending.insert(limits, ()), Ok(u64::from(MAX_ID)));
        assert_eq!(open as usize % FIRST_SIZE, 1);
        assert_eq!(
            pending.insert(limits, ()),
            Ok(2),
            "they begin anew, and one whose place is taken is passed over"
        );
        pending.next = open as u32;
        let next = pending.insert(limits, ()).unwrap();
        assert!(next > open, "one in flight is not given again");
        assert_eq!((pending.complete(open + 64), pending.len()), (None, 4), "its place is another one's");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64),
        Complete(usize),
        CompleteUnknown(u64),
        Expire(u64),
        Abandon(u8),
        Drain,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (1u64..50).prop_map(Step::Insert),
            4 => (0usize..64).prop_map(Step::Complete),
            1 => any::<u64>().prop_map(Step::CompleteUnknown),
            2 => (0u64..20).prop_map(Step::Expire),
            1 => any::<u8>().prop_map(Step::Abandon),
            1 => Just(Step::Drain),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn each_call_leaves_exactly_once(steps in steps()) {
            let start = Instant::now();
            let mut now = start;
            let mut pending: Pending<u64> = Pending::default();
            // id -> (serial, deadline): the contents of a plain map.
            let mut model: HashMap<u64, (u64, Instant)> = HashMap::new();
            let mut seen_ids = std::collections::HashSet::new();
            let mut serial = 0;
            for step in steps {
                match step {
                    Step::Insert(secs) => {
                        let hard = now + SECOND * secs as u32;
                        serial += 1;
                        let id = pending.insert(Limits { first: hard, idle: SECOND * 1000, hard }, serial).unwrap();
                        prop_assert!(seen_ids.insert(id), "an id came back");
                        model.insert(id, (serial, hard));
                    }
                    Step::Complete(nth) => {
                        if let Some(id) = model.keys().copied().nth(nth) {
                            let expected = model.remove(&id).map(|(serial, _)| serial);
                            prop_assert_eq!(pending.complete(id), expected);
                            prop_assert_eq!(pending.complete(id), None);
                        }
                    }
                    Step::CompleteUnknown(id) => {
                        if !model.contains_key(&id) { prop_assert_eq!(pending.complete(id), None); }
                    }
                    Step::Expire(secs) => {
                        now += SECOND * secs as u32;
                        let earliest = model.values().map(|(_, deadline)| *deadline).min();
                        if let (Some(next), Some(earliest)) = (pending.next_expiry(), earliest) {
                            prop_assert!(next <= earliest, "the timer would come too late");
                        }
                        let gone: HashMap<u64, u64> = pending.expire(now).into_iter().collect();
                        let due: HashMap<u64, u64> =
                            model.iter().filter(|(_, v)| v.1 <= now).map(|(k, v)| (*k, v.0)).collect();
                        prop_assert_eq!(&gone, &due);
                        model.retain(|id, _| !gone.contains_key(id));
                    }
                    Step::Abandon(modulus) => {
                        let modulus = u64::from(modulus) + 1;
                        for (id, serial) in pending.abandon(|serial| serial % modulus == 0) {
                            prop_assert_eq!(model.remove(&id).map(|(serial, _)| serial), Some(serial));
                        }
                    }
                    Step::Drain => {
                        prop_assert_eq!(pending.drain().len(), model.len());
                        model.clear();
                    }
                }
                prop_assert_eq!(pending.len(), model.len());
            }
        }
    }
}
