//! Authority as a history: keys are made, narrowed, revoked and expire, the daemon ends and the disk fills,
//! while calls, calls that wait and readers of a log go on. Whatever the order: after a revocation that was
//! acknowledged nothing of that key begins, and no count passes its limit. In virtual time.
//!
//! `SOAK=long` makes it many more histories.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::tests::{FailingStore, operator, settings};
use super::*;
use crate::access::{Charter, KeyChange, KeyWish, Member, Permissions, Plan, Principal, Role};
use crate::child::{CallsOfATest, Limits, Link, Outcome};
use crate::service::dispatch::{Request, Unchecked, dispatch};
use crate::service::follow::Reader;
use crate::service::standing::Asker;
use crate::service::standing::tests::set_clock;
use crate::service::{LogFollower, LogNews, Revoke, while_accepted};
use crate::store::Vault;
use crate::supervisor::{Policy, ServerHandle};

/// How many keys the plan allows, the owner's among them.
const MOST: u64 = 6;
const BEGIN: u64 = 1_000_000;
/// What a question does, for which no server is needed.
const TURN: &str = "a turn of a question";

#[derive(Debug, Clone)]
enum Step {
    /// A key makes another one, for so many seconds where that is given.
    Make {
        by: usize,
        expires_in: Option<u64>,
    },
    Revoke {
        by: usize,
        of: usize,
        what: Revoke,
    },
    /// A key is limited to other servers than the one there is.
    Narrow(usize),
    Clock(u64),
    /// The disk takes nothing, or nothing but the reserve, or everything.
    Disk {
        full: bool,
        broken: bool,
    },
    Restart,
    Call(usize),
    Follow(usize),
    /// Somebody who does one thing after the other, as a question does.
    Ask(usize),
    /// The child answers a call, which frees its place.
    Answer,
    Log,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0usize..10;
    let what = prop_oneof![Just(Revoke::Key), Just(Revoke::Both), Just(Revoke::Descendants)];
    prop_oneof![
        4 => (key(), prop::option::of(1u64..20)).prop_map(|(by, expires_in)| Step::Make { by, expires_in }),
        4 => (key(), key(), what).prop_map(|(by, of, what)| Step::Revoke { by, of, what }),
        1 => key().prop_map(Step::Narrow),
        2 => (1u64..15).prop_map(Step::Clock),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(full, broken)| Step::Disk { full, broken }),
        1 => Just(Step::Restart),
        6 => key().prop_map(Step::Call),
        3 => key().prop_map(Step::Follow),
        3 => key().prop_map(Step::Ask),
        4 => Just(Step::Answer),
        3 => Just(Step::Log),
    ]
}

