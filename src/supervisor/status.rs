//! What an operator sees of a server: its state and why. Plain values, published by the replica.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::brake::TurnView;
use super::definition::Definition;
use crate::child::StartView;
use crate::mcp::Era;
use crate::process::TreeView;

/// The state of a server's replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Switched off by the operator, or without a command to run.
    Disabled,
    /// Not running because nothing asks for it; the first call starts it.
    Idle,
    /// A child was spawned, or waits for its turn, and is not ready yet.
    Starting,
    /// The handshake is done: calls are served.
    Ready,
    /// Serves calls, but its last probe was not answered.
    Degraded,
    /// On its way down the stop ladder.
    Stopping,
    /// Crashed; the next start is due at `until`.
    Backoff {
        /// How many starts in a row have failed.
        attempt: u32,
        /// When the next start is due.
        until: Instant,
        /// What the last child ended of.
        cause: Cause,
        /// Whether it was never ready and always ended in the same way: trying again will hardly help.
        hopeless: bool,
    },
    /// Cannot run until its definition or its surroundings change.
    Failed {
        /// What has to be mended.
        cause: Cause,
    },
    /// Its child has ended by itself, in order, and its restart policy leaves it at that.
    Exited {
        /// How it ended.
        cause: Cause,
    },
}

impl State {
    /// What a server is that has no replica: by its definition, and where it runs, whether anybody asks.
    pub(super) fn without_replicas(definition: &Definition, wanted: bool) -> State {
        match definition.fault() {
            Some(reason) if definition.enabled() => State::Failed { cause: Cause::Definition { reason } },
            _ if !definition.runs() => State::Disabled,
            _ if wanted => State::Starting,
            _ => State::Idle,
        }
    }

    /// Whether it cannot run because its definition cannot be used.
    pub fn is_of_definition(&self) -> bool {
        matches!(self, State::Failed { cause } if matches!(cause.bare(), Cause::Definition { .. }))
    }

    /// The state's name, one word, as in the API, the log and the metrics.
    pub fn name(&self) -> &'static str {
        match self {
            State::Disabled => "disabled",
            State::Idle => "idle",
            State::Starting => "starting",
            State::Ready => "ready",
            State::Degraded => "degraded",
            State::Stopping => "stopping",
            State::Backoff { .. } => "backoff",
            State::Failed { .. } => "failed",
            State::Exited { .. } => "exited",
        }
    }

    /// Every name that [`State::name`] can give, for metrics that show one series a state.
    pub const NAMES: [&'static str; 9] =
        ["disabled", "idle", "starting", "ready", "degraded", "stopping", "backoff", "failed", "exited"];

    /// Whether calls are served.
    pub fn serves(&self) -> bool {
        matches!(self, State::Ready | State::Degraded)
    }

    /// When the next start is due, where one is.
    pub fn next_start(&self) -> Option<SystemTime> {
        match self {
            State::Backoff { until, .. } => Some(on_the_wall(*until)),
            State::Disabled
            | State::Idle
            | State::Starting
            | State::Ready
            | State::Degraded
            | State::Stopping
            | State::Failed { .. }
            | State::Exited { .. } => None,
        }
    }

    /// Why the server does not run, where that is known.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            State::Backoff { cause, .. } | State::Failed { cause } | State::Exited { cause } => Some(cause),
            State::Disabled
            | State::Idle
            | State::Starting
            | State::Ready
            | State::Degraded
            | State::Stopping => None,
        }
    }
}

/// When something that is due will be, on the wall clock.
pub fn on_the_wall(due: Instant) -> SystemTime {
    SystemTime::now() + due.saturating_duration_since(Instant::now())
}

