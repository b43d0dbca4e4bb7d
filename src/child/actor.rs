//! The actor that owns one run of a process: it starts the tasks, hears how they end, and
//! reports to its replica. It never waits for the child; everything slow is a task that sends a
//! message when it is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::call::Link;
use super::catalog::CatalogSlot;
use super::counters::Counters;
use super::handshake::{self, HandshakeError, Introduced, Opening};
use super::log::{ServerLog, Words};
use super::probe::{self, Activity, MISSES, ProbeSettings, StartView, Verdict};
use super::refresh;
use super::stderr;
use super::teller::Teller;
use super::wire::{self, Control, Notice, WireEnd, Wiring};
use crate::jsonrpc::Oversize;
use crate::mcp::Era;
use crate::process::{
    Exit, ExitReport, Host, Ladder, Pipes, Process, SpawnError, Spec, TreeGuard, TreeView, unread,
};

/// How many notifications may wait for whoever listens; the oldest make room.
const NOTICES: usize = 64;
/// How long a child that closed a pipe gets to end by itself.
const BROKEN_GRACE: Duration = Duration::from_millis(500);

/// What a child is started with.
pub struct ChildArgs {
    /// The server's name, for the log.
    pub server: Arc<str>,
    /// The number of this run.
    pub incarnation: u64,
    /// What to run.
    pub spec: Spec,
    /// Whether the command is one that may fetch the server before it runs it.
    pub launcher: bool,
    /// Who starts processes.
    pub host: Host,
    /// Which opening to try.
    pub opening: Opening,
    /// From now to the end of the handshake.
    pub start_timeout: Duration,
    /// How long a launcher may take before that.
    pub install_timeout: Duration,
    /// How the child is stopped.
    pub ladder: Ladder,
    /// How its liveness is looked after.
    pub probe: ProbeSettings,
    /// The longest frame it may send.
    pub max_frame: usize,
    /// How many calls may wait in its channel.
    pub max_in_flight: usize,
    /// Where its lists are published.
    pub catalog: Arc<CatalogSlot>,
    /// Where what it writes beside messages is kept.
    pub log: ServerLog,
    /// Where its doings are counted.
    pub counters: Arc<Counters>,
    /// Who is told what becomes of it. Must not block.
    pub report: Box<dyn Fn(Report) + Send + Sync>,
}

/// What becomes of a child, in this order; `Ended` is always the last and always comes, unless
/// the actor itself is killed. Whoever hears it stops the actor: an actor that stopped itself
/// would be known to have ended before its last words are heard.
#[derive(Debug)]
pub enum Report {
    /// The process runs.
    Spawned {
        /// Its id.
        pid: u32,
        /// How far it is on its way to being ready.
        start: StartView,
        /// What it and whatever it starts use.
        tree: TreeView,
    },
    /// The handshake is done, calls can be made.
    Ready {
        /// Where calls go.
        link: Link,
        /// What the child said of itself.
        introduced: Introduced,
    },
    /// It did not answer its last probe, or does again.
    Doubtful(bool),
    /// A pipe broke or the process ended: no call succeeds any more, the end follows.
    Lost,
    /// The process and its tree are gone, or never were.
    Ended {
        /// Why.
        end: End,
        /// What it has written beside messages.
        words: Words,
    },
}

/// Why a child is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It could not be started.
    NotSpawned(SpawnError),
    /// It was stopped, as it was told.
    Stopped {
        /// How it ended.
        exit: Exit,
    },
    /// It ended, or had to be ended, unasked.
    Failed {
        /// How it ended.
        exit: Exit,
        /// What was wrong before it ended, if it did not just end.
        why: Option<Fault>,
        /// Whether its handshake had succeeded.
        opened: bool,
        /// Whether it had read anything of what it was sent, as far as that can be told.
        has_read: bool,
    },
}

/// What a child did wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The handshake failed.
    Handshake(HandshakeError),
    /// It sent what cannot be a frame.
    Frame(String),
    /// It closed a pipe that it should have kept.
    Pipe(String),
    /// It does not answer any more.
    Unresponsive,
}

/// What the actor is told.
pub enum ChildMsg {
    /// Spawn the process. Sent by the actor to itself, so that `pre_start` stays cheap.
    Start,
    /// The handshake has ended.
    HandshakeDone(Result<(Link, Introduced), HandshakeError>),
    /// The calls task has ended.
    WireEnded(WireEndReport),
    /// Somebody looked whether it is still there.
    Probed(Verdict),
    /// The leader has ended; its tree is being swept.
    LeaderEnded,
    /// The tree is gone.
    TreeEnded(ExitReport),
    /// Stop: take no new calls, let those in flight finish for at most `drain`, then the ladder.
    Stop {
        /// How long calls in flight may take.
        drain: Duration,
    },
    /// Stop at once: SIGKILL for the whole tree.
    Kill,
}

