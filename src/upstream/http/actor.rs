//! The actor that owns one opening of a remote server, from the first request to the last: it starts the tasks, receives
//! their results, and reports to its replica as that of a process does. It never waits for the server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::calling::{self, Carrying};
use super::client::HttpClient;
use super::endpoint::Endpoint;
use super::fault::{HttpFault, Word};
use super::gate::Gate;
use super::hub::{Doubt, Hub, HubParts, Incident, Lost};
use super::opening::{self, Following, NotOpened, Opened, Start};
use super::start_view::RemoteStart;
use crate::mcp::{Declared, method};
use crate::process::Exit;
use crate::upstream::call::Link;
use crate::upstream::log::Words;
use crate::upstream::probe::{self, MISSES, ProbeResult};
use crate::upstream::pushed::Announcer;
use crate::upstream::refresh;
use crate::upstream::report::{Context, End, Report, StartView};

/// Time that calls under way get when a server is given up.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Time to end a session in order.
const DELETE_LIMIT: Duration = Duration::from_secs(2);
/// Time to open a session again while calls wait for it.
const RENEW_LIMIT: Duration = Duration::from_secs(30);
/// Number of sessions lost within [`OFTEN_WITHIN`] from which it is doubtful that the server serves.
const OFTEN: usize = 3;
const OFTEN_WITHIN: Duration = Duration::from_secs(60);

/// Settings and handles a remote server is opened with.
pub struct RemoteArgs {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Digest of credentials that were refused and are not to be sent again; `None` if any may be.
    pub refused: Option<[u8; 32]>,
    /// What it has in common with every other upstream.
    pub context: Context,
}

/// Messages to the actor.
pub enum RemoteMsg {
    /// Open the server. Sent by the actor to itself, so that `pre_start` stays cheap.
    Start,
    /// The opening has ended.
    Opened(OpeningEnd),
    /// Something happened beside a call.
    Happened(IncidentReport),
    /// A liveness probe was answered or missed.
    Probed(ProbeResult),
    /// The task that carries calls has ended.
    Drained,
    /// No token is being asked for any more.
    Settled,
    /// Stop: take no new calls, let those under way finish for at most `drain`, then end the session.
    Stop {
        /// Time that calls under way may still take.
        drain: Duration,
    },
}

/// Result of an opening. Opaque outside.
pub struct OpeningEnd(Result<Opened, NotOpened>);

/// What happened beside a call. Opaque outside.
pub struct IncidentReport(Incident);

/// The actor of one remote server; all of its state is in `RemoteState`.
pub struct RemoteActor;

/// State of the actor, from the first request to the last report.
pub struct RemoteState {
    args: RemoteArgs,
    running: Option<Running>,
    stopping: bool,
    opened: bool,
    /// What is doubtful about it, the oldest first.
    doubts: Vec<(Doubt, Arc<str>)>,
    credential: Option<[u8; 32]>,
    fault: Option<NotOpened>,
    ended: bool,
}

/// A server that is being opened or served. Dropping it ends all of its tasks.
struct Running {
    hub: Arc<Hub>,
    /// Order to close; `None` once it was given.
    close: Option<oneshot::Sender<Instant>>,
    serving: AbortHandle,
    helpers: Vec<AbortHandle>,
    following: Option<Following>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.helpers.iter().for_each(AbortHandle::abort);
        self.serving.abort();
    }
}

impl Actor for RemoteActor {
    type Msg = RemoteMsg;
    type State = RemoteState;
    type Arguments = RemoteArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<RemoteMsg>,
        args: RemoteArgs,
    ) -> Result<RemoteState, ActorProcessingErr> {
        myself.send_message(RemoteMsg::Start)?;
        Ok(RemoteState {
            args,
            running: None,
            stopping: false,
            opened: false,
            doubts: Vec::new(),
            credential: None,
            fault: None,
            ended: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<RemoteMsg>,
        message: RemoteMsg,
        state: &mut RemoteState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RemoteMsg::Start if state.stopping => state.end(),
            RemoteMsg::Start => state.start(&myself),
            RemoteMsg::Opened(OpeningEnd(result)) => state.opening_ended(&myself, result),
            RemoteMsg::Happened(IncidentReport(incident)) => state.happened(incident),
            RemoteMsg::Probed(verdict) => state.probed(verdict),
            RemoteMsg::Drained => state.drained(&myself),
            RemoteMsg::Settled => state.end(),
            RemoteMsg::Stop { drain } => state.stop(drain),
        }
        Ok(())
    }
}

impl RemoteState {
    fn start(&mut self, myself: &ActorRef<RemoteMsg>) {
        let client = match HttpClient::open(&self.args.endpoint) {
            Ok(client) => client,
            Err(fault) => return self.end_unopened(fault),
        };
        self.credential = Some(client.credential());
        if self.args.refused.is_some() && self.args.refused == self.credential {
            let what = "refuses the credentials, which are still the same; nothing was sent";
            return self.end_unopened(HttpFault::unseen(Word::Unauthorized, what));
        }
        self.run(myself, client);
    }

