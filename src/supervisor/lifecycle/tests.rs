//! Tests of the state machine, state by state and in random order.

use super::*;
use crate::long_or;
use proptest::prelude::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn crash() -> Ending {
    Ending::Crashed(Cause::Exited { code: 1 })
}

fn not_opened(code: i32) -> Ending {
    Ending::NotOpened { cause: Cause::Exited { code }, at_once: true }
}

/// Returns a crash unlike any other, so that it says nothing about the next one.
fn crash_for_a_new_reason(n: i32) -> Ending {
    Ending::Crashed(Cause::Exited { code: n })
}

/// A replica with surroundings that do as they are told at once.
struct World {
    life: Lifecycle,
    now: Instant,
    alarm: Option<(u64, Instant)>,
    ask: Option<u64>,
    child: Option<u64>,
    stop_asked: bool,
    finished: bool,
    spawns: Vec<(Instant, bool)>,
    ranks: Vec<Rank>,
}

impl World {
    fn new() -> World {
        World {
            life: Lifecycle::default(),
            now: Instant::now(),
            alarm: None,
            ask: None,
            child: None,
            stop_asked: false,
            finished: false,
            spawns: vec![],
            ranks: vec![],
        }
    }

    fn on(&mut self, event: Event) {
        for effect in self.life.on(event, self.now, 0.5) {
            match effect {
                Effect::AskStart { epoch, rank } => {
                    self.ask = Some(epoch);
                    self.ranks.push(rank);
                }
                Effect::Spawn { incarnation, otherwise } => {
                    assert_eq!(self.child, None, "two children at once");
                    self.child = Some(incarnation);
                    self.stop_asked = false;
                    self.spawns.push((self.now, otherwise));
                }
                Effect::StopChild => {
                    assert!(self.child.is_some(), "nothing to stop");
                    self.stop_asked = true;
                }
                Effect::SetAlarm { epoch, at } => self.alarm = Some((epoch, at)),
                Effect::Finished => self.finished = true,
            }
        }
    }

    fn grant(&mut self) {
        if let Some(epoch) = self.ask.take() {
            let incarnation = self.life.incarnation() + 1;
            self.on(Event::Granted { epoch, incarnation });
        }
    }

    fn end(&mut self, ending: Ending) {
        if let Some(incarnation) = self.child.take() {
            self.on(Event::Ended { incarnation, ending });
        }
    }

    fn ring(&mut self) {
        if let Some((epoch, at)) = self.alarm.take() {
            self.now = self.now.max(at);
            self.on(Event::Alarm { epoch });
        }
    }

    fn ready(&mut self) {
        if let Some(incarnation) = self.child {
            self.on(Event::Ready { incarnation });
        }
    }

    fn started() -> World {
        let mut world = World::new();
        world.on(Event::Wanted(DesiredState::Running));
        world.grant();
        world
    }
}

#[test]
fn a_child_that_always_exits_is_started_on_the_backoff_curve() {
    let mut world = World::started();
    let start = world.now;
    for n in 0..7 {
        world.end(crash_for_a_new_reason(n));
        assert_eq!(world.life.state().name(), "backoff");
        world.ring();
        world.grant();
    }
    let seconds: Vec<u64> = world.spawns.iter().map(|(at, _)| at.duration_since(start).as_secs()).collect();
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 63, 123]);
}

#[test]
fn a_child_that_dies_soon_after_ready_does_not_reset_the_backoff() {
    let mut world = World::started();
    for expected in [1, 2, 4, 8] {
        world.ready();
        world.now += 5 * SECOND;
        world.end(crash());
        let (_, at) = world.alarm.expect("an alarm");
        assert_eq!(at.duration_since(world.now), SECOND * expected);
        world.ring();
        world.grant();
    }
}

