//! The cases of OTP's `supervisor_SUITE` that a single replica can have and that are not among the tests
//! beside this file; `docs/supervision.md` maps ours to theirs. The tests use only the public interface of
//! the state machine.

use std::time::{Duration, Instant};

use super::super::policy::RestartPolicy;
use super::super::status::{Cause, State};
use super::{DesiredState, Effect, Ending, Event, Lifecycle};

const POLICIES: [RestartPolicy; 3] = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never];

fn exited(code: i32) -> Cause {
    Cause::Exited { code }
}

fn crashed() -> Ending {
    Ending::Crashed(exited(1))
}

/// A replica with its open requests. Nothing happens by itself.
struct Stage {
    life: Lifecycle,
    now: Instant,
    asked: Option<u64>,
    alarm: Option<(u64, Instant)>,
    spawned: u64,
    stops: u32,
    finished: u32,
}

impl Stage {
    fn new(restart: RestartPolicy) -> Stage {
        let mut life = Lifecycle::default();
        life.set_restart(restart);
        let now = Instant::now();
        Stage { life, now, asked: None, alarm: None, spawned: 0, stops: 0, finished: 0 }
    }

    fn started(restart: RestartPolicy) -> Stage {
        let mut stage = Stage::new(restart);
        stage.want(DesiredState::Running);
        stage.grant();
        stage
    }

    fn on(&mut self, event: Event) {
        for effect in self.life.on(event, self.now, 0.5) {
            match effect {
                Effect::AskStart { epoch, .. } => self.asked = Some(epoch),
                Effect::Spawn { .. } => self.spawned += 1,
                Effect::StopChild => self.stops += 1,
                Effect::SetAlarm { epoch, at } => self.alarm = Some((epoch, at)),
                Effect::Finished => self.finished += 1,
            }
        }
    }

    fn want(&mut self, wanted: DesiredState) {
        self.on(Event::Wanted(wanted));
    }

    fn retry(&mut self) {
        self.on(Event::Retry);
    }

    fn grant(&mut self) {
        if let Some(epoch) = self.asked.take() {
            let incarnation = self.life.incarnation() + 1;
            self.on(Event::Granted { epoch, incarnation });
        }
    }

    fn ready(&mut self) {
        self.on(Event::Ready { incarnation: self.life.incarnation() });
    }

    fn lost(&mut self) {
        self.on(Event::Lost { incarnation: self.life.incarnation() });
    }

    fn end(&mut self, ending: Ending) {
        self.on(Event::Ended { incarnation: self.life.incarnation(), ending });
    }

    fn ring(&mut self) {
        if let Some((epoch, at)) = self.alarm.take() {
            self.now = at;
            self.on(Event::Alarm { epoch });
        }
    }

    fn state(&self) -> &'static str {
        self.life.state().name()
    }

    /// Reports whether anything under way would start a child.
    fn starts_again(&mut self) -> bool {
        let before = self.spawned;
        self.ring();
        self.grant();
        self.spawned > before
    }
}

/// OTP: `permanent_shutdown`, `transient_shutdown`, `temporary_shutdown`. The third kind of exit: on
/// request.
#[test]
fn a_child_that_was_told_to_stop_is_not_replaced_whatever_the_policy() {
    for restart in POLICIES {
        for ending in [Ending::Stopped, Ending::Crashed(exited(0)), crashed()] {
            let mut stage = Stage::started(restart);
            stage.ready();
            stage.want(DesiredState::Stopped);
            stage.end(ending.clone());
            assert_eq!(stage.state(), "disabled", "{restart:?} {ending:?}");
            assert!(!stage.starts_again(), "{restart:?} {ending:?}");
        }
    }
}

/// OTP: `sup_start_normal`, `extra_return`.
#[test]
fn a_start_asks_spawns_once_and_is_ready_when_the_child_says_so() {
    let mut stage = Stage::new(RestartPolicy::Always);
    assert_eq!((stage.state(), stage.life.has_child()), ("disabled", false));
    stage.want(DesiredState::Running);
    assert_eq!((stage.state(), stage.spawned), ("starting", 0), "the brake decides when");
    stage.grant();
    assert_eq!((stage.state(), stage.spawned, stage.life.has_child()), ("starting", 1, true));
    stage.ready();
    assert_eq!(stage.state(), "ready");
}

