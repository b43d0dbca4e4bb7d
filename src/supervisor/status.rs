//! A server's state as an operator sees it, with its reason. Plain values, published by the replica.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::definition::Definition;
use super::start_limiter::QueuedStartView;
use crate::clock;
use crate::diagnosis::{self, Diagnosis};
use crate::mcp::Era;
use crate::process::TreeView;
use crate::upstream::StartView;
use crate::upstream::http::Word;

/// The state of a server's replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Switched off by the operator, or without a command to run.
    Disabled,
    /// Was stopped by an operator, and stays so until one starts it or the daemon starts anew.
    Stopped,
    /// Not running because nothing asks for it; the first call starts it.
    Idle,
    /// A child was spawned or waits for its turn, and is not ready yet.
    Starting,
    /// The handshake is done: calls are served.
    Ready,
    /// Serves calls, but its last probe was not answered.
    Degraded,
    /// A child is being stopped by the stop ladder.
    Stopping,
    /// Crashed; the next start is due at `until`.
    Backoff {
        /// Number of failed starts and crashes in a row.
        attempt: u32,
        /// Time at which the next start is due.
        until: Instant,
        /// Reason why the last child ended.
        cause: Cause,
        /// `true` if it was never ready and always ended in the same way: trying again will hardly help.
        hopeless: bool,
    },
    /// Is elsewhere and refuses the credentials, or wants some: nothing heals that but other ones.
    Unauthorized {
        /// Time at which it is asked again.
        until: Instant,
        /// What it said.
        cause: Cause,
    },
    /// Cannot run until its definition or its surroundings change.
    Failed {
        /// Fault that has to be mended.
        cause: Cause,
    },
    /// Its child has ended cleanly by itself, and its restart policy does not replace it.
    Exited {
        /// Way in which it ended.
        cause: Cause,
    },
}

impl State {
    /// Returns the state of a server without replicas, by its definition and, if that runs, by `wanted`:
    /// whether the server is asked for.
    pub(super) fn without_replicas(definition: &Definition, wanted: bool) -> State {
        match definition.fault() {
            Some(reason) if definition.enabled() => State::Failed { cause: Cause::Definition { reason } },
            _ if !definition.runs() => State::Disabled,
            _ if wanted && definition.secrets().is_empty() => State::Starting,
            _ => State::Idle,
        }
    }

    /// Reports whether it cannot run because its definition cannot be used.
    pub fn is_of_definition(&self) -> bool {
        matches!(self, State::Failed { cause } if matches!(cause.bare(), Cause::Definition { .. }))
    }

    /// Returns the state's name as one word, as in the API, the log and the metrics.
    pub fn name(&self) -> &'static str {
        match self {
            State::Disabled => "disabled",
            State::Stopped => "stopped",
            State::Idle => "idle",
            State::Starting => "starting",
            State::Ready => "ready",
            State::Degraded => "degraded",
            State::Stopping => "stopping",
            State::Backoff { .. } => "backoff",
            State::Unauthorized { .. } => "unauthorized",
            State::Failed { .. } => "failed",
            State::Exited { .. } => "exited",
        }
    }

    /// Every name that [`State::name`] can return, for metrics that show one series per state.
    pub const NAMES: [&'static str; 11] = [
        "disabled",
        "stopped",
        "idle",
        "starting",
        "ready",
        "degraded",
        "stopping",
        "backoff",
        "unauthorized",
        "failed",
        "exited",
    ];

    /// Reports whether calls are served.
    pub fn serves(&self) -> bool {
        matches!(self, State::Ready | State::Degraded)
    }

    /// Returns the time at which the next start is due; `None` if none is due.
    pub fn next_start(&self) -> Option<SystemTime> {
        match self {
            State::Backoff { until, .. } | State::Unauthorized { until, .. } => Some(on_the_wall(*until)),
            State::Disabled
            | State::Stopped
            | State::Idle
            | State::Starting
            | State::Ready
            | State::Degraded
            | State::Stopping
            | State::Failed { .. }
            | State::Exited { .. } => None,
        }
    }

    /// Returns the reason why the server does not run; `None` if none is known.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            State::Backoff { cause, .. }
            | State::Unauthorized { cause, .. }
            | State::Failed { cause }
            | State::Exited { cause } => Some(cause),
            State::Disabled
            | State::Stopped
            | State::Idle
            | State::Starting
            | State::Ready
            | State::Degraded
            | State::Stopping => None,
        }
    }
}

