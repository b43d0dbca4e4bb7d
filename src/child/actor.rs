//! The actor that owns one run of a process: it starts the tasks, receives their results, and reports to its replica.
//! It never waits for the child; everything slow is a task that sends a message when it is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::call::Link;
use super::catalog::CatalogSlot;
use super::counters::Counters;
use super::exchange::Sharing;
use super::handshake::{self, HandshakeOutcome, Opening};
use super::interest::Interests;
use super::log::{ServerLog, Words};
use super::notices::Notices;
use super::probe::{self, Activity, MISSES, ProbeResult, ProbeSettings, StartView};
use super::refresh::{self, Company, ListChanges};
use super::request::HandshakeError;
use super::stderr;
use super::teller::Teller;
use super::wire::{self, Control, WireConfig, WireEnd};
use crate::jsonrpc::Oversize;
use crate::mcp::{Declared, Era};
use crate::process::{
    Exit, ExitReport, Host, Pipes, Process, SpawnError, Spec, StopSequence, TreeGuard, TreeView, unread,
};

/// Time a child that closed a pipe gets to end by itself.
const BROKEN_GRACE: Duration = Duration::from_millis(500);

/// Settings and handles a child is started with.
pub struct ChildArgs {
    /// Name of the server, as it appears in the log.
    pub server: Arc<str>,
    /// Number of this run of the server.
    pub incarnation: u64,
    /// Command, environment, limits and sandbox of the process.
    pub spec: Spec,
    /// `true` if the command may fetch the server before it runs it, as `npx` does.
    pub launcher: bool,
    /// Host that starts the process.
    pub host: Host,
    /// Opening to try in the handshake.
    pub opening: Opening,
    /// Time from the spawn to the end of the handshake; extended while the program works without output.
    pub start_timeout: Duration,
    /// Time a launcher may take in addition, before the server itself runs.
    pub install_timeout: Duration,
    /// Grace periods of the stop sequence.
    pub ladder: StopSequence,
    /// Interval and timeout of the liveness probes.
    pub probe: ProbeSettings,
    /// Longest frame the child may send, in bytes.
    pub max_frame: usize,
    /// Number of calls that may wait in the child's channel; fewer than 16 count as 16.
    pub max_in_flight: usize,
    /// Slot the child's lists are published in.
    pub catalog: Arc<CatalogSlot>,
    /// Log that keeps the child's stderr, its noise on stdout and its log messages.
    pub log: ServerLog,
    /// Counters of noise, late replies and dropped lines, shared by all children of the server.
    pub counters: Arc<Counters>,
    /// Channel for notifications that belong to no call, shared by all children of the server.
    pub notices: Notices,
    /// Who shares the child.
    pub sharing: Sharing,
    /// What clients want to hear of the child beside answers.
    pub interests: Arc<Interests>,
    /// What the child is told that its client can be asked.
    pub declared: Declared,
    /// Receiver of the child's reports. Must not block.
    pub report: Box<dyn Fn(Report) + Send + Sync>,
}

/// Stages of a child's life, in this order; `Ended` is always the last and always comes, unless the actor itself is
/// killed. The receiver stops the actor: if an actor stopped itself, its end would be known before its last report is
/// read.
#[derive(Debug)]
pub enum Report {
    /// The process runs.
    Spawned {
        /// Process id of the leader.
        pid: u32,
        /// Progress of the start, read on demand.
        start: StartView,
        /// Resource use of the process and of everything it starts, read on demand.
        tree: TreeView,
    },
    /// The handshake is done, calls can be made.
    Ready {
        /// Handle for calls to this child.
        link: Link,
        /// Era, server information and first lists, as the child announced them.
        introduced: HandshakeOutcome,
    },
    /// `true` if the child did not answer its last probe; `false` once it answers again.
    Doubtful(bool),
    /// A pipe broke or the process ended: no call succeeds from now on, and `Ended` follows.
    Lost,
    /// The process and its tree are gone, or never started.
    Ended {
        /// Cause of the end.
        end: End,
        /// First and last lines the child wrote to stderr, and its noise on stdout.
        words: Words,
    },
}

