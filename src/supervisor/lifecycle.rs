//! The state machine of a replica: (state, event, now) to state and effects. No IO, no clock, no
//! randomness. At most one child at a time; what comes from an earlier one is ignored.

use std::time::Instant;

use super::backoff;
use super::definition::RestartPolicy;
use super::status::{Cause, State};

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A running child.
    Running,
    /// No child.
    Stopped,
    /// No child, and no replica either.
    Removed,
}

/// How a child ended, as far as the next step depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// As it was told.
    Stopped,
    /// Unasked.
    Crashed(Cause),
    /// It cannot run until something is mended: trying again at once is pointless.
    Misconfigured(Cause),
    /// It ended on the era probe: it may run when it is not probed.
    GoneOnProbe(Cause),
}

/// Everything that can happen to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The operator wants something else.
    Wanted(Wanted),
    /// The operator wants a new child, or the definition has changed: try at once.
    Restart,
    /// The start brake gave way.
    Granted {
        /// Which request it answers.
        epoch: u64,
    },
    /// The child can be called.
    Ready {
        /// Which child.
        incarnation: u64,
    },
    /// The child did not answer its last probe, or does again.
    Doubtful {
        /// Which child.
        incarnation: u64,
        /// Whether it is in doubt.
        doubtful: bool,
    },
    /// The child is about to end, unasked.
    Lost {
        /// Which child.
        incarnation: u64,
    },
    /// The child and its tree are gone.
    Ended {
        /// Which child.
        incarnation: u64,
        /// How.
        ending: Ending,
    },
    /// An alarm rang.
    Alarm {
        /// Which one.
        epoch: u64,
    },
}

/// What is to be done because of an event, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the start brake; answer with [`Event::Granted`].
    AskStart {
        /// To be given back.
        epoch: u64,
    },
    /// Start a child.
    Spawn {
        /// Its number.
        incarnation: u64,
        /// Whether to skip the era probe.
        skip_probe: bool,
    },
    /// Stop the child, politely.
    StopChild,
    /// Ring at this time, with [`Event::Alarm`].
    SetAlarm {
        /// To be given back.
        epoch: u64,
        /// When.
        at: Instant,
    },
    /// The replica is over.
    Finished,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Resting,
    Queued,
    Starting,
    Ready,
    /// Ready, but it did not answer its last probe.
    Degraded,
    /// `planned` is false when the child is ending by itself.
    Stopping {
        planned: bool,
    },
    Backoff {
        until: Instant,
        cause: Cause,
    },
    Failed {
        cause: Cause,
    },
    Finished,
}

/// A replica's state.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    wanted: Wanted,
    phase: Phase,
    incarnation: u64,
    epoch: u64,
    failures: u32,
    ready_since: Option<Instant>,
    skip_probe: bool,
    restart: RestartPolicy,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Lifecycle {
            wanted: Wanted::Stopped,
            phase: Phase::Resting,
            incarnation: 0,
            epoch: 0,
            failures: 0,
            ready_since: None,
            skip_probe: false,
            restart: RestartPolicy::Always,
        }
    }
}

impl Lifecycle {
    /// A replica that goes on where an earlier one of the same server left off: numbers of
    /// children are never used twice.
    pub fn after(incarnation: u64) -> Lifecycle {
        Lifecycle { incarnation, ..Lifecycle::default() }
    }

    /// Whether it waits for the start brake.
    pub fn is_queued(&self) -> bool {
        self.phase == Phase::Queued
    }

    /// Says whether children that end unasked from now on are replaced.
    pub fn set_restart(&mut self, restart: RestartPolicy) {
        self.restart = restart;
    }

    /// Takes an event in. `jitter` in `0..1` spreads restarts.
    pub fn on(&mut self, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        match event {
            Event::Wanted(wanted) => self.want(wanted),
            Event::Restart => self.restart(),
            Event::Granted { epoch } if self.phase == Phase::Queued && epoch == self.epoch => {
                self.incarnation += 1;
                self.ready_since = None;
                self.phase = Phase::Starting;
                vec![Effect::Spawn { incarnation: self.incarnation, skip_probe: self.skip_probe }]
            }
            Event::Ready { incarnation }
                if self.phase == Phase::Starting && incarnation == self.incarnation =>
            {
                self.phase = Phase::Ready;
                self.ready_since = Some(now);
                vec![]
            }
            Event::Doubtful { incarnation, doubtful } if self.serves() && incarnation == self.incarnation => {
                self.phase = if doubtful { Phase::Degraded } else { Phase::Ready };
                vec![]
            }
            Event::Lost { incarnation } if self.runs() && incarnation == self.incarnation => {
                self.phase = Phase::Stopping { planned: false };
                vec![]
            }
            Event::Ended { incarnation, ending } if self.has_child() && incarnation == self.incarnation => {
                self.ended(ending, now, jitter)
            }
            Event::Alarm { epoch } if self.waits() && epoch == self.epoch => self.queue(),
            // What remains is about an earlier child, request or alarm.
            Event::Granted { .. }
            | Event::Ready { .. }
            | Event::Doubtful { .. }
            | Event::Lost { .. }
            | Event::Ended { .. }
            | Event::Alarm { .. } => vec![],
        }
    }

