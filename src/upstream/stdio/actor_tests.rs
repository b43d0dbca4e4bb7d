//! Tests of ends that skip the actor's own shutdown: by an error, a panic, a kill, or with its supervisor. In all of
//! them the whole tree must be gone, because the guard that the actor owns is dropped. They use real processes, and the
//! product has no hooks for them.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::actor::ChildState;
use super::*;
use crate::mcp::Declared;
use crate::process::marked_tests::{DEADLINE, Marked};
use crate::process::{Limits, Spec, StopSequence};
use crate::upstream::{
    CatalogSlot, Context, Notices, NoticesOfAll, Opening, ProbeResult, ProbeSettings, Report, ServerLog,
    Sharing,
};

/// A leader, a member of its group and one that has left it; all ignore SIGTERM.
const TREE: &str = "trap '' TERM; sleep 300 & setsid sleep 300 & echo up >&2; wait; wait";

/// Arguments for the real actor, with generous timeouts.
fn args(marked: &Marked, report: impl Fn(Report) + Send + Sync + 'static) -> ChildArgs {
    let context = Context {
        server: "tree".into(),
        incarnation: 1,
        opening: Opening::Legacy,
        start_timeout: Duration::from_secs(600),
        probe: ProbeSettings { every: Duration::ZERO, patience: Duration::ZERO },
        max_frame: 1024,
        max_in_flight: 1,
        catalog: Arc::new(CatalogSlot::new(Arc::default(), Arc::default())),
        log: ServerLog::default(),
        counters: Arc::default(),
        notices: Notices::new("tree".into(), NoticesOfAll::default()),
        interests: Arc::default(),
        sharing: Sharing::All,
        declared: Declared { elicitation: false, sampling: false, roots: false },
        report: Box::new(report),
    };
    ChildArgs {
        spec: Spec {
            command: "sh".to_owned(),
            args: vec!["-c".to_owned(), TREE.to_owned()],
            env: Vec::new(),
            secrets: Vec::new(),
            cwd: None,
            limits: Limits::default(),
            sandbox: None,
        },
        launcher: false,
        host: marked.host.clone(),
        install_timeout: Duration::from_secs(600),
        ladder: StopSequence { stdin_grace: Duration::from_secs(600), term_grace: Duration::from_secs(600) },
        context,
    }
}

/// Way an actor is made to end.
#[derive(Clone, Copy)]
enum End {
    Err,
    Panic,
}

/// The real actor, except that one message makes it fail.
struct Failing(End);

impl Actor for Failing {
    type Msg = ChildMsg;
    type State = ChildState;
    type Arguments = ChildArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ChildMsg>,
        args: ChildArgs,
    ) -> Result<ChildState, ActorProcessingErr> {
        ChildActor.pre_start(myself, args).await
    }

    async fn handle(
        &self,
        myself: ActorRef<ChildMsg>,
        message: ChildMsg,
        state: &mut ChildState,
    ) -> Result<(), ActorProcessingErr> {
        match (message, self.0) {
            (ChildMsg::Probed(_), End::Err) => Err("told to fail".into()),
            (ChildMsg::Probed(_), End::Panic) => panic!("told to panic"),
            (message, _) => ChildActor.handle(myself, message, state).await,
        }
    }
}

/// A supervisor of one child that passes on the events it receives.
struct Parent {
    heard: mpsc::Sender<String>,
}

impl Actor for Parent {
    type Msg = ();
    type State = Option<ActorRef<ChildMsg>>;
    type Arguments = ChildArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        args: ChildArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let (child, _) = Actor::spawn_linked(None, ChildActor, args, myself.get_cell()).await?;
        Ok(Some(child))
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        _: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let told = match event {
            SupervisionEvent::ActorFailed(_, error) => format!("failed: {error}"),
            SupervisionEvent::ActorTerminated(..) => "terminated".to_owned(),
            _ => return Ok(()),
        };
        let _ = self.heard.try_send(told);
        Ok(())
    }
}

async fn started(
    marked: &Marked,
    spawned: Result<(ActorRef<ChildMsg>, JoinHandle<()>), SpawnErr>,
) -> (ActorRef<ChildMsg>, JoinHandle<()>) {
    let (actor, ended) = spawned.unwrap();
    marked.wait("the tree is up", 3).await;
    (actor, ended)
}