/// Cause of a child's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The process could not be started.
    NotSpawned(SpawnError),
    /// The child was stopped on request.
    Stopped {
        /// Exit status of the leader.
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

/// Messages to the actor.
pub enum ChildMsg {
    /// Spawn the process. Sent by the actor to itself, so that `pre_start` stays cheap.
    Start,
    /// The handshake has ended, with a link to the child on success.
    HandshakeDone(Result<(Link, HandshakeOutcome), HandshakeError>),
    /// The task that owns the pipes has ended.
    WireEnded(WireEndReport),
    /// A liveness probe was answered or missed.
    Probed(ProbeResult),
    /// The leader has ended; its tree is being swept.
    LeaderEnded,
    /// The tree has ended, or what remains of it cannot be ended.
    TreeEnded(ExitReport),
    /// Stop: take no new calls, let those in flight finish for at most `drain`, then run the stop sequence.
    Stop {
        /// Time that calls in flight may still take.
        drain: Duration,
    },
    /// Stop at once: SIGKILL for the whole tree.
    Kill,
}

/// Result of the calls task. Opaque outside the child.
pub struct WireEndReport {
    end: WireEnd,
    has_read: bool,
}

/// The actor of one child; all of its state is in `ChildState`.
pub struct ChildActor;

/// State of the actor, from the spawn to the last report.
pub struct ChildState {
    args: ChildArgs,
    running: Option<Running>,
    stopping: bool,
    fault: Option<Fault>,
    exit: Option<ExitReport>,
    wire_open: bool,
    /// `true` while the handshake has not reported its result.
    shaking: bool,
    /// `true` once the handshake has succeeded.
    opened: bool,
    /// `true` if the child had read anything when its pipes ended, or if that cannot be determined.
    has_read: bool,
}

/// A running process. Dropping it kills the tree.
struct Running {
    guard: TreeGuard,
    activity: Arc<Activity>,
    control: mpsc::Sender<Control>,
    order: Option<oneshot::Sender<StopSequence>>,
    /// Lists that have changed since the child's start.
    lists_changed: Arc<ListChanges>,
    helpers: Vec<AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.helpers.iter().for_each(AbortHandle::abort);
    }
}

impl Actor for ChildActor {
    type Msg = ChildMsg;
    type State = ChildState;
    type Arguments = ChildArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ChildMsg>,
        args: ChildArgs,
    ) -> Result<ChildState, ActorProcessingErr> {
        myself.send_message(ChildMsg::Start)?;
        Ok(ChildState {
            args,
            running: None,
            stopping: false,
            fault: None,
            exit: None,
            wire_open: false,
            shaking: false,
            opened: false,
            has_read: true,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ChildMsg>,
        message: ChildMsg,
        state: &mut ChildState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChildMsg::Start if state.stopping => state.end_unspawned(None),
            ChildMsg::Start => state.start(&myself),
            ChildMsg::HandshakeDone(result) => {
                state.shaking = false;
                state.handshake_done(&myself, result);
                state.finish_if_done();
            }
            ChildMsg::WireEnded(WireEndReport { end, has_read }) => {
                state.has_read = has_read;
                state.wire_open = false;
                state.wire_ended(end);
                state.finish_if_done();
            }
            ChildMsg::Probed(verdict) => state.probed(verdict),
            ChildMsg::LeaderEnded => {
                state.lost();
                state.tell_wire(Control::ProcessEnded);
            }
            ChildMsg::TreeEnded(report) => {
                state.exit = Some(report);
                // A grandchild may still hold the pipes, but the process has ended.
                state.tell_wire(Control::ProcessEnded);
                state.finish_if_done();
            }
            ChildMsg::Stop { drain } => state.stop(drain),
            ChildMsg::Kill => {
                state.stopping = true;
                state.order(StopSequence::KILL);
            }
        }
        Ok(())
    }
}

impl ChildState {
    fn start(&mut self, myself: &ActorRef<ChildMsg>) {
        match self.args.host.spawn(&self.args.spec) {
            Ok((process, guard, pipes)) => self.run(myself, process, guard, pipes),
            Err(error) => self.end_unspawned(Some(error)),
        }
    }

    fn end_unspawned(&mut self, error: Option<SpawnError>) {
        let end = error.map_or(End::Stopped { exit: Exit::Code(0) }, End::NotSpawned);
        (self.args.report)(Report::Ended { end, words: Words::default() });
    }

