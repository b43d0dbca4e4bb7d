//! Tests of authority as a history, in virtual time: keys are made, narrowed, given other texts, revoked and
//! expire, members come, change and go, plans are changed, the daemon ends and the disk fills, while calls,
//! calls that wait and readers of a log go on. In every order, after an acknowledged end (of a key, of a text
//! of one, of a member with its keys) nothing of it begins, nothing begins that a role or a key no longer
//! allows, a caller with a valid text is accepted, and no count exceeds its limit.
//!
//! `SOAK=long` runs many more histories.

mod life;
mod steps;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use tokio::sync::{oneshot, watch};

use self::life::{Life, MAX_COUNTS, PLAN};
use self::steps::{Counts, NAMES, Step, step};
use crate::access::{KeyChange, KeyStatus, NewKey, NewKeySpec, Permissions, PlanRecord, Principal, Role};
use crate::clock::simulated::set_wall as set_clock;
use crate::gateway::dispatch::{CallTerms, dispatch};
use crate::gateway::log_follower::Reader;
use crate::gateway::standing::Asker;
use crate::gateway::stop::Stage;
use crate::gateway::{Follow, Followed, LogFollower, MemberChange, MemberRequest, while_accepted};
use crate::long_or;
use crate::registry::tests::{FailingStore, operator};
use crate::upstream::{Call, Limits, Outcome};

const BEGIN: u64 = 1_000_000;
/// Effect of a question that needs no server.
const TURN: &str = "a turn of a question";