async fn check_gone(marked: &Marked, how: &str, ended: JoinHandle<()>) {
    let _ = tokio::time::timeout(DEADLINE, ended).await.expect("the actor ends");
    let took = marked.wait(how, 0).await;
    eprintln!("measured: child's actor ends by {how}: tree gone after {took:?}");
}

#[tokio::test]
async fn an_actor_that_ends_by_an_error_takes_its_tree_along() {
    let marked = Marked::new();
    let (actor, ended) =
        started(&marked, Actor::spawn(None, Failing(End::Err), args(&marked, |_| {})).await).await;
    actor.send_message(ChildMsg::Probed(ProbeResult::Alive)).unwrap();
    check_gone(&marked, "an error", ended).await;
}

#[tokio::test]
async fn an_actor_that_panics_takes_its_tree_along() {
    let marked = Marked::new();
    let (actor, ended) =
        started(&marked, Actor::spawn(None, Failing(End::Panic), args(&marked, |_| {})).await).await;
    actor.send_message(ChildMsg::Probed(ProbeResult::Alive)).unwrap();
    check_gone(&marked, "a panic", ended).await;
}

/// The panic comes in the middle of the start: the process exists, its owner does not yet.
#[tokio::test]
async fn an_actor_that_panics_while_it_starts_leaves_no_process() {
    let marked = Marked::new();
    let report = |report| assert!(!matches!(report, Report::Started { .. }), "told to panic");
    let (_, ended) = Actor::spawn(None, ChildActor, args(&marked, report)).await.unwrap();
    check_gone(&marked, "a panic in the middle of the start", ended).await;
}

#[tokio::test]
async fn an_actor_that_is_killed_takes_its_tree_along() {
    let marked = Marked::new();
    let (actor, ended) = started(&marked, Actor::spawn(None, ChildActor, args(&marked, |_| {})).await).await;
    actor.kill();
    check_gone(&marked, "a kill", ended).await;
}

#[tokio::test]
async fn an_actor_stopped_without_a_word_takes_its_childs_tree_along() {
    let marked = Marked::new();
    let (actor, ended) = started(&marked, Actor::spawn(None, ChildActor, args(&marked, |_| {})).await).await;
    actor.stop(None);
    check_gone(&marked, "a stop of the actor alone", ended).await;
}

#[tokio::test]
async fn a_supervisor_that_is_killed_takes_the_trees_of_its_children_along() {
    let marked = Marked::new();
    let (heard, _listening) = mpsc::channel(4);
    let (parent, ended) = Actor::spawn(None, Parent { heard }, args(&marked, |_| {})).await.unwrap();
    marked.wait("the tree is up", 3).await;
    parent.kill();
    check_gone(&marked, "a kill of its supervisor", ended).await;
}

#[tokio::test]
async fn whoever_supervises_hears_of_a_child_s_actor_that_panicked() {
    let marked = Marked::new();
    let (heard, mut listening) = mpsc::channel(4);
    let report = |report| assert!(!matches!(report, Report::Started { .. }), "told to panic");
    let (parent, ended) = Actor::spawn(None, Parent { heard }, args(&marked, report)).await.unwrap();
    let told = tokio::time::timeout(DEADLINE, listening.recv()).await.expect("in time").expect("an event");
    assert!(told.starts_with("failed") && told.contains("told to panic"), "{told}");
    marked.wait("the tree of the panicked one", 0).await;
    parent.stop(None);
    ended.await.unwrap();
}

/// Orderly end, for comparison: the tree is asked to end, then killed, and reported.
#[tokio::test]
async fn an_actor_that_kills_its_child_in_order_reports_the_end_last() {
    let marked = Marked::new();
    let (reports, mut heard) = mpsc::channel(16);
    let args = args(&marked, move |report| drop(reports.try_send(report)));
    let (actor, ended) = started(&marked, Actor::spawn(None, ChildActor, args).await).await;
    actor.send_message(ChildMsg::Kill).unwrap();
    let mut last = None;
    while !matches!(last, Some(Report::Ended { .. })) {
        last = tokio::time::timeout(DEADLINE, heard.recv()).await.expect("in time");
    }
    assert!(
        matches!(last, Some(Report::Ended { end: crate::upstream::End::Stopped { .. }, .. })),
        "{last:?}"
    );
    marked.wait("the end is reported when the tree is gone", 0).await;
    actor.stop(None);
    ended.await.unwrap();
}
