//! The replica actor around a [`Lifecycle`]. It receives events, performs the effects and publishes the
//! state. It survives its children; when it ends, it kills the child that it has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::task::AbortHandle;

use super::backoff::{self, CRASH_LOOP};
use super::definition::Definition;
use super::ending::{self, classify_exit, classify_fault};
use super::fleet::ReplicaPhase;
use super::handle::ServerHandle;
use super::lifecycle::{DesiredState, Effect, Ending, Event, Lifecycle};
use super::policy::EraChoice;
use super::start_limiter::{Rank, StartLimiter, StartPermit};
use super::status::{Cause, ServerInfo, State, ToldInfo};
use crate::clock;
use crate::diagnosis::{Diagnosis, ExitFacts, diagnose};
use crate::mcp::Era;
use crate::process::{Exit, Host, Secret, Spec, StopSequence};
use crate::text::cut;
use crate::upstream::http::{Consequence, Endpoint, RemoteArgs, Word};
use crate::upstream::stdio::{ChildArgs, reason};
use crate::upstream::{
    CatalogSlot, Context, End, Fault, HandshakeOutcome, Link, Opening, ProbeSettings, ProcessFacts, Report,
    StartView, Target, Upstream, Words, jitter,
};

/// Longest line that is shown of a child's output, in characters.
const MAX_LINE: usize = 300;

/// Shortest wait for the start brake, in milliseconds, that is logged beside the duration of a start.
const WORTH_TELLING_MS: u128 = 100;
/// Cause of an end in metrics where the child was told to end.
const REQUESTED: &str = "requested";
/// Time for which it counts that a remote server speaks the legacy era.
const PROBED_IS_GOOD: Duration = Duration::from_secs(24 * 3600);

/// Arguments a replica is started with.
pub(super) struct ReplicaArgs {
    pub(super) handle: Arc<ServerHandle>,
    /// The number of this replica among the server's replicas.
    pub(super) number: u64,
    pub(super) definition: Arc<Definition>,
    pub(super) host: Host,
    pub(super) brake: StartLimiter,
    /// `true` if its first child takes the place of another replica's.
    pub(super) replaces: bool,
    /// Receiver of each new phase of the replica. Must not block.
    pub(super) on_phase: Box<dyn Fn(ReplicaPhase) + Send + Sync>,
}

/// Messages to a replica.
pub(super) enum ReplicaMsg {
    /// First message, sent by the actor to itself so that `pre_start` stays cheap.
    Start,
    /// A new definition that a running child need not know.
    Define(Arc<Definition>),
    /// Request to start now instead of waiting.
    Retry,
    /// Request to stop the child and end; calls in flight may take at most `drain`.
    Leave { drain: Duration },
    /// Permit from the start brake, with the epoch of the request.
    Granted(u64, StartPermit),
    /// Elapsed timer, with its epoch.
    Alarm(u64),
    /// Report of a child, with its incarnation.
    Child(u64, Report),
}

pub(super) struct ReplicaActor;

pub(super) struct ReplicaState {
    args: ReplicaArgs,
    life: Lifecycle,
    /// Slot that the replica's children publish their lists in.
    lists: Arc<CatalogSlot>,
    /// The state published last.
    shown: State,
    /// The number of failures in a row published last.
    shown_failures: u32,
    child: Option<Upstream>,
    /// Digest of the credentials that the remote server refused last, and when they were sent; `None` if it refused none.
    refused: Option<([u8; 32], Instant)>,
    permit: Option<StartPermit>,
    /// Time at which the last child was asked for; `spawned_at` is when it was spawned.
    asked_at: Instant,
    /// Time at which it was last found out which era is spoken.
    probed_at: Instant,
    spawned_at: Instant,
    /// Task that waits for the start brake; `None` if nothing waits.
    asking: Option<AbortHandle>,
    drain: Duration,
}

