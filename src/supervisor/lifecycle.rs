//! The state machine of a replica: (state, event, now) to state and effects. No IO, no clock, no
//! randomness. There is at most one child at a time; events of an earlier child are ignored.

use std::time::{Duration, Instant};

use super::backoff;
use super::policy::RestartPolicy;
use super::start_limiter::Rank;
use super::status::{Cause, State};

/// Target state that the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredState {
    /// The replica should have a running child.
    Running,
    /// The replica should have no child.
    Stopped,
    /// The replica should have no child and should itself end.
    Removed,
}

/// Way in which a child ended, as far as the next step depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It ended because it was told to.
    Stopped,
    /// It ended without having been told to.
    Crashed(Cause),
    /// It ended unasked, before it had read anything of what it was sent. The way it was opened and the
    /// requests cannot be the reason.
    NeverRead(Cause),
    /// It cannot run until something is mended; trying again at once is pointless.
    Misconfigured(Cause),
    /// It is elsewhere and cannot be used now; time may heal that.
    Unavailable {
        /// Reason for the end.
        cause: Cause,
        /// Time that it wants to be left alone.
        pause: Duration,
    },
    /// It is elsewhere and refuses the credentials; nothing heals that but other ones.
    Unauthorized(Cause),
    /// It ran, but did not answer to the way it was opened; the other way may work.
    NotOpened {
        /// Reason for the end.
        cause: Cause,
        /// `true` if the child ended of its own accord, so that waiting before the other way is tried gains
        /// nothing.
        at_once: bool,
    },
}

/// Event that can happen to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The operator changed the target state.
    Wanted(DesiredState),
    /// A start is requested now; pending delays are cut short.
    Retry,
    /// The start brake granted a start.
    Granted {
        /// Number of the request that it answers.
        epoch: u64,
        /// Number for the child, larger than any before it.
        incarnation: u64,
    },
    /// The child takes calls.
    Ready {
        /// The number of the child.
        incarnation: u64,
    },
    /// The child missed its last probe, or answers again.
    Doubtful {
        /// The number of the child.
        incarnation: u64,
        /// `true` if it missed the probe, `false` if it answers again.
        doubtful: bool,
    },
    /// The child is about to end, unasked.
    Lost {
        /// The number of the child.
        incarnation: u64,
    },
    /// The child and its process tree have ended.
    Ended {
        /// The number of the child.
        incarnation: u64,
        /// Way in which it ended.
        ending: Ending,
    },
    /// A timer set by [`Effect::SetAlarm`] elapsed.
    Alarm {
        /// Number of the timer.
        epoch: u64,
    },
}

/// Action to take after an event; actions are performed in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the start brake for a start; it answers with [`Event::Granted`].
    AskStart {
        /// Number to return with the answer.
        epoch: u64,
        /// Rank among the starts that wait.
        rank: Rank,
    },
    /// Start a child process.
    Spawn {
        /// The number of the child.
        incarnation: u64,
        /// `true` to open it in the other way than usual, because the usual way failed the last time.
        otherwise: bool,
    },
    /// Stop the child by the stop ladder.
    StopChild,
    /// Set a timer that answers with [`Event::Alarm`].
    SetAlarm {
        /// Number to return with the answer.
        epoch: u64,
        /// Time at which the timer elapses.
        at: Instant,
    },
    /// The replica has ended.
    Finished,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Resting,
    Queued,
    Starting,
    Ready,
    /// Ready, but its last probe was not answered.
    Degraded,
    /// Its last child has ended cleanly and is not replaced.
    Over {
        cause: Cause,
    },
    /// `planned` is `false` if the child is ending by itself.
    Stopping {
        planned: bool,
    },
    Backoff {
        until: Instant,
        cause: Cause,
        hopeless: bool,
    },
    Unauthorized {
        until: Instant,
        cause: Cause,
    },
    Failed {
        cause: Cause,
    },
    Finished,
}