#[test]
fn a_child_that_served_for_a_minute_is_replaced_at_once_but_not_twice() {
    let mut world = World::started();
    let waited = |world: &World| world.alarm.expect("an alarm").1.duration_since(world.now);
    for n in 0..4 {
        world.end(crash_for_a_new_reason(n));
        world.ring();
        world.grant();
    }
    for _ in 0..2 {
        world.ready();
        world.now += 60 * SECOND;
        world.end(crash());
        assert_eq!((waited(&world), world.life.failures()), (Duration::ZERO, 1), "it is still a failure");
        world.ring();
        assert_eq!(world.ranks.last(), Some(&Rank::First), "it is missed");
        world.grant();
    }
    world.ready();
    world.now += 59 * SECOND;
    world.end(crash());
    assert_eq!((waited(&world), world.life.failures()), (2 * SECOND, 2));
    world.ring();
    assert_eq!(world.ranks.last(), Some(&Rank::Restart), "it may be in a crash loop");

    let mut single = World::new();
    single.life.set_restart(RestartPolicy::Never);
    single.on(Event::Wanted(DesiredState::Running));
    single.grant();
    single.ready();
    single.now += 60 * SECOND;
    single.end(crash());
    assert_eq!((single.life.state().name(), single.alarm), ("failed", None));
}

#[test]
fn an_elsewhere_that_goes_away_after_a_minute_is_not_asked_again_at_once() {
    let mut world = World::started();
    world.ready();
    world.now += 3600 * SECOND;
    world.end(Ending::Unavailable { cause: Cause::Exited { code: 1 }, pause: Duration::ZERO });
    assert_eq!(world.alarm.expect("an alarm").1.duration_since(world.now), SECOND, "others ask it, too");
}

#[test]
fn the_restart_policy_decides_by_how_the_child_ended() {
    use RestartPolicy::*;
    let clean = || Cause::Exited { code: 0 };
    let failed = || Cause::Exited { code: 3 };
    let killed = || Cause::Signalled { signal: 9 };
    let table: [(RestartPolicy, Cause, &str); 9] = [
        (Always, clean(), "backoff"),
        (Always, failed(), "backoff"),
        (Always, killed(), "backoff"),
        (OnFailure, clean(), "exited"),
        (OnFailure, failed(), "backoff"),
        (OnFailure, killed(), "backoff"),
        (Never, clean(), "exited"),
        (Never, failed(), "failed"),
        (Never, killed(), "failed"),
    ];
    for (restart, cause, expected) in table {
        let mut world = World::started();
        world.life.set_restart(restart);
        world.ready();
        world.end(Ending::Crashed(cause.clone()));
        assert_eq!(world.life.state().name(), expected, "{restart:?} {cause:?}");
        world.on(Event::Retry);
        world.ring();
        world.grant();
        assert_eq!(
            world.life.state(),
            State::Starting,
            "it is tried when somebody wants it: {restart:?} {cause:?}"
        );
    }
}

#[test]
fn a_configuration_fault_is_no_crash_and_is_tried_again_after_five_minutes() {
    let mut world = World::started();
    world.end(Ending::Misconfigured(Cause::Spawn { reason: "x".into() }));
    assert_eq!(world.life.state().name(), "failed");
    assert_eq!(world.alarm.expect("an alarm").1.duration_since(world.now), 300 * SECOND);
    world.on(Event::Retry);
    assert!(world.ask.is_some(), "an edit tries at once");
}

#[test]
fn a_child_that_ends_on_the_probe_is_started_once_more_without_it() {
    let mut world = World::started();
    world.end(not_opened(1));
    world.grant();
    assert_eq!(world.spawns.iter().map(|(_, skip)| *skip).collect::<Vec<_>>(), [false, true]);
    world.end(not_opened(1));
    assert_eq!(world.life.state().name(), "backoff");
}

