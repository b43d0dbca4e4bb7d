//! The children that are waited for. Whatever else ends as a child of ours fell to us, and is reaped here.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{WaitOptions, WaitStatus};

use super::{own, proc_fs};

/// Children that are waited for: process id to start time.
pub(super) type Leaders = HashMap<i32, u64>;

/// The children that are waited for, as the host, their trees and the search for orphans share them.
pub(super) struct LeaderTable(Mutex<Leaders>);

impl LeaderTable {
    pub(super) fn new(at_start: Leaders) -> LeaderTable {
        LeaderTable(Mutex::new(at_start))
    }

    /// Locks the table. It is locked while a child is spawned, so that none can end and be reaped as adopted before it
    /// is in here.
    pub(super) fn lock(&self) -> MutexGuard<'_, Leaders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the children that are currently waited for.
    pub(super) fn now(&self) -> Leaders {
        self.lock().clone()
    }

    /// Removes a leader that was reaped.
    pub(super) fn forget(&self, leader: i32) {
        self.lock().remove(&leader);
    }

    /// Reaps ended orphans that were reparented to us. Looks without the lock, which a spawn may want, and checks again
    /// under it: a child may have been spawned in between.
    pub(super) fn reap_adopted(&self) {
        for pid in adopted_zombies(&self.now()) {
            let leaders = self.lock();
            if !leaders.contains_key(&pid) {
                reap(pid);
            }
        }
    }
}

/// Returns the children we have at start, which the process that started us left: never strays.
pub(super) fn children_at_start() -> io::Result<Leaders> {
    let own = std::process::id().cast_signed();
    let pids = proc_fs::pids()?.into_iter();
    Ok(pids
        .filter_map(|pid| Some((pid, proc_fs::stat(pid)?)))
        .filter(|(_, stat)| stat.parent == own)
        .map(|(pid, stat)| (pid, stat.started))
        .collect())
}

/// Returns the ended processes that were reparented to us, except those in `leaders`: those are waited for elsewhere.
fn adopted_zombies(leaders: &Leaders) -> Vec<i32> {
    let parent = std::process::id().cast_signed();
    let mut zombies = proc_fs::pids().unwrap_or_default();
    zombies.retain(|pid| {
        !leaders.contains_key(pid)
            && !own::is_own(*pid)
            && proc_fs::stat(*pid).is_some_and(|stat| stat.parent == parent && stat.is_zombie())
    });
    zombies
}

/// Reaps an ended child, without blocking, and returns how it ended; `None` if it has not. Not by nix, whose status
/// knows no real-time signals: such a child would be reaped and its end lost.
pub(super) fn reap(pid: i32) -> Option<WaitStatus> {
    let pid = rustix::process::Pid::from_raw(pid)?;
    rustix::process::waitpid(Some(pid), WaitOptions::NOHANG).ok().flatten().map(|(_, status)| status)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::pidfd;
    use super::*;

    #[test]
    fn a_child_that_a_real_time_signal_ended_is_reaped_with_its_signal() {
        const SIGNAL: i32 = 40;
        let script = format!("kill -{SIGNAL} $$");
        let mut child = std::process::Command::new("/bin/sh").args(["-c", &script]).spawn().unwrap();
        let pid = child.id().cast_signed();
        pidfd::await_end(&[pidfd::open(pid).unwrap()], Duration::from_secs(60));
        assert_eq!(reap(pid).unwrap().terminating_signal(), Some(SIGNAL));
        assert!(child.wait().is_err(), "there is nothing left of it");
    }
}