    fn run(&mut self, myself: &ActorRef<ChildMsg>, process: Process, guard: TreeGuard, pipes: Pipes) {
        let (calls, calls_in) = mpsc::channel(self.args.max_in_flight.max(16));
        let (control, control_in) = mpsc::channel(4);
        let (order, order_in) = oneshot::channel();
        // Noticed from the start: real servers change their lists right after the handshake.
        let lists_changed = Arc::<ListChanges>::default();
        let abandoned = Arc::new(Notify::new());
        let activity = Activity::new();
        let view = StartView::new(activity.clone(), self.args.launcher);
        (self.args.report)(Report::Spawned { pid: guard.pid(), start: view.clone(), tree: guard.view() });
        let wiring = WireConfig {
            server: self.args.server.clone(),
            calls: calls_in,
            abandoned: abandoned.clone(),
            control: control_in,
            notices: self.args.notices.clone(),
            lists_changed: lists_changed.clone(),
            counters: self.args.counters.clone(),
            log: self.args.log.clone(),
            incarnation: self.args.incarnation,
            sharing: self.args.sharing,
            activity: activity.clone(),
            max_frame: self.args.max_frame,
        };
        let actor = myself.clone();
        tokio::spawn(async move {
            let (end, has_read) = wire::run(pipes.stdout, pipes.stdin, unread, wiring).await;
            let _ = actor.send_message(ChildMsg::WireEnded(WireEndReport { end, has_read }));
        });
        let drained = stderr::drain(
            pipes.stderr,
            self.args.log.clone(),
            self.args.incarnation,
            self.args.counters.clone(),
            self.args.server.clone(),
        );
        let drained = tokio::spawn(drained).abort_handle();
        let actor = myself.clone();
        tokio::spawn(watch_process(process, order_in, actor));
        let link = Link::new(calls, abandoned, self.args.incarnation, Era::Legacy, bytes::Bytes::new());
        let start = handshake::Start {
            link,
            declared: self.args.declared,
            opening: self.args.opening,
            begun: Instant::now(),
            start_timeout: self.args.start_timeout,
            install_timeout: self.args.launcher.then_some(self.args.install_timeout),
            view,
            tree: guard.view(),
            teller: self.teller(),
        };
        let actor = myself.clone();
        let handshake = tokio::spawn(async move {
            let result = handshake::shake_hands(start).await;
            let _ = actor.send_message(ChildMsg::HandshakeDone(result));
        });
        self.wire_open = true;
        self.shaking = true;
        let helpers = vec![drained, handshake.abort_handle()];
        self.running = Some(Running { guard, activity, control, order: Some(order), lists_changed, helpers });
    }

    fn teller(&self) -> Teller {
        let ChildArgs { server, log, incarnation, .. } = &self.args;
        Teller { server: server.clone(), log: log.clone(), incarnation: *incarnation }
    }

    fn handshake_done(
        &mut self,
        myself: &ActorRef<ChildMsg>,
        result: Result<(Link, HandshakeOutcome), HandshakeError>,
    ) {
        self.opened = result.is_ok();
        if self.stopping {
            return;
        }
        let teller = self.teller();
        match (result, &mut self.running) {
            (Ok((link, introduced)), Some(running)) if self.wire_open && self.exit.is_none() => {
                let before = self.args.catalog.load();
                self.args.catalog.publish(introduced.catalog.clone());
                let (notices, incarnation) = (self.args.notices.clone(), self.args.incarnation);
                // The child before may have had other lists. Those of the first child are told where they take a place.
                for list in introduced.catalog.differs_from(&before).filter(|_| before.is_loaded()) {
                    notices.send(incarnation, list.into(), None);
                }
                let company = refresh::keep_company(Company {
                    link: link.clone(),
                    facts: introduced.facts.clone(),
                    changed: running.lists_changed.clone(),
                    catalog: self.args.catalog.clone(),
                    tell: Box::new(move |list| {
                        notices.send(incarnation, list.into(), None);
                    }),
                    interests: self.args.interests.clone(),
                    activity: running.activity.clone(),
                    teller,
                });
                running.helpers.push(tokio::spawn(company).abort_handle());
                let actor = myself.clone();
                let watch = probe::watch(
                    link.clone(),
                    self.args.probe,
                    running.activity.clone(),
                    running.guard.view(),
                    move |verdict| drop(actor.send_message(ChildMsg::Probed(verdict))),
                );
                running.helpers.push(tokio::spawn(watch).abort_handle());
                (self.args.report)(Report::Ready { link, introduced });
            }
            (Ok(_), _) => {}
            // Which pipe closed, or how it ended, says more.
            (Err(HandshakeError::Gone), _) => {}
            (Err(error), _) => {
                // That a pipe closed is how the handshake ended, not why.
                if !matches!(self.fault, Some(Fault::Frame(_))) {
                    self.fault = Some(Fault::Handshake(error));
                }
                self.order(StopSequence { stdin_grace: Duration::ZERO, ..self.args.ladder });
            }
        }
    }