impl Actor for ReplicaActor {
    type Msg = ReplicaMsg;
    type State = ReplicaState;
    type Arguments = ReplicaArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ReplicaMsg>,
        args: ReplicaArgs,
    ) -> Result<ReplicaState, ActorProcessingErr> {
        myself.send_message(ReplicaMsg::Start)?;
        let mut life = Lifecycle::default();
        life.set_restart(args.definition.policy().restart);
        let (lists, shown) = (args.handle.new_slot(), State::Starting);
        let drain = Duration::ZERO;
        let now = Instant::now();
        Ok(ReplicaState {
            args,
            life,
            lists,
            shown,
            shown_failures: 0,
            child: None,
            refused: None,
            permit: None,
            asked_at: now,
            probed_at: now,
            spawned_at: now,
            asking: None,
            drain,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ReplicaMsg>,
        message: ReplicaMsg,
        state: &mut ReplicaState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ReplicaMsg::Start => state.on(&myself, Event::Wanted(DesiredState::Running)).await,
            ReplicaMsg::Define(definition) => {
                state.life.set_restart(definition.policy().restart);
                state.args.definition = definition;
            }
            ReplicaMsg::Retry => {
                // Whoever asks for it may know that the other side has changed.
                state.refused = None;
                state.on(&myself, Event::Retry).await;
            }
            ReplicaMsg::Leave { drain } => {
                state.drain = drain;
                state.on(&myself, Event::Wanted(DesiredState::Removed)).await;
            }
            ReplicaMsg::Granted(epoch, permit) => {
                let before = state.life.incarnation();
                let incarnation = state.args.handle.next_child();
                state.on(&myself, Event::Granted { epoch, incarnation }).await;
                // Only the start that it was granted for keeps the permit; one for an earlier request is
                // freed here.
                if state.life.incarnation() > before {
                    state.permit = Some(permit);
                }
            }
            ReplicaMsg::Alarm(epoch) => state.on(&myself, Event::Alarm { epoch }).await,
            ReplicaMsg::Child(incarnation, report) => state.on_report(&myself, incarnation, report).await,
        }
        Ok(())
    }

    /// Handles a child actor that ends without a report: the actor itself failed, and its guard has killed
    /// the tree.
    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ReplicaMsg>,
        event: SupervisionEvent,
        state: &mut ReplicaState,
    ) -> Result<(), ActorProcessingErr> {
        let (who, reason) = match event {
            SupervisionEvent::ActorFailed(who, error) => (who, error.to_string()),
            SupervisionEvent::ActorTerminated(who, _, reason) => (who, reason.unwrap_or_default()),
            _ => return Ok(()),
        };
        if state.child.as_ref().is_some_and(|child| child.id() == who.get_id()) {
            tracing::error!(server = %state.args.handle.label(), reason, "the child's actor ended before its child");
            let cause = Cause::Protocol { reason: "the gateway lost track of it".to_owned() };
            state
                .ended(
                    &myself,
                    state.life.incarnation(),
                    Ending::Crashed(cause.clone()),
                    cause,
                    Words::default(),
                )
                .await;
        }
        Ok(())
    }
}

impl ReplicaState {
    /// Takes an event, performs its effects and publishes the resulting state.
    async fn on(&mut self, myself: &ActorRef<ReplicaMsg>, event: Event) {
        let effects = self.life.on(event, Instant::now(), jitter());
        for effect in effects {
            self.perform(myself, effect).await;
        }
        let state = self.life.state();
        if state != State::Starting {
            self.permit = None;
        }
        if !self.life.is_queued()
            && let Some(asking) = self.asking.take()
        {
            asking.abort();
        }
        if self.shown != state {
            self.publish(state);
        } else if self.shown_failures != self.life.failures() {
            self.publish_failures();
        }
    }

    async fn perform(&mut self, myself: &ActorRef<ReplicaMsg>, effect: Effect) {
        match effect {
            Effect::AskStart { epoch, rank } => self.ask_start(myself, epoch, rank),
            Effect::Spawn { incarnation, otherwise } => self.spawn(myself, incarnation, otherwise).await,
            Effect::StopChild => {
                self.args.handle.close_place(self.life.incarnation());
                if let Some(child) = &self.child {
                    child.stop(self.drain);
                }
            }
            Effect::SetAlarm { epoch, at } => {
                let delay = at.saturating_duration_since(Instant::now());
                myself.send_after(delay, move || ReplicaMsg::Alarm(epoch));
            }
            Effect::Finished => myself.stop(None),
        }
    }