#[test]
fn a_crash_during_the_probe_does_not_condemn_a_modern_server() {
    let mut world = World::started();
    world.end(not_opened(1));
    world.grant();
    let cause = Cause::Handshake { reason: "initialize was refused".into() };
    world.end(Ending::NotOpened { cause, at_once: true });
    world.ring();
    world.grant();
    assert_eq!(world.spawns.iter().map(|(_, skip)| *skip).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn failures_count_until_it_has_served_for_a_minute() {
    let mut world = World::started();
    for n in 0..3 {
        world.end(crash_for_a_new_reason(n));
        world.ring();
        world.grant();
    }
    world.ready();
    assert_eq!((world.life.state(), world.life.failures()), (State::Ready, 3), "it may end again at once");
    let ready = world.now;
    world.ring();
    assert_eq!((world.life.state(), world.life.failures()), (State::Ready, 0));
    assert_eq!(world.now.duration_since(ready), backoff::RECOVERED_AFTER);
    world.end(crash());
    assert_eq!(world.life.failures(), 1);
}

#[test]
fn a_child_that_cannot_be_opened_is_tried_in_both_ways_in_turn() {
    let mut world = World::started();
    for n in 0..4 {
        world.end(not_opened(n));
        world.ring();
        world.grant();
    }
    assert_eq!(
        world.spawns.iter().map(|(_, other)| *other).collect::<Vec<_>>(),
        [false, true, false, true, false]
    );
    assert_eq!(world.life.failures(), 3, "the first try of the other way does not count");
    assert_eq!(world.ranks, [Rank::First, Rank::Again, Rank::Restart, Rank::Restart, Rank::Restart]);
    world.ready();
    world.now += 60 * SECOND;
    world.end(crash());
    world.ring();
    world.grant();
    assert_eq!(
        world.spawns.last().map(|(_, other)| *other),
        Some(false),
        "the way that worked is the usual one"
    );
    assert_eq!(world.ranks.last(), Some(&Rank::First), "whoever served well is missed");
}

#[test]
fn a_start_that_took_too_long_counts_and_the_other_way_follows_a_pause() {
    let mut world = World::started();
    let cause = Cause::StartTimeout { phase: "initialize", after: 60 * SECOND, installing: false };
    world.end(Ending::NotOpened { cause, at_once: false });
    assert_eq!((world.life.state().name(), world.life.failures()), ("backoff", 1));
    world.ring();
    world.grant();
    assert!(world.spawns[1].1);
}

#[test]
fn what_ends_before_reading_a_word_is_tried_the_same_way_and_once_only() {
    let unread = |code| Ending::NeverRead(Cause::Exited { code });
    let mut world = World::started();
    for code in [1, 2, 2] {
        world.end(unread(code));
        world.ring();
        world.grant();
    }
    assert!(world.spawns.iter().all(|(_, otherwise)| !otherwise), "how it is opened is not to blame");
    let pauses: Vec<_> = world.spawns.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0)).collect();
    assert_eq!(pauses, [SECOND, 2 * SECOND, 375 * SECOND], "its end was another one at first");
    assert_eq!((world.life.failures(), world.life.failed_starts()), (3, 3));
    world.ready();
    for _ in 0..3 {
        world.end(unread(2));
        assert!(!matches!(world.life.state(), State::Backoff { hopeless: true, .. }), "it was ready once");
        world.ring();
        world.grant();
    }
}

#[test]
fn what_was_never_ready_and_ends_alike_each_time_is_left_alone_for_minutes() {
    let mut world = World::started();
    for _ in 0..3 {
        world.end(not_opened(1));
        world.ring();
        world.grant();
    }
    // The delay before the third start has just passed.
    assert_eq!(world.spawns[3].0.duration_since(world.spawns[2].0), 375 * SECOND);
    world.end(not_opened(2));
    let State::Backoff { hopeless, .. } = world.life.state() else { panic!("it failed") };
    assert!(!hopeless, "it ends in another way now");
    world.on(Event::Retry);
    world.grant();
    world.ready();
    for _ in 0..4 {
        world.end(not_opened(1));
        assert!(!matches!(world.life.state(), State::Backoff { hopeless: true, .. }), "it was ready once");
        world.ring();
        world.grant();
    }
}

#[test]
fn stop_is_legal_in_every_state() {
    let reach: [fn(&mut World); 7] = [
        |_| {},
        |w| w.on(Event::Wanted(DesiredState::Running)),
        |w| {
            w.on(Event::Wanted(DesiredState::Running));
            w.grant()
        },
        |w| {
            w.on(Event::Wanted(DesiredState::Running));
            w.grant();
            w.ready()
        },
        |w| {
            w.on(Event::Wanted(DesiredState::Running));
            w.grant();
            w.end(crash())
        },
        |w| {
            w.on(Event::Wanted(DesiredState::Running));
            w.grant();
            w.end(Ending::Misconfigured(Cause::Exited { code: 0 }))
        },
        |w| {
            w.on(Event::Wanted(DesiredState::Running));
            w.grant();
            w.on(Event::Lost { incarnation: 1 })
        },
    ];
    for (index, reach) in reach.iter().enumerate() {
        for wanted in [DesiredState::Stopped, DesiredState::Removed] {
            let mut world = World::new();
            reach(&mut world);
            world.on(Event::Wanted(wanted));
            world.grant();
            world.ring();
            world.end(Ending::Stopped);
            assert_eq!(world.child, None, "state {index}");
            assert_eq!(world.life.state(), State::Disabled, "state {index}");
            assert_eq!(world.finished, wanted == DesiredState::Removed, "state {index}");
        }
    }
}