    fn run(&mut self, myself: &ActorRef<RemoteMsg>, client: HttpClient) {
        let context = &self.args.context;
        let room = context.max_in_flight.max(16);
        let (calls, calls_in) = mpsc::channel(room);
        let (lost, lost_in) = mpsc::channel(room);
        let (close, closed) = oneshot::channel();
        let actor = myself.clone();
        let hub = Arc::new(Hub::new(HubParts {
            server: context.server.clone(),
            client,
            lost,
            incident: Box::new(move |incident| {
                let _ = actor.send_message(RemoteMsg::Happened(IncidentReport(incident)));
            }),
            announcer: Announcer::of(context),
            max_answer: context.max_frame,
        }));
        let view = RemoteStart::default();
        (context.report)(Report::Started { process: None, start: StartView::Remote(view.clone()) });
        let gate = Arc::new(Gate::default());
        let serving = calling::serve(hub.clone(), gate.clone(), calls_in, closed);
        let actor = myself.clone();
        let serving = tokio::spawn(async move {
            serving.await;
            let _ = actor.send_message(RemoteMsg::Drained);
        });
        let renewing = tokio::spawn(renew_sessions(hub.clone(), lost_in, context.declared));
        let carrying = Carrying { hub: hub.clone(), catalog: context.catalog.clone(), gate };
        let start = Start {
            hub: hub.clone(),
            link: Link::to_remote(calls, Arc::new(carrying), context.incarnation),
            declared: context.declared,
            opening: context.opening,
            transport: self.args.endpoint.transport,
            deadline: Instant::now() + context.start_timeout,
            view,
            teller: context.teller(),
        };
        let actor = myself.clone();
        let opening = tokio::spawn(async move {
            let _ = actor.send_message(RemoteMsg::Opened(OpeningEnd(opening::open(start).await)));
        });
        let helpers = vec![renewing.abort_handle(), opening.abort_handle()];
        self.running = Some(Running {
            hub,
            close: Some(close),
            serving: serving.abort_handle(),
            helpers,
            following: None,
        });
    }

    fn opening_ended(&mut self, myself: &ActorRef<RemoteMsg>, result: Result<Opened, NotOpened>) {
        let Some(running) = self.running.as_mut().filter(|_| !self.stopping && self.fault.is_none()) else {
            return;
        };
        let Opened { link, introduced, following } = match result {
            Ok(opened) => opened,
            Err(not_opened) => return self.give_up(not_opened),
        };
        self.opened = true;
        running.following = following;
        let hub = &running.hub;
        let session = hub.renewed.subscribe();
        let context = &self.args.context;
        let company = refresh::introduce(
            context,
            (&link, &introduced),
            hub.announcer.lists_changed.clone(),
            hub.activity.clone(),
            session,
        );
        running.helpers.push(tokio::spawn(company).abort_handle());
        running.helpers.extend(heal_with_logins(hub));
        let actor = myself.clone();
        let told = move |verdict| drop(actor.send_message(RemoteMsg::Probed(verdict)));
        let watch = probe::watch(link.clone(), context.probe, hub.activity.clone(), || false, told);
        running.helpers.push(tokio::spawn(watch).abort_handle());
        (context.report)(Report::Ready { link, introduced });
    }

    fn happened(&mut self, incident: Incident) {
        match incident {
            // During an opening whoever opens says what it is.
            Incident::Over(fault) => self.give_up(fault.into()),
            Incident::OtherEra(fault) if self.opened => {
                self.give_up(NotOpened { fault, other_era: true });
            }
            Incident::OtherEra(_) => {}
            Incident::Doubtful(kind, why) => self.doubt(kind, Some(why)),
            Incident::Healed(kind) => self.doubt(kind, None),
        }
    }

    /// Takes note that something is doubtful, or not any more, and tells what is the first of it.
    fn doubt(&mut self, kind: Doubt, why: Option<Arc<str>>) {
        if !self.opened || self.stopping || self.fault.is_some() {
            return;
        }
        let before = self.doubts.first().cloned();
        match (self.doubts.iter().position(|(known, _)| *known == kind), why) {
            (Some(place), None) => drop(self.doubts.remove(place)),
            (Some(place), Some(why)) => self.doubts[place].1 = why,
            (None, Some(why)) => {
                self.args.context.teller().warn(&why);
                self.doubts.push((kind, why));
            }
            (None, None) => {}
        }
        let now = self.doubts.first().cloned();
        if now != before {
            (self.args.context.report)(Report::Doubtful(now.map(|(_, why)| why)));
        }
    }