    /// Requests a start from the brake and logs if it has to wait.
    fn ask_start(&mut self, myself: &ActorRef<ReplicaMsg>, epoch: u64, rank: Rank) {
        // Frees its own start under way for others first.
        self.permit = None;
        self.asked_at = Instant::now();
        let turn = self.args.brake.stand_in_line(rank);
        let view = turn.view();
        if let Some(before) = view.before() {
            tracing::info!(server = %self.args.handle.label(), before, "waits for its turn to start");
        }
        self.args.handle.publish(self.args.number, |status| {
            status.turn = Some(view);
            status.start = None;
        });
        let replica = myself.clone();
        let ask = async move {
            let permit = turn.granted().await;
            let _ = replica.send_message(ReplicaMsg::Granted(epoch, permit));
        };
        if let Some(earlier) = self.asking.replace(tokio::spawn(ask).abort_handle()) {
            earlier.abort();
        }
    }

    /// Returns the opening to try: the one that worked before, or the other one after that failed. A remote server of the
    /// legacy era is asked again after a day, as it may have been brought up to date (R22).
    fn opening(&mut self, otherwise: bool) -> Opening {
        let is_stale = self.is_remote() && self.probed_at.elapsed() > PROBED_IS_GOOD;
        let opening = match (self.args.definition.policy().era, self.args.handle.learnt(), otherwise) {
            (EraChoice::Legacy, ..) => Opening::Legacy,
            (EraChoice::Modern, ..) => Opening::Modern,
            // A remote server whose probe came to nothing three times in a row is asked the older way (R21).
            (_, None, false) if self.is_remote() && self.life.failed_starts() % 4 == 3 => Opening::Legacy,
            (_, None, false) | (_, Some(Era::Legacy), true) => Opening::Probe,
            (_, Some(Era::Legacy), false) if is_stale => Opening::Probe,
            (_, Some(Era::Modern), false) => Opening::Patient,
            (_, Some(Era::Legacy), false) | (_, None | Some(Era::Modern), true) => Opening::Legacy,
        };
        if opening != Opening::Legacy {
            self.probed_at = Instant::now();
        }
        opening
    }

    fn is_remote(&self) -> bool {
        self.args.definition.remote().is_some()
    }

    /// Returns the secrets of the principal that the definition refers to, as far as there are any.
    fn secrets(&self) -> Vec<(String, Secret)> {
        let handle = &self.args.handle;
        let names = self.args.definition.secrets().iter();
        names.filter_map(|name| Some((name.clone(), handle.secret(name)?))).collect()
    }

    /// Returns what the definition runs, or connects to.
    fn target(&self) -> Target {
        let definition = &self.args.definition;
        let policy = definition.policy();
        if let Some(remote) = definition.remote() {
            let endpoint = Endpoint {
                address: remote.address().to_owned(),
                headers: remote.headers().to_vec(),
                env: definition.env().to_vec(),
                auth: policy.remote.auth.clone(),
                desk: self.args.handle.logins().clone(),
                name: self.args.handle.name().clone(),
                transport: remote.choice(),
                tls: policy.remote.tls.clone(),
                proxy: policy.remote.proxy.clone(),
                allow_http: policy.remote.allow_http,
                connect_timeout: policy.remote.connect_timeout,
                max_in_flight: policy.max_in_flight,
                rules: self.args.handle.address_rules(),
                secrets: self.secrets(),
            };
            // Credentials that were refused are sent again once a day, or when they are others (R16).
            let refused = self.refused.filter(|(_, at)| at.elapsed() < backoff::SAME_CREDENTIALS);
            let refused = refused.map(|(credential, _)| credential);
            return Target::Remote(Box::new(move |context| RemoteArgs { endpoint, refused, context }));
        }
        let spec = Spec {
            command: definition.command().unwrap_or_default().to_owned(),
            args: definition.args().to_vec(),
            env: definition.env().to_vec(),
            secrets: self.secrets(),
            cwd: definition.cwd().map(Into::into),
            limits: policy.limits.clone(),
            sandbox: policy.sandboxed.then(|| self.args.handle.sandbox()),
        };
        let (launcher, host) = (definition.is_launcher(), self.args.host.clone());
        let install_timeout = policy.install_timeout;
        let ladder = StopSequence { stdin_grace: policy.stdin_grace, term_grace: policy.term_grace };
        Target::Process(Box::new(move |context| ChildArgs {
            spec,
            launcher,
            host,
            install_timeout,
            ladder,
            context,
        }))
    }