    fn want(&mut self, wanted: Wanted) -> Vec<Effect> {
        if self.wanted == Wanted::Removed || self.wanted == wanted {
            return vec![];
        }
        self.wanted = wanted;
        match (&self.phase, wanted) {
            (Phase::Resting, Wanted::Running) => self.queue(),
            (Phase::Starting | Phase::Ready | Phase::Degraded, Wanted::Stopped | Wanted::Removed) => {
                self.stop_child()
            }
            // What becomes of a stopping child is decided when it has ended.
            (Phase::Stopping { .. } | Phase::Finished, _) | (_, Wanted::Running) => vec![],
            (_, Wanted::Stopped) => self.rest(),
            (_, Wanted::Removed) => self.finish(),
        }
    }

    fn restart(&mut self) -> Vec<Effect> {
        self.failures = 0;
        self.skip_probe = false;
        match self.phase {
            Phase::Starting | Phase::Ready | Phase::Degraded => self.stop_child(),
            Phase::Backoff { .. } | Phase::Failed { .. } => self.queue(),
            // A child that is ending by itself counts as stopped now: no backoff after it.
            Phase::Stopping { .. } => {
                self.phase = Phase::Stopping { planned: true };
                vec![]
            }
            Phase::Resting if self.wanted == Wanted::Running => self.queue(),
            Phase::Resting | Phase::Queued | Phase::Finished => vec![],
        }
    }

    fn ended(&mut self, ending: Ending, now: Instant, jitter: f64) -> Vec<Effect> {
        let planned = matches!(self.phase, Phase::Stopping { planned: true });
        let recovered =
            self.ready_since.is_some_and(|since| now.duration_since(since) >= backoff::RECOVERED_AFTER);
        if recovered {
            self.failures = 0;
        }
        if self.ready_since.is_none() && speaks_otherwise(&ending) {
            // It ended on the probe for some other reason: without it, it does not speak at all.
            self.skip_probe = false;
        }
        match (self.wanted, ending) {
            (Wanted::Removed, _) => self.finish(),
            (Wanted::Stopped, _) => self.rest(),
            (Wanted::Running, _) if planned => self.queue(),
            (Wanted::Running, Ending::GoneOnProbe(_)) if !self.skip_probe => {
                self.skip_probe = true;
                self.queue()
            }
            (Wanted::Running, Ending::Misconfigured(cause)) => {
                self.wait(Phase::Failed { cause }, now + backoff::RECHECK)
            }
            (Wanted::Running, Ending::Crashed(cause) | Ending::GoneOnProbe(cause))
                if self.is_left(&cause) =>
            {
                self.epoch += 1;
                let clean = is_clean(&cause);
                self.phase = if clean { Phase::Resting } else { Phase::Failed { cause } };
                vec![]
            }
            (Wanted::Running, Ending::Crashed(cause) | Ending::GoneOnProbe(cause)) => {
                self.failures = self.failures.saturating_add(1);
                let until = now + backoff::delay(self.failures, jitter);
                self.wait(Phase::Backoff { until, cause }, until)
            }
            // Stopped without having been asked to: whoever did it wants it back by `Wanted::Running`.
            (Wanted::Running, Ending::Stopped) => self.queue(),
        }
    }

    /// Whether a child that ended so is not replaced.
    fn is_left(&self, cause: &Cause) -> bool {
        match self.restart {
            RestartPolicy::Always => false,
            RestartPolicy::OnFailure => is_clean(cause),
            RestartPolicy::Never => true,
        }
    }

    fn queue(&mut self) -> Vec<Effect> {
        self.epoch += 1;
        self.phase = Phase::Queued;
        vec![Effect::AskStart { epoch: self.epoch }]
    }

    fn wait(&mut self, phase: Phase, at: Instant) -> Vec<Effect> {
        self.epoch += 1;
        self.phase = phase;
        vec![Effect::SetAlarm { epoch: self.epoch, at }]
    }

    fn stop_child(&mut self) -> Vec<Effect> {
        self.phase = Phase::Stopping { planned: true };
        vec![Effect::StopChild]
    }