/// Converts a due time to the wall clock; a time in the past becomes now.
pub fn on_the_wall(due: Instant) -> SystemTime {
    clock::wall_clock() + due.saturating_duration_since(Instant::now())
}

/// Reason why a child ended or could not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The definition cannot be used; the server is not started until it is changed.
    Definition {
        /// Problems of the definition, member by member.
        reason: String,
    },
    /// The process could not be started.
    Spawn {
        /// The operating system's error and its subject, for example `command 'nmx' not found in PATH
        /// (ENOENT)`.
        reason: String,
    },
    /// The process ended with this exit code.
    Exited {
        /// The exit code of the process.
        code: i32,
    },
    /// The process was ended by this signal.
    Signalled {
        /// The signal's number on Linux.
        signal: i32,
    },
    /// The kernel ended it because its tree exceeded its memory limit.
    OutOfMemory,
    /// The start deadline passed.
    StartTimeout {
        /// Step that the child had not done: `server/discover`, `initialize`, `tools/list`.
        phase: &'static str,
        /// Length of the deadline that passed.
        after: Duration,
        /// `true` if its launcher was still fetching or building it.
        installing: bool,
    },
    /// The handshake failed: the child answered, but not as MCP requires.
    Handshake {
        /// Answer of the child.
        reason: String,
    },
    /// The child did not answer any more, although it had nothing to do.
    Unresponsive,
    /// The child broke the wire protocol: a frame beyond the limit, or a closed stdout.
    Protocol {
        /// Description of the violation.
        reason: String,
    },
    /// The remote server could not be reached or opened, or was lost.
    Remote {
        /// Kind of the failure.
        word: Word,
        /// What happened and what to do, as the continuation of "it …".
        reason: String,
    },
    /// One of the other causes, with what is known beyond it.
    Telling {
        /// The cause; never a `Telling` itself.
        cause: Box<Cause>,
        /// The line of the child's output that says most about it; `None` if there is none.
        line: Option<Arc<str>>,
        /// The fault that was recognised; `None` if none was.
        diagnosis: Option<Arc<Diagnosis>>,
    },
}

impl Cause {
    /// Adds the line of the child's output that says most about the cause, and the fault that was recognised;
    /// unchanged if both are `None`.
    pub fn explained(self, line: Option<Arc<str>>, diagnosis: Option<Diagnosis>) -> Cause {
        if line.is_none() && diagnosis.is_none() {
            return self;
        }
        Cause::Telling { cause: Box::new(self), line, diagnosis: diagnosis.map(Arc::new) }
    }

    /// Returns the fault that it shows, with what to do about it; `None` if it is none that is known.
    pub fn diagnosis(&self) -> Option<Cow<'_, Diagnosis>> {
        match self {
            Cause::Telling { diagnosis: Some(known), .. } => Some(Cow::Borrowed(known)),
            Cause::Telling { cause, .. } => cause.diagnosis(),
            Cause::Definition { .. } => Some(Cow::Owned(diagnosis::of_definition())),
            Cause::Remote { word: Word::Definition, .. } => Some(Cow::Owned(diagnosis::of_definition())),
            Cause::Remote { word, .. } => diagnosis::of_remote(word.name()).map(Cow::Owned),
            _ => None,
        }
    }

    /// Returns the cause without the child's output.
    pub fn bare(&self) -> &Cause {
        match self {
            Cause::Telling { cause, .. } => cause.bare(),
            bare => bare,
        }
    }

    /// Returns the kind of it as one word, as in the API: it stays the same when sentences change.
    pub fn code(&self) -> &'static str {
        match self {
            Cause::Definition { .. } => "definition",
            Cause::Spawn { .. } => "not_spawned",
            Cause::Exited { .. } => "exited",
            Cause::Signalled { .. } => "signalled",
            Cause::OutOfMemory => "out_of_memory",
            Cause::StartTimeout { .. } => "start_timeout",
            Cause::Handshake { .. } => "bad_handshake",
            Cause::Unresponsive => "unresponsive",
            Cause::Protocol { .. } => "protocol",
            Cause::Remote { word, .. } => word.name(),
            Cause::Telling { cause, .. } => cause.code(),
        }
    }

    fn line(&self) -> &str {
        match self {
            Cause::Telling { line, .. } => line.as_deref().unwrap_or_default(),
            _ => "",
        }
    }

    /// Reports whether another child has ended in the same way and, except for times and numbers, with the
    /// same output.
    pub fn is_like(&self, other: &Cause) -> bool {
        let same = match (self.bare(), other.bare()) {
            (Cause::StartTimeout { .. }, Cause::StartTimeout { .. })
            | (Cause::Handshake { .. }, Cause::Handshake { .. }) => true,
            (Cause::Remote { word, .. }, Cause::Remote { word: other, .. }) => word == other,
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
            Cause::Remote { reason, .. } => f.write_str(reason),
            Cause::Telling { cause, line, diagnosis } => {
                let known = diagnosis.as_ref().and_then(|known| known.cause.as_deref());
                let parts = known.into_iter().chain(line.as_deref());
                write!(f, "{cause}")?;
                parts.into_iter().try_for_each(|part| write!(f, ": {part}"))
            }
        }
    }
}