    async fn spawn(&mut self, myself: &ActorRef<ReplicaMsg>, incarnation: u64, otherwise: bool) {
        self.spawned_at = Instant::now();
        match self.args.definition.remote() {
            None => tracing::info!(server = %self.args.handle.label(), "starting"),
            Some(remote) => {
                let address = remote.shown_address();
                tracing::info!(server = %self.args.handle.label(), address, "connecting");
            }
        }
        let opening = self.opening(otherwise);
        let definition = &self.args.definition;
        let policy = definition.policy();
        let replica = myself.clone();
        let context = Context {
            server: self.args.handle.label().clone(),
            incarnation,
            opening,
            start_timeout: policy.start_timeout,
            probe: ProbeSettings { every: policy.ping_interval, patience: policy.ping_timeout },
            max_frame: policy.max_frame,
            max_in_flight: policy.max_in_flight,
            catalog: self.lists.clone(),
            log: self.args.handle.log().clone(),
            counters: self.args.handle.counters().clone(),
            notices: self.args.handle.notices().clone(),
            interests: self.args.handle.interests().clone(),
            sharing: self.args.handle.sharing(),
            declared: policy.client_capabilities,
            report: Box::new(move |report| {
                let _ = replica.send_message(ReplicaMsg::Child(incarnation, report));
            }),
        };
        let target = self.target();
        match Upstream::spawn(target, context, myself.get_cell()).await {
            Ok(child) => self.child = Some(child),
            Err(error) => {
                let cause = Cause::Spawn { reason: error.to_string() };
                let why = Some(Fault::Frame(cause.to_string()));
                let end = End::Failed { exit: Exit::Stuck, why, opened: true, has_read: true };
                let report = Report::Ended { end, words: Words::default() };
                let _ = myself.send_message(ReplicaMsg::Child(incarnation, report));
            }
        }
        // Every child after a replica's first one takes the place of another.
        let replaces = std::mem::replace(&mut self.args.replaces, true);
        self.args.handle.child_started(self.args.number, incarnation, replaces);
    }

    async fn on_report(&mut self, myself: &ActorRef<ReplicaMsg>, incarnation: u64, report: Report) {
        match report {
            Report::Started { process, start } if incarnation == self.life.incarnation() => {
                self.started(process, start);
            }
            Report::Started { .. } => {}
            Report::Ready { link, introduced } => self.ready(myself, incarnation, link, &introduced).await,
            Report::Doubtful(why) => self.doubtful(myself, incarnation, why).await,
            Report::Lost => {
                self.args.handle.close_place(incarnation);
                self.on(myself, Event::Lost { incarnation }).await;
            }
            Report::Ended { end: End::Remote { fault, other_era, credential }, .. } => {
                // One that has none may be let in later without any change here.
                if fault.word.consequence() == Consequence::NotAuthorized
                    && fault.word != Word::LoginRequired
                    && let Some(credential) = credential
                    && self.refused.is_none_or(|(known, _)| known != credential)
                {
                    self.refused = Some((credential, Instant::now()));
                }
                let (ending, cause) = classify_fault(fault, other_era, self.args.definition.policy().era);
                self.ended(myself, incarnation, ending, cause, Words::default()).await;
            }
            Report::Ended { end, words } => {
                let (line, diagnosis) = self.telling(&end, &words);
                let (ending, cause) = classify_exit(end, self.args.definition.policy().era, line, diagnosis);
                self.ended(myself, incarnation, ending, cause, words).await;
            }
        }
    }

    fn started(&mut self, process: Option<ProcessFacts>, start: StartView) {
        let Some(ProcessFacts { pid, tree }) = process else {
            return self.args.handle.publish(self.args.number, |status| status.start = Some(start));
        };
        let limits = &self.args.definition.policy().limits;
        let unenforced = self.args.host.unenforced(limits);
        for sentence in &unenforced {
            tracing::warn!(server = %self.args.handle.label(), "limit {sentence}");
        }
        self.args.handle.publish(self.args.number, |status| {
            status.pid = Some(pid);
            status.start = Some(start);
            status.tree = Some(tree);
            status.unenforced = unenforced.into();
        });
    }

