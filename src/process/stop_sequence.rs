//! The stop sequence from a running process to an empty tree: close stdin, SIGTERM, SIGKILL, reap.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rustix::process::WaitStatus;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::leaders::reap;
use super::orphans::Orphans;
use super::pidfd::ProcessWatch;
use super::tree::{KILL_ROUNDS, Tree};

/// Time a process gets to end after SIGKILL before it counts as stuck in the kernel.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Grace periods of a tree's stop sequence, counted from when its stdin was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSequence {
    /// Time to end by itself, before SIGTERM.
    pub stdin_grace: Duration,
    /// Time to end after SIGTERM, before SIGKILL.
    pub term_grace: Duration,
}

impl StopSequence {
    /// A sequence without grace: SIGKILL at once.
    pub const KILL: StopSequence = StopSequence { stdin_grace: Duration::ZERO, term_grace: Duration::ZERO };
}

/// Exit status of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself, with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The kernel killed it because its tree had used up its memory limit.
    OutOfMemory,
    /// It did not end: it is stuck in the kernel, and left behind.
    Stuck,
}

/// Report on the end of a process and of its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitReport {
    /// Exit status of the leader.
    pub exit: Exit,
    /// `true` if the leader had to be sent a signal.
    pub forced: bool,
    /// Number of other processes of the tree that had to be killed.
    pub killed: usize,
    /// Number of processes that could not be ended; 1 if the tree could not be examined. Anything but 0 is an alarm.
    pub orphans: usize,
}

/// A running process: the leader of a tree. Dropping it kills the tree.
pub struct Process {
    watch: ProcessWatch,
    tree: Arc<Tree>,
    orphans: Arc<Orphans>,
}

impl Process {
    pub(super) fn new(watch: ProcessWatch, tree: Arc<Tree>, orphans: Arc<Orphans>) -> Process {
        Process { watch, tree, orphans }
    }

    /// Waits until the process ends by itself or `order` comes, then makes sure that nothing of its tree is left, and
    /// reaps it. An `order` that is dropped means [`StopSequence::KILL`].
    ///
    /// `leader_ended` is sent as soon as the leader has ended, before its tree is swept.
    pub async fn run_to_end(
        self,
        order: oneshot::Receiver<StopSequence>,
        leader_ended: oneshot::Sender<()>,
    ) -> ExitReport {
        let mut forced = false;
        tokio::select! {
            _ = self.watch.ended() => {}
            order = order => forced = self.descend(order.unwrap_or(StopSequence::KILL)).await,
        }
        if self.leader_has_ended().await {
            let _ = leader_ended.send(());
        } else {
            forced = true;
        }
        let killed = self.kill_rest().await;
        self.reap(forced, killed).await
    }

    /// Runs the steps before SIGKILL. Reports whether the leader was sent a signal.
    async fn descend(&self, ladder: StopSequence) -> bool {
        if self.gone_by(Instant::now() + ladder.stdin_grace).await || ladder == StopSequence::KILL {
            return false;
        }
        let forced = !self.leader_has_ended().await;
        self.signal(Signal::SIGTERM).await;
        // A stopped process reacts to nothing but SIGKILL until it is continued.
        self.signal(Signal::SIGCONT).await;
        self.gone_by(Instant::now() + ladder.term_grace).await;
        forced
    }

    async fn leader_has_ended(&self) -> bool {
        timeout_at(Instant::now(), self.watch.ended()).await.is_ok()
    }

    /// Reports whether the whole tree has ended by `deadline`; returns as soon as it has.
    async fn gone_by(&self, deadline: Instant) -> bool {
        loop {
            if timeout_at(deadline, self.watch.ended()).await.is_err() {
                return false;
            }
            match self.members().await.map(|members| members.first().copied()) {
                Ok(None) => return true,
                Ok(Some(member)) if ended_by(member, deadline).await => {}
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    }

    /// Kills the rest of the tree and returns the number of processes apart from the leader. Gives up on those that are
    /// stuck in the kernel.
    async fn kill_rest(&self) -> usize {
        let mut killed = std::collections::HashSet::new();
        let deadline = Instant::now() + KILL_GRACE;
        for _ in 0..KILL_ROUNDS {
            let members = match self.members().await {
                Ok(members) if members.is_empty() => break,
                Ok(members) => members,
                // Nothing can be looked up now; the group can still be killed.
                Err(_) => Vec::new(),
            };
            self.signal(Signal::SIGKILL).await;
            let _ = timeout_at(deadline, self.watch.ended()).await;
            for member in members {
                ended_by(member, deadline).await;
                if member != self.tree.leader {
                    killed.insert(member);
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        killed.len()
    }

    async fn reap(&self, forced: bool, killed: usize) -> ExitReport {
        let orphans = self.members().await.map_or(1, |members| members.len());
        self.tree.set_gone();
        let _ = tokio::time::timeout(KILL_GRACE, self.watch.ended()).await;
        let exit = match exit_of(reap(self.tree.leader)) {
            Exit::Signal(_) if !forced && self.tree.ran_out_of_memory() => Exit::OutOfMemory,
            exit => exit,
        };
        self.tree.remove_leaf();
        self.tree.leaders.forget(self.tree.leader);
        let (search, leaders) = (self.orphans.clone(), self.tree.leaders.clone());
        let tidy = move || {
            // It may have been the last process that could have started a stray.
            search.sweep();
            leaders.reap_adopted();
        };
        let _ = tokio::task::spawn_blocking(tidy).await;
        ExitReport { exit, forced, killed, orphans }
    }

    /// Returns the living members of the tree; runs off the runtime, since `/proc` may be long.
    async fn members(&self) -> io::Result<Vec<i32>> {
        let tree = self.tree.clone();
        tokio::task::spawn_blocking(move || tree.members())
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Signals the tree, off the runtime for the same reason.
    async fn signal(&self, signal: Signal) {
        let tree = self.tree.clone();
        let _ = tokio::task::spawn_blocking(move || tree.signal(signal)).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.tree.is_gone() {
            self.tree.kill_now();
            // It is no longer waited for: it is reaped as an orphan once it has ended.
            self.tree.leaders.forget(self.tree.leader);
        }
    }
}

/// Reports whether another process has ended by `deadline`.
async fn ended_by(pid: i32, deadline: Instant) -> bool {
    match ProcessWatch::open(pid) {
        Ok(watch) => timeout_at(deadline, watch.ended()).await.is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn exit_of(status: Option<WaitStatus>) -> Exit {
    match status.map(|status| (status.exit_status(), status.terminating_signal())) {
        Some((Some(code), _)) => Exit::Code(code),
        Some((None, Some(signal))) => Exit::Signal(signal),
        Some((None, None)) | None => Exit::Stuck,
    }
}
