//! The timeout of a start. Pure. A program has `start_timeout`, and more while it works and has written nothing yet, as
//! on a busy machine. A launcher such as `npx` first fetches and builds the server, and has `install_timeout` for it:
//! if it were ended half-way, it would have to begin anew.

use std::time::{Duration, Instant};

/// CPU time a tree must use between two looks to count as working.
const WORK: Duration = Duration::from_millis(500);
/// Multiple of `start_timeout` for which a launcher's tree, which may be a build, is left alone without a sign of work.
/// Also the longest time for a program that works all the time.
const MAX_IDLE_START_TIMEOUTS: u32 = 3;
/// Interval of the looks at a launcher.
pub(super) const LAUNCHER_LOOK: Duration = Duration::from_millis(500);
/// Number of looks at a program in half of `start_timeout`, the time without work after which the start is over.
const PROGRAM_LOOKS: u32 = 4;

/// Time the probe may go unanswered before `initialize` is sent too. The probe's answer may still count after that.
pub(super) const PROBE_GRACE: Duration = Duration::from_secs(5);
/// The same for a child that is still loading, which takes long on a busy machine.
const MAX_PROBE_GRACE: Duration = Duration::from_secs(30);
/// Interval of the looks that detect loading.
const LOADING_LOOK: Duration = Duration::from_secs(1);
/// Share of one CPU since the last look from which a child counts as loading.
const LOADING_SHARE: f64 = 0.1;

/// Observations of a tree at one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// `true` if anything came on stdout.
    pub(super) heard: bool,
    /// Number of processes in the tree.
    pub(super) processes: usize,
    /// CPU time they have used since they began.
    pub(super) cpu: Duration,
}

/// Result of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The start may go on; `launching` while the launcher is alone, so that nothing of the server runs yet.
    Going {
        /// `true` if the launcher is alone.
        launching: bool,
    },
    /// The time is up.
    Over {
        /// Length of that time.
        after: Duration,
        /// `true` if the launcher was still alone.
        launching: bool,
    },
}

/// The clock of one start, fed with looks at its tree.
#[derive(Debug)]
pub(super) struct StartClock {
    start_timeout: Duration,
    /// Timeout of a launcher's installation; `None` for a program.
    install_timeout: Option<Duration>,
    begun: Instant,
    /// Time of the last sign of progress, and the observations then.
    moved: (Instant, Seen),
}

impl StartClock {
    pub(super) fn new(
        start_timeout: Duration,
        install_timeout: Option<Duration>,
        now: Instant,
    ) -> StartClock {
        let nothing = Seen { heard: false, processes: 0, cpu: Duration::ZERO };
        StartClock { start_timeout, install_timeout, begun: now, moved: (now, nothing) }
    }

    /// Returns the longest time that a start can take.
    pub(super) fn longest(&self) -> Duration {
        match self.install_timeout {
            Some(install_timeout) => install_timeout.saturating_add(self.start_timeout),
            None => self.start_timeout.saturating_mul(MAX_IDLE_START_TIMEOUTS),
        }
    }

    /// Returns the time of the next look. A program is not looked at in the first half of its time.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        match self.install_timeout {
            Some(_) => now + LAUNCHER_LOOK,
            None => {
                let (first, apart) = (self.begun + self.half(), self.look_apart());
                let since = now.saturating_duration_since(first);
                let looks = since.as_nanos() / apart.as_nanos() + u128::from(now >= first);
                first + apart.saturating_mul(u32::try_from(looks).unwrap_or(u32::MAX))
            }
        }
    }

    /// Returns the interval of the looks at a program, at least 1 ms.
    fn look_apart(&self) -> Duration {
        (self.half() / PROGRAM_LOOKS).max(Duration::from_millis(1))
    }

    /// Rounds a program's time down to whole looks: the delay of the last one is of no interest to a reader.
    fn in_looks(&self, whole: Duration) -> Duration {
        let further = whole.saturating_sub(self.start_timeout);
        let look = self.look_apart();
        let looks = further.as_nanos() / look.as_nanos();
        self.start_timeout + look.saturating_mul(u32::try_from(looks).unwrap_or_default())
    }

    /// Returns the time without work or output that a program gets before it is over at `start_timeout`.
    fn half(&self) -> Duration {
        self.start_timeout / 2
    }

    pub(super) fn look(&mut self, seen: Seen, now: Instant) -> Judgement {
        let before = self.moved.1;
        let worked = seen.cpu.saturating_sub(before.cpu) >= WORK && !seen.heard;
        if seen.heard != before.heard || seen.processes != before.processes && !seen.heard || worked {
            self.moved = (now, seen);
        }
        let whole = now.saturating_duration_since(self.begun);
        let unmoved = now.saturating_duration_since(self.moved.0);
        let Some(install_timeout) = self.install_timeout else {
            return match whole >= self.longest() || whole >= self.start_timeout && unmoved >= self.half() {
                true => Judgement::Over { after: self.in_looks(whole), launching: false },
                false => Judgement::Going { launching: false },
            };
        };
        let launching = !seen.heard && seen.processes <= 1;
        let (after, limit) = match (launching, seen.heard) {
            (true, _) => (whole, install_timeout.max(self.start_timeout)),
            (false, true) => (unmoved, self.start_timeout),
            (false, false) => (unmoved, self.start_timeout.saturating_mul(MAX_IDLE_START_TIMEOUTS)),
        };
        match after >= limit || whole >= self.longest() {
            true => Judgement::Over { after: after.min(limit), launching },
            false => Judgement::Going { launching },
        }
    }
}

