//! One run of a simulation: an installation on its disk, the actions on it, and the checks of what must hold.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::model::{Known, Model, Seen};
use crate::access::{DEFAULT_OWNER, KeyLimits, KeyRing, NewKeySpec, Permissions, Plan, Tenancy};
use crate::audit::{self, AuditEntry, AuditHandle, AuditQuery, AuditSettings, Outcome};
use crate::clock::{self, simulated};
use crate::pins::PinBook;
use crate::power_disk::{Cut, Dice, Fault};
use crate::registry::{AllowedServers, Error, Registry, Revoke, Settings};
use crate::store::simulated::Place;
use crate::store::{ClockFile, DataDir, DurableStore, disk};
use crate::usage::by_hand::ByHand;
use crate::usage::{Quotas, UsageBuffer, UsageBuffers, UsageSample, day_of, first_of_month, minute_of};

/// 2026-11-28, about noon.
const BEGIN: u64 = 1_795_867_200;
const DAY: u64 = 86_400;
/// Number of calls that the plan allows a month.
const QUOTA: u64 = 12;
const SERVER: &str = "mcp_called";
/// Maximum number of keys that work at a time, beside the owner's.
const KEYS: usize = 6;

/// Parts of a running daemon.
struct Live {
    registry: Registry,
    ring: KeyRing,
    audit: AuditHandle,
    usage: ByHand,
    quotas: Quotas,
    book: Arc<UsageBuffer>,
}

/// Behavior of the clock beside going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Steady,
    /// Set by minutes and hours while the daemon runs.
    Set,
    /// Set while the daemon runs, and at a start possibly wrong by days or years.
    Wild,
}

pub(super) struct World {
    dice: Dice,
    place: Place,
    dir: DataDir,
    runtime: Runtime,
    live: Option<Live>,
    model: Model,
    seen: Seen,
    clock: Clock,
    /// Keys that were revoked since the start: in force, whether or not that is durable.
    revoked: BTreeSet<String>,
    /// Days on which calls were made, by the clock as far as it was believed.
    days: BTreeSet<u32>,
    number: u64,
}

impl World {
    pub(super) fn new(seed: u64, clock: Clock) -> World {
        let place = Place::new();
        place.disk().luck = Dice::new(seed);
        let dir = place.data_dir();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (dice, model, seen) = (Dice::new(seed), Model::default(), Seen::default());
        simulated::begin(BEGIN);
        let days = BTreeSet::new();
        let mut world = World {
            dice,
            place,
            dir,
            runtime,
            live: None,
            model,
            seen,
            clock,
            revoked: BTreeSet::new(),
            days,
            number: 0,
        };
        world.start();
        world
    }

    fn live(&mut self) -> &mut Live {
        self.live.as_mut().expect("it runs")
    }

    /// Does one action, after some time has passed.
    pub(super) fn step(&mut self) {
        self.number += 1;
        let passed = self.dice.below(40);
        simulated::pass(passed);
        clock::beat();
        match self.dice.below(100) {
            0..24 => self.change_a_server(),
            24..36 => self.change_a_key(),
            36..58 => self.call(),
            58..68 => self.record(),
            68..75 => self.settle_usage(),
            75..82 => self.live().registry.run_maintenance(),
            82..88 => self.plan_a_fault(),
            88..92 => self.mend(),
            92 => self.live().usage.hour(),
            93 => self.jump(),
            94 => self.end_in_order(),
            95..97 => self.kill(),
            97..99 => self.cut(),
            _ => drop(self.live().registry.probe()),
        }
        self.look_at_what_is_in_force();
    }

    /// Does the last start, on a healthy disk, and returns the counts.
    pub(super) fn end(mut self) -> Seen {
        self.mend();
        self.cut();
        self.seen.faults = self.place.disk().failed;
        self.seen
    }

