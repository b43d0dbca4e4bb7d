//! Tests of a server's replicas while it is edited, called, left idle and loaded.

use std::collections::BTreeMap;

use super::super::policy::Replicas;
use super::*;
use crate::long_or;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

/// A server whose replicas do as they are told, when the test says so.
struct World {
    fleet: Fleet,
    policy: Policy,
    now: Instant,
    /// Number of each replica to its phase, and `true` if it was told to leave.
    replicas: BTreeMap<u64, (ReplicaPhase, bool)>,
    retried: Vec<u64>,
}

impl World {
    fn new(policy: Policy) -> World {
        let mut world = World {
            fleet: Fleet::new(),
            policy,
            now: Instant::now(),
            replicas: BTreeMap::new(),
            retried: Vec::new(),
        };
        world.define(true, true);
        world
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Add { number, .. } => {
                    assert!(
                        self.replicas.insert(number, (ReplicaPhase::Coming, false)).is_none(),
                        "a number twice"
                    );
                }
                Action::Leave { number } => {
                    let replica = self.replicas.get_mut(&number).expect("one that is there");
                    assert!(!std::mem::replace(&mut replica.1, true), "told to leave twice");
                }
                Action::Retry { number } => self.retried.push(number),
            }
        }
    }

    fn define(&mut self, runs: bool, new_child: bool) {
        let actions = self.fleet.define(&self.policy, runs, new_child);
        self.take(actions);
    }

    fn on_phase(&mut self, number: u64, doing: ReplicaPhase) {
        if let Some(replica) = self.replicas.get_mut(&number) {
            replica.0 = doing;
            let actions = self.fleet.on_phase(number, doing);
            self.take(actions);
        }
    }

    fn end(&mut self, number: u64) {
        if self.replicas.remove(&number).is_some() {
            let actions = self.fleet.gone(number);
            self.take(actions);
        }
    }

    fn look(&mut self, load: Load, later: Duration) {
        self.now += later;
        let actions = self.fleet.look(load, self.now);
        self.take(actions);
    }

    fn demand(&mut self) {
        let actions = self.fleet.demand();
        self.take(actions);
    }

    /// Returns the numbers of the replicas that were not told to leave.
    fn staying(&self) -> Vec<u64> {
        self.replicas.iter().filter(|(_, (_, leaving))| !leaving).map(|(number, _)| *number).collect()
    }

    fn serving(&self) -> usize {
        self.replicas.values().filter(|(doing, leaving)| *doing == ReplicaPhase::Serving && !leaving).count()
    }
}

fn on_demand() -> Policy {
    Policy { start: StartMode::OnDemand, idle_stop: 60 * SECOND, ..Policy::default() }
}

fn replicas(min: usize, max: usize) -> Policy {
    Policy { replicas: Replicas { min, max }, max_in_flight: 10, ..Policy::default() }
}

#[test]
fn an_edited_server_is_replaced_when_its_successor_serves_and_not_before() {
    let mut world = World::new(Policy::default());
    world.on_phase(0, ReplicaPhase::Serving);
    world.define(true, true);
    assert_eq!(world.staying(), [0, 1], "the old one serves on while the new one comes");
    world.on_phase(1, ReplicaPhase::Serving);
    assert_eq!(world.staying(), [1]);
    world.end(0);
    assert_eq!(world.staying(), [1]);
}

#[test]
fn a_failing_new_definition_leaves_the_old_one_serving() {
    let mut world = World::new(Policy::default());
    world.on_phase(0, ReplicaPhase::Serving);
    world.define(true, true);
    for _ in 0..5 {
        world.on_phase(1, ReplicaPhase::Coming);
    }
    assert_eq!(world.staying(), [0, 1]);
    world.on_phase(0, ReplicaPhase::Coming);
    assert_eq!(world.staying(), [0, 1], "a crash of the old one is mended by its own replica");
    world.define(true, true);
    assert_eq!(world.staying(), [2], "what does not serve goes at the next edit");
}

#[test]
fn a_replica_that_does_not_serve_goes_at_once_when_its_server_is_edited() {
    let mut world = World::new(Policy::default());
    world.define(true, true);
    assert_eq!(world.staying(), [1]);
}