/// Effect that has begun: index of the text it was asked for with, and its kind.
type Effect = (usize, &'static str);

const CALL: &str = "a call";
const LINES: &str = "lines of a log";

/// Returns the least role that may cause an effect.
fn least(what: &str) -> Role {
    match what {
        CALL => Role::Member,
        LINES => Role::Admin,
        _ => Role::Viewer,
    }
}

/// Text of a key as it was given out.
#[derive(Debug)]
struct Text {
    key: Arc<str>,
    member: Arc<str>,
    text: String,
    /// Time from which it is refused because the key was given another text; `None` if it was not.
    until: Option<u64>,
}

/// State of a history: the daemon, and what each key may do.
struct History {
    dir: tempfile::TempDir,
    store: Arc<FailingStore>,
    life: Life,
    now: u64,
    broken: bool,
    /// Texts of the keys in the order in which they were made: of each key, the last one counts.
    texts: Vec<Text>,
    /// Step since which nothing of a key may begin, and `true` if that outlives the daemon, by the key's id.
    ended: HashMap<Arc<str>, (usize, bool)>,
    /// Ids of the keys that may no longer use the server.
    narrowed: HashSet<Arc<str>>,
    /// Roles of the members that come and go, by id.
    roles: HashMap<Arc<str>, Role>,
    /// Limits of the plan now.
    most: Counts,
    /// Numbers after the previous step.
    before: Counts,
    /// Channel of effects, sent as they begin.
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
        let owner = life.ring.authenticate(text.trim(), BEGIN).expect("accepted");
        let first = Text {
            key: owner.key_id().clone(),
            member: owner.member().id.clone(),
            text: text.trim().to_owned(),
            until: None,
        };
        History {
            dir,
            store,
            life,
            now: BEGIN,
            broken: false,
            texts: vec![first],
            ended: HashMap::new(),
            narrowed: HashSet::new(),
            roles: HashMap::new(),
            most: MAX_COUNTS,
            before: Counts { keys: 1, members: 2 },
            effects: mpsc::channel(),
            answers: Vec::new(),
            at: 0,
        }
    }

    /// Returns the holder of a text; `None` if the text is not accepted.
    fn holder(&self, text: usize) -> Option<Principal> {
        let text = &self.texts[text % self.texts.len()].text;
        self.life.ring.authenticate(text, self.now).ok()
    }

    fn id(&self, text: usize) -> Arc<str> {
        self.texts[text % self.texts.len()].key.clone()
    }

    fn was_made(&mut self, made: NewKey) {
        let (key, member) = (made.record.id, made.record.member_id);
        self.texts.push(Text { key, member, text: made.text, until: None });
    }

    fn have_ended(&mut self, keys: Vec<Arc<str>>, durable: bool) {
        for key in keys {
            self.ended.entry(key).or_insert((self.at, durable));
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Make { by, owner, expires_in } => self.make(by, owner, expires_in),
            Step::Rotate { by, of, grace } => self.rotate(by, of, grace),
            Step::Join { by, name, role } => self.join(by, NAMES[name], role),
            Step::Change { by, name, role } => self.change(by, NAMES[name], role),
            Step::Leave { by, name } => {
                let Some(by) = self.holder(by) else { return };
                if let Ok(removal) = self.life.registry.remove_member(&by, NAMES[name]) {
                    self.have_ended(removal.revoked, removal.durable);
                }
            }
            Step::Plan { by, most } => self.plan(by, most),
            Step::Revoke { by, of, what } => {
                let (Some(by), of) = (self.holder(by), self.id(of)) else { return };
                if let Ok(done) = self.life.registry.revoke_key(&by, &of, what) {
                    self.have_ended(done.revoked, done.durable);
                }
            }
            Step::Narrow(of) => {
                let id = self.id(of);
                let narrow: Permissions = json!({"mcps": ["mcp_other"]}).try_into().expect("good");
                let change = KeyChange { permissions: Some(narrow), ..KeyChange::default() };
                // The owner's stays, so that there is somebody to go on.
                if id != self.texts[0].key && self.life.registry.amend_key(&operator(), &id, &change).is_ok()
                {
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
            Step::Disk { full, broken } => self.disk(full, broken),
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

    fn disk(&mut self, full: bool, broken: bool) {
        self.store.close(full || broken);
        self.broken = broken;
        self.life.registry.break_reserve(broken);
        // The daemon does this every few seconds.
        let _ = self.life.registry.probe();
        if !full && !broken {
            self.life.registry.store_pending_revocations();
        }
        if !broken {
            self.ended.values_mut().for_each(|(_, durable)| *durable = true);
        }
    }

    fn wish(&self, by: &Principal, owner: &str, expires_in: Option<u64>) -> NewKeySpec {
        NewKeySpec {
            limits: crate::access::KeyLimits::default(),
            name: "k".to_owned(),
            description: None,
            member_id: owner.into(),
            expires_at: expires_in.map(|seconds| self.now + seconds),
            permissions: by.permissions().clone(),
        }
    }

    fn make(&mut self, by: usize, owner: Option<usize>, expires_in: Option<u64>) {
        let Some(by) = self.holder(by) else { return };
        let owner = owner.map_or(&*by.member().id, |owner| NAMES[owner]);
        let wish = self.wish(&by, owner, expires_in);
        if let Ok(made) = self.life.registry.create_key(&by, wish) {
            self.was_made(made);
        }
    }

    fn rotate(&mut self, by: usize, of: usize, grace: u64) {
        let (Some(by), of) = (self.holder(by), self.id(of)) else { return };
        let Ok(made) = self.life.registry.rotate_key(&by, &of, grace) else { return };
        // The previous text is accepted for `grace` seconds; those before it no longer are.
        let mut until = self.now + grace;
        for text in self.texts.iter_mut().rev().filter(|text| text.key == of) {
            text.until = Some(text.until.unwrap_or(u64::MAX).min(until));
            until = self.now;
        }
        self.was_made(made);
    }

    fn join(&mut self, by: usize, name: &str, role: Role) {
        let Some(by) = self.holder(by) else { return };
        let request = MemberRequest { id: Some(name.to_owned()), name: None, email: None, role, plan: None };
        let wish = self.wish(&by, name, None);
        if let Ok(made) = self.life.registry.create_key_with_member(&by, request, wish) {
            self.roles.insert(name.into(), role);
            self.was_made(made);
        }
    }

    fn change(&mut self, by: usize, name: &str, role: Role) {
        let Some(by) = self.holder(by) else { return };
        let change = MemberChange { role: Some(role), ..MemberChange::default() };
        if self.life.registry.change_member(&by, name, &change).is_ok() {
            self.roles.insert(name.into(), role);
        }
    }

    fn plan(&mut self, by: usize, most: Counts) {
        let Some(by) = self.holder(by) else { return };
        let plan = PlanRecord {
            name: PLAN.into(),
            requests_per_second: None,
            monthly_requests: None,
            max_mcps: None,
            max_api_keys: Some(most.keys),
            max_members: Some(most.members),
        };
        if self.life.registry.put_plan(&by, plan).is_ok() {
            self.most = most;
        }
    }

    fn restart(&mut self) {
        self.life.tasks.abort_all();
        self.answers.clear();
        let ended = &mut self.ended;
        // The answers said which ends would be forgotten.
        ended.retain(|_, (_, durable)| *durable);
        self.life = Life::begin(self.dir.path(), &self.store);
        self.life.registry.break_reserve(self.broken);
        let text = std::fs::read_to_string(self.dir.path().join("owner.key")).expect("a first key");
        if let Ok(owner) = self.life.ring.authenticate(text.trim(), self.now)
            && !self.texts.iter().any(|known| known.key == *owner.key_id())
        {
            let (key, member) = (owner.key_id().clone(), owner.member().id.clone());
            self.texts.push(Text { key, member, text: text.trim().to_owned(), until: None });
        }
        // Keys and members whose end was forgotten are there again, as was said.
        self.before = self.counts();
    }

    fn call(&mut self, text: usize) {
        let Some(caller) = self.holder(text) else { return };
        let text = text % self.texts.len();
        if !caller.permissions().allow_mcp(&self.life.entry.id) || caller.role() < least(CALL) {
            return;
        }
        let (handle, entry) = (self.life.handle.clone(), self.life.entry.clone());
        self.life.tasks.spawn(async move {
            let asker = Asker { caller: &caller, entry: &entry, tool: Some("t") };
            // The text's place goes along, so that the child can say whose call it is.
            let (call, terms) = request(text, caller.key_id());
            let _ = dispatch(&handle, &mut Some(call), &terms, &asker).await;
        });
    }

    fn follow(&mut self, text: usize) {
        let Some(caller) = self.holder(text) else { return };
        let text = text % self.texts.len();
        if !caller.permissions().allow_mcp(&self.life.entry.id) {
            return;
        }
        let (handle, effects) = (self.life.handle.clone(), self.effects.0.clone());
        let reader = Reader { caller, entry: self.life.entry.clone() };
        let (stop, stopping) = watch::channel(Stage::Serving);
        self.life.tasks.spawn(async move {
            let mut follower = LogFollower::new(reader, handle, 0, None, stopping);
            while let Followed::Items(..) = follower.next().await {
                let _ = effects.send((text, LINES));
            }
            drop(stop);
        });
    }

    fn ask(&mut self, text: usize) {
        let Some(caller) = self.holder(text) else { return };
        let text = text % self.texts.len();
        let effects = self.effects.0.clone();
        self.life.tasks.spawn(async move {
            // The turns of a model take a second; each is an effect when it begins.
            for _ in 0..30 {
                let turn = async {
                    let _ = effects.send((text, TURN));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                };
                if while_accepted(&caller, turn).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Compares what has begun since the last check with what had ended before this step.
    fn check(&mut self, step: &Step) -> Result<(), TestCaseError> {
        while let Some((call, reply)) = self.life.calls.next() {
            let text = std::str::from_utf8(&call.members).ok().and_then(|text| text.parse().ok());
            let _ = self.effects.0.send((text.expect("as it was sent"), CALL));
            self.answers.push(reply);
        }
        let begun: Vec<Effect> = self.effects.1.try_iter().collect();
        for (text, what) in begun {
            let not = self.may_not_begin(&self.texts[text], what);
            prop_assert!(not.is_none(), "step {} ({step:?}): {what} of text {text} began: {not:?}", self.at);
        }
        for (n, text) in self.texts.iter().enumerate() {
            let found = self.wrongly_accepted_or_refused(n, text);
            prop_assert!(found.is_none(), "step {} ({step:?}): text {n} {found:?}: {text:?}", self.at);
        }
        let (now, before) = (self.counts(), self.before);
        let within = |now: u64, before: u64, most: u64| now <= most.max(before);
        let keys = within(now.keys, before.keys, self.most.keys);
        let members = within(now.members, before.members, self.most.members);
        prop_assert!(keys && members, "step {} ({step:?}): {before:?}, {now:?} of {:?}", self.at, self.most);
        self.before = now;
        Ok(())
    }

    /// Returns the reason why an effect of a text may no longer begin; `None` if it may.
    fn may_not_begin(&self, text: &Text, what: &str) -> Option<String> {
        if let Some(ended) = self.ended.get(&text.key) {
            return Some(format!("the key had ended at {ended:?}"));
        }
        if text.until.is_some_and(|until| until <= self.now) {
            return Some(format!("the key was given another text, {text:?}"));
        }
        if what != TURN && self.narrowed.contains(&text.key) {
            return Some("the key does not allow it".to_owned());
        }
        let role = self.roles.get(&text.member).filter(|role| **role < least(what));
        role.map(|role| format!("{} is {role:?}", text.member))
    }

    /// Returns an error if a text is accepted or refused wrongly; `None` if it is treated rightly.
    fn wrongly_accepted_or_refused(&self, n: usize, text: &Text) -> Option<&'static str> {
        let is_accepted = self.life.ring.authenticate(&text.text, self.now).is_ok();
        let must_not =
            self.ended.contains_key(&text.key) || text.until.is_some_and(|until| until <= self.now);
        if must_not {
            return is_accepted.then_some("is accepted again");
        }
        let Some(key) = self.life.ring.key(&text.key, self.now) else { return Some("is of no key any more") };
        let is_live = key.status == KeyStatus::Active;
        let is_newest = !self.texts[n + 1..].iter().any(|later| later.key == text.key);
        (is_live && is_newest && !is_accepted).then_some("is the newest of its key and is refused")
    }

    fn counts(&self) -> Counts {
        let keys = self.life.ring.keys(self.now);
        let live = keys.iter().filter(|key| key.record.status(self.now) == KeyStatus::Active);
        let members = self.life.ring.tenancy().members.len();
        Counts { keys: live.count() as u64, members: members as u64 }
    }
}

fn request(text: usize, key: &Arc<str>) -> (Call, CallTerms<'_>) {
    let (started, hour) = (Instant::now(), Duration::from_secs(3_600));
    let limits = Limits { first: started + hour, idle: hour, hard: started + hour };
    let members = text.to_string().into();
    (Call::new("tools/call", members), CallTerms::new(started, limits, key, hour))
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut history = History::new();
    for (at, step) in steps.into_iter().enumerate() {
        history.at = at;
        // Effects that are already under way when the step is taken began before it.
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
    let count = std::env::var("SOAK_COUNT").ok().and_then(|count| count.parse().ok());
    let cases = long_or(48, count.unwrap_or(3_000));
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