    fn probed(&mut self, verdict: ProbeResult) {
        match verdict {
            ProbeResult::Alive => self.doubt(Doubt::Probes, None),
            ProbeResult::Missed(times) if times < MISSES => {
                self.doubt(Doubt::Probes, Some("it did not answer the last probe".into()));
            }
            ProbeResult::Missed(_) => {
                let what = "did not answer any more: three probes in a row went unanswered";
                self.give_up(HttpFault::unknown(Word::Silent, what).into());
            }
        }
    }

    /// Gives the server up: no call succeeds from now on. Those under way have a moment to fail or to end.
    fn give_up(&mut self, not_opened: NotOpened) {
        if self.stopping || self.fault.is_some() {
            return;
        }
        self.fault = Some(not_opened);
        (self.args.context.report)(Report::Lost);
        self.close(LAST_WORDS);
    }

    fn stop(&mut self, drain: Duration) {
        self.stopping = true;
        self.close(drain);
    }

    fn close(&mut self, within: Duration) {
        let Some(running) = &mut self.running else { return };
        // The helpers' own calls must not keep it from being drained. A lost session is still opened again for others.
        running.helpers.drain(1..).for_each(|helper| helper.abort());
        if let Some(close) = running.close.take() {
            let _ = close.send(Instant::now() + within);
        }
    }

    /// Ends, once what is being granted is kept.
    fn drained(&mut self, myself: &ActorRef<RemoteMsg>) {
        let authorizer = self.running.as_ref().and_then(|running| running.hub.client.authorizer().cloned());
        let Some(authorizer) = authorizer else { return self.end() };
        let actor = myself.clone();
        tokio::spawn(async move {
            authorizer.settled().await;
            let _ = actor.send_message(RemoteMsg::Settled);
        });
    }

    fn end_unopened(&mut self, fault: HttpFault) {
        self.fault = Some(fault.into());
        self.end();
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(running) = self.running.take() {
            end_session(&running.hub);
        }
        let end = match self.fault.take() {
            Some(NotOpened { fault, other_era }) if !self.stopping => End::Remote {
                fault,
                other_era,
                credential: self.credential.filter(|_| self.args.endpoint.auth.is_none()),
            },
            _ => End::Stopped { exit: Exit::Code(0) },
        };
        (self.args.context.report)(Report::Ended { end, words: Words::default() });
    }
}

/// Lets calls in again, as far as anybody knows, when somebody has logged in.
fn heal_with_logins(hub: &Arc<Hub>) -> Option<AbortHandle> {
    let mut logins = hub.client.authorizer()?.logins();
    let hub = hub.clone();
    let healing = async move {
        while logins.changed().await.is_ok() {
            hub.let_in();
        }
    };
    Some(tokio::spawn(healing).abort_handle())
}

/// Takes the doubt about sessions back when they have been kept for a while.
fn forget_losses(hub: &Arc<Hub>) {
    let hub = hub.clone();
    tokio::spawn(async move {
        let number = hub.session().number;
        tokio::time::sleep(OFTEN_WITHIN).await;
        if hub.session().number == number {
            (hub.incident)(Incident::Healed(Doubt::Sessions));
        }
    });
}

/// Ends the current session in order, if there is one (R40); nobody waits for that, and it is tried once.
fn end_session(hub: &Arc<Hub>) {
    let session = hub.session();
    if session.id.is_none() {
        return;
    }
    let hub = hub.clone();
    tokio::spawn(async move {
        let _ = tokio::time::timeout(DELETE_LIMIT, hub.client.delete(session.headers())).await;
    });
}

/// Opens sessions again that were lost: one handshake for all calls that wait for it (R36).
async fn renew_sessions(hub: Arc<Hub>, mut lost: mpsc::Receiver<Lost>, declared: Declared) {
    let mut losses: VecDeque<Instant> = VecDeque::new();
    while let Some(Lost { number, done }) = lost.recv().await {
        if hub.session().number != number {
            let _ = done.send(Ok(()));
            continue;
        }
        let now = Instant::now();
        losses.push_back(now);
        while losses.front().is_some_and(|first| now.duration_since(*first) > OFTEN_WITHIN) {
            losses.pop_front();
        }
        hub.announcer.counters.lost_session();
        tracing::info!(server = %hub.server, "the session was lost; opening another one");
        match opening::initialize(&hub, declared, now + RENEW_LIMIT).await {
            Ok(_) => {
                // What was announced may be other than before.
                for list in [method::TOOLS_CHANGED, method::RESOURCES_CHANGED, method::PROMPTS_CHANGED] {
                    hub.announcer.lists_changed.announce(list);
                }
                if losses.len() >= OFTEN {
                    let what = format!("it lost its session {} times within a minute", losses.len());
                    (hub.incident)(Incident::Doubtful(Doubt::Sessions, what.into()));
                    forget_losses(&hub);
                }
                let _ = done.send(Ok(()));
            }
            Err(NotOpened { fault, .. }) => {
                (hub.incident)(Incident::Over(fault.clone()));
                let _ = done.send(Err(fault));
            }
        }
    }
}