#[test]
fn a_change_that_needs_no_new_child_keeps_it_and_tries_a_waiting_one() {
    let mut world = World::new(Policy::default());
    world.define(true, false);
    assert_eq!((world.staying(), world.retried.clone()), (vec![0], vec![0]));
    world.on_phase(0, ReplicaPhase::Serving);
    world.define(true, false);
    assert_eq!((world.staying(), world.retried.clone()), (vec![0], vec![0]));
}

#[test]
fn stop_first_waits_until_the_old_one_is_gone() {
    let mut world = World::new(Policy { update: UpdateMode::StopFirst, ..Policy::default() });
    world.on_phase(0, ReplicaPhase::Serving);
    world.define(true, true);
    assert_eq!(world.staying(), Vec::<u64>::new());
    world.end(0);
    assert_eq!(world.staying(), [1]);
}

#[test]
fn an_on_demand_server_runs_from_the_first_call_until_it_is_idle() {
    let mut world = World::new(on_demand());
    assert!(world.staying().is_empty() && world.fleet.look_every().is_none());
    world.demand();
    assert_eq!(world.staying(), [0]);
    world.on_phase(0, ReplicaPhase::Serving);
    world.look(Load { admitted: 1, ..Load::default() }, SECOND);
    world.look(Load { admitted: 1, in_flight: 1, queued: 0 }, 100 * SECOND);
    world.look(Load { admitted: 1, ..Load::default() }, SECOND);
    world.look(Load { admitted: 1, ..Load::default() }, 59 * SECOND);
    assert_eq!(world.staying(), [0], "a call that takes long is no idleness");
    world.look(Load { admitted: 1, ..Load::default() }, SECOND);
    assert!(world.staying().is_empty());
    world.end(0);
    world.demand();
    assert_eq!(world.staying(), [1]);
}

#[test]
fn an_on_demand_server_that_has_ended_in_order_rests_until_the_next_call() {
    let mut world = World::new(on_demand());
    world.demand();
    world.on_phase(0, ReplicaPhase::Over);
    assert!(world.staying().is_empty() && !world.fleet.is_wanted());
    world.demand();
    assert_eq!(world.staying(), [1]);
}

#[test]
fn a_busy_server_grows_and_a_slack_one_shrinks_within_its_range() {
    let mut world = World::new(replicas(1, 3));
    world.on_phase(0, ReplicaPhase::Serving);
    let full = |n: usize| Load { in_flight: 10 * n, queued: 3, admitted: 0 };
    world.look(full(1), SECOND);
    world.look(full(1), SECOND);
    assert_eq!(world.staying(), [0, 1]);
    world.look(full(1), SECOND);
    world.look(full(1), SECOND);
    assert_eq!(world.staying(), [0, 1], "a replica that is still coming is waited for");
    world.on_phase(1, ReplicaPhase::Serving);
    for _ in 0..4 {
        world.look(full(2), SECOND);
    }
    world.on_phase(2, ReplicaPhase::Serving);
    for _ in 0..4 {
        world.look(full(3), SECOND);
    }
    assert_eq!(world.staying(), [0, 1, 2], "never beyond the range");
    let slack = Load { in_flight: 1, queued: 0, admitted: 0 };
    world.look(slack, SECOND);
    world.look(slack, 29 * SECOND);
    assert_eq!(world.staying(), [0, 1, 2]);
    world.look(slack, SECOND);
    assert_eq!(world.staying(), [0, 1]);
    world.look(slack, 30 * SECOND);
    world.look(slack, 300 * SECOND);
    assert_eq!(world.staying(), [0]);
}

#[test]
fn an_edit_of_several_replicas_replaces_them_one_by_one() {
    let mut world = World::new(replicas(3, 3));
    (0..3).for_each(|number| world.on_phase(number, ReplicaPhase::Serving));
    world.define(true, true);
    assert_eq!(world.serving(), 3);
    for (number, expected) in [(3, 3), (4, 3), (5, 3)] {
        world.on_phase(number, ReplicaPhase::Serving);
        assert_eq!(world.serving(), expected, "never fewer than wanted");
    }
    assert_eq!(world.staying(), [3, 4, 5]);
}

