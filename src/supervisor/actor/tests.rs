//! Tests of the processes when the actors above them fail. They use real processes. Nothing in the product
//! knows of these tests, so replicas are made to fail by killing their actors.

use serde_json::{Value, json};

use super::*;
use crate::process::marked_tests::{DEADLINE, Marked};

/// The real supervisor, except that a replica that ends without being told counts as failed: a killed actor
/// is the only defect that can be caused from outside.
struct Strict;

impl Actor for Strict {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMsg>,
        args: SupervisorArgs,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        SupervisorActor.pre_start(myself, args).await
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        SupervisorActor.handle(myself, message, state).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let event = match event {
            SupervisionEvent::ActorTerminated(who, _, reason) if state.shutdown.is_none() => {
                SupervisionEvent::ActorFailed(who, reason.unwrap_or_default().into())
            }
            other => other,
        };
        SupervisorActor.handle_supervisor_evt(myself, event, state).await
    }
}

/// A supervisor whose servers are plain processes that never speak the protocol.
struct World {
    marked: Marked,
    directory: Directory,
    supervisor: ActorRef<SupervisorMsg>,
    ended: JoinHandle<()>,
    files: tempfile::TempDir,
}

impl World {
    async fn new() -> World {
        let marked = Marked::new();
        let directory = Directory::default();
        let brake = StartLimits { concurrent: 100, per_second: 1000 };
        let args = SupervisorArgs { host: marked.host.clone(), brake, directory: directory.clone() };
        let (supervisor, ended) = Actor::spawn(None, Strict, args).await.unwrap();
        World { marked, directory, supervisor, ended, files: tempfile::tempdir().unwrap() }
    }

    /// Returns an entry that starts a leader and a process that has left its group. The leader reports if
    /// it finds its predecessor alive.
    fn tree(&self, name: &str) -> Value {
        let script = "last=$(cat \"$0.pid\" 2>/dev/null); \
             if [ -n \"$last\" ] && [ -s /proc/$last/cmdline ]; then echo $last >>\"$0.overlap\"; fi; \
             echo $$ >\"$0.pid\"; trap '' TERM; setsid sleep 300 & wait; wait";
        json!({"command": "sh", "args": ["-c", script, self.files.path().join(name)]})
    }

    fn apply(&self, servers: &[(&str, Value)]) {
        let spec = |(name, raw): &(&str, Value)| ServerSpec {
            is_of_api: false,
            id: (*name).into(),
            name: (*name).into(),
            definition: Arc::new(Definition::parse(raw.as_object().unwrap().clone()).unwrap()),
            remembered: None,
        };
        let specs: Vec<ServerSpec> = servers.iter().map(spec).collect();
        specs.iter().for_each(|spec| drop(self.directory.ensure(spec)));
        self.supervisor.send_message(SupervisorMsg::Apply(specs)).unwrap();
    }