/// Something that has begun: whose key's it is, and what.
type Effect = (Arc<str>, &'static str);

/// One life of the daemon.
struct Life {
    registry: Registry,
    ring: KeyRing,
    handle: Arc<ServerHandle>,
    entry: Arc<ServerEntry>,
    calls: CallsOfATest,
    tasks: JoinSet<()>,
}

fn charter() -> Charter {
    let mut charter = Charter::default();
    let plan = Plan { max_api_keys: Some(MOST), ..Plan::with_rate("p", None) };
    charter.organization.plan = Arc::new(plan);
    charter.members.push(Arc::new(Member {
        id: "user_admin".into(),
        role: Role::Admin,
        ..Charter::default_owner()
    }));
    charter
}

impl Life {
    fn begin(dir: &Path, store: &Arc<FailingStore>) -> Life {
        let ring = KeyRing::new(charter());
        let vault = Vault::bare(store.clone());
        let opened = Registry::open(vault, settings(dir), &ring).or_else(|_| {
            // No key administers any more, and none can be made: somebody makes room.
            store.apply_fails.store(false, Ordering::SeqCst);
            Registry::open(Vault::bare(store.clone()), settings(dir), &ring)
        });
        let mut registry = opened.expect("opens");
        if registry.list().by_name("s").is_none() {
            registry.add("s", Map::from_iter([("command".to_owned(), json!("x"))])).expect("added");
        }
        let entry = registry.list().entries()[0].clone();
        let (link, calls) = Link::to_a_test(1, 64);
        let policy = Policy {
            max_in_flight: 1,
            queue: 64,
            queue_age: Duration::from_secs(9_999),
            ..Policy::default()
        };
        let handle = ServerHandle::of_a_test(&entry.id, &policy, link);
        Life { registry, ring, handle, entry, calls, tasks: JoinSet::new() }
    }
}

/// What a key may have done, and when it ended.
struct History {
    dir: tempfile::TempDir,
    store: Arc<FailingStore>,
    life: Life,
    now: u64,
    broken: bool,
    /// The texts of the keys in the order in which they were made.
    texts: Vec<(Arc<str>, String)>,
    /// Since which step nothing of a key may begin, and whether that outlives the daemon.
    ended: HashMap<Arc<str>, (usize, bool)>,
    /// The keys that may have nothing of the server any more.
    narrowed: HashSet<Arc<str>>,
    /// Effects as they begin: which key's, and of what kind.
    effects: (mpsc::Sender<Effect>, mpsc::Receiver<Effect>),
    answers: Vec<oneshot::Sender<Outcome>>,
    at: usize,
}

impl History {
    fn new() -> History {
        set_clock(BEGIN);
        let (dir, store) = (tempfile::tempdir().expect("a directory"), Arc::<FailingStore>::default());
        let life = Life::begin(dir.path(), &store);
        let text = std::fs::read_to_string(dir.path().join("owner.key")).expect("the first key");
        let owner = life.ring.authenticate(text.trim(), BEGIN).expect("accepted").key_id().clone();
        History {
            dir,
            store,
            life,
            now: BEGIN,
            broken: false,
            texts: vec![(owner, text.trim().to_owned())],
            ended: HashMap::new(),
            narrowed: HashSet::new(),
            effects: mpsc::channel(),
            answers: Vec::new(),
            at: 0,
        }
    }

    /// The holder of a key, if it is accepted.
    fn holder(&self, key: usize) -> Option<Principal> {
        let (_, text) = &self.texts[key % self.texts.len()];
        self.life.ring.authenticate(text, self.now).ok()
    }

    fn id(&self, key: usize) -> Arc<str> {
        self.texts[key % self.texts.len()].0.clone()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Make { by, expires_in } => self.make(by, expires_in),
            Step::Revoke { by, of, what } => {
                let (Some(by), of) = (self.holder(by), self.id(of)) else { return };
                if let Ok(done) = self.life.registry.revoke_key(&by, &of, what) {
                    for id in done.revoked {
                        self.ended.entry(id).or_insert((self.at, done.durable));
                    }
                }
            }
            Step::Narrow(of) => {
                let id = self.id(of);
                let narrow: Permissions = json!({"mcps": ["mcp_other"]}).try_into().expect("good");
                let change = KeyChange { permissions: Some(narrow), ..KeyChange::default() };
                // The owner's stays, so that there is somebody to go on.
                if id != self.texts[0].0 && self.life.registry.amend_key(&operator(), &id, &change).is_ok() {
                    self.narrowed.insert(id);
                }
            }
            Step::Clock(by) => {
                self.now += by;
                set_clock(self.now);
                for key in self.life.ring.keys(self.now) {
                    if key.record.expires_at.is_some_and(|end| end <= self.now) {
                        self.ended.entry(key.record.id).or_insert((self.at, true));
                    }
                }
            }
            Step::Disk { full, broken } => {
                self.store.apply_fails.store(full || broken, Ordering::SeqCst);
                self.broken = broken;
                self.life.registry.owed.break_reserve(broken);
                // What the daemon does every few seconds.
                let _ = self.life.registry.probe();
                if !full && !broken {
                    self.life.registry.pay();
                }
                if !broken {
                    self.ended.values_mut().for_each(|(_, durable)| *durable = true);
                }
            }
            Step::Restart => self.restart(),
            Step::Call(key) => self.call(key),
            Step::Follow(key) => self.follow(key),
            Step::Ask(key) => self.ask(key),
            Step::Answer => {
                if !self.answers.is_empty() {
                    let _ = self.answers.remove(0).send(Outcome::Result(Bytes::from_static(b"{}")));
                }
            }
            Step::Log => self.life.handle.log().say("a line"),
        }
    }

    fn make(&mut self, by: usize, expires_in: Option<u64>) {
        let Some(by) = self.holder(by) else { return };
        let wish = KeyWish {
            limits: crate::access::KeyLimits::default(),
            name: "k".to_owned(),
            description: None,
            member_id: by.member().id.clone(),
            expires_at: expires_in.map(|seconds| self.now + seconds),
            permissions: by.permissions().clone(),
        };
        if let Ok(made) = self.life.registry.create_key(&by, wish) {
            self.texts.push((made.record.id, made.text));
        }
    }

    fn restart(&mut self) {
        self.life.tasks.abort_all();
        self.answers.clear();
        let ended = &mut self.ended;
        // What would be forgotten was said to be.
        ended.retain(|_, (_, durable)| *durable);
        self.life = Life::begin(self.dir.path(), &self.store);
        self.life.registry.owed.break_reserve(self.broken);
        let text = std::fs::read_to_string(self.dir.path().join("owner.key")).expect("a first key");
        if let Ok(owner) = self.life.ring.authenticate(text.trim(), self.now)
            && !self.texts.iter().any(|(id, _)| id == owner.key_id())
        {
            self.texts.push((owner.key_id().clone(), text.trim().to_owned()));
        }
    }

    fn call(&mut self, key: usize) {
        let Some(caller) = self.holder(key) else { return };
        if !caller.permissions().allow_mcp(&self.life.entry.id) {
            return;
        }
        let (handle, entry) = (self.life.handle.clone(), self.life.entry.clone());
        self.life.tasks.spawn(async move {
            let asker = Asker { caller: &caller, entry: &entry, tool: Some("t") };
            // The key's id goes along, so that the child can say whose call it is.
            let _ = dispatch(&handle, request(caller.key_id()), &asker).await;
        });
    }

    fn follow(&mut self, key: usize) {
        let Some(caller) = self.holder(key) else { return };
        if !caller.permissions().allow_mcp(&self.life.entry.id) {
            return;
        }
        let (handle, id, effects) =
            (self.life.handle.clone(), caller.key_id().clone(), self.effects.0.clone());
        let reader = Reader { caller, entry: self.life.entry.clone() };
        let (stop, stopping) = watch::channel(false);
        self.life.tasks.spawn(async move {
            let mut follower = LogFollower::new(reader, handle, 0, None, stopping);
            while let LogNews::Lines(..) = follower.next().await {
                let _ = effects.send((id.clone(), "lines of a log"));
            }
            drop(stop);
        });
    }

    fn ask(&mut self, key: usize) {
        let Some(caller) = self.holder(key) else { return };
        let effects = self.effects.0.clone();
        self.life.tasks.spawn(async move {
            // The turns of a model take a second; each is an effect when it begins.
            for _ in 0..30 {
                let turn = async {
                    let _ = effects.send((caller.key_id().clone(), TURN));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                };
                if while_accepted(&caller, turn).await.is_err() {
                    return;
                }
            }
        });
    }

    /// What has begun since the last look is held against what had ended before this step.
    fn check(&mut self, step: &Step) -> Result<(), TestCaseError> {
        while let Some((call, reply)) = self.life.calls.next() {
            let id = String::from_utf8_lossy(&call.members).into_owned();
            let _ = self.effects.0.send((id.into(), "a call"));
            self.answers.push(reply);
        }
        for (id, what) in self.effects.1.try_iter() {
            let ended = self.ended.get(&id);
            prop_assert!(
                ended.is_none(),
                "step {} ({step:?}): {what} of {id} began, which had ended at {ended:?}",
                self.at
            );
            let narrowed = what != TURN && self.narrowed.contains(&id);
            prop_assert!(!narrowed, "step {} ({step:?}): {what} of {id} began, which may not", self.at);
        }
        let mut live: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for key in self.life.ring.keys(self.now) {
            if key.record.status(self.now) == crate::access::KeyStatus::Active {
                *live.entry(key.record.member_id).or_default() += 1;
            }
        }
        let count: u64 = live.values().sum();
        prop_assert!(count <= MOST, "step {} ({step:?}): {count} keys, and {MOST} are allowed", self.at);
        let accepted: HashSet<&Arc<str>> = self
            .texts
            .iter()
            .filter(|(_, text)| self.life.ring.authenticate(text, self.now).is_ok())
            .map(|(id, _)| id)
            .collect();
        for id in self.ended.keys() {
            prop_assert!(!accepted.contains(id), "step {} ({step:?}): {id} is accepted again", self.at);
        }
        Ok(())
    }
}