    /// Reports whether a change with this answer was accepted. If it was, the revocations that are owed are
    /// stored, as the registry's thread does.
    fn accepted<T>(&mut self, answer: &Result<T, Error>) -> bool {
        match answer {
            Ok(_) => {
                self.seen.changes += 1;
                self.store_pending_revocations();
                true
            }
            Err(Error::Store { .. }) => {
                self.seen.refused += 1;
                false
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Stores the revocations that are owed, as the registry's thread does after each change.
    fn store_pending_revocations(&mut self) {
        let registry = &mut self.live.as_mut().expect("it runs").registry;
        if registry.trouble().borrow().is_none() {
            registry.store_pending_revocations();
            self.model.settle(registry.owes());
        }
    }

    fn change_a_server(&mut self) {
        let name = format!("server{}", self.dice.below(5));
        let value = format!("{}", self.number);
        let known = self.model.servers.entry(name.clone()).or_insert_with(|| Known::new(None)).clone();
        let removes = self.dice.once_in(4);
        let raw = |value: &str| {
            let Value::Object(raw) = json!({"command": "none", "args": [value]}) else { return Map::new() };
            raw
        };
        let list = self.live().registry.list();
        let there = list.by_name(&name).is_some();
        assert_eq!(there, known.acknowledged.is_some(), "{name} is told otherwise than acknowledged");
        let (wanted, answer) = match (there, removes) {
            (true, true) => (None, self.live().registry.remove(&name)),
            (true, false) => (Some(value.clone()), self.live().registry.update(&name, raw(&value))),
            (false, _) => (Some(value.clone()), self.live().registry.add(&name, raw(&value))),
        };
        let accepted = self.accepted(&answer);
        if let Some(known) = self.model.servers.get_mut(&name) {
            known.asked(wanted, accepted);
        }
    }

    fn change_a_key(&mut self) {
        let working: Vec<String> = self
            .model
            .keys
            .iter()
            .filter(|(_, (_, it))| it.acknowledged)
            .map(|(text, _)| text.clone())
            .collect();
        if working.len() >= KEYS || (!working.is_empty() && self.dice.once_in(3)) {
            let text = working[self.dice.index(working.len())].clone();
            self.revoke(text);
            return;
        }
        let wish = NewKeySpec {
            name: "simulated".to_owned(),
            description: None,
            member_id: DEFAULT_OWNER.into(),
            expires_at: None,
            permissions: Permissions::default(),
            limits: KeyLimits::default(),
        };
        let live = self.live();
        let operator = live.ring.local_operator();
        let answer = live.registry.create_key(&operator, wish);
        self.accepted(&answer);
        if let Ok(made) = answer {
            self.model.keys.insert(made.text, (made.record.id.to_string(), Known::new(true)));
        }
    }

    /// Revokes a key. A revocation is in force whatever the disk does, and its answer tells if it is durable.
    fn revoke(&mut self, text: String) {
        let id = self.model.keys[&text].0.clone();
        let live = self.live();
        let operator = live.ring.local_operator();
        let done =
            live.registry.revoke_key(&operator, &id, Revoke::Key).expect("a revocation is never refused");
        let in_trouble = live.registry.trouble().borrow().is_some();
        self.seen.reserved += u64::from(in_trouble && done.durable);
        if let Some((_, known)) = self.model.keys.get_mut(&text) {
            known.asked(false, done.durable);
        }
        self.revoked.insert(text);
        self.store_pending_revocations();
    }

    /// Makes a call, as the gateway counts it: taken from the plan, and entered in the server's book.
    fn call(&mut self) {
        let Some(text) = self.owner_key() else { return };
        let now = clock::believed();
        let live = self.live.as_mut().expect("it runs");
        let Ok(caller) = live.ring.authenticate(&text, now) else { return };
        if live.usage.answer(live.quotas.take(&caller)).is_ok() {
            *self.model.granted.entry(first_of_month(day_of(now))).or_default() += 1;
            self.model.calls += 1;
            self.model.ever += 1;
            self.days.insert(day_of(now));
            let (took, bytes) = (Duration::from_millis(3), (10, 20));
            let line = UsageSample { key: caller.key_id(), tool: "echo", outcome: "ok", took, bytes };
            live.book.enter(minute_of(now), line);
        }
    }

    /// Returns the text of the owner's key from its file; `None` if it cannot be read.
    fn owner_key(&mut self) -> Option<String> {
        let text = disk::read(self.dir.path().join("owner.key")).ok()?;
        Some(String::from_utf8(text).ok()?.trim().to_owned())
    }

    fn record(&mut self) {
        let target = format!("act {}", self.number);
        let failed = self.place.disk().failed;
        let entry = AuditEntry::of_daemon("simulated.act", &target, Outcome::Done);
        let live = self.live.as_ref().expect("it runs");
        let lost = live.audit.lost();
        let told = self.runtime.block_on(live.audit.record(entry));
        if told.is_ok() && live.audit.lost() == lost && live.audit.is_well() {
            self.seen.recorded_anyway += u64::from(self.place.disk().failed != failed);
            self.model.recorded.push(target);
        }
    }

    fn settle_usage(&mut self) {
        if self.live().usage.settle() {
            self.model.written = self.model.calls;
        }
    }

    fn plan_a_fault(&mut self) {
        let after = self.dice.below(8);
        let lasts = if self.dice.once_in(3) { 1 + self.dice.below(60) } else { 1 };
        let full = self.dice.once_in(2);
        self.place.disk().plan(Some(Fault { after, lasts, full }));
    }

    fn mend(&mut self) {
        self.probe();
        self.store_pending_revocations();
        assert!(!self.live().registry.owes(), "the disk is well and revocations are owed");
    }

    fn probe(&mut self) {
        self.place.disk().plan(None);
        // The refused changes are taken back now, or the store reports why it cannot be used. The first try may
        // find that the store keeps an error of usage.
        let probed = self.live().registry.probe().or_else(|_| self.live().registry.probe());
        assert!(probed.is_ok(), "the disk is well and the store is not: {probed:?}");
    }

    /// Sets the clock by minutes or hours while the daemon runs, unless the clock is steady.
    fn jump(&mut self) {
        if self.clock != Clock::Steady {
            self.set_clock(&[300, 3 * 3600]);
        }
    }

    fn set_clock(&mut self, by: &[u64]) {
        self.seen.jumps += 1;
        let by = by[self.dice.index(by.len())];
        let now = simulated::wall();
        simulated::set_wall(if self.dice.once_in(2) { now + by } else { now.saturating_sub(by).max(1) });
    }

    /// Sets the clock for a start: right, or wrong by days or years, as after an empty battery or from an old image.
    fn set_clock_for_a_start(&mut self) {
        simulated::set_wall(BEGIN + self.number * 20);
        if self.clock == Clock::Wild && self.dice.once_in(4) {
            self.set_clock(&[2 * DAY, 20 * DAY, 40 * DAY, 3 * 365 * DAY]);
        }
    }

    fn end_in_order(&mut self) {
        self.seen.ends += 1;
        let well = self.dice.once_in(2);
        if well {
            self.mend();
        }
        let Some(mut live) = self.live.take() else { return };
        let counted = live.usage.settle();
        live.usage.hour();
        clock::keep();
        let closed = live.usage.answer(live.quotas.close());
        self.runtime.block_on(live.audit.close());
        let settled = live.registry.shut_down();
        if settled.is_ok() {
            self.model.settle(live.registry.owes());
        }
        if counted {
            self.model.written = self.model.calls;
        }
        if well {
            assert!(
                counted && settled.is_ok() && closed.is_ok(),
                "an end in order on a disk that is well: {settled:?}"
            );
        }
        drop(live);
        self.start();
    }

    /// Ends the process; the kernel keeps what it has. Then starts again.
    fn kill(&mut self) {
        self.seen.kills += 1;
        self.stop_dead();
        self.place.disk().power_on();
        self.start();
    }

    /// Cuts the power, then starts again.
    fn cut(&mut self) {
        self.seen.cuts += 1;
        self.stop_dead();
        let cut = Cut::any(&mut self.dice);
        self.place.disk().cut(cut, &mut self.dice);
        // Counts are promised for the end of a process only; never are there more than calls.
        self.model.written = 0;
        self.model.granted.clear();
        self.start();
    }

    /// Stops all parts: nothing that they still do reaches the disk.
    fn stop_dead(&mut self) {
        self.place.disk().power_off();
        if let Some(live) = self.live.take() {
            self.runtime.block_on(live.audit.close());
        }
    }

    /// Starts, one time in four on a disk with a planned fault; if that fails, on a healthy one, where it must
    /// succeed.
    fn start(&mut self) {
        self.set_clock_for_a_start();
        self.revoked.clear();
        let aside = self.stores_moved_aside();
        self.place.disk().plan(None);
        if self.dice.once_in(4) {
            self.plan_a_fault();
            match self.open() {
                Ok(live) => self.live = Some(live),
                Err(_) => {
                    self.seen.failed_starts += 1;
                    self.place.disk().plan(None);
                }
            }
        }
        if self.live.is_none() {
            let opened = self.open();
            self.live =
                Some(opened.unwrap_or_else(|error| panic!("a start on a disk that is well: {error}")));
        }
        let restored = (self.stores_moved_aside() - aside) as u64;
        if restored > 0 {
            // Counts then go on from their last backup, which may include calls that a power cut has taken from
            // the store.
            self.model.calls = self.model.ever;
            self.seen.restored += restored;
            self.model.written = 0;
            self.model.granted.clear();
        }
        // From here on the state that the start has found is durable. It may include what the process before
        // was refusing when it ended, so the model settles nothing until it has looked.
        self.probe();
        self.look_at_what_is_kept();
        self.mend();
    }

    fn stores_moved_aside(&self) -> usize {
        let names = disk::read_dir(self.dir.path()).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("quarantine-") && !name.ends_with(".journal")).count()
    }

    fn open(&mut self) -> Result<Live, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let mut tenancy = Tenancy::default();
        let plan = Plan { monthly_requests: Some(QUOTA), ..(*tenancy.organization.plan).clone() };
        tenancy.plans.insert(plan.name.clone(), Arc::new(plan));
        tenancy.organization.plan = tenancy.plans[&tenancy.organization.plan.name].clone();
        let ring = KeyRing::new(tenancy.clone());
        let durable = DurableStore::open(&self.dir, |_| Ok(())).map_err(|error| text(&error))?;
        let (store, data_dir) = (durable.store().clone(), self.dir.path().to_owned());
        clock::begin(Arc::new(ClockFile::of(&data_dir)));
        let allowed = AllowedServers::Any;
        let settings = Settings { data_dir: data_dir.clone(), config_root: None, allowed };
        let mut registry =
            Registry::open(durable, settings, &ring, &PinBook::default()).map_err(|error| text(&error))?;
        let audit = audit::open(&data_dir, AuditSettings::default()).map_err(|error| text(&error))?;
        let (books, book) = (UsageBuffers::default(), Arc::<UsageBuffer>::default());
        books.insert(SERVER.into(), ("called".into(), book.clone()));
        let parts = ByHand::open(store, books, ring.clone(), data_dir).and_then(|mut usage| {
            let handle = usage.handle.clone();
            let quotas = usage.answer(Quotas::load(ring.clone(), handle))?;
            Ok((usage, quotas))
        });
        match parts {
            Ok((usage, quotas)) => Ok(Live { registry, ring, audit, usage, quotas, book }),
            Err(error) => {
                registry.run_maintenance();
                self.runtime.block_on(audit.close());
                Err(error.to_string())
            }
        }
    }

    /// Checks what must hold after every step.
    fn look_at_what_is_in_force(&mut self) {
        let now = simulated::wall();
        let live = self.live.as_ref().expect("it runs");
        for (text, (id, known)) in &self.model.keys {
            let works = live.ring.authenticate(text, now).is_ok();
            let may = known.acknowledged && !self.revoked.contains(text);
            assert!(may || !works, "key {id} was revoked and works: {known:?}");
        }
        let granted = &self.model.granted;
        assert!(granted.values().all(|calls| *calls <= QUOTA), "{granted:?} calls, {QUOTA} a month");
    }

    /// Checks what must hold after every start.
    fn look_at_what_is_kept(&mut self) {
        let now = simulated::wall();
        let live = self.live.as_mut().expect("it runs");
        let list = live.registry.list();
        for (name, known) in &mut self.model.servers {
            let found = list.by_name(name).map(|server| server.definition.args().concat());
            known.found(name, found);
        }
        for (text, (id, known)) in &mut self.model.keys {
            let works = live.ring.authenticate(text, now).is_ok();
            known.found(&format!("whether key {id} works"), works);
        }
        assert!(live.usage.settle(), "usage is written on a disk that is well");
        let counted = live.usage.calls(SERVER);
        let (written, calls) = (self.model.written, self.model.calls);
        assert!(counted >= written, "{written} calls were written, and {counted} are known");
        assert!(counted <= calls, "{calls} calls were made, and {counted} are known");
        if written > 0 {
            let days = live.usage.calls_of_days(SERVER, &self.days);
            assert!(days >= written, "of {written} calls that were written, {days} are left in days");
        }
        // Counts that were not written are gone with the process.
        (self.model.calls, self.model.written) = (counted, counted);
        let export = async { live.audit.export(AuditQuery::default()).await?.whole().await };
        let export = self.runtime.block_on(export).expect("readable");
        let mut lines = export.lines();
        for act in &self.model.recorded {
            let found = lines.any(|line| line.contains(&format!("\"{act}\"")));
            assert!(found, "{act:?} was acknowledged, and its line is gone");
        }
    }
}
