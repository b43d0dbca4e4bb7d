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
    /// Changes that were there again after they were taken back.
    pub(super) came_back: u64,
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
        self.came_back += other.came_back;
    }
}

/// A value as it was acknowledged last, and others that were asked for since and refused: should taking one
/// back have failed and the process have ended, it may be there (`docs/store.md`).
#[derive(Debug, Clone)]
pub(super) struct Known<T> {
    pub(super) acknowledged: T,
    refused: Vec<T>,
    /// What was refused and taken back.
    taken_back: Vec<T>,
}

impl<T: PartialEq + Clone + Debug> Known<T> {
    pub(super) fn new(value: T) -> Known<T> {
        Known { acknowledged: value, refused: Vec::new(), taken_back: Vec::new() }
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
        self.taken_back.append(&mut self.refused);
    }

    /// Takes what is there after a start for the truth, if it may be there. Returns whether it is a change
    /// that had been taken back: on a disk that drops what a failed sync was to keep, and then loses its
    /// power, that is not prevented yet (`docs/testing.md`); `SIMULATION_STRICT` fails for it.
    pub(super) fn found(&mut self, what: &str, value: T) -> bool {
        let came_back = value != self.acknowledged && self.taken_back.contains(&value);
        let tolerated = came_back && std::env::var_os("SIMULATION_STRICT").is_none();
        let allowed = value == self.acknowledged || self.refused.contains(&value) || tolerated;
        assert!(allowed, "{what} is {value:?} after a start, and is known as {self:?}");
        *self = Known::new(value);
        came_back
    }
}

/// Everything that was acknowledged.
#[derive(Default)]
pub(super) struct Model {
    /// The argument of each server, by name; `None` for one that is not there.
    pub(super) servers: BTreeMap<String, Known<Option<String>>>,
    /// Whether each key works, by its text, with its id. One whose making was refused is nobody's.
    pub(super) keys: BTreeMap<String, (String, Known<bool>)>,
    /// The acts whose lines are on the disk.
    pub(super) recorded: Vec<String>,
    /// Calls that were made.
    pub(super) calls: u64,
    /// Of these, how many outlive the end of the process.
    pub(super) written: u64,
    /// Calls that the plan let through.
    pub(super) granted: u64,
}

impl Model {
    /// A change was accepted, so all that was refused before is taken back.
    pub(super) fn settle(&mut self) {
        self.servers.values_mut().for_each(Known::settle);
        self.keys.values_mut().for_each(|(_, known)| known.settle());
    }
}