/// State of a replica and what it remembers of its children.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    wanted: DesiredState,
    phase: Phase,
    incarnation: u64,
    epoch: u64,
    failures: u32,
    /// Number of children in a row that failed without having been ready.
    failed_starts: u32,
    ready_since: Option<Instant>,
    /// Number of refusals of credentials in a row.
    refusals: u32,
    /// `true` if any child of this replica was ever ready.
    ever_ready: bool,
    /// `true` if the next child is opened in the other way than usual.
    otherwise: bool,
    futile: Futile,
    restart: RestartPolicy,
}

/// Count of children in a row that were never ready and ended in the same way.
#[derive(Debug, Clone, Default)]
struct Futile {
    last: Option<Cause>,
    times: u32,
    /// Number of them in a row, up to the last one, that had read nothing.
    unread: u32,
}

impl Futile {
    fn note(&mut self, ending: &Ending, cause: &Cause) {
        let same = self.last.as_ref().is_some_and(|last| last.is_like(cause));
        let one_more = |times: u32| if same { times.saturating_add(1) } else { 1 };
        self.times = one_more(self.times);
        self.unread = if matches!(ending, Ending::NeverRead(_)) { one_more(self.unread) } else { 0 };
        self.last = Some(cause.clone());
    }

    fn is_so(&self) -> bool {
        self.times >= backoff::FUTILE || self.unread >= backoff::FUTILE_UNREAD
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Lifecycle {
            wanted: DesiredState::Stopped,
            phase: Phase::Resting,
            incarnation: 0,
            epoch: 0,
            failures: 0,
            failed_starts: 0,
            ready_since: None,
            refusals: 0,
            ever_ready: false,
            otherwise: false,
            futile: Futile::default(),
            restart: RestartPolicy::Always,
        }
    }
}

impl Lifecycle {
    /// Reports whether the replica waits for the start brake.
    pub fn is_queued(&self) -> bool {
        self.phase == Phase::Queued
    }

    /// Sets whether children that end unasked from now on are replaced.
    pub fn set_restart(&mut self, restart: RestartPolicy) {
        self.restart = restart;
    }