    fn probed(&mut self, verdict: ProbeResult) {
        if self.stopping || self.exit.is_some() {
            return;
        }
        match verdict {
            ProbeResult::Alive => (self.args.report)(Report::Doubtful(false)),
            ProbeResult::Missed(times) if times < MISSES => (self.args.report)(Report::Doubtful(true)),
            ProbeResult::Missed(_) => {
                self.lost();
                self.fault.get_or_insert(Fault::Unresponsive);
                self.order(StopSequence { stdin_grace: Duration::ZERO, ..self.args.ladder });
            }
        }
    }

    fn wire_ended(&mut self, end: WireEnd) {
        self.lost();
        if self.stopping {
            return;
        }
        let why = match end {
            // The usual way to end; the exit says more.
            WireEnd::Eof if self.exit.is_some() => return,
            WireEnd::Eof => "it closed its stdout".to_owned(),
            WireEnd::StdinClosed => "it closed its stdin".to_owned(),
            WireEnd::OnlyNoise => {
                self.fault.get_or_insert(Fault::Frame("it writes to stdout, but no messages".to_owned()));
                return self.order(StopSequence::KILL);
            }
            WireEnd::Oversize(over) => {
                let Oversize { limit, skipped } = over;
                self.fault.get_or_insert(Fault::Frame(format!(
                    "it sent {skipped} bytes of a line without an end; mcpvisor.max_frame is {limit}"
                )));
                return self.order(StopSequence::KILL);
            }
        };
        // A child that is ending closes its pipes shortly before its exit can be seen.
        self.fault.get_or_insert(Fault::Pipe(why));
        self.order(StopSequence { stdin_grace: BROKEN_GRACE, ..self.args.ladder });
    }

    fn stop(&mut self, drain: Duration) {
        self.stopping = true;
        self.shaking = false;
        let Some(running) = &mut self.running else { return };
        // The helpers' own calls must not keep the child from being drained.
        running.helpers.drain(1..).for_each(|helper| helper.abort());
        if let Some(order) = running.order.take() {
            let close = Control::Close { until: Instant::now() + drain, ladder: self.args.ladder, order };
            if let Err(Control::Close { ladder, order, .. }) = running.control.try_send(close).map_err(unsent)
            {
                let _ = order.send(ladder);
            }
        }
    }

    /// Starts the ladder now, without draining. Only the first order counts.
    fn order(&mut self, ladder: StopSequence) {
        if let Some(order) = self.running.as_mut().and_then(|running| running.order.take()) {
            let _ = order.send(ladder);
        }
    }

    fn tell_wire(&mut self, control: Control) {
        if let Some(running) = &self.running {
            let _ = running.control.try_send(control);
        }
    }

    fn lost(&mut self) {
        if !self.stopping {
            (self.args.report)(Report::Lost);
        }
    }

    fn finish_if_done(&mut self) {
        let Some(report) = self.exit.filter(|_| !self.wire_open && !self.shaking) else { return };
        if report.orphans > 0 {
            let server = &self.args.server;
            tracing::error!(server = %server, orphans = report.orphans, "processes of the tree could not be ended");
        }
        let end = if self.stopping {
            End::Stopped { exit: report.exit }
        } else {
            // A pipe that closed because the process was ending is not what it died of.
            let why = self.fault.take().filter(|fault| report.forced || !matches!(fault, Fault::Pipe(_)));
            End::Failed { exit: report.exit, why, opened: self.opened, has_read: self.has_read }
        };
        (self.args.report)(Report::Ended { end, words: self.args.log.words_of(self.args.incarnation) });
    }
}

fn unsent<T>(error: mpsc::error::TrySendError<T>) -> T {
    match error {
        mpsc::error::TrySendError::Full(value) | mpsc::error::TrySendError::Closed(value) => value,
    }
}

/// Runs a process to its end and reports it in two steps: first the leader, then the tree.
async fn watch_process(process: Process, order: oneshot::Receiver<StopSequence>, actor: ActorRef<ChildMsg>) {
    let (leader_ended, leader) = oneshot::channel();
    let early = actor.clone();
    let told = async move {
        if leader.await.is_ok() {
            let _ = early.send_message(ChildMsg::LeaderEnded);
        }
    };
    let (report, ()) = tokio::join!(process.run_to_end(order, leader_ended), told);
    let _ = actor.send_message(ChildMsg::TreeEnded(report));
}