/// OTP: `sup_start_ignore_init`, `sup_start_ignore_permanent_child` and similar. Our child cannot be
/// started as it is defined: the replica stays, without a child.
#[test]
fn a_child_that_cannot_be_started_as_defined_leaves_its_replica_in_place() {
    for restart in POLICIES {
        let mut stage = Stage::started(restart);
        stage.end(Ending::Misconfigured(exited(127)));
        assert_eq!((stage.state(), stage.life.has_child(), stage.finished), ("failed", false, 0));
        stage.retry();
        stage.grant();
        stage.ready();
        assert_eq!(stage.state(), "ready", "{restart:?}: once mended it starts");
    }
}

/// OTP: `sup_start_error_return`, `sup_start_fail`, `sup_start_child_returns_error`.
#[test]
fn a_start_that_fails_is_judged_by_the_policy_as_any_other_end() {
    let table = [
        (RestartPolicy::Always, "backoff", true),
        (RestartPolicy::OnFailure, "backoff", true),
        (RestartPolicy::Never, "failed", false),
    ];
    for (restart, state, again) in table {
        for cause in [
            exited(1),
            Cause::StartTimeout { phase: "initialize", after: Duration::from_secs(60), installing: false },
        ] {
            let mut stage = Stage::started(restart);
            stage.end(Ending::Crashed(cause));
            assert_eq!((stage.state(), stage.starts_again()), (state, again), "{restart:?}");
        }
    }
}

/// OTP: `sup_start_restart_child_returns_error`, `one_for_one_other_child_fails_restart`.
#[test]
fn a_restart_that_fails_is_tried_again_later_and_never_twice_at_once() {
    let mut stage = Stage::started(RestartPolicy::Always);
    stage.ready();
    let mut waits = Vec::new();
    for expected in 2..8 {
        stage.end(crashed());
        let (epoch, at) = stage.alarm.expect("one alarm");
        waits.push(at.duration_since(stage.now));
        stage.ring();
        // The same timer once more, as after a clock that jumped.
        stage.on(Event::Alarm { epoch });
        stage.grant();
        assert_eq!(stage.spawned, expected);
    }
    assert!(waits.is_sorted() && waits[0] < waits[4], "{waits:?}");
}

/// OTP: `hanging_restart_loop`, `hanging_restart_loop_simple`: a start that fails for ever leaves
/// the supervisor responsive, at every step of the loop.
#[test]
fn a_replica_whose_start_fails_for_ever_obeys_at_every_step() {
    let steps: [fn(&mut Stage); 4] = [|s| s.lost(), |s| s.end(crashed()), |s| s.ring(), |s| s.grant()];
    for turn in 1..20 {
        for stop_after in 0..steps.len() {
            for wanted in [DesiredState::Stopped, DesiredState::Removed] {
                let mut stage = Stage::started(RestartPolicy::Always);
                (0..turn).for_each(|_| steps.iter().for_each(|step| step(&mut stage)));
                steps[..=stop_after].iter().for_each(|step| step(&mut stage));
                stage.want(wanted);
                if stage.life.has_child() {
                    stage.end(Ending::Stopped);
                }
                let what = format!("turn {turn}, step {stop_after}, {wanted:?}");
                assert!(!stage.starts_again(), "{what}");
                assert_eq!((stage.state(), stage.life.has_child()), ("disabled", false), "{what}");
                assert_eq!(stage.finished, u32::from(wanted == DesiredState::Removed), "{what}");
            }
        }
    }
}

/// OTP: `multiple_restarts`: many ends in a short time, each of an earlier child or of this one.
#[test]
fn of_many_reports_of_ends_only_that_of_the_running_child_counts() {
    let mut stage = Stage::started(RestartPolicy::Always);
    for _ in 0..10 {
        stage.end(crashed());
        stage.ring();
        stage.grant();
    }
    stage.ready();
    let current = stage.life.incarnation();
    for incarnation in (0..current).chain([current + 1]) {
        stage.on(Event::Lost { incarnation });
        stage.on(Event::Ended { incarnation, ending: crashed() });
        stage.on(Event::Doubtful { incarnation, doubtful: true });
    }
    assert_eq!((stage.state(), stage.life.incarnation()), ("ready", current));
    stage.end(crashed());
    stage.end(crashed());
    let State::Backoff { attempt, .. } = stage.life.state() else { panic!("{}", stage.state()) };
    assert_eq!(attempt, 11, "one end is counted once");
}

