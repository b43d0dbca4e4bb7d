//! The circuit breaker of a server. After several unanswered calls in a row, further calls are refused at
//! once for a while; then one is let through as a probe. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// Maximum pause before the server is tried again, unless the configured pause is longer.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// State of the breaker, as calls meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// All calls are let through.
    Closed,
    /// No calls are let through until `until`.
    Open {
        /// Time from which one call is let through as a probe.
        until: Instant,
    },
    /// One call is let through to show whether the server answers.
    HalfOpen,
}

impl BreakerState {
    /// Returns the state's name, as in the API and the log.
    pub fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open { .. } => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }

    /// Returns the time until which no calls are let through; `None` if some are.
    pub fn until(self) -> Option<Instant> {
        match self {
            BreakerState::Open { until } => Some(until),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed { failures: u32 },
    Open { until: Instant, times: u32 },
    HalfOpen { times: u32, probing: bool },
}

/// Kind of a call that is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerPass {
    /// A call while the breaker is closed.
    Usual,
    /// The call that shows whether the server answers. Exactly one is out at a time.
    Probe,
}

/// Circuit breaker of one server; see the module documentation.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    pause: Duration,
    phase: Phase,
}

impl Breaker {
    /// Makes a breaker that opens after `threshold` failures in a row (0: never), for `pause` the first
    /// time.
    pub(super) fn new(threshold: u32, pause: Duration) -> Breaker {
        Breaker { threshold, pause, phase: Phase::Closed { failures: 0 } }
    }

    /// Changes the settings and keeps the state; a breaker that is switched off closes.
    pub(super) fn set(&mut self, threshold: u32, pause: Duration) {
        (self.threshold, self.pause) = (threshold, pause);
        if threshold == 0 {
            self.phase = Phase::Closed { failures: 0 };
        }
    }

    /// Lets a call through, or returns the time to wait before asking again.
    pub(super) fn pass(&mut self, now: Instant) -> Result<BreakerPass, Duration> {
        match self.phase {
            Phase::Closed { .. } => Ok(BreakerPass::Usual),
            Phase::Open { until, .. } if until > now => Err(until.duration_since(now)),
            Phase::Open { times, .. } | Phase::HalfOpen { times, probing: false } => {
                self.phase = Phase::HalfOpen { times, probing: true };
                Ok(BreakerPass::Probe)
            }
            // The duration of the probe is not known: it takes as long as a call takes.
            Phase::HalfOpen { probing: true, .. } => Err(Duration::from_secs(1)),
        }
    }

    /// Notes that the server has answered a call. Returns `true` if that closed the breaker.
    pub(super) fn succeeded(&mut self, pass: BreakerPass) -> bool {
        match (self.phase, pass) {
            (Phase::Closed { .. }, _) => self.phase = Phase::Closed { failures: 0 },
            (_, BreakerPass::Probe) => {
                self.phase = Phase::Closed { failures: 0 };
                return true;
            }
            // An answer to a call from before it opened: the probe decides.
            (_, BreakerPass::Usual) => {}
        }
        false
    }

    /// Notes that a call got no answer. Returns `true` if that opened the breaker.
    pub(super) fn failed(&mut self, pass: BreakerPass, now: Instant) -> bool {
        match (self.phase, pass) {
            (Phase::Closed { failures }, _) => {
                let failures = failures.saturating_add(1);
                self.phase = Phase::Closed { failures };
                if self.threshold > 0 && failures >= self.threshold {
                    self.open(1, now);
                    return true;
                }
            }
            (Phase::HalfOpen { times, .. } | Phase::Open { times, .. }, BreakerPass::Probe) => {
                self.open(times.saturating_add(1), now);
                return true;
            }
            (_, BreakerPass::Usual) => {}
        }
        false
    }

    /// Notes that a call ended without showing anything, for example because its caller left.
    pub(super) fn abandoned(&mut self, pass: BreakerPass) {
        if let (Phase::HalfOpen { times, .. }, BreakerPass::Probe) = (self.phase, pass) {
            self.phase = Phase::HalfOpen { times, probing: false };
        }
    }

