//! The process tree of a child: its members, and a way to kill it without waiting.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::cgroup::ChildCgroup;
use super::leaders::{LeaderTable, Leaders};
use super::pidfd::{self, send};
use super::proc_fs;
use super::secondary_mark::secondary_mark_of;

/// Variable that marks every process of ours: `INSTANCE.N`, N counting the children.
pub const MARK_VARIABLE: &str = "MCPVISOR_MARK";

/// Number of searches of a tree for survivors before giving up: each further round needs a process that forked while
/// the last one was killed.
pub(super) const KILL_ROUNDS: usize = 32;

/// A process tree: the group that was made for it, and every process that carries its mark.
pub(super) struct Tree {
    pub(super) leader: i32,
    /// `NAME=value` of the variable that marks every process of this tree.
    mark: String,
    /// Second mark, for processes that empty their environment: see `secondary_mark.rs`. `None` if the system refused
    /// it.
    brand: Option<u64>,
    /// Control group that was made for it, which nothing leaves; `None` without control groups.
    leaf: Option<ChildCgroup>,
    gone: AtomicBool,
    pub(super) leaders: Arc<LeaderTable>,
}

impl Tree {
    pub(super) fn new(
        leader: i32,
        mark: String,
        brand: Option<u64>,
        leaf: Option<ChildCgroup>,
        leaders: Arc<LeaderTable>,
    ) -> Tree {
        Tree { leader, mark, brand, leaf, gone: AtomicBool::new(false), leaders }
    }

    /// Returns the living processes of the tree: members of the group, those that left it but still carry the mark, and
    /// strays that carry the brand. An error says nothing about the rest of the tree.
    pub(super) fn members(&self) -> io::Result<Vec<i32>> {
        // One small file, whereas examining all processes takes a thousand. An empty one is not trusted: a child that
        // may write to the hierarchy can have moved.
        let held = self.leaf.as_ref().map(ChildCgroup::members).unwrap_or_default();
        if !held.is_empty() {
            return Ok(held);
        }
        let leaders = self.leaders.now();
        let belongs = |pid: i32, stat: proc_fs::Stat| {
            stat.group == self.leader
                || proc_fs::has_variable(pid, &self.mark, false)
                || (is_stray(pid, stat, &leaders) && self.owns_stray(pid, stat, &leaders))
        };
        let mut members = proc_fs::pids()?;
        members.retain(|&pid| proc_fs::stat(pid).is_some_and(|stat| !stat.is_zombie() && belongs(pid, stat)));
        Ok(members)
    }

    /// Reports whether a stray is of this tree; without a brand, only if no other tree can have started it.
    fn owns_stray(&self, pid: i32, stat: proc_fs::Stat, leaders: &Leaders) -> bool {
        match self.brand {
            Some(brand) => secondary_mark_of(pid) == Some(brand),
            None => only_possible_tree(stat, leaders) == Some(self.leader),
        }
    }

    /// Sends a signal to the group and to the members that left it.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_gone() {
            return;
        }
        // The group first: it can be reached even if nothing can be looked up. The leader is not reaped before the tree
        // is gone, so the group id cannot be another's.
        let _ = killpg(Pid::from_raw(self.leader), signal);
        if let (Signal::SIGKILL, Some(leaf)) = (signal, &self.leaf) {
            leaf.kill();
        }
        for pid in self.members().unwrap_or_default() {
            if proc_fs::stat(pid).is_some_and(|stat| stat.group != self.leader)
                && !signal_marked(pid, &self.mark, signal)
                && !self.signal_held(pid, signal)
            {
                signal_stray(pid, signal, &self.leaders.now());
            }
        }
    }

    /// Sends a signal to a process of the leaf. The handle is opened before the membership is checked.
    fn signal_held(&self, pid: i32, signal: Signal) -> bool {
        let Some(leaf) = &self.leaf else { return false };
        pidfd::open(pid).is_ok_and(|pidfd| leaf.members().contains(&pid) && send(&pidfd, signal))
    }

    /// Reports whether the kernel killed a process of the tree for lack of memory.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        self.leaf.as_ref().is_some_and(ChildCgroup::ran_out_of_memory)
    }

    /// Returns the current resource use of the tree.
    fn usage(&self) -> Usage {
        let members = self.members().unwrap_or_default();
        let mut usage = Usage { processes: members.len(), ..Usage::default() };
        for (rss, cpu) in members.into_iter().filter_map(proc_fs::usage) {
            usage.rss_bytes += rss;
            usage.cpu_time += cpu;
        }
        if let Some(cpu) = self.leaf.as_ref().and_then(ChildCgroup::cpu_time) {
            usage.cpu_time = cpu;
        }
        usage
    }

    /// Kills all members at once, without waiting and without a runtime: callable from `Drop`.
    pub(super) fn kill_now(&self) {
        for _ in 0..KILL_ROUNDS {
            if self.is_gone() || self.members().is_ok_and(|members| members.is_empty()) {
                return;
            }
            self.signal(Signal::SIGKILL);
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Records that the tree is empty and its leader is about to be reaped: from here on no signal may be sent, the ids
    /// can become another's.
    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Removes the leaf of an ended tree.
    pub(super) fn remove_leaf(&self) {
        if let Some(leaf) = &self.leaf {
            leaf.remove();
        }
    }
}

/// A guard that kills the tree when dropped, unless the tree has ended. The owner of a child holds one, so that no
/// panic, error or kill of the owner leaves processes behind.
pub struct TreeGuard(pub(super) Arc<Tree>);

impl TreeGuard {
    /// Returns the leader's process id.
    pub fn pid(&self) -> u32 {
        self.0.leader.cast_unsigned()
    }

    /// Returns a view of the tree that keeps no process alive.
    pub fn view(&self) -> TreeView {
        TreeView(self.0.clone())
    }
}

/// Resource use of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Number of processes that have not ended.
    pub processes: usize,
    /// Resident memory, in bytes; shared pages count for each process.
    pub rss_bytes: u64,
    /// CPU time so far: with a control group of all processes that ever ran, otherwise of the running ones.
    pub cpu_time: Duration,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.processes += other.processes;
        self.rss_bytes += other.rss_bytes;
        self.cpu_time += other.cpu_time;
    }
}

