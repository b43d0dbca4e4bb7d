//! Strays: processes that were reparented to the daemon and carry nothing by which their tree could know them. A
//! server's descendant becomes one when it leaves its group, its session, its environment and its brand, and its parent
//! ends. It cannot hide that it was reparented to us, because we are the subreaper of all our descendants, nor that it
//! gains no privileges, which no process can undo.
//!
//! A server may have such helpers for good reasons, so one is ended only when no running server can have started it;
//! until then it is counted and logged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::Signal;

use super::leaders::{LeaderTable, Leaders};
use super::own;
use super::pidfd::{self, send};
use super::proc_fs::{self, Mark, Stat};
use super::secondary_mark::{SecondaryMarks, secondary_mark_of};
use super::tree::{KILL_ROUNDS, MARK_VARIABLE};

/// Criteria that distinguish our descendants from others that may be reparented to us.
#[derive(Debug, Clone)]
pub(super) struct Kin {
    /// `NAME=INSTANCE.`, the beginning of this installation's marks.
    mark: String,
    brands: SecondaryMarks,
    /// `true` if we gain no privileges ourselves: then that says nothing about others.
    unprivileged: bool,
    /// `true` if only descendants of our own children can be reparented to us: we are not process 1 of anything, had no
    /// children when we were started, and start none except by our host.
    alone: bool,
    /// Children we were started with.
    at_start: Leaders,
}

impl Kin {
    /// Describes our own: those of this instance, and if this process is `alone` in starting any, all that fall to it.
    pub(super) fn new(instance: &str, alone: bool, at_start: Leaders) -> Kin {
        let own = std::process::id().cast_signed();
        Kin {
            mark: format!("{MARK_VARIABLE}={instance}."),
            brands: SecondaryMarks::of(instance),
            unprivileged: proc_fs::gains_no_privileges(own),
            alone: alone && own != 1 && at_start.is_empty(),
            at_start,
        }
    }

    /// Returns the observations on a process that was reparented to us.
    fn seen(&self, pid: i32) -> Seen {
        let brand = secondary_mark_of(pid).filter(|limit| !self.brands.has(*limit));
        Seen {
            brand: self.brands.is_on(pid),
            mark: match proc_fs::mark(pid, MARK_VARIABLE, &self.mark) {
                Mark::None if brand.is_some_and(SecondaryMarks::is_of_any) => Mark::Foreign,
                mark => mark,
            },
            no_privileges: proc_fs::gains_no_privileges(pid),
        }
    }

    /// Reports whether a process that was reparented to us certainly comes from one of our children.
    fn is_ours(&self, seen: &Seen) -> bool {
        // As process 1, the children of another supervisor's servers may be reparented to us: they are marked.
        self.alone
            || seen.brand
            || seen.mark == Mark::Own
            || (seen.mark == Mark::None && seen.no_privileges && !self.unprivileged)
    }
}

/// Observations on a process that was reparented to us.
struct Seen {
    brand: bool,
    mark: Mark,
    no_privileges: bool,
}

/// Returns the processes that were reparented to us and are no zombies: neither those that are waited for, nor those
/// that we were started with.
fn adopted(leaders: &Leaders) -> Vec<(i32, Stat)> {
    let parent = std::process::id().cast_signed();
    let pids = proc_fs::pids().unwrap_or_default().into_iter();
    let known = pids.filter_map(|pid| Some((pid, proc_fs::stat(pid)?)));
    let fell = |pid: i32, stat: Stat| {
        stat.parent == parent
            && !stat.is_zombie()
            && leaders.get(&pid) != Some(&stat.started)
            && !own::is_own(pid)
    };
    known.filter(|(pid, stat)| fell(*pid, *stat)).collect()
}

/// Reports whether a server runs that can have started a process: one that is older. Pure.
fn may_belong(stray: Stat, leaders: &Leaders, at_start: &Leaders) -> bool {
    let of_ours = leaders.iter().filter(|(pid, started)| at_start.get(pid) != Some(started));
    of_ours.into_iter().any(|(_, started)| *started <= stray.started)
}

/// Strays that were already logged: process id to start time.
type ReportedOrphans = HashMap<i32, u64>;

/// Counts of processes that were reparented to the daemon and belong to no known tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrphanReading {
    /// Number of strays that are alive and left alone.
    pub left: usize,
    /// Number of strays ended since the daemon started.
    pub ended: u64,
}

/// The search for strays.
pub(super) struct Orphans {
    leaders: Arc<LeaderTable>,
    kin: Kin,
    known: Mutex<Known>,
}

/// State of the search.
#[derive(Default)]
struct Known {
    told: ReportedOrphans,
    reading: OrphanReading,
}

impl Orphans {
    pub(super) fn new(leaders: Arc<LeaderTable>, kin: Kin) -> Orphans {
        Orphans { leaders, kin, known: Mutex::default() }
    }