    /// Waits until a server has a child later than this one, and returns its number.
    async fn child_after(&self, server: &str, earlier: u64) -> u64 {
        let begin = Instant::now();
        loop {
            let status = self.directory.get(server).unwrap().status();
            if status.pid.is_some() && status.incarnation > earlier {
                return status.incarnation;
            }
            assert!(begin.elapsed() < DEADLINE, "{server}: {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn wait_failed(&self, server: &str) -> String {
        let begin = Instant::now();
        loop {
            let status = self.directory.get(server).unwrap().status();
            if let State::Failed { cause } = &status.state {
                return cause.to_string();
            }
            assert!(begin.elapsed() < DEADLINE, "{server}: {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills the actors of all replicas; they tell their children nothing.
    fn kill_replicas(&self) {
        self.supervisor.get_children().iter().for_each(|replica| replica.kill());
    }

    fn overlaps(&self) -> String {
        let files = std::fs::read_dir(self.files.path()).unwrap().filter_map(Result::ok);
        let overlap = files.filter(|file| file.file_name().to_string_lossy().ends_with(".overlap"));
        overlap.map(|file| std::fs::read_to_string(file.path()).unwrap()).collect()
    }

    async fn end(self) {
        let (done, ended) = oneshot::channel();
        self.supervisor.send_message(SupervisorMsg::Shutdown { drain: Duration::ZERO, done }).unwrap();
        tokio::time::timeout(DEADLINE, ended).await.expect("the replicas end").unwrap();
        self.marked.wait("the supervisor has ended everything", 0).await;
        self.supervisor.stop(None);
        self.ended.await.unwrap();
    }
}

fn hasty(mut raw: Value) -> Value {
    raw["mcpvisor"] = json!({"stdin_grace": "0ms", "term_grace": "100ms"});
    raw
}

#[tokio::test]
async fn a_failed_replica_is_replaced_and_its_process_is_gone_before_the_next() {
    let world = World::new().await;
    world.apply(&[("a", hasty(world.tree("a")))]);
    let mut child = world.child_after("a", 0).await;
    for _ in 0..3 {
        world.marked.wait("the tree is up", 2).await;
        let killed = Instant::now();
        world.kill_replicas();
        child = world.child_after("a", child).await;
        eprintln!(
            "measured A9: a replica's actor killed, its successor's process there after {:?}",
            killed.elapsed()
        );
    }
    world.marked.wait("only the last tree", 2).await;
    assert_eq!(world.overlaps(), "", "a process began while the one before it was alive");
    world.end().await;
}

/// OTP's escalation, one level below: a server that fails all the time is given up, and no other one.
#[tokio::test]
async fn a_server_whose_replicas_keep_failing_is_given_up_until_it_is_changed() {
    let world = World::new().await;
    let (a, b) = (hasty(world.tree("a")), hasty(world.tree("b")));
    world.apply(&[("a", a.clone())]);
    let mut child = world.child_after("a", 0).await;
    for failure in 1..=MAX_FAILURES + 1 {
        world.kill_replicas();
        if failure <= MAX_FAILURES {
            child = world.child_after("a", child).await;
        }
    }
    let cause = world.wait_failed("a").await;
    assert!(cause.contains("gave its replica up"), "{cause}");
    world.marked.wait("what was given up has no process", 0).await;
    world.apply(&[("a", a), ("b", b.clone())]);
    world.child_after("b", 0).await;
    let mut edited = hasty(world.tree("a"));
    edited["env"] = json!({"EDITED": "1"});
    world.apply(&[("a", edited), ("b", b)]);
    world.child_after("a", child).await;
    world.end().await;
}

#[tokio::test]
async fn a_supervisor_that_is_killed_takes_every_tree_along() {
    let world = World::new().await;
    let names = ["a", "b", "c"];
    let servers: Vec<(&str, Value)> = names.iter().map(|name| (*name, world.tree(name))).collect();
    world.apply(&servers);
    for name in names {
        world.child_after(name, 0).await;
    }
    world.marked.wait("the trees are up", 6).await;
    world.supervisor.kill();
    tokio::time::timeout(DEADLINE, world.ended).await.expect("it ends").unwrap();
    let took = world.marked.wait("no tree is left", 0).await;
    eprintln!("measured A10: the supervisor killed, three trees gone after {took:?}");
}

/// The runtime ends while everything runs, as when the daemon is ended in a hurry.
#[test]
fn a_runtime_that_ends_takes_every_tree_along() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(async {
        let world = World::new().await;
        let tree = world.tree("a");
        world.apply(&[("a", tree)]);
        world.child_after("a", 0).await;
        world.marked.wait("the tree is up", 2).await;
        world
    });
    drop(runtime);
    let begin = Instant::now();
    while !world.marked.alive().is_empty() {
        assert!(begin.elapsed() < DEADLINE, "{:?}", world.marked.alive());
        std::thread::yield_now();
    }
    eprintln!("measured A10: the runtime gone, its tree gone after {:?}", begin.elapsed());
}