/// A view of a tree. Cheap to clone; keeps no process alive and kills none.
#[derive(Clone)]
pub struct TreeView(Arc<Tree>);

impl std::fmt::Debug for TreeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TreeView").field(&self.0.leader).finish()
    }
}

impl TreeView {
    /// Returns the current resource use; zero once the tree has ended. Reads `/proc`: do not call it on the runtime.
    pub fn usage(&self) -> Usage {
        if self.0.is_gone() { Usage::default() } else { self.0.usage() }
    }

    /// Reports whether the leader is stopped, by SIGSTOP or a debugger: it can do nothing until it is continued.
    pub fn is_stopped(&self) -> bool {
        !self.0.is_gone()
            && proc_fs::stat(self.0.leader).is_some_and(|stat| matches!(stat.state, b'T' | b't'))
    }
}

impl Drop for TreeGuard {
    fn drop(&mut self) {
        if !self.0.is_gone() {
            self.0.kill_now();
        }
    }
}

/// Reports whether a process is an orphan that was reparented to us without a mark: it left its group and emptied its
/// environment, so nothing it carries shows its tree.
fn is_stray(pid: i32, stat: proc_fs::Stat, leaders: &Leaders) -> bool {
    stat.parent == std::process::id().cast_signed()
        && leaders.get(&pid) != Some(&stat.started)
        && !proc_fs::has_name(pid, MARK_VARIABLE)
}

/// Returns the only tree that existed when a stray was started; `None` if there was none or more than one.
fn only_possible_tree(stray: proc_fs::Stat, leaders: &Leaders) -> Option<i32> {
    let mut possible = leaders.iter().filter(|(_, started)| **started <= stray.started);
    let (leader, _) = possible.next()?;
    possible.next().is_none().then_some(*leader)
}

/// Sends a signal to a stray. The handle is opened before the second look: if the pid was recycled in between, no
/// other process gets the signal.
fn signal_stray(pid: i32, signal: Signal, leaders: &Leaders) {
    let Ok(pidfd) = pidfd::open(pid) else { return };
    if proc_fs::stat(pid).is_some_and(|stat| is_stray(pid, stat, leaders)) {
        send(&pidfd, signal);
    }
}

/// Sends a signal to a process that carries a mark. The handle is opened before the mark is read: if the pid was
/// recycled in between, no other process gets the signal.
fn signal_marked(pid: i32, entry: &str, signal: Signal) -> bool {
    let Ok(pidfd) = pidfd::open(pid) else { return false };
    if !proc_fs::has_variable(pid, entry, false) {
        return false;
    }
    send(&pidfd, signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_is_given_only_to_a_tree_that_must_be_its_own() {
        let stray = proc_fs::Stat { state: b'S', parent: 1, group: 9, started: 100 };
        let leaders = |list: &[(i32, u64)]| list.iter().copied().collect::<Leaders>();
        assert_eq!(only_possible_tree(stray, &leaders(&[(5, 50), (6, 150)])), Some(5));
        assert_eq!(only_possible_tree(stray, &leaders(&[(5, 50), (6, 60)])), None);
        assert_eq!(only_possible_tree(stray, &leaders(&[(6, 150)])), None);
    }
}