fn request(id: &Arc<str>) -> Request {
    let started = Instant::now();
    let far = started + Duration::from_secs(3_600);
    Request {
        method: "tools/call",
        members: Bytes::copy_from_slice(id.as_bytes()),
        meta: Bytes::new(),
        progress: false,
        started,
        limits: Limits { first: far, idle: Duration::from_secs(3_600), hard: far },
        caller: id.clone(),
        usual: Duration::from_secs(3_600),
        unchecked: Unchecked::Nothing,
    }
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut history = History::new();
    for (at, step) in steps.into_iter().enumerate() {
        history.at = at;
        // What is already on its way when the step is taken began before it.
        history.take(step.clone());
        if let Step::Clock(by) = step {
            tokio::time::advance(Duration::from_secs(by)).await;
        }
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        history.check(&step)?;
    }
    history.life.tasks.shutdown().await;
    Ok(())
}

#[test]
fn nothing_of_a_key_begins_after_it_has_ended_whatever_happens() {
    let long = std::env::var("SOAK").is_ok_and(|size| size == "long");
    let count = std::env::var("SOAK_COUNT").ok().and_then(|count| count.parse().ok());
    let cases = if long { count.unwrap_or(3_000) } else { 48 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let histories = prop::collection::vec(step(), 10..80);
    let outcome = runner.run(&histories, |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(run(steps))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