    /// Returns the brands of this installation.
    pub(super) fn brands(&self) -> SecondaryMarks {
        self.kin.brands
    }

    /// Looks for strays, and ends those that no longer belong to a running server.
    pub(super) fn sweep(&self) -> OrphanReading {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, left) = self.look(&mut known.told);
        known.reading = OrphanReading { left, ended: known.reading.ended + ended as u64 };
        known.reading
    }

    /// Ends the strays that no running server can have started, and returns their number; and the number left alone
    /// because a running server can have started them, or because they may be somebody else's. Logs each once.
    fn look(&self, told: &mut ReportedOrphans) -> (usize, usize) {
        let (leaders, kin) = (self.leaders.now(), &self.kin);
        let fell = adopted(&leaders);
        told.retain(|pid, started| fell.iter().any(|(other, stat)| other == pid && stat.started == *started));
        let (mut ended, mut left) = (0, 0);
        for (pid, stat) in fell {
            let seen = kin.seen(pid);
            // A process that still carries a mark or a brand is known to its tree, as long as there is one.
            let belongs = may_belong(stat, &leaders, &kin.at_start);
            if belongs && (seen.brand || seen.mark == Mark::Own) {
                continue;
            }
            let name = proc_fs::name(pid).unwrap_or_default();
            if kin.is_ours(&seen) && !belongs {
                if self.kill(pid, stat) {
                    tracing::warn!(pid, name, "ended a process that had left its server and every mark");
                    ended += 1;
                }
                continue;
            }
            left += 1;
            if told.insert(pid, stat.started) != Some(stat.started) {
                tracing::warn!(
                    pid,
                    name,
                    "a process fell to the daemon that no server can be told of; it is left alone while one runs that can have started it"
                );
            }
        }
        (ended, left)
    }

    /// Kills every stray that comes from our children, for when none of them is left.
    pub(super) fn kill_all(&self) {
        for _ in 0..KILL_ROUNDS {
            let strays = adopted(&self.leaders.now()).into_iter();
            let strays: Vec<_> = strays.filter(|(pid, _)| self.kin.is_ours(&self.kin.seen(*pid))).collect();
            if strays.is_empty() {
                return;
            }
            for (pid, stat) in strays {
                self.kill(pid, stat);
            }
        }
    }

    /// Kills a process if it is still the one that was examined, and still ours to kill. The handle is opened before
    /// the second look: if the pid was recycled in between, no other process gets the signal.
    fn kill(&self, pid: i32, before: Stat) -> bool {
        let Ok(pidfd) = pidfd::open(pid) else { return false };
        let same = proc_fs::stat(pid).is_some_and(|stat| {
            (stat.started, stat.parent) == (before.started, before.parent)
                && self.leaders.now().get(&pid) != Some(&stat.started)
        });
        same && send(&pidfd, Signal::SIGKILL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kin(alone: bool, unprivileged: bool) -> Kin {
        let at_start = Leaders::new();
        Kin { mark: String::new(), brands: SecondaryMarks::of("x"), unprivileged, alone, at_start }
    }

    #[test]
    fn what_may_be_another_s_is_never_taken_for_ours() {
        let seen = |brand, mark, no_privileges| Seen { brand, mark, no_privileges };
        // If nobody else's can be reparented to us, it is ours, whatever it shed.
        assert!(kin(true, true).is_ours(&seen(false, Mark::Foreign, false)));
        // If somebody else's can, one observation has to speak for it …
        for ours in
            [seen(true, Mark::Foreign, false), seen(false, Mark::Own, false), seen(false, Mark::None, true)]
        {
            assert!(kin(false, false).is_ours(&ours));
        }
        // … which nothing does for these.
        assert!(!kin(false, false).is_ours(&seen(false, Mark::None, false)));
        assert!(!kin(false, false).is_ours(&seen(false, Mark::Foreign, true)), "another supervisor's");
        assert!(!kin(false, true).is_ours(&seen(false, Mark::None, true)), "everybody here is without");
    }

    #[test]
    fn a_stray_is_left_alone_while_a_server_runs_that_can_have_started_it() {
        let stray = Stat { state: b'S', parent: 1, group: 9, started: 100 };
        let leaders = |list: &[(i32, u64)]| list.iter().copied().collect::<Leaders>();
        assert!(may_belong(stray, &leaders(&[(5, 50), (6, 150)]), &leaders(&[])));
        assert!(!may_belong(stray, &leaders(&[(6, 150)]), &leaders(&[])));
        assert!(!may_belong(stray, &leaders(&[(5, 50)]), &leaders(&[(5, 50)])), "that is no server");
        assert!(!may_belong(stray, &leaders(&[]), &leaders(&[])));
    }
}