#[derive(Debug, Clone)]
enum Step {
    Define { runs: bool, new_child: bool, policy: u8 },
    Move(usize, u8),
    End(usize),
    Crash(usize),
    Demand,
    Renew,
    Look { in_flight: usize, queued: usize, seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (any::<bool>(), any::<bool>(), 0u8..5).prop_map(|(runs, new_child, policy)| Step::Define { runs, new_child, policy }),
        5 => (0usize..8, 0u8..3).prop_map(|(nth, doing)| Step::Move(nth, doing)),
        3 => (0usize..8).prop_map(Step::End),
        1 => (0usize..8).prop_map(Step::Crash),
        2 => Just(Step::Demand),
        1 => Just(Step::Renew),
        2 => (0usize..40, 0usize..3, 0u64..100).prop_map(|(in_flight, queued, seconds)| Step::Look { in_flight, queued, seconds }),
    ]
}

fn policy(kind: u8) -> Policy {
    match kind {
        0 => Policy::default(),
        1 => on_demand(),
        2 => replicas(2, 2),
        3 => replicas(1, 4),
        _ => Policy { update: UpdateMode::StopFirst, ..replicas(2, 3) },
    }
}

#[test]
fn a_stopped_server_has_no_replicas_whoever_asks_until_it_is_started() {
    let mut world = World::new(Policy::default());
    let actions = world.fleet.stop();
    world.take(actions);
    let leave = |world: &World| world.replicas.values().filter(|(_, leaves)| !leaves).count();
    assert_eq!(leave(&world), 0);
    let actions = world.fleet.demand();
    world.take(actions);
    world.define(true, true);
    assert_eq!((leave(&world), world.fleet.is_stopped(), world.fleet.look_every()), (0, true, None));
    let actions = world.fleet.start(true);
    world.take(actions);
    assert_eq!(leave(&world), 1);
    let actions = world.fleet.stop();
    world.take(actions);
    world.define(false, false);
    world.define(true, false);
    assert_eq!((leave(&world), world.fleet.is_stopped()), (1, false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(long_or(1_500, 10_000)))]

    /// After any sequence of events: when things settle, the server has the right number of replicas of its
    /// last definition, or none if it should have none.
    #[test]
    fn random_interleavings_end_with_what_was_last_asked_for(steps in proptest::collection::vec(step(), 0..60)) {
        let mut world = World::new(Policy::default());
        let mut runs = true;
        for step in steps {
            let nth = |n: usize| world.replicas.keys().nth(n).copied();
            match step {
                Step::Define { runs: now, new_child, policy: kind } => {
                    runs = now;
                    world.policy = policy(kind);
                    world.define(now, new_child);
                }
                Step::Move(n, doing) => if let Some(number) = nth(n) {
                    world.on_phase(number, [ReplicaPhase::Coming, ReplicaPhase::Serving, ReplicaPhase::Over][usize::from(doing)]);
                }
                Step::End(n) => if let Some(number) = nth(n) && world.replicas[&number].1 { world.end(number) }
                Step::Crash(n) => if let Some(number) = nth(n) { world.end(number) }
                Step::Demand => world.demand(),
                Step::Renew => { let actions = world.fleet.renew(); world.take(actions) }
                Step::Look { in_flight, queued, seconds } =>
                    world.look(Load { in_flight, queued, admitted: 0 }, SECOND * seconds as u32),
            }
            // Apart from leaving replicas, there are never more than one generation beside the wanted ones.
            prop_assert!(world.staying().len() <= 2 * world.policy.replicas.max);
        }
        world.demand();
        for _ in 0..10 {
            let leaving: Vec<u64> = world.replicas.iter().filter(|(_, (_, leaving))| *leaving).map(|(n, _)| *n).collect();
            leaving.into_iter().for_each(|number| world.end(number));
            world.staying().into_iter().for_each(|number| world.on_phase(number, ReplicaPhase::Serving));
        }
        let range = world.policy.replicas;
        if runs {
            prop_assert!((range.min..=range.max).contains(&world.replicas.len()), "{:?}", world.replicas);
            prop_assert_eq!(world.serving(), world.replicas.len());
            let current = world.fleet.members.iter().all(|member| member.generation == world.fleet.generation);
            prop_assert!(current);
        } else {
            prop_assert!(world.replicas.is_empty(), "{:?}", world.replicas);
        }
        let actions = world.fleet.close();
        world.take(actions);
        prop_assert!(world.staying().is_empty());
    }
}