/// OTP: `sup_stop_infinity`, `sup_stop_timeout`, `sup_stop_brutal_kill`, and a child that dies by itself
/// while it is being stopped. The ladder decides how long a stop takes; the replica asks once and waits for
/// the end.
#[test]
fn a_stop_is_asked_for_once_and_over_when_the_child_is() {
    for ending in [Ending::Stopped, Ending::Crashed(Cause::Signalled { signal: 9 }), crashed()] {
        let mut stage = Stage::started(RestartPolicy::Always);
        stage.ready();
        stage.want(DesiredState::Stopped);
        stage.want(DesiredState::Stopped);
        stage.want(DesiredState::Removed);
        stage.lost();
        assert_eq!(
            (stage.state(), stage.stops, stage.finished),
            ("stopping", 1, 0),
            "the child is still there"
        );
        stage.end(ending);
        assert_eq!((stage.finished, stage.life.has_child()), (1, false));
    }
}

/// OTP: `child_adm`, `child_adm_simple`: start, restart, terminate and delete, each also in states where it
/// makes no sense.
#[test]
fn orders_that_make_no_sense_change_nothing() {
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.retry();
    stage.want(DesiredState::Stopped);
    assert_eq!((stage.state(), stage.asked), ("disabled", None), "there is nothing to try again");
    stage.want(DesiredState::Running);
    stage.want(DesiredState::Running);
    stage.grant();
    stage.retry();
    stage.want(DesiredState::Running);
    stage.ready();
    stage.retry();
    assert_eq!((stage.state(), stage.spawned, stage.asked), ("ready", 1, None), "it is being done, or done");
    stage.want(DesiredState::Removed);
    stage.end(Ending::Stopped);
    for wanted in [DesiredState::Running, DesiredState::Stopped, DesiredState::Removed] {
        stage.want(wanted);
        stage.retry();
        assert!(!stage.starts_again(), "what was removed stays removed");
    }
    assert_eq!(stage.finished, 1);
}

/// OTP: `child_adm` (`restart_child` of a terminated one), `transient_normal` and the cases after it.
#[test]
fn a_child_that_was_left_is_started_when_somebody_wants_it() {
    for (restart, code, state) in [
        (RestartPolicy::OnFailure, 0, "exited"),
        (RestartPolicy::Never, 0, "exited"),
        (RestartPolicy::Never, 5, "failed"),
    ] {
        let mut stage = Stage::started(restart);
        stage.ready();
        stage.end(Ending::Crashed(exited(code)));
        assert_eq!((stage.state(), stage.life.has_child()), (state, false));
        assert!(!stage.starts_again(), "{restart:?}: nobody has asked");
        stage.retry();
        assert!(stage.starts_again(), "{restart:?}: somebody has");
    }
}

/// OTP: `count_restarting_children`: a child that waits for its restart does not count as running.
#[test]
fn a_replica_that_waits_has_no_child() {
    let mut stage = Stage::started(RestartPolicy::Always);
    stage.ready();
    stage.lost();
    assert!(stage.life.has_child() && stage.life.ends_unasked());
    stage.end(crashed());
    assert!(!stage.life.has_child());
    stage.ring();
    assert!(stage.life.is_queued() && !stage.life.has_child());
    stage.grant();
    assert!(!stage.life.is_queued() && stage.life.has_child());
}

/// Not in OTP, whose restarts take no time: wanted again while the old child still stops.
#[test]
fn wanted_again_while_it_stops_it_comes_back_once_and_at_once() {
    let mut stage = Stage::started(RestartPolicy::Never);
    stage.ready();
    for _ in 0..3 {
        stage.want(DesiredState::Stopped);
        stage.want(DesiredState::Running);
    }
    assert_eq!((stage.state(), stage.spawned, stage.stops), ("stopping", 1, 1), "never two at once");
    stage.end(Ending::Crashed(Cause::Signalled { signal: 15 }));
    assert_eq!(stage.alarm, None, "no backoff after a stop that was asked for");
    stage.grant();
    assert_eq!((stage.state(), stage.spawned), ("starting", 2));
}

/// Not in OTP: a permit to start that arrives when nobody needs it any more.
#[test]
fn a_permission_for_an_earlier_request_starts_nothing() {
    let mut stage = Stage::new(RestartPolicy::Always);
    stage.want(DesiredState::Running);
    let early = stage.asked.expect("asked");
    stage.want(DesiredState::Stopped);
    stage.on(Event::Granted { epoch: early, incarnation: 1 });
    assert_eq!((stage.state(), stage.spawned), ("disabled", 0));
    stage.want(DesiredState::Running);
    stage.on(Event::Granted { epoch: early, incarnation: 1 });
    assert_eq!(stage.spawned, 0, "that was for the first request");
    stage.grant();
    assert_eq!(stage.spawned, 1);
}
