//! Model of what was acknowledged in a simulation.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// Counts of what happened in a run.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) changes: u64,
    pub(super) refused: u64,
    pub(super) kills: u64,
    pub(super) cuts: u64,
    pub(super) ends: u64,
    pub(super) faults: u64,
    pub(super) failed_starts: u64,
    pub(super) jumps: u64,
    /// Number of starts that rebuilt the store from a backup and the journal.
    pub(super) restored: u64,
    /// Number of audit lines that are on the disk although something failed while they were written.
    pub(super) recorded_anyway: u64,
    /// Number of revocations that were stored, or written into the reserve, on a disk that fails.
    pub(super) reserved: u64,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Seen) {
        self.changes += other.changes;
        self.refused += other.refused;
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.ends += other.ends;
        self.faults += other.faults;
        self.failed_starts += other.failed_starts;
        self.jumps += other.jumps;
        self.restored += other.restored;
        self.recorded_anyway += other.recorded_anyway;
        self.reserved += other.reserved;
    }
}

/// Value as it was last acknowledged, and others that were asked for since and refused. If taking one back
/// failed and the process ended, the store may have it (`docs/store.md`).
#[derive(Debug, Clone)]
pub(super) struct Known<T> {
    pub(super) acknowledged: T,
    refused: Vec<T>,
}

impl<T: PartialEq + Clone + Debug> Known<T> {
    pub(super) fn new(value: T) -> Known<T> {
        Known { acknowledged: value, refused: Vec::new() }
    }

    /// Notes whether a request for a value was acknowledged.
    pub(super) fn asked(&mut self, value: T, acknowledged: bool) {
        if acknowledged {
            *self = Known::new(value);
        } else {
            self.refused.push(value);
        }
    }

    /// Forgets the refused values: they are gone for certain, since something was accepted after them.
    pub(super) fn settle(&mut self) {
        self.refused.clear();
    }

    /// Acknowledges the last refused value: it was in force without being durable, and is stored now.
    pub(super) fn pay(&mut self) {
        if let Some(value) = self.refused.pop() {
            *self = Known::new(value);
        }
    }

    /// Adopts the value found after a start. Panics if it may not be there.
    pub(super) fn found(&mut self, what: &str, value: T) {
        let allowed = value == self.acknowledged || self.refused.contains(&value);
        assert!(allowed, "{what} is {value:?} after a start, and is known as {self:?}");
        *self = Known::new(value);
    }
}

/// State of the installation as far as it was acknowledged.
#[derive(Default)]
pub(super) struct Model {
    /// Argument of each server, by name; `None` for one that does not exist.
    pub(super) servers: BTreeMap<String, Known<Option<String>>>,
    /// Id of each key, and `true` if it works, by the key's text. A key whose making was refused has no entry;
    /// a refused value is a revocation that is in force and not durable.
    pub(super) keys: BTreeMap<String, (String, Known<bool>)>,
    /// Acts whose audit lines are on the disk, in their order.
    pub(super) recorded: Vec<String>,
    /// Number of all calls ever made, including those that a power cut took.
    pub(super) ever: u64,
    /// Number of calls that were made and may be known.
    pub(super) calls: u64,
    /// Number of these that outlive the end of the process.
    pub(super) written: u64,
    /// Number of calls that the plan let through, by the first day of their month.
    pub(super) granted: BTreeMap<u32, u64>,
}

impl Model {
    /// Notes that a change was accepted: all that was refused before is taken back, and the owed revocations
    /// are stored, unless some are still owed.
    pub(super) fn settle(&mut self, owes: bool) {
        self.servers.values_mut().for_each(Known::settle);
        if !owes {
            self.keys.values_mut().for_each(|(_, known)| known.pay());
        }
    }
}