/// The time a child is left with the probe alone: its grace, and longer while it loads.
#[derive(Debug)]
pub(super) struct ProbeGrace {
    begun: Instant,
    /// Time of the last look, and the CPU time used by then; `None` before the first.
    last: Option<(Instant, Duration)>,
}

impl ProbeGrace {
    pub(super) fn new(now: Instant) -> ProbeGrace {
        ProbeGrace { begun: now, last: None }
    }

    /// Returns the time of the next look. The first one is before the grace ends, to have something to compare with.
    pub(super) fn next_look(&self) -> Instant {
        self.last.map_or(self.begun + PROBE_GRACE - LOADING_LOOK, |(at, _)| at + LOADING_LOOK)
    }

    /// Takes the CPU time the tree has used so far and reports whether the grace is over.
    pub(super) fn is_over(&mut self, cpu: Duration, now: Instant) -> bool {
        let Some((at, before)) = self.last.replace((now, cpu)) else { return false };
        let since = now.saturating_duration_since(at);
        let loads = cpu.saturating_sub(before) >= since.mul_f64(LOADING_SHARE);
        !loads || now.saturating_duration_since(self.begun) >= MAX_PROBE_GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks every second; returns the second in which the start is over, and `true` if the launcher was alone.
    fn over(seen: impl Fn(u32) -> Seen) -> (u32, bool) {
        over_of(Some(600 * SECOND), seen)
    }

    fn over_of(install_timeout: Option<Duration>, seen: impl Fn(u32) -> Seen) -> (u32, bool) {
        let begun = Instant::now();
        let mut clock = StartClock::new(60 * SECOND, install_timeout, begun);
        let over = (0..2_000).find_map(|second| match clock.look(seen(second), begun + second * SECOND) {
            Judgement::Over { launching, .. } => Some((second, launching)),
            Judgement::Going { .. } => None,
        });
        over.expect("no start takes for ever")
    }

    fn idle(processes: usize) -> Seen {
        Seen { heard: false, processes, cpu: Duration::ZERO }
    }

    #[test]
    fn a_launcher_that_is_alone_has_all_the_time_to_install() {
        assert_eq!(over(|_| idle(1)), (600, true));
    }

    #[test]
    fn what_it_has_started_is_left_alone_as_long_as_it_works() {
        assert_eq!(over(|second| idle(if second < 100 { 1 } else { 3 })), (280, false));
        let building = |second: u32| Seen { cpu: second * SECOND / 10, ..idle(2) };
        assert_eq!(over(building), (660, false), "up to a bound");
    }

    #[test]
    fn a_program_has_more_than_its_time_only_while_it_works_and_says_nothing() {
        let started = |second: u32| Seen { cpu: SECOND * second.min(2), ..idle(1) };
        assert_eq!(over_of(None, started), (60, false), "it did all it had to do");
        let starved = |second: u32| Seen { cpu: second * SECOND / 50, ..idle(1) };
        assert_eq!(over_of(None, starved), (180, false), "up to a bound");
        let done = |second: u32| Seen { cpu: second.min(100) * SECOND / 50, ..idle(1) };
        assert_eq!(over_of(None, done), (130, false), "half its time after it stopped");
        let idles = |second: u32| Seen { cpu: second * SECOND / 100, ..idle(1) };
        assert_eq!(over_of(None, idles).0, 80, "next to nothing is no work for long");
        let speaks = |second: u32| Seen { heard: second >= 50, cpu: second * SECOND, processes: 1 };
        assert_eq!(over_of(None, speaks), (80, false), "its lists have half its time");
        let babbles = |second: u32| Seen { heard: true, cpu: second * SECOND, processes: 1 };
        assert_eq!(over_of(None, babbles), (60, false));
    }

    #[test]
    fn a_probe_is_waited_for_alone_while_the_child_loads_and_not_without_end() {
        let over = |cpu: &dyn Fn(u32) -> Duration| {
            let begun = Instant::now();
            let mut grace = ProbeGrace::new(begun);
            loop {
                let now = grace.next_look();
                let second = u32::try_from((now - begun).as_secs()).expect("in no time");
                if grace.is_over(cpu(second), now) {
                    return second;
                }
            }
        };
        assert_eq!(over(&|_| SECOND), 5, "it sleeps");
        assert_eq!(over(&|second| SECOND * second), 30);
        assert_eq!(over(&|second| SECOND * second.min(12) / 8), 13, "it has loaded");
        assert_eq!(over(&|second| SECOND * second / 20), 5, "next to nothing");
    }

    #[test]
    fn a_program_is_looked_at_from_half_its_time_on() {
        let begun = Instant::now();
        let clock = StartClock::new(60 * SECOND, None, begun);
        let mut looks = vec![begun];
        (0..5).for_each(|_| looks.push(clock.next_look(looks[looks.len() - 1])));
        let half = SECOND / 2;
        assert_eq!(looks[1..], [60, 75, 90, 105, 120].map(|halves| begun + halves * half));
    }

    #[test]
    fn a_server_that_speaks_has_its_own_time_from_then_on() {
        let speaks = |second: u32| Seen { heard: second >= 300, cpu: second * SECOND, processes: 2 };
        assert_eq!(over(speaks), (360, false));
    }
}