/// Why a child ended or could not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Its definition cannot be used; it is never started until that is another one.
    Definition {
        /// What is wrong with it, member by member.
        reason: String,
    },
    /// The process could not be started: the operating system's error and what it was about.
    Spawn {
        /// For example `command 'nmx' not found in PATH (ENOENT)`.
        reason: String,
    },
    /// The process ended with this exit code.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// The process was ended by this signal.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// The kernel ended it because its tree had used up the memory that it may have.
    OutOfMemory,
    /// The start deadline passed.
    StartTimeout {
        /// What the child had not done: `server/discover`, `initialize`, `tools/list`.
        phase: &'static str,
        /// The deadline.
        after: Duration,
        /// Whether its launcher still fetched or built it.
        installing: bool,
    },
    /// The handshake failed: the child answered, but not as MCP says.
    Handshake {
        /// What it said.
        reason: String,
    },
    /// The child did not answer any more, although it had nothing to do.
    Unresponsive,
    /// The child broke the wire: a frame beyond the limit, its stdout closed.
    Protocol {
        /// What it did.
        reason: String,
    },
    /// One of the others, and the line of its output that says most about it.
    Telling {
        /// Which one; never one like this.
        cause: Box<Cause>,
        /// The line.
        line: Arc<str>,
    },
}

impl Cause {
    /// The same, with the line of the child's output that says most about it, where there is one.
    pub fn with_line(self, line: Option<Arc<str>>) -> Cause {
        match line {
            Some(line) => Cause::Telling { cause: Box::new(self), line },
            None => self,
        }
    }

    /// What it is, without what the child said.
    pub fn bare(&self) -> &Cause {
        match self {
            Cause::Telling { cause, .. } => cause.bare(),
            bare => bare,
        }
    }

    fn line(&self) -> &str {
        match self {
            Cause::Telling { line, .. } => line,
            _ => "",
        }
    }

    /// Whether another child has ended in the same way and, but for times and numbers, said the same.
    pub fn is_like(&self, other: &Cause) -> bool {
        let same = match (self.bare(), other.bare()) {
            (Cause::StartTimeout { .. }, Cause::StartTimeout { .. })
            | (Cause::Handshake { .. }, Cause::Handshake { .. }) => true,
            (one, other) => one == other,
        };
        let letters = |line: &'_ str| line.chars().filter(|c| c.is_alphabetic()).collect::<String>();
        same && letters(self.line()) == letters(other.line())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Definition { reason } => write!(f, "cannot be used: {reason}"),
            Cause::Spawn { reason } => write!(f, "could not be started: {reason}"),
            Cause::Exited { code } => write!(f, "exited with code {code}"),
            Cause::Signalled { signal } => match signal_name(*signal) {
                Some(name) => write!(f, "was ended by signal {signal} ({name})"),
                None => write!(f, "was ended by signal {signal}"),
            },
            Cause::OutOfMemory => f.write_str("was ended by the kernel: it used more memory than its limit"),
            Cause::StartTimeout { phase, after, installing } => {
                let seconds = after.as_secs_f64();
                match installing {
                    true => write!(f, "was still being installed after {seconds} s (install_timeout)"),
                    false => write!(f, "did not answer {phase} within {seconds} s"),
                }
            }
            Cause::Handshake { reason } => write!(f, "failed the handshake: {reason}"),
            Cause::Unresponsive => f.write_str("did not answer any more"),
            Cause::Protocol { reason } => write!(f, "broke the protocol: {reason}"),
            Cause::Telling { cause, line } => write!(f, "{cause}: {line}"),
        }
    }
}

/// The name of a signal that programs are commonly ended by, by its number on Linux (signal(7)).
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// What a child said of itself in its handshake.
#[derive(Debug, Clone, PartialEq)]
pub struct Introduction {
    /// The protocol version agreed on, for example `2025-11-25`.
    pub protocol_version: Box<str>,
    /// True for a child of the stateless era (2026-07-28).
    pub modern: bool,
    /// `serverInfo.name`.
    pub server_name: Option<Box<str>>,
    /// `serverInfo.version`.
    pub server_version: Option<Box<str>>,
    /// The capabilities object, as the child sent it.
    pub capabilities: Value,
    /// The `instructions` text, if any.
    pub instructions: Option<Box<str>>,
}

impl Introduction {
    /// The era that the child is of.
    pub fn era(&self) -> Era {
        if self.modern { Era::Modern } else { Era::Legacy }
    }
}

/// One of a server's replicas, in a line.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaView {
    /// Its number; never used twice.
    pub number: u64,
    /// Its state.
    pub state: State,
    /// Since when, on the wall clock.
    pub since: SystemTime,
    /// The number of its current or last child.
    pub incarnation: u64,
    /// The process id of its running child.
    pub pid: Option<u32>,
    /// Whether it runs a definition that has been changed since.
    pub outdated: bool,
}

