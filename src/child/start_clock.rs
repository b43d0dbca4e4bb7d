//! When a start has taken too long. Pure. A program has `start_timeout`; a launcher such as `npx` first
//! fetches and builds the server, and has `install_timeout` for it: whoever ends it half-way has it begin anew.

use std::time::{Duration, Instant};

/// How much a tree must have worked to be taken for one that gets on, in CPU time.
const WORK: Duration = Duration::from_millis(500);
/// What a launcher started may be a build, too: so many times `start_timeout` is it left alone without
/// a sign of work.
const PATIENCE: u32 = 3;

/// What is seen of a launcher's tree at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether anything came on stdout.
    pub(super) heard: bool,
    /// How many processes there are.
    pub(super) processes: usize,
    /// What they have used since they began.
    pub(super) cpu: Duration,
}

/// What a look says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It may go on; `launching` while the launcher is alone, so that nothing of the server runs yet.
    Going {
        /// Whether it is alone.
        launching: bool,
    },
    /// It has had its time.
    Over {
        /// How long that was.
        after: Duration,
        /// Whether the launcher was still alone.
        launching: bool,
    },
}

/// Looks at a launcher's tree now and then.
#[derive(Debug)]
pub(super) struct StartClock {
    start_timeout: Duration,
    install_timeout: Duration,
    begun: Instant,
    /// When it was last seen to get on, and what was seen then.
    moved: (Instant, Seen),
}

impl StartClock {
    pub(super) fn new(start_timeout: Duration, install_timeout: Duration, now: Instant) -> StartClock {
        let nothing = Seen { heard: false, processes: 0, cpu: Duration::ZERO };
        StartClock { start_timeout, install_timeout, begun: now, moved: (now, nothing) }
    }

    /// The longest time that a start can take.
    pub(super) fn longest(&self) -> Duration {
        self.install_timeout.saturating_add(self.start_timeout)
    }

    pub(super) fn look(&mut self, seen: Seen, now: Instant) -> Judgement {
        let before = self.moved.1;
        let worked = seen.cpu.saturating_sub(before.cpu) >= WORK && !seen.heard;
        if seen.heard != before.heard || seen.processes != before.processes && !seen.heard || worked {
            self.moved = (now, seen);
        }
        let launching = !seen.heard && seen.processes <= 1;
        let (since, limit) = match (launching, seen.heard) {
            (true, _) => (self.begun, self.install_timeout.max(self.start_timeout)),
            (false, true) => (self.moved.0, self.start_timeout),
            (false, false) => (self.moved.0, self.start_timeout.saturating_mul(PATIENCE)),
        };
        let after = now.saturating_duration_since(since);
        let whole = now.saturating_duration_since(self.begun);
        match after >= limit || whole >= self.longest() {
            true => Judgement::Over { after: after.min(limit), launching },
            false => Judgement::Going { launching },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks every second; the second in which it is over, and whether the launcher was alone.
    fn over(seen: impl Fn(u32) -> Seen) -> (u32, bool) {
        let begun = Instant::now();
        let mut clock = StartClock::new(60 * SECOND, 600 * SECOND, begun);
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
    fn a_server_that_speaks_has_its_own_time_from_then_on() {
        let speaks = |second: u32| Seen { heard: second >= 300, cpu: second * SECOND, processes: 2 };
        assert_eq!(over(speaks), (360, false));
    }
}