    /// Takes a report of why it is doubtful that the server serves, or that it is not any more.
    async fn doubtful(&mut self, myself: &ActorRef<ReplicaMsg>, incarnation: u64, why: Option<Arc<str>>) {
        if incarnation == self.life.incarnation() {
            let doubts = why.iter().map(ToString::to_string).collect();
            self.args.handle.publish(self.args.number, |status| status.remarks = doubts);
        }
        self.on(myself, Event::Doubtful { incarnation, doubtful: why.is_some() }).await;
    }

    /// Returns the output line that says most about why a child ended, with its limits if it ended before
    /// it was opened, and the fault that was recognised.
    fn telling(&self, end: &End, words: &Words) -> (Option<Arc<str>>, Option<Diagnosis>) {
        let Some(ended) = ending::ended(end) else { return (None, None) };
        let opened = matches!(end, End::Failed { opened: true, .. });
        let line = if opened { reason::last_words(words) } else { reason::of_start(words) };
        let (stderr, stdout): (Vec<&str>, Vec<&str>) =
            (words.stderr().collect(), words.stdout.iter().map(String::as_str).collect());
        let limits = &self.args.definition.policy().limits;
        let diagnosis = diagnose(&ExitFacts {
            ended,
            opened,
            command: self.args.definition.command().unwrap_or_default(),
            line: line.as_deref(),
            stderr: &stderr,
            stdout: &stdout,
            memory_limited: limits.memory.is_some(),
        });
        if matches!(end, End::NotSpawned(_)) {
            return (None, diagnosis);
        }
        // What shows the fault says more than what was only the likeliest.
        let shown = diagnosis.as_ref().and_then(|known| known.line.clone());
        let line = shown.map(|shown| cut(shown, MAX_LINE)).or(line);
        let limits = (!opened).then(|| limits.to_string()).filter(|limits| !limits.is_empty());
        let line = match (line, limits) {
            (None, None) => None,
            (Some(line), None) => Some(line),
            (line, Some(limits)) => {
                let line = line.map(|line| format!("{line} ")).unwrap_or_default();
                Some(format!("{line}(its limits: {limits})"))
            }
        };
        (line.map(Into::into), diagnosis)
    }

    async fn ready(
        &mut self,
        myself: &ActorRef<ReplicaMsg>,
        incarnation: u64,
        link: Link,
        introduced: &HandshakeOutcome,
    ) {
        if incarnation != self.life.incarnation() || self.life.state() != State::Starting {
            return;
        }
        self.args.handle.counters().started(self.spawned_at.elapsed());
        let remarks = self.remarks(incarnation);
        let introduction = Arc::new(introduction(introduced));
        let known = introduction.clone();
        self.args.handle.publish(self.args.number, |status| {
            status.introduction = Some(known);
            status.remarks = remarks;
        });
        // The place is opened first, so that it exists for everyone who sees `ready`.
        self.args.handle.open_place(self.args.number, link, introduction, self.lists.clone());
        self.on(myself, Event::Ready { incarnation }).await;
    }

    /// Returns remarks for the operator about a child that is ready.
    fn remarks(&self, incarnation: u64) -> Arc<[String]> {
        let lists = self.lists.load();
        if !lists.tools().is_empty() || !lists.resources().is_empty() || !lists.prompts().is_empty() {
            return Arc::new([]);
        }
        let said = reason::of_start(&self.args.handle.log().words_of(incarnation));
        let said = said.map(|line| format!("; it said: {line}")).unwrap_or_default();
        Arc::new([format!("it is ready, but offers 0 tools{said}")])
    }

    async fn ended(
        &mut self,
        myself: &ActorRef<ReplicaMsg>,
        incarnation: u64,
        ending: Ending,
        cause: Cause,
        words: Words,
    ) {
        if incarnation != self.life.incarnation() {
            return;
        }
        if let Some(child) = self.child.take() {
            child.dismiss();
        }
        self.args.handle.close_place(incarnation);
        let is_asked_for = ending == Ending::Stopped;
        self.args.handle.counters().ended(if is_asked_for { REQUESTED } else { cause.code() });
        self.args.handle.publish(self.args.number, |status| {
            status.pid = None;
            // A child that was stopped on request says nothing about the server's health.
            status.last_exit = (!is_asked_for).then(|| cause.clone());
            status.first_stderr = words.first().into();
            status.last_stderr = words.last.into();
            status.remarks = Arc::new([]);
        });
        self.on(myself, Event::Ended { incarnation, ending }).await;
        if self.life.is_queued() && self.life.failures() == 0 && self.shown == State::Starting {
            let name = self.args.handle.label();
            tracing::warn!(server = %name, "{cause}; trying once more, opened in the other way");
        }
    }

