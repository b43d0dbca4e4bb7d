//! The actor that owns one run of a process: it starts the tasks, receives their results, and reports to its replica.
//! It never waits for the child; everything slow is a task that sends a message when it is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::handshake;
use super::start_view::ProcessStart;
use super::stderr;
use super::wire::{self, Control, WireConfig, WireEnd};
use crate::jsonrpc::Oversize;
use crate::mcp::Era;
use crate::process::{
    Exit, ExitReport, Host, Pipes, Process, SpawnError, Spec, StopSequence, TreeGuard, unread,
};
use crate::upstream::call::Link;
use crate::upstream::log::Words;
use crate::upstream::probe::{self, Activity, MISSES, ProbeResult};
use crate::upstream::pushed::Announcer;
use crate::upstream::refresh::{self, ListChanges};
use crate::upstream::report::{Context, End, Fault, HandshakeOutcome, ProcessFacts, Report, StartView};
use crate::upstream::request::HandshakeError;

/// Time a child that closed a pipe gets to end by itself.
const BROKEN_GRACE: Duration = Duration::from_millis(500);

/// Settings and handles a child is started with.
pub struct ChildArgs {
    /// Command, environment, limits and sandbox of the process.
    pub spec: Spec,
    /// `true` if the command may fetch the server before it runs it, as `npx` does.
    pub launcher: bool,
    /// Host that starts the process.
    pub host: Host,
    /// Time a launcher may take in addition, before the server itself runs.
    pub install_timeout: Duration,
    /// Grace periods of the stop sequence.
    pub ladder: StopSequence,
    /// What it has in common with every other upstream.
    pub context: Context,
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
        (self.args.context.report)(Report::Ended { end, words: Words::default() });
    }

    fn run(&mut self, myself: &ActorRef<ChildMsg>, process: Process, guard: TreeGuard, pipes: Pipes) {
        let (calls, calls_in) = mpsc::channel(self.args.context.max_in_flight.max(16));
        let (control, control_in) = mpsc::channel(4);
        let (order, order_in) = oneshot::channel();
        // Noticed from the start: real servers change their lists right after the handshake.
        let announcer = Announcer::of(&self.args.context);
        let lists_changed = announcer.lists_changed.clone();
        let abandoned = Arc::new(Notify::new());
        let activity = Activity::new();
        let view = ProcessStart::new(activity.clone(), self.args.launcher);
        (self.args.context.report)(Report::Started {
            process: Some(ProcessFacts { pid: guard.pid(), tree: guard.view() }),
            start: StartView::Process(view.clone()),
        });
        let wiring = WireConfig {
            server: self.args.context.server.clone(),
            calls: calls_in,
            abandoned: abandoned.clone(),
            control: control_in,
            announcer,
            activity: activity.clone(),
            max_frame: self.args.context.max_frame,
        };
        let actor = myself.clone();
        tokio::spawn(async move {
            let (end, has_read) = wire::run(pipes.stdout, pipes.stdin, unread, wiring).await;
            let _ = actor.send_message(ChildMsg::WireEnded(WireEndReport { end, has_read }));
        });
        let drained = stderr::drain(
            pipes.stderr,
            self.args.context.log.clone(),
            self.args.context.incarnation,
            self.args.context.counters.clone(),
            self.args.context.server.clone(),
        );
        let drained = tokio::spawn(drained).abort_handle();
        let actor = myself.clone();
        tokio::spawn(watch_process(process, order_in, actor));
        let link =
            Link::new(calls, abandoned, self.args.context.incarnation, Era::Legacy, bytes::Bytes::new());
        let start = handshake::Start {
            link,
            declared: self.args.context.declared,
            opening: self.args.context.opening,
            begun: Instant::now(),
            start_timeout: self.args.context.start_timeout,
            install_timeout: self.args.launcher.then_some(self.args.install_timeout),
            view,
            tree: guard.view(),
            teller: self.args.context.teller(),
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

    fn handshake_done(
        &mut self,
        myself: &ActorRef<ChildMsg>,
        result: Result<(Link, HandshakeOutcome), HandshakeError>,
    ) {
        self.opened = result.is_ok();
        if self.stopping {
            return;
        }
        match (result, &mut self.running) {
            (Ok((link, introduced)), Some(running)) if self.wire_open && self.exit.is_none() => {
                let company = refresh::introduce(
                    &self.args.context,
                    (&link, &introduced),
                    running.lists_changed.clone(),
                    running.activity.clone(),
                    // The child is the same until it ends.
                    watch::channel(0).1,
                );
                running.helpers.push(tokio::spawn(company).abort_handle());
                let actor = myself.clone();
                let watch = probe::watch(
                    link.clone(),
                    self.args.context.probe,
                    running.activity.clone(),
                    {
                        let tree = running.guard.view();
                        move || tree.is_stopped()
                    },
                    move |verdict| drop(actor.send_message(ChildMsg::Probed(verdict))),
                );
                running.helpers.push(tokio::spawn(watch).abort_handle());
                (self.args.context.report)(Report::Ready { link, introduced });
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
            ProbeResult::Alive => (self.args.context.report)(Report::Doubtful(None)),
            ProbeResult::Missed(times) if times < MISSES => {
                (self.args.context.report)(Report::Doubtful(Some("it did not answer the last probe".into())))
            }
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
            (self.args.context.report)(Report::Lost);
        }
    }

    fn finish_if_done(&mut self) {
        let Some(report) = self.exit.filter(|_| !self.wire_open && !self.shaking) else { return };
        if report.orphans > 0 {
            let server = &self.args.context.server;
            tracing::error!(server = %server, orphans = report.orphans, "processes of the tree could not be ended");
        }
        let end = if self.stopping {
            End::Stopped { exit: report.exit }
        } else {
            // A pipe that closed because the process was ending is not what it died of.
            let why = self.fault.take().filter(|fault| report.forced || !matches!(fault, Fault::Pipe(_)));
            End::Failed { exit: report.exit, why, opened: self.opened, has_read: self.has_read }
        };
        (self.args.context.report)(Report::Ended {
            end,
            words: self.args.context.log.words_of(self.args.context.incarnation),
        });
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