    fn rest(&mut self) -> Vec<Effect> {
        self.epoch += 1;
        self.failures = 0;
        self.phase = Phase::Resting;
        vec![]
    }

    fn finish(&mut self) -> Vec<Effect> {
        self.phase = Phase::Finished;
        vec![Effect::Finished]
    }

    fn runs(&self) -> bool {
        self.serves() || self.phase == Phase::Starting
    }

    fn serves(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Degraded)
    }

    fn waits(&self) -> bool {
        matches!(self.phase, Phase::Backoff { .. } | Phase::Failed { .. })
    }

    /// Whether there is a child, on its way up, up, or on its way down.
    pub fn has_child(&self) -> bool {
        self.runs() || matches!(self.phase, Phase::Stopping { .. })
    }

    /// Whether there is a child on its way down that nobody told to stop.
    pub fn ends_unasked(&self) -> bool {
        self.phase == Phase::Stopping { planned: false }
    }

    /// The number of the current or last child; 0 before the first.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The state as an operator sees it.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Resting | Phase::Finished if self.wanted == Wanted::Running => State::Idle,
            Phase::Resting | Phase::Finished => State::Disabled,
            Phase::Queued | Phase::Starting => State::Starting,
            Phase::Ready => State::Ready,
            Phase::Degraded => State::Degraded,
            Phase::Stopping { .. } => State::Stopping,
            Phase::Backoff { until, cause } => {
                State::Backoff { attempt: self.failures, until: *until, cause: cause.clone() }
            }
            Phase::Failed { cause } => State::Failed { cause: cause.clone() },
        }
    }
}

/// Whether a child ran but could not be talked to as it was.
fn speaks_otherwise(ending: &Ending) -> bool {
    matches!(ending, Ending::Crashed(Cause::Handshake { .. } | Cause::StartTimeout { .. }))
}