    /// Takes an event and returns the actions to perform. `jitter` in `0..1` spreads restarts.
    pub fn on(&mut self, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        match event {
            Event::Wanted(wanted) => self.want(wanted),
            Event::Retry => self.retry(),
            Event::Granted { epoch, incarnation }
                if self.phase == Phase::Queued && epoch == self.epoch && incarnation > self.incarnation =>
            {
                self.incarnation = incarnation;
                self.ready_since = None;
                self.phase = Phase::Starting;
                vec![Effect::Spawn { incarnation: self.incarnation, otherwise: self.otherwise }]
            }
            Event::Ready { incarnation }
                if self.phase == Phase::Starting && incarnation == self.incarnation =>
            {
                self.phase = Phase::Ready;
                self.ready_since = Some(now);
                self.refusals = 0;
                self.ever_ready = true;
                self.failed_starts = 0;
                // The way that worked is the usual one from now on.
                self.otherwise = false;
                if self.failures == 0 {
                    return vec![];
                }
                // Failures count until it has served for a while, so that whoever watches them sees a crash loop as one
                // thing and not as one for each start.
                self.epoch += 1;
                vec![Effect::SetAlarm { epoch: self.epoch, at: now + backoff::RECOVERED_AFTER }]
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
            Event::Alarm { epoch } if self.waits() && epoch == self.epoch => {
                // A server that served well is missed; one that fails again and again may wait for those that have
                // not been tried.
                let is_missed = self.ready_since.is_some() && self.failures <= 1;
                self.queue(if is_missed { Rank::First } else { Rank::Restart })
            }
            Event::Alarm { epoch } if self.serves() && epoch == self.epoch => {
                self.failures = 0;
                vec![]
            }
            // The rest is about an earlier child, request or timer.
            Event::Granted { .. }
            | Event::Ready { .. }
            | Event::Doubtful { .. }
            | Event::Lost { .. }
            | Event::Ended { .. }
            | Event::Alarm { .. } => vec![],
        }
    }

    fn want(&mut self, wanted: DesiredState) -> Vec<Effect> {
        if self.wanted == DesiredState::Removed || self.wanted == wanted {
            return vec![];
        }
        self.wanted = wanted;
        match (&self.phase, wanted) {
            (Phase::Resting, DesiredState::Running) => self.queue(Rank::First),
            (
                Phase::Starting | Phase::Ready | Phase::Degraded,
                DesiredState::Stopped | DesiredState::Removed,
            ) => self.stop_child(),
            // The next step after a stopping child is decided when it has ended.
            (Phase::Stopping { .. } | Phase::Finished, _) | (_, DesiredState::Running) => vec![],
            (_, DesiredState::Stopped) => self.rest(),
            (_, DesiredState::Removed) => self.finish(),
        }
    }

    fn retry(&mut self) -> Vec<Effect> {
        match self.phase {
            Phase::Backoff { .. }
            | Phase::Unauthorized { .. }
            | Phase::Failed { .. }
            | Phase::Over { .. } => {
                (self.failures, self.failed_starts, self.refusals) = (0, 0, 0);
                self.otherwise = false;
                self.futile = Futile::default();
                self.queue(Rank::First)
            }
            // A child that is ending by itself counts as stopped now: no backoff after it.
            Phase::Stopping { .. } => {
                self.failures = 0;
                self.phase = Phase::Stopping { planned: true };
                vec![]
            }
            Phase::Resting
            | Phase::Queued
            | Phase::Starting
            | Phase::Ready
            | Phase::Degraded
            | Phase::Finished => vec![],
        }
    }

    fn ended(&mut self, ending: Ending, now: Instant, jitter: f64) -> Vec<Effect> {
        let planned = matches!(self.phase, Phase::Stopping { planned: true });
        let recovered =
            self.ready_since.is_some_and(|since| now.duration_since(since) >= backoff::RECOVERED_AFTER);
        if recovered {
            self.failures = 0;
        }
        let is_first_try = self.failures == 0 && !self.otherwise;
        if let Ending::NotOpened { .. } = ending {
            self.otherwise = !self.otherwise;
        }
        // What is elsewhere may be mended elsewhere at any time.
        let is_elsewhere = matches!(ending, Ending::Unavailable { .. } | Ending::Unauthorized(_));
        if let (false, Some(cause)) = (self.ever_ready || is_elsewhere, ending.cause()) {
            self.futile.note(&ending, cause);
        }
        match (self.wanted, ending) {
            (DesiredState::Removed, _) => self.finish(),
            (DesiredState::Stopped, _) => self.rest(),
            (DesiredState::Running, _) if planned => self.queue(Rank::First),
            (DesiredState::Running, Ending::NotOpened { at_once: true, .. }) if is_first_try => {
                self.queue(Rank::Again)
            }
            (DesiredState::Running, Ending::Misconfigured(cause)) => {
                self.wait(Phase::Failed { cause }, now + backoff::RECHECK)
            }
            (DesiredState::Running, Ending::Unauthorized(cause)) => {
                self.refusals = self.refusals.saturating_add(1);
                let until = now + backoff::after_refusals(self.refusals);
                self.wait(Phase::Unauthorized { until, cause }, until)
            }
            (DesiredState::Running, Ending::Unavailable { cause, pause }) => {
                self.failed(cause, Some(pause), now, jitter)
            }
            // What has served well is replaced at once. It is still a failure: a next one soon after waits.
            (
                DesiredState::Running,
                Ending::Crashed(cause) | Ending::NeverRead(cause) | Ending::NotOpened { cause, .. },
            ) => self.failed(cause, (!recovered).then_some(Duration::ZERO), now, jitter),
            // Stopped without a request of this replica: the requester wants it back with
            // `DesiredState::Running`.
            (DesiredState::Running, Ending::Stopped) => self.queue(Rank::First),
        }
    }

    /// Handles a child that has ended unasked: it is not replaced, or replaced after a delay of at least `pause`, at once for
    /// `None`.
    fn failed(&mut self, cause: Cause, pause: Option<Duration>, now: Instant, jitter: f64) -> Vec<Effect> {
        if self.is_left(&cause) {
            self.epoch += 1;
            self.phase = if is_clean(&cause) { Phase::Over { cause } } else { Phase::Failed { cause } };
            return vec![];
        }
        self.failures = self.failures.saturating_add(1);
        if self.ready_since.is_none() {
            self.failed_starts = self.failed_starts.saturating_add(1);
        }
        let hopeless = !self.ever_ready && self.futile.is_so();
        let delay = pause.map(|pause| backoff::delay(self.failures, hopeless, jitter).max(pause));
        let until = now + delay.unwrap_or_default();
        self.wait(Phase::Backoff { until, cause, hopeless }, until)
    }

    /// Reports whether a child with this cause of its end is not replaced.
    fn is_left(&self, cause: &Cause) -> bool {
        match self.restart {
            RestartPolicy::Always => false,
            RestartPolicy::OnFailure => is_clean(cause),
            RestartPolicy::Never => true,
        }
    }

    fn queue(&mut self, rank: Rank) -> Vec<Effect> {
        self.epoch += 1;
        self.phase = Phase::Queued;
        vec![Effect::AskStart { epoch: self.epoch, rank }]
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
        matches!(self.phase, Phase::Backoff { .. } | Phase::Unauthorized { .. } | Phase::Failed { .. })
    }

    /// Reports whether there is a child: starting, ready or stopping.
    pub fn has_child(&self) -> bool {
        self.runs() || matches!(self.phase, Phase::Stopping { .. })
    }

    /// Reports whether a child is stopping that nobody told to stop.
    pub fn ends_unasked(&self) -> bool {
        self.phase == Phase::Stopping { planned: false }
    }

    /// Returns the number of the current or last child; 0 before the first.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Returns the number of failed starts and crashes in a row: 0 once it has served for a minute. The first try of
    /// the other way does not count.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the number of failed starts in a row: children that were never ready.
    pub fn failed_starts(&self) -> u32 {
        self.failed_starts
    }

    /// Returns the state as an operator sees it.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Resting | Phase::Finished => State::Disabled,
            Phase::Over { cause } => State::Exited { cause: cause.clone() },
            Phase::Queued | Phase::Starting => State::Starting,
            Phase::Ready => State::Ready,
            Phase::Degraded => State::Degraded,
            Phase::Stopping { .. } => State::Stopping,
            Phase::Backoff { until, cause, hopeless } => State::Backoff {
                attempt: self.failures,
                until: *until,
                cause: cause.clone(),
                hopeless: *hopeless,
            },
            Phase::Unauthorized { until, cause } => {
                State::Unauthorized { until: *until, cause: cause.clone() }
            }
            Phase::Failed { cause } => State::Failed { cause: cause.clone() },
        }
    }
}

impl Ending {
    fn cause(&self) -> Option<&Cause> {
        match self {
            Ending::Stopped => None,
            Ending::Crashed(cause)
            | Ending::NeverRead(cause)
            | Ending::Misconfigured(cause)
            | Ending::Unauthorized(cause)
            | Ending::Unavailable { cause, .. }
            | Ending::NotOpened { cause, .. } => Some(cause),
        }
    }
}

/// Reports whether a child ended with exit code 0, as programs do that have finished their work.
fn is_clean(cause: &Cause) -> bool {
    matches!(cause.bare(), Cause::Exited { code: 0 })
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod otp_tests;