/// Returns the name of a signal that commonly ends programs, by its number on Linux (signal(7)); `None` for
/// any other.
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

/// Facts that a child states about itself in its handshake.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerInfo {
    /// The protocol version agreed on, for example `2025-11-25`.
    pub protocol_version: Box<str>,
    /// `true` for a child of the stateless era (2026-07-28).
    pub modern: bool,
    /// `serverInfo.name`; `None` if it is missing.
    pub server_name: Option<Box<str>>,
    /// `serverInfo.version`; `None` if it is missing.
    pub server_version: Option<Box<str>>,
    /// `serverInfo` as the child sent it; `null` if it is missing or too long.
    pub server_info: Value,
    /// The capabilities object, as the child sent it.
    pub capabilities: Value,
    /// The `instructions` text; `None` if it is missing.
    pub instructions: Option<Box<str>>,
    /// What is told to clients with each answer, once it was asked for.
    pub told: ToldInfo,
}

/// Text that is made of the rest of a [`ServerInfo`], at most once. Equal to any other, because it says nothing more.
#[derive(Debug, Clone, Default)]
pub struct ToldInfo(OnceLock<Box<str>>);

impl ToldInfo {
    /// Returns the text, which `make` makes the first time.
    pub fn get_or_make(&self, make: impl FnOnce() -> String) -> &str {
        self.0.get_or_init(|| make().into())
    }
}

impl PartialEq for ToldInfo {
    fn eq(&self, _: &ToldInfo) -> bool {
        true
    }
}

impl ServerInfo {
    /// Returns the child's protocol era.
    pub fn era(&self) -> Era {
        if self.modern { Era::Modern } else { Era::Legacy }
    }
}

/// Summary of one of a server's replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaView {
    /// Number of the replica; never used twice.
    pub number: u64,
    /// State of the replica.
    pub state: State,
    /// Time of the last change of `state`, on the wall clock.
    pub since: SystemTime,
    /// Number of its current or last child; 0 before the first.
    pub incarnation: u64,
    /// Process id of its running child; `None` if none runs.
    pub pid: Option<u32>,
    /// `true` if the definition has been changed since it was started.
    pub outdated: bool,
}

/// A changed definition that has yet to take over from the one that serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// State of the best replica of the new definition.
    pub state: State,
    /// Time of the last change of `state`, on the wall clock.
    pub since: SystemTime,
    /// The last lines that its last ended child wrote on stderr, newest last.
    pub last_stderr: Arc<[String]>,
    /// `true` once it has failed: the old definition continues to serve, and nothing waits for the new one
    /// any more, whatever its further attempts do.
    pub has_failed: bool,
}