#[test]
fn a_restart_that_hangs_leaves_the_replica_responsive() {
    let mut world = World::started();
    for _ in 0..100 {
        world.end(crash());
        world.ring();
        world.grant();
    }
    world.on(Event::Wanted(DesiredState::Removed));
    world.end(Ending::Stopped);
    assert!(world.finished);
}

#[derive(Debug, Clone)]
enum Step {
    Want(u8),
    Retry,
    Grant,
    Ready,
    Doubt(bool),
    Lost,
    End(u8),
    Ring,
    Stale(u8, u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0u8..2).prop_map(Step::Want),
        1 => Just(Step::Retry),
        3 => Just(Step::Grant),
        3 => Just(Step::Ready),
        1 => any::<bool>().prop_map(Step::Doubt),
        1 => Just(Step::Lost),
        3 => (0u8..5).prop_map(Step::End),
        3 => Just(Step::Ring),
        1 => (0u8..5, 0u64..20).prop_map(|(kind, n)| Step::Stale(kind, n)),
        1 => (0u64..100).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(long_or(1_500, 10_000)))]

    /// After any sequence of events there was never a second child, and when things settle, the last
    /// request holds.
    #[test]
    fn random_interleavings_end_with_what_was_last_asked_for(steps in proptest::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        let mut last = DesiredState::Stopped;
        for step in steps {
            match step {
                Step::Want(0) => { last = DesiredState::Running; world.on(Event::Wanted(last)) }
                Step::Want(_) => { last = DesiredState::Stopped; world.on(Event::Wanted(last)) }
                Step::Retry => world.on(Event::Retry),
                Step::Grant => world.grant(),
                Step::Ready => world.ready(),
                Step::Doubt(doubtful) => {
                    if let Some(incarnation) = world.child {
                        world.on(Event::Doubtful { incarnation, doubtful })
                    }
                }
                Step::Lost => if let Some(incarnation) = world.child { world.on(Event::Lost { incarnation }) },
                Step::End(0) => world.end(Ending::Stopped),
                Step::End(1) => world.end(crash()),
                Step::End(2) => world.end(Ending::Misconfigured(Cause::Exited { code: 2 })),
                Step::End(3) => world.end(Ending::NeverRead(Cause::Exited { code: 1 })),
                Step::End(_) => world.end(not_opened(3)),
                Step::Ring => world.ring(),
                Step::Stale(kind, n) => {
                    // Numbers that are not the current ones must change nothing.
                    let before = world.life.clone();
                    let epoch = before.epoch + 1 + n;
                    let incarnation = before.incarnation + 1 + n;
                    world.on(match kind {
                        0 => Event::Granted { epoch, incarnation },
                        1 => Event::Ready { incarnation },
                        2 => Event::Lost { incarnation },
                        3 => Event::Alarm { epoch },
                        _ => Event::Ended { incarnation, ending: crash() },
                    });
                    prop_assert_eq!(&world.life.phase, &before.phase);
                }
                Step::Pass(seconds) => world.now += SECOND * seconds as u32,
            }
            prop_assert_eq!(world.life.has_child(), world.child.is_some());
        }
        for _ in 0..4 {
            if world.stop_asked || matches!(world.life.phase, Phase::Stopping { .. }) { world.end(Ending::Stopped); }
            world.ring();
            world.grant();
        }
        world.ready();
        if let Some(incarnation) = world.child {
            world.on(Event::Doubtful { incarnation, doubtful: false });
        }
        let state = world.life.state();
        match last {
            DesiredState::Running => prop_assert_eq!(state, State::Ready),
            _ => prop_assert_eq!(state, State::Disabled),
        }
        prop_assert_eq!(world.child.is_some(), last == DesiredState::Running);
        world.on(Event::Wanted(DesiredState::Removed));
        world.end(Ending::Stopped);
        prop_assert!(world.finished);
    }
}