/// Whether a child ended as programs do that have done their work.
fn is_clean(cause: &Cause) -> bool {
    matches!(cause, Cause::Exited { code: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn crash() -> Ending {
        Ending::Crashed(Cause::Exited { code: 1 })
    }

    /// A replica with the world around it that does what it is told, at once.
    struct World {
        life: Lifecycle,
        now: Instant,
        alarm: Option<(u64, Instant)>,
        ask: Option<u64>,
        child: Option<u64>,
        stop_asked: bool,
        finished: bool,
        spawns: Vec<(Instant, bool)>,
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
            }
        }

        fn on(&mut self, event: Event) {
            for effect in self.life.on(event, self.now, 0.5) {
                match effect {
                    Effect::AskStart { epoch } => self.ask = Some(epoch),
                    Effect::Spawn { incarnation, skip_probe } => {
                        assert_eq!(self.child, None, "two children at once");
                        self.child = Some(incarnation);
                        self.stop_asked = false;
                        self.spawns.push((self.now, skip_probe));
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
                self.on(Event::Granted { epoch });
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
            world.on(Event::Wanted(Wanted::Running));
            world.grant();
            world
        }
    }

    #[test]
    fn a_child_that_always_exits_is_started_on_the_backoff_curve() {
        let mut world = World::started();
        let start = world.now;
        for _ in 0..7 {
            world.end(crash());
            assert_eq!(world.life.state().name(), "backoff");
            world.ring();
            world.grant();
        }
        let seconds: Vec<u64> =
            world.spawns.iter().map(|(at, _)| at.duration_since(start).as_secs()).collect();
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
        world.ready();
        world.now += 61 * SECOND;
        world.end(crash());
        assert_eq!(world.alarm.expect("an alarm").1.duration_since(world.now), SECOND);
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
            (OnFailure, clean(), "idle"),
            (OnFailure, failed(), "backoff"),
            (OnFailure, killed(), "backoff"),
            (Never, clean(), "idle"),
            (Never, failed(), "failed"),
            (Never, killed(), "failed"),
        ];
        for (restart, cause, expected) in table {
            let mut world = World::started();
            world.life.set_restart(restart);
            world.ready();
            world.end(Ending::Crashed(cause.clone()));
            assert_eq!(world.life.state().name(), expected, "{restart:?} {cause:?}");
            world.on(Event::Restart);
            world.ring();
            world.grant();
            assert_eq!(
                world.life.state(),
                State::Starting,
                "a manual restart always tries: {restart:?} {cause:?}"
            );
        }
    }

    #[test]
    fn a_configuration_fault_is_no_crash_and_is_looked_at_again_after_five_minutes() {
        let mut world = World::started();
        world.end(Ending::Misconfigured(Cause::Spawn { reason: "x".into() }));
        assert_eq!(world.life.state().name(), "failed");
        assert_eq!(world.alarm.expect("an alarm").1.duration_since(world.now), 300 * SECOND);
        world.on(Event::Restart);
        assert!(world.ask.is_some(), "an edit tries at once");
    }

    #[test]
    fn a_child_that_ends_on_the_probe_is_started_once_more_without_it() {
        let mut world = World::started();
        world.end(Ending::GoneOnProbe(Cause::Exited { code: 1 }));
        world.grant();
        assert_eq!(world.spawns.iter().map(|(_, skip)| *skip).collect::<Vec<_>>(), [false, true]);
        world.end(Ending::GoneOnProbe(Cause::Exited { code: 1 }));
        assert_eq!(world.life.state().name(), "backoff");
    }

    #[test]
    fn a_crash_during_the_probe_does_not_condemn_a_modern_server() {
        let mut world = World::started();
        world.end(Ending::GoneOnProbe(Cause::Exited { code: 1 }));
        world.grant();
        world.end(Ending::Crashed(Cause::Handshake { reason: "initialize was refused".into() }));
        world.ring();
        world.grant();
        assert_eq!(world.spawns.iter().map(|(_, skip)| *skip).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn stop_is_legal_in_every_state() {
        let reach: [fn(&mut World); 7] = [
            |_| {},
            |w| w.on(Event::Wanted(Wanted::Running)),
            |w| {
                w.on(Event::Wanted(Wanted::Running));
                w.grant()
            },
            |w| {
                w.on(Event::Wanted(Wanted::Running));
                w.grant();
                w.ready()
            },
            |w| {
                w.on(Event::Wanted(Wanted::Running));
                w.grant();
                w.end(crash())
            },
            |w| {
                w.on(Event::Wanted(Wanted::Running));
                w.grant();
                w.end(Ending::Misconfigured(Cause::Exited { code: 0 }))
            },
            |w| {
                w.on(Event::Wanted(Wanted::Running));
                w.grant();
                w.on(Event::Lost { incarnation: 1 })
            },
        ];
        for (index, reach) in reach.iter().enumerate() {
            for wanted in [Wanted::Stopped, Wanted::Removed] {
                let mut world = World::new();
                reach(&mut world);
                world.on(Event::Wanted(wanted));
                world.grant();
                world.ring();
                world.end(Ending::Stopped);
                assert_eq!(world.child, None, "state {index}");
                assert_eq!(world.life.state(), State::Disabled, "state {index}");
                assert_eq!(world.finished, wanted == Wanted::Removed, "state {index}");
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
        world.on(Event::Wanted(Wanted::Removed));
        world.end(Ending::Stopped);
        assert!(world.finished);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Want(u8),
        Restart,
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
            1 => Just(Step::Restart),
            3 => Just(Step::Grant),
            3 => Just(Step::Ready),
            1 => any::<bool>().prop_map(Step::Doubt),
            1 => Just(Step::Lost),
            3 => (0u8..4).prop_map(Step::End),
            3 => Just(Step::Ring),
            1 => (0u8..5, 0u64..20).prop_map(|(kind, n)| Step::Stale(kind, n)),
            1 => (0u64..100).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Whatever happens in whatever order, there is never a second child, and when things
        /// settle, what was last asked for holds.
        #[test]
        fn random_interleavings_end_with_what_was_last_asked_for(steps in proptest::collection::vec(step(), 0..60)) {
            let mut world = World::new();
            let mut last = Wanted::Stopped;
            for step in steps {
                match step {
                    Step::Want(0) => { last = Wanted::Running; world.on(Event::Wanted(last)) }
                    Step::Want(_) => { last = Wanted::Stopped; world.on(Event::Wanted(last)) }
                    Step::Restart => world.on(Event::Restart),
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
                    Step::End(_) => world.end(Ending::GoneOnProbe(Cause::Exited { code: 3 })),
                    Step::Ring => world.ring(),
                    Step::Stale(kind, n) => {
                        // Numbers that are not the current ones must change nothing.
                        let before = world.life.clone();
                        let epoch = before.epoch + 1 + n;
                        let incarnation = before.incarnation + 1 + n;
                        world.on(match kind {
                            0 => Event::Granted { epoch },
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
                Wanted::Running => prop_assert_eq!(state, State::Ready),
                _ => prop_assert_eq!(state, State::Disabled),
            }
            prop_assert_eq!(world.child.is_some(), last == Wanted::Running);
            world.on(Event::Wanted(Wanted::Removed));
            world.end(Ending::Stopped);
            prop_assert!(world.finished);
        }
    }
}