/// Snapshot of a server: the state of its best replica, and a list of all replicas.
#[derive(Debug, Clone)]
pub struct Status {
    /// State of the server's best replica.
    pub state: State,
    /// Time of the last change of `state`, on the wall clock.
    pub since: SystemTime,
    /// Number of the current or last child; 0 before the first.
    pub incarnation: u64,
    /// Number of children that were started in place of another.
    pub restarts: u64,
    /// Process id of the running child; `None` if none runs.
    pub pid: Option<u32>,
    /// View of the resources that the current or last child and its tree use; `None` before the first.
    pub tree: Option<TreeView>,
    /// Limits that this machine does not, or not fully, enforce: a sentence each.
    pub unenforced: Arc<[String]>,
    /// Progress of the current or last child on its way to being ready; `None` if it was not spawned yet.
    pub start: Option<StartView>,
    /// Introduction of the running or last child; `None` if there is none.
    pub introduction: Option<Arc<ServerInfo>>,
    /// Position among the waiting starts; `None` unless it waits.
    pub turn: Option<QueuedStartView>,
    /// Number of failed starts and crashes in a row; 0 once calls have been served for a minute.
    pub failures: u32,
    /// Number of those in a row that were starts: children that were never ready.
    pub failed_starts: u32,
    /// Reason why the last child ended; `None` if it was stopped on request.
    pub last_exit: Option<Cause>,
    /// The first lines that the last ended child wrote on stderr, without those in `last_stderr`.
    pub first_stderr: Arc<[String]>,
    /// The last lines that the last ended child wrote on stderr, newest last.
    pub last_stderr: Arc<[String]>,
    /// Remarks for an operator about a running child that serves: a sentence each.
    pub remarks: Arc<[String]>,
    /// Set once its first start has succeeded or failed.
    pub settled: bool,
    /// All replicas, the oldest first; empty while the server rests.
    pub replicas: Arc<[ReplicaView]>,
    /// State of an edit while the old definition still serves; `None` if there is no such edit.
    pub update: Option<Update>,
}

impl Status {
    /// Returns the status before anything has happened.
    pub fn new(state: State) -> Status {
        Status {
            state,
            since: clock::wall_clock(),
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

    /// Returns why it does not run; during a further attempt, why the last one failed. `None` if neither is
    /// known.
    pub fn cause(&self) -> Option<String> {
        let now = self.state.cause().map(ToString::to_string);
        now.or_else(|| self.last_failure().map(|cause| format!("last: {cause}")))
    }

    /// Returns the same as one word ([`Cause::code`]).
    pub fn cause_code(&self) -> Option<&'static str> {
        self.state.cause().or_else(|| self.last_failure()).map(Cause::code)
    }

    /// Returns the fault that the cause shows; `None` if it is none that is known.
    pub fn diagnosis(&self) -> Option<Cow<'_, Diagnosis>> {
        self.state.cause().or_else(|| self.last_failure()).and_then(Cause::diagnosis)
    }

    /// Returns why the last child ended unasked, while the server is starting again or what is left of a further
    /// failed start is being ended; `None` at any other time. In the second case the new cause is not known before
    /// the whole tree is gone.
    pub fn last_failure(&self) -> Option<&Cause> {
        self.last_exit.as_ref().filter(|_| match self.state {
            State::Starting => true,
            State::Stopping => self.failures > 0,
            _ => false,
        })
    }

    /// Returns the progress of a start as one word, as in the API; `None` unless it is starting.
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
        let cause = |code: i32, line: &str| Cause::Exited { code }.explained(Some(line.into()), None);
        assert!(cause(1, "12:00:01 no key").is_like(&cause(1, "12:00:09 no key")));
        assert!(!cause(1, "no key").is_like(&cause(2, "no key")), "another code");
        assert!(!cause(1, "no key").is_like(&cause(1, "no disk")), "other words");
        assert!(!cause(1, "no key").is_like(&Cause::Exited { code: 1 }), "no words");
        let timeout = |phase| Cause::StartTimeout { phase, after: Duration::from_secs(1), installing: false };
        assert!(timeout("initialize").is_like(&timeout("server/discover")), "opened in the other way");
    }

    #[test]
    fn a_failing_server_says_why_also_while_its_next_start_begins_and_ends() {
        let failing = |state| Status {
            state,
            last_exit: Some(Cause::Exited { code: 3 }),
            failures: 1,
            ..Status::new(State::Idle)
        };
        for state in [State::Starting, State::Stopping] {
            assert_eq!(
                failing(state.clone()).cause().as_deref(),
                Some("last: exited with code 3"),
                "{state:?}"
            );
            assert_eq!(failing(state).cause_code(), Some("exited"));
        }
        assert_eq!(failing(State::Ready).cause(), None, "it serves");
        let recovered = Status { failures: 0, ..failing(State::Stopping) };
        assert_eq!(recovered.cause(), None, "an end that is long over explains no stop");
    }
}
