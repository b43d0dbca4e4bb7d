//! The table of calls in flight on one child. Pure: time is an argument, and each call leaves
//! the table exactly once, by exactly one of four ways: answered, expired, abandoned, drained.

use std::time::{Duration, Instant};

use slab::Slab;

/// How many low bits of an id are its slot; the rest counts up and is never used again.
const SLOT_BITS: u32 = 16;
/// The most calls the table can hold.
const MAX_SLOTS: usize = 1 << SLOT_BITS;

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// When the call is over if there is no sign of life: counted from when the caller asked, so
    /// waiting for a place or for a child counts, too.
    pub first: Instant,
    /// Without a sign of life. Each progress notification starts it anew.
    pub idle: Duration,
    /// Altogether, whatever progress is made.
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

/// Calls in flight, each with whoever waits for it.
#[derive(Debug)]
pub struct Pending<W> {
    entries: Slab<Entry<W>>,
    next: u64,
    /// No deadline of the table is earlier than this. It may be too early, never too late: an
    /// answered call's deadline is not taken back.
    earliest: Option<Instant>,
}

impl<W> Default for Pending<W> {
    fn default() -> Self {
        Pending { entries: Slab::new(), next: 1, earliest: None }
    }
}

impl<W> Pending<W> {
    /// Registers a call and gives it an id that no other call of this child ever has. Ids stay
    /// below 2^53 for 137 billion calls, so that a JavaScript child can hold them. A full table
    /// gives the waiter back.
    pub fn insert(&mut self, limits: Limits, waiter: W) -> Result<u64, W> {
        if self.entries.len() >= MAX_SLOTS {
            return Err(waiter);
        }
        let slot = self.entries.vacant_entry();
        let id = self.next << SLOT_BITS | slot.key() as u64;
        self.next += 1;
        let deadline = limits.first.min(limits.hard);
        slot.insert(Entry { id, idle: limits.idle, hard: limits.hard, deadline, waiter });
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        Ok(id)
    }

    fn slot(&self, id: u64) -> Option<usize> {
        let slot = (id & (MAX_SLOTS as u64 - 1)) as usize;
        self.entries.get(slot).is_some_and(|entry| entry.id == id).then_some(slot)
    }

    /// Takes out the call that was answered; `None` for an id that is not in flight.
    pub fn complete(&mut self, id: u64) -> Option<W> {
        self.slot(id).map(|slot| self.entries.remove(slot).waiter)
    }

    /// Looks at the call that progress was reported for and starts its idle limit anew.
    pub fn progress(&mut self, id: u64, now: Instant) -> Option<&mut W> {
        let slot = self.slot(id)?;
        let entry = &mut self.entries[slot];
        entry.deadline = (now + entry.idle).min(entry.hard);
        Some(&mut entry.waiter)
    }

    /// Looks at a call.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut W> {
        let slot = self.slot(id)?;
        Some(&mut self.entries[slot].waiter)
    }

    /// When to call [`Pending::expire`] next; never later than the earliest deadline.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.earliest
    }

    /// Takes out the calls whose deadline has passed.
    pub fn expire(&mut self, now: Instant) -> Vec<(u64, W)> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let expired = self.take_if(|entry| entry.deadline <= now);
        self.earliest = self.entries.iter().map(|(_, entry)| entry.deadline).min();
        expired
    }

    /// Takes out the calls that nobody waits for any more.
    pub fn abandon(&mut self, is_abandoned: impl Fn(&W) -> bool) -> Vec<(u64, W)> {
        self.take_if(|entry| is_abandoned(&entry.waiter))
    }

    /// Takes out all calls.
    pub fn drain(&mut self) -> Vec<(u64, W)> {
        self.earliest = None;
        self.take_if(|_| true)
    }

    fn take_if(&mut self, take: impl Fn(&Entry<W>) -> bool) -> Vec<(u64, W)> {
        let slots: Vec<usize> =
            self.entries.iter().filter(|(_, entry)| take(entry)).map(|(slot, _)| slot).collect();
        slots
            .into_iter()
            .map(|slot| {
                let entry = self.entries.remove(slot);
                (entry.id, entry.waiter)
            })
            .collect()
    }

    /// How many calls are in flight.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no call is in flight.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
        let now = Instant::now();
        let limits = Limits { first: now + SECOND, idle: SECOND, hard: now + SECOND };
        let mut pending = Pending::default();
        for n in 0..MAX_SLOTS {
            pending.insert(limits, n).unwrap();
        }
        assert_eq!(pending.insert(limits, 7), Err(7));
        assert_eq!(pending.drain().len(), MAX_SLOTS);
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
            // id -> (serial, deadline): what a plain map would hold.
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
