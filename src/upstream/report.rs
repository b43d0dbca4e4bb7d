//! What every upstream has in common, whichever kind it is: what it is given, and what it reports to its replica.

use std::sync::Arc;
use std::time::Duration;

use super::call::Link;
use super::catalog::{Catalog, CatalogSlot};
use super::counters::Counters;
use super::exchange::Sharing;
use super::http::fault::HttpFault;
use super::http::start_view::RemoteStart;
use super::interest::Interests;
use super::log::{ServerLog, Words};
use super::notices::Notices;
use super::probe::ProbeSettings;
use super::request::HandshakeError;
use super::start_phase::StartPhase;
use super::stdio::start_view::ProcessStart;
use super::teller::Teller;
use crate::mcp::{Declared, Era, HandshakeInfo};
use crate::process::{Exit, SpawnError, TreeView};

/// What an upstream of either kind is given.
pub struct Context {
    /// Name of the server, as it appears in the log.
    pub server: Arc<str>,
    /// Number of this run of the server.
    pub incarnation: u64,
    /// Opening to try in the handshake.
    pub opening: Opening,
    /// Time from the start to the end of the handshake and the first lists; a child's is extended while it works without
    /// output.
    pub start_timeout: Duration,
    /// Interval and timeout of the liveness probes.
    pub probe: ProbeSettings,
    /// Longest message that the server may send, in bytes.
    pub max_frame: usize,
    /// Number of calls that may wait in the channel; fewer than 16 count as 16.
    pub max_in_flight: usize,
    /// Slot the server's lists are published in.
    pub catalog: Arc<CatalogSlot>,
    /// Log that keeps what the server says besides answers: stderr, noise on stdout, its log messages.
    pub log: ServerLog,
    /// Counters of noise, late replies and dropped lines, shared by all upstreams of the server.
    pub counters: Arc<Counters>,
    /// Channel for notifications that belong to no call, shared by all upstreams of the server.
    pub notices: Notices,
    /// Who shares the upstream.
    pub sharing: Sharing,
    /// What clients want to hear of the server beside answers.
    pub interests: Arc<Interests>,
    /// What the server is told that its client can be asked.
    pub declared: Declared,
    /// Receiver of the reports. Must not block.
    pub report: Box<dyn Fn(Report) + Send + Sync>,
}

impl Context {
    /// Returns the writer of remarks about this upstream.
    pub(super) fn teller(&self) -> Teller {
        Teller { server: self.server.clone(), log: self.log.clone(), incarnation: self.incarnation }
    }
}

/// Opening of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Probe, and fall back; a child that does not answer in time gets `initialize` as well.
    Probe,
    /// Probe, and fall back on its answer only: the server was modern before and stays so, however slow it is.
    Patient,
    /// `initialize` only: the operator said so, the server was legacy before, or an earlier child failed on the probe.
    Legacy,
    /// The modern opening only.
    Modern,
}

/// Result of a successful handshake.
#[derive(Debug, Clone)]
pub struct HandshakeOutcome {
    /// Era the server speaks.
    pub era: Era,
    /// Server information and capabilities from its first answer.
    pub facts: HandshakeInfo,
    /// First lists of the server.
    pub catalog: Arc<Catalog>,
}

/// Stages of an upstream's life, in this order; `Ended` is always the last and always comes, unless the actor itself is
/// killed. The receiver stops the actor: if an actor stopped itself, its end would be known before its last report is
/// read.
#[derive(Debug)]
pub enum Report {
    /// It is being opened.
    Started {
        /// The process that runs; `None` of a remote server.
        process: Option<ProcessFacts>,
        /// Progress of the start, read on demand.
        start: StartView,
    },
    /// The handshake is done, calls can be made.
    Ready {
        /// Handle for calls to this upstream.
        link: Link,
        /// Era, server information and first lists, as the server announced them.
        introduced: HandshakeOutcome,
    },
    /// Why it is doubtful that it serves, in one sentence; `None` once it is not any more.
    Doubtful(Option<Arc<str>>),
    /// No call succeeds from now on, and `Ended` follows.
    Lost,
    /// It is over: the process and its tree are gone or never started, the connection is closed.
    Ended {
        /// Cause of the end.
        end: End,
        /// First and last lines a child wrote to stderr, and its noise on stdout.
        words: Words,
    },
}

/// What is known of a process that was spawned.
#[derive(Debug)]
pub struct ProcessFacts {
    /// Process id of the leader.
    pub pid: u32,
    /// Resource use of the process and of everything it starts, read on demand.
    pub tree: TreeView,
}

/// A view of an upstream that is starting. Cheap to clone; keeps nothing alive.
#[derive(Debug, Clone)]
pub enum StartView {
    /// Of a process.
    Process(ProcessStart),
    /// Of a remote server.
    Remote(RemoteStart),
}

impl StartView {
    /// Returns the current phase.
    pub fn phase(&self) -> StartPhase {
        match self {
            StartView::Process(start) => start.phase(),
            StartView::Remote(start) => start.phase(),
        }
    }
}

/// Cause of an upstream's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The process could not be started.
    NotSpawned(SpawnError),
    /// It was stopped on request.
    Stopped {
        /// Exit status of the leader; 0 of a remote server.
        exit: Exit,
    },
    /// The child ended without a request, or had to be killed.
    Failed {
        /// Exit status of the leader.
        exit: Exit,
        /// Fault seen before the end; `None` if the child just ended.
        why: Option<Fault>,
        /// `true` if its handshake had succeeded.
        opened: bool,
        /// `true` if the child had read any of its stdin; also `true` where that cannot be determined.
        has_read: bool,
    },
    /// The remote server could not be reached or opened, or was lost.
    Remote {
        /// What happened.
        fault: HttpFault,
        /// `true` if it may be opened in the other way.
        other_era: bool,
        /// Digest of the credentials that were used; `None` if it came to none.
        credential: Option<[u8; 32]>,
    },
}

/// Fault of a child that made it end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The handshake failed or timed out.
    Handshake(HandshakeError),
    /// It sent a line that does not end, or only noise; the text says which.
    Frame(String),
    /// It closed its stdin or stdout while it was to keep them open.
    Pipe(String),
    /// It missed the maximum number of probes in a row.
    Unresponsive,
}
