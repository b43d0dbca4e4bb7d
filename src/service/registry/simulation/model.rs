//! What a simulation knows of what was acknowledged.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// How much happened.
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
    /// Starts that made the store anew from a backup and the journal.
    pub(super) restored: u64,
    /// Lines of the audit that are on the disk although something failed while they were written.
    pub(super) recorded_anyway: u64,
    /// Revocations that were stored, or written into the reserve, on a disk that fails.
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

/// A value as it was acknowledged last, and others that were asked for since and refused: should taking one
/// back have failed and the process have ended, it may be there (`docs/store.md`).
#[derive(Debug, Clone)]
pub(super) struct Known<T> {
    pub(super) acknowledged: T,
    refused: Vec<T>,
}

impl<T: PartialEq + Clone + Debug> Known<T> {
    pub(super) fn new(value: T) -> Known<T> {
        Known { acknowledged: value, refused: Vec::new() }
    }

    /// Notes how asking for a value ended.
    pub(super) fn asked(&mut self, value: T, acknowledged: bool) {
        if acknowledged {
            *self = Known::new(value);
        } else {
            self.refused.push(value);
        }
    }

    /// What was refused is gone for certain: something was accepted after it.
    pub(super) fn settle(&mut self) {
        self.refused.clear();
    }

    /// What is in force and was not durable is stored now.
    pub(super) fn pay(&mut self) {
        if let Some(value) = self.refused.pop() {
            *self = Known::new(value);
        }
    }

    /// Takes what is there after a start for the truth, if it may be there.
    pub(super) fn found(&mut self, what: &str, value: T) {
        let allowed = value == self.acknowledged || self.refused.contains(&value);
        assert!(allowed, "{what} is {value:?} after a start, and is known as {self:?}");
        *self = Known::new(value);
    }
}

/// Everything that was acknowledged.
#[derive(Default)]
pub(super) struct Model {
    /// The argument of each server, by name; `None` for one that is not there.
    pub(super) servers: BTreeMap<String, Known<Option<String>>>,
    /// Whether each key works, by its text, with its id. One whose making was refused is nobody's; what is
    /// refused of others is a revocation that is in force and not durable.
    pub(super) keys: BTreeMap<String, (String, Known<bool>)>,
    /// The acts whose lines are on the disk.
    pub(super) recorded: Vec<String>,
    /// Calls that were made ever, also those that a power cut took.
    pub(super) ever: u64,
    /// Calls that were made and may be known.
    pub(super) calls: u64,
    /// Of these, how many outlive the end of the process.
    pub(super) written: u64,
    /// Calls that the plan let through, by the first day of their month.
    pub(super) granted: BTreeMap<u32, u64>,
}

impl Model {
    /// A change was accepted, so all that was refused before is taken back, and the revocations that were
    /// owed are stored, unless some are still owed.
    pub(super) fn settle(&mut self, owes: bool) {
        self.servers.values_mut().for_each(Known::settle);
        if !owes {
            self.keys.values_mut().for_each(|(_, known)| known.pay());
        }
    }
}