    /// Notes that a new child is ready. Results of the child before it need not hold, so one call may probe
    /// at once.
    pub(super) fn renewed(&mut self) {
        match self.phase {
            Phase::Open { times, .. } => self.phase = Phase::HalfOpen { times, probing: false },
            Phase::Closed { .. } | Phase::HalfOpen { .. } => {}
        }
    }

    /// Returns the state that a call meets now.
    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { until, .. } if until > now => BreakerState::Open { until },
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn open(&mut self, times: u32, now: Instant) {
        let pause = self.pause.saturating_mul(1 << (times - 1).min(16)).min(MAX_PAUSE.max(self.pause));
        self.phase = Phase::Open { until: now + pause, times };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAUSE: Duration = Duration::from_secs(30);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(5, PAUSE);
        for nth in 1..=5 {
            assert_eq!(breaker.pass(now), Ok(BreakerPass::Usual));
            assert_eq!(breaker.failed(BreakerPass::Usual, now), nth == 5);
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_an_answer_in_between_does_not_count() {
        let now = Instant::now();
        let mut breaker = Breaker::new(5, PAUSE);
        for _ in 0..10 {
            for _ in 0..4 {
                breaker.failed(BreakerPass::Usual, now);
            }
            breaker.succeeded(BreakerPass::Usual);
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
        assert_eq!(opened(now).pass(now), Err(PAUSE));
    }

    #[test]
    fn after_the_pause_exactly_one_call_is_let_through_to_see() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let later = start + PAUSE;
        assert_eq!(breaker.pass(later), Ok(BreakerPass::Probe));
        assert!(breaker.pass(later).is_err());
        assert!(breaker.succeeded(BreakerPass::Probe));
        assert_eq!(breaker.pass(later), Ok(BreakerPass::Usual));
    }

    #[test]
    fn a_probe_that_fails_doubles_the_pause_up_to_five_minutes() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for seconds in [30, 60, 120, 240, 300, 300] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(breaker.pass(now), Err(pause));
            now += pause;
            assert_eq!(breaker.pass(now), Ok(BreakerPass::Probe));
            assert!(breaker.failed(BreakerPass::Probe, now));
        }
    }

    #[test]
    fn a_new_child_may_show_itself_at_once() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.renewed();
        assert_eq!(breaker.pass(now), Ok(BreakerPass::Probe));
        breaker.abandoned(BreakerPass::Probe);
        assert_eq!(breaker.pass(now), Ok(BreakerPass::Probe), "a caller who left showed nothing");
    }

    #[test]
    fn without_a_threshold_it_never_opens() {
        let now = Instant::now();
        let mut breaker = Breaker::new(0, PAUSE);
        assert!((0..100).all(|_| !breaker.failed(BreakerPass::Usual, now)));
        assert_eq!(breaker.pass(now), Ok(BreakerPass::Usual));
    }

    proptest! {
        #[test]
        fn there_is_never_a_second_probe(steps in proptest::collection::vec((0u8..6, 0u64..40), 0..200)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::new(3, PAUSE);
            let (mut usual, mut probes) = (0u32, 0u32);
            for (step, seconds) in steps {
                now += Duration::from_secs(seconds);
                match step {
                    0 | 1 => match breaker.pass(now) {
                        Ok(BreakerPass::Usual) => usual += 1,
                        Ok(BreakerPass::Probe) => probes += 1,
                        Err(wait) => prop_assert!(wait <= MAX_PAUSE && wait > Duration::ZERO),
                    },
                    2 if usual > 0 => { usual -= 1; breaker.failed(BreakerPass::Usual, now); }
                    3 if probes > 0 => { probes -= 1; breaker.failed(BreakerPass::Probe, now); }
                    4 if probes > 0 => { probes -= 1; breaker.abandoned(BreakerPass::Probe); }
                    4 if usual > 0 => { usual -= 1; breaker.succeeded(BreakerPass::Usual); }
                    5 => breaker.renewed(),
                    _ => {}
                }
                prop_assert!(probes <= 1);
            }
            if probes > 0 { breaker.succeeded(BreakerPass::Probe); }
            now += MAX_PAUSE;
            prop_assert!(breaker.pass(now).is_ok(), "it always opens again in the end");
        }
    }
}