/// A changed definition that has yet to take over from the one that serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// How the first replica of the new definition is.
    pub state: State,
    /// Since when, on the wall clock.
    pub since: SystemTime,
    /// The last lines that its last ended child wrote on stderr, newest last.
    pub last_stderr: Arc<[String]>,
    /// Whether it has failed at least once: the old definition goes on serving, and nothing waits
    /// for the new one any more, whatever its further attempts are up to.
    pub has_failed: bool,
}

/// A snapshot of a server: how its best replica is, and which others there are.
#[derive(Debug, Clone)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Since when, on the wall clock.
    pub since: SystemTime,
    /// The number of the current or last child; 0 before the first.
    pub incarnation: u64,
    /// How many children were started after the first.
    pub restarts: u64,
    /// The process id of the running child.
    pub pid: Option<u32>,
    /// A look at what the current or last child and its tree use.
    pub tree: Option<TreeView>,
    /// Limits that this machine does not, or not quite, hold: a sentence each.
    pub unenforced: Arc<[String]>,
    /// How far the current or last child is, or was, on its way to being ready.
    pub start: Option<StartView>,
    /// What the running (or last) child said of itself.
    pub introduction: Option<Arc<Introduction>>,
    /// Its place among those that wait to be started, while it waits.
    pub turn: Option<TurnView>,
    /// How many starts and crashes in a row have failed; 0 while calls are served.
    pub failures: u32,
    /// How many of those in a row were starts: children that were never ready.
    pub failed_starts: u32,
    /// What the last child ended of, unasked.
    pub last_exit: Option<Cause>,
    /// The first lines the last ended child wrote on stderr, as far as they are not among the last.
    pub first_stderr: Arc<[String]>,
    /// The last lines the last ended child wrote on stderr, newest last.
    pub last_stderr: Arc<[String]>,
    /// What an operator should know of the running child although it serves: a sentence each.
    pub remarks: Arc<[String]>,
    /// Whether its first start is over, one way or the other.
    pub settled: bool,
    /// All replicas, the oldest first; none while the server rests.
    pub replicas: Arc<[ReplicaView]>,
    /// What becomes of an edit while the old definition still serves.
    pub update: Option<Update>,
}

impl Status {
    /// Before anything has happened.
    pub fn new(state: State) -> Status {
        Status {
            state,
            since: SystemTime::now(),
            incarnation: 0,
            restarts: 0,
            pid: None,
            tree: None,
            unenforced: Arc::new([]),
            start: None,
            introduction: None,
            turn: None,
            failures: 0,
            failed_starts: 0,
            last_exit: None,
            first_stderr: Arc::new([]),
            last_stderr: Arc::new([]),
            remarks: Arc::new([]),
            settled: false,
            replicas: Arc::new([]),
            update: None,
        }
    }

    /// Why it does not run; while a further attempt is under way, why the last one failed.
    pub fn cause(&self) -> Option<String> {
        let now = self.state.cause().map(ToString::to_string);
        now.or_else(|| self.last_failure().map(|cause| format!("last: {cause}")))
    }

    /// While it starts, what the last child ended of, unasked.
    pub fn last_failure(&self) -> Option<&Cause> {
        self.last_exit.as_ref().filter(|_| self.state == State::Starting)
    }

    /// How far a server is on its way to being ready, while it starts: one word, as in the API.
    pub fn phase(&self) -> Option<&'static str> {
        if self.state != State::Starting {
            return None;
        }
        match (&self.turn, &self.start) {
            (Some(_), _) => Some("waiting"),
            (None, Some(start)) => Some(start.phase().name()),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_alike_when_only_numbers_and_times_differ() {
        let cause = |code: i32, line: &str| Cause::Exited { code }.with_line(Some(line.into()));
        assert!(cause(1, "12:00:01 no key").is_like(&cause(1, "12:00:09 no key")));
        assert!(!cause(1, "no key").is_like(&cause(2, "no key")), "another code");
        assert!(!cause(1, "no key").is_like(&cause(1, "no disk")), "other words");
        assert!(!cause(1, "no key").is_like(&Cause::Exited { code: 1 }), "no words");
        let timeout = |phase| Cause::StartTimeout { phase, after: Duration::from_secs(1), installing: false };
        assert!(timeout("initialize").is_like(&timeout("server/discover")), "opened in the other way");
    }
}