    fn publish(&mut self, state: State) {
        self.log(&state);
        self.shown_failures = self.life.failures();
        let failures = (self.shown_failures, self.life.failed_starts());
        self.args.handle.publish(self.args.number, |status| {
            status.state = state.clone();
            (status.failures, status.failed_starts) = failures;
            status.since = clock::wall_clock();
        });
        let (before, now) = (doing(&self.shown), doing(&state));
        self.shown = state;
        if now != before {
            (self.args.on_phase)(now);
        }
    }

    /// Publishes that failures were forgotten, in a state that goes on.
    fn publish_failures(&mut self) {
        self.shown_failures = self.life.failures();
        let failures = self.shown_failures;
        self.args.handle.publish(self.args.number, |status| status.failures = failures);
    }

    fn log(&self, state: &State) {
        let name = self.args.handle.label();
        match state {
            State::Backoff { attempt, until, cause, hopeless } => {
                let wait = until.saturating_duration_since(Instant::now());
                let seconds = wait.as_secs_f32();
                if wait.is_zero() {
                    tracing::warn!(server = %name, attempt, "{cause}; it served well until then and starts again at once");
                } else if *hopeless {
                    tracing::error!(server = %name, attempt, "{cause}; it always ends so and was never ready: it will not help to try again before something is mended; next start in {seconds:.0} s");
                } else if *attempt == CRASH_LOOP {
                    tracing::error!(server = %name, attempt, "crash loop: {cause}; next start in {seconds:.1} s");
                } else {
                    tracing::warn!(server = %name, attempt, "{cause}; next start in {seconds:.1} s");
                }
            }
            State::Unauthorized { cause, .. } => tracing::error!(server = %name, "{cause}"),
            State::Failed { cause } => tracing::error!(server = %name, "{cause}"),
            State::Ready => {
                let tools = self.lists.load().tools().len();
                let took = self.spawned_at.elapsed().as_millis();
                let waited = self.spawned_at.duration_since(self.asked_at).as_millis();
                let waited = (waited >= WORTH_TELLING_MS).then_some(waited);
                tracing::info!(server = %name, tools, took_ms = took, waited_ms = waited, "ready");
                let known = self.args.handle.replica(self.args.number);
                for remark in known.iter().flat_map(|known| known.remarks.iter()) {
                    tracing::warn!(server = %name, "{remark}");
                }
            }
            // Logged when the child is spawned.
            State::Starting => {}
            State::Disabled => tracing::info!(server = %name, "stopped"),
            State::Exited { cause } => tracing::info!(server = %name, "{cause}; not to be restarted"),
            // The cause is logged as a warning as soon as it is known.
            State::Stopping if self.life.ends_unasked() => {
                tracing::debug!(server = %name, "the child is ending by itself");
            }
            other => tracing::info!(server = %name, "{}", other.name()),
        }
    }
}

/// Maps a state to the phase that the server's other replicas depend on.
fn doing(state: &State) -> ReplicaPhase {
    match state {
        State::Ready | State::Degraded => ReplicaPhase::Serving,
        State::Exited { .. } => ReplicaPhase::Over,
        State::Disabled
        | State::Stopped
        | State::Idle
        | State::Starting
        | State::Stopping
        | State::Backoff { .. }
        | State::Unauthorized { .. }
        | State::Failed { .. } => ReplicaPhase::Coming,
    }
}

fn introduction(introduced: &HandshakeOutcome) -> ServerInfo {
    let facts = &introduced.facts;
    ServerInfo {
        protocol_version: facts.protocol_version.clone(),
        modern: introduced.era == Era::Modern,
        server_name: facts.server_name.clone(),
        server_version: facts.server_version.clone(),
        server_info: (*facts.server_info).clone(),
        capabilities: facts.capabilities.clone(),
        instructions: facts.instructions.clone(),
        told: ToldInfo::default(),
    }
}