/// Why the calls task ended. Opaque outside the child.
pub struct WireEndReport {
    end: WireEnd,
    has_read: bool,
}

/// The actor.
pub struct ChildActor;

/// What the actor owns.
pub struct ChildState {
    args: ChildArgs,
    running: Option<Running>,
    stopping: bool,
    fault: Option<Fault>,
    exit: Option<ExitReport>,
    wire_open: bool,
    /// Whether the handshake has yet to say how it ended.
    shaking: bool,
    /// Whether it has succeeded.
    opened: bool,
    /// Whether the child had read anything when its pipes ended, as far as that can be told.
    has_read: bool,
}

/// A process that runs. Dropping it kills the tree.
struct Running {
    guard: TreeGuard,
    activity: Arc<Activity>,
    control: mpsc::Sender<Control>,
    order: Option<oneshot::Sender<Ladder>>,
    /// What the child notified since its start, until somebody takes it over.
    notices: Option<broadcast::Receiver<Notice>>,
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
                // Whoever may still hold the pipes, the process is no more.
                state.tell_wire(Control::ProcessEnded);
                state.finish_if_done();
            }
            ChildMsg::Stop { drain } => state.stop(drain),
            ChildMsg::Kill => {
                state.stopping = true;
                state.order(Ladder::KILL);
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
        // Received from the start: real servers change their lists right after the handshake.
        let (notices, fresh) = broadcast::channel(NOTICES);
        let abandoned = Arc::new(Notify::new());
        let activity = Activity::new();
        let view = StartView::new(activity.clone(), self.args.launcher);
        (self.args.report)(Report::Spawned { pid: guard.pid(), start: view.clone(), tree: guard.view() });
        let wiring = Wiring {
            server: self.args.server.clone(),
            calls: calls_in,
            abandoned: abandoned.clone(),
            control: control_in,
            notices,
            counters: self.args.counters.clone(),
            log: self.args.log.clone(),
            incarnation: self.args.incarnation,
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
        self.running =
            Some(Running { guard, activity, control, order: Some(order), notices: Some(fresh), helpers });
    }

    fn teller(&self) -> Teller {
        let ChildArgs { server, log, incarnation, .. } = &self.args;
        Teller { server: server.clone(), log: log.clone(), incarnation: *incarnation }
    }

    fn handshake_done(
        &mut self,
        myself: &ActorRef<ChildMsg>,
        result: Result<(Link, Introduced), HandshakeError>,
    ) {
        self.opened = result.is_ok();
        if self.stopping {
            return;
        }
        let teller = self.teller();
        match (result, &mut self.running) {
            (Ok((link, introduced)), Some(running)) if self.wire_open && self.exit.is_none() => {
                self.args.catalog.publish(introduced.catalog.clone());
                if let Some(notices) = running.notices.take() {
                    let fresh = refresh::keep_fresh(
                        link.clone(),
                        introduced.facts.clone(),
                        notices,
                        self.args.catalog.clone(),
                        running.activity.clone(),
                        teller,
                    );
                    running.helpers.push(tokio::spawn(fresh).abort_handle());
                }
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
                self.order(Ladder { stdin_grace: Duration::ZERO, ..self.args.ladder });
            }
        }
    }

    fn probed(&mut self, verdict: Verdict) {
        if self.stopping || self.exit.is_some() {
            return;
        }
        match verdict {
            Verdict::Alive => (self.args.report)(Report::Doubtful(false)),
            Verdict::Missed(times) if times < MISSES => (self.args.report)(Report::Doubtful(true)),
            Verdict::Missed(_) => {
                self.lost();
                self.fault.get_or_insert(Fault::Unresponsive);
                self.order(Ladder { stdin_grace: Duration::ZERO, ..self.args.ladder });
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
                return self.order(Ladder::KILL);
            }
            WireEnd::Oversize(over) => {
                let Oversize { limit, skipped } = over;
                self.fault.get_or_insert(Fault::Frame(format!(
                    "it sent {skipped} bytes of a line without an end; mcpvisor.max_frame is {limit}"
                )));
                return self.order(Ladder::KILL);
            }
        };
        // A child that is ending closes its pipes a moment before it can be seen to have ended.
        self.fault.get_or_insert(Fault::Pipe(why));
        self.order(Ladder { stdin_grace: BROKEN_GRACE, ..self.args.ladder });
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
    fn order(&mut self, ladder: Ladder) {
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

/// Sees a process to its end and says so, in two steps.
async fn watch_process(process: Process, order: oneshot::Receiver<Ladder>, actor: ActorRef<ChildMsg>) {
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
