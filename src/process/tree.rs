//! A child's process tree: who belongs to it, and how it is killed without waiting.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::host::HostInner;
use super::{pidfd, proc_fs};

/// How many times a tree is searched for survivors before giving up: each round needs a process
/// that forked while the last one was killed.
pub(super) const KILL_ROUNDS: usize = 32;

/// A process tree: the group that was made for it, and whoever carries its mark.
pub(super) struct Tree {
    pub(super) leader: i32,
    /// `NAME=value` of the variable that marks every process of this tree.
    mark: String,
    gone: AtomicBool,
    pub(super) host: Arc<HostInner>,
}

impl Tree {
    pub(super) fn new(leader: i32, mark: String, host: Arc<HostInner>) -> Tree {
        Tree { leader, mark, gone: AtomicBool::new(false), host }
    }

    /// The living processes of the tree: members of the group, and those that left it but still
    /// carry the mark.
    pub(super) fn members(&self) -> Vec<i32> {
        proc_fs::pids()
            .filter(|&pid| {
                proc_fs::stat(pid).is_some_and(|stat| {
                    !stat.is_zombie()
                        && (stat.group == self.leader || proc_fs::has_variable(pid, &self.mark, false))
                })
            })
            .collect()
    }

    /// Sends a signal to the group and to those who left it.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_gone() {
            return;
        }
        // The leader is not reaped before the tree is gone, so the group id cannot be another's.
        let _ = killpg(Pid::from_raw(self.leader), signal);
        for pid in self.members() {
            if proc_fs::stat(pid).is_some_and(|stat| stat.group != self.leader) {
                signal_marked(pid, &self.mark, false, signal);
            }
        }
    }

    /// Kills everything, now, without waiting and without a runtime: callable from `Drop`.
    pub(super) fn kill_now(&self) {
        for _ in 0..KILL_ROUNDS {
            if self.is_gone() || self.members().is_empty() {
                return;
            }
            self.signal(Signal::SIGKILL);
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Notes that the tree is empty and its leader is about to be reaped: from here on no signal
    /// may be sent, the ids can become another's.
    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }
}

/// Kills the tree when dropped, unless the tree has ended. The owner of a child holds one, so
/// that no panic, error or kill of the owner leaves processes behind.
pub struct TreeGuard(pub(super) Arc<Tree>);

impl TreeGuard {
    /// The leader's process id.
    pub fn pid(&self) -> u32 {
        self.0.leader.cast_unsigned()
    }
}

impl Drop for TreeGuard {
    fn drop(&mut self) {
        if !self.0.is_gone() {
            self.0.kill_now();
        }
    }
}

/// Sends a signal to a process that carries a mark. The handle is opened before the mark is
/// read: if the pid was recycled in between, the signal goes to nobody.
pub(super) fn signal_marked(pid: i32, entry: &str, prefix: bool, signal: Signal) -> bool {
    let Some(pidfd) = pidfd::open(pid) else { return false };
    if !proc_fs::has_variable(pid, entry, prefix) {
        return false;
    }
    rustix::process::Signal::from_named_raw(signal as i32)
        .is_some_and(|signal| rustix::process::pidfd_send_signal(&pidfd, signal).is_ok())
}

/// Reaps the ended processes that became ours because their parents ended before them.
/// `leaders` are the children that somebody else waits for.
pub(super) fn reap_adopted(leaders: &HashSet<i32>) -> usize {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    let own = std::process::id().cast_signed();
    proc_fs::pids()
        .filter(|pid| !leaders.contains(pid))
        .filter(|&pid| proc_fs::stat(pid).is_some_and(|stat| stat.parent == own && stat.is_zombie()))
        .filter(|&pid| {
            let waited = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
            !matches!(waited, Ok(WaitStatus::StillAlive) | Err(_))
        })
        .count()
}
