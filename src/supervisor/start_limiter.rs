//! The global start brake. However many servers crash at once, only a few start at a time, more only for as long as the
//! machine has nothing to wait for, and of those that failed only some in a second. Servers that were never tried go before
//! servers that have failed.

mod pressure;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::pressure::Pressure;

/// Time between two looks at the machine and at the pace, while a start waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Number of times the limit of the settings that may be under way on an idle machine.
const WIDEST: usize = 8;

/// Limits of the start brake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartLimits {
    /// Number of starts that may be under way at once; 0 counts as 1. While nothing on the machine waits for a processor,
    /// memory or a disk there may be more, up to eight times as many.
    pub concurrent: usize,
    /// Maximum number of starts that may begin in a second of servers that failed before; 0 counts as 1.
    pub per_second: u32,
}

impl Default for StartLimits {
    fn default() -> Self {
        StartLimits { concurrent: 4, per_second: 10 }
    }
}

/// Order in which waiting starts are let through, the smallest first; equal ranks go in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A start that follows directly on one that has just ended, to open the child in the other way.
    Again,
    /// A first start, one that was asked for, or one in place of a child that served well.
    First,
    /// A further attempt after a failed start, or after failures in a row. Only of these some in a second.
    Restart,
}

/// Pace of starts. Pure.
#[derive(Debug)]
struct Pacer {
    gap: Duration,
    /// Time by which a burst may run ahead of an even pace.
    burst: Duration,
    next: Option<Instant>,
}

impl Pacer {
    fn new(per_second: u32) -> Pacer {
        let gap = Duration::from_secs(1) / per_second.max(1);
        Pacer { gap, burst: gap * (per_second.max(1) - 1), next: None }
    }

    /// Takes a start that begins now, unless there were too many of late.
    fn take(&mut self, now: Instant) -> bool {
        // `next` is the time of the next start at an even pace; a burst may begin earlier by `burst`.
        let even = self.next.map_or(now, |next| next.max(now));
        let may = even.checked_sub(self.burst).is_none_or(|early| early <= now);
        if may {
            self.next = Some(even + self.gap);
        }
        may
    }
}

/// Number of starts that may be under way. Pure.
#[derive(Debug)]
struct Width {
    least: usize,
    now: usize,
}

impl Width {
    fn new(least: usize) -> Width {
        Width { least, now: least }
    }

    /// Allows a few more on an idle machine, and on a busy one no more than the settings do.
    fn look(&mut self, is_idle: bool) {
        let more = (self.now + self.least.div_ceil(4)).min(self.least.saturating_mul(WIDEST));
        self.now = if is_idle { more } else { self.least };
    }
}

/// A position in the line: the rank, and a number that counts up.
type QueuePosition = (Rank, u64);

/// The starts under way, and the waiting ones in the order in which they are let through.
struct StartQueue {
    under_way: usize,
    width: Width,
    waiting: BTreeMap<QueuePosition, oneshot::Sender<StartPermit>>,
    last: u64,
    pacer: Pacer,
    /// `true` while somebody looks whether more may go.
    is_watched: bool,
}

impl StartQueue {
    /// Takes the next one out of the line, if it may go now.
    fn next(&mut self, now: Instant) -> Option<oneshot::Sender<StartPermit>> {
        if self.under_way >= self.width.now {
            return None;
        }
        let first = self.waiting.first_entry()?;
        if first.key().0 == Rank::Restart && !self.pacer.take(now) {
            return None;
        }
        self.under_way += 1;
        Some(first.remove())
    }

    /// Takes what the machine shows into account; `false` when nobody waits any more.
    fn look(&mut self, is_idle: bool) -> bool {
        self.is_watched = !self.waiting.is_empty();
        self.width.look(is_idle && self.is_watched);
        self.is_watched
    }
}

/// Shared handle that hands out starts. Cheap to clone.
#[derive(Clone)]
pub(super) struct StartLimiter(Arc<Mutex<StartQueue>>);

/// Permit for a start under way; drop it when the child is ready or has failed.
pub(super) struct StartPermit(Option<StartLimiter>);

impl Drop for StartPermit {
    fn drop(&mut self) {
        if let Some(brake) = self.0.take() {
            brake.line().under_way -= 1;
            brake.let_through(Instant::now());
        }
    }
}

/// A position in the line, or a start that was granted at once.
pub(super) struct QueuedStart {
    brake: StartLimiter,
    place: QueuePosition,
    granted: oneshot::Receiver<StartPermit>,
}

/// Read-only view of a position in the line. Cheap to clone.
#[derive(Clone)]
pub struct QueuedStartView {
    brake: StartLimiter,
    place: QueuePosition,
}

impl StartLimiter {
    pub(super) fn new(settings: StartLimits) -> StartLimiter {
        StartLimiter(Arc::new(Mutex::new(StartQueue {
            under_way: 0,
            width: Width::new(settings.concurrent.max(1)),
            waiting: BTreeMap::new(),
            last: 0,
            pacer: Pacer::new(settings.per_second),
            is_watched: false,
        })))
    }

    fn line(&self) -> MutexGuard<'_, StartQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a position in the line, or a start at once if there may be one.
    pub(super) fn stand_in_line(&self, rank: Rank) -> QueuedStart {
        let (grant, granted) = oneshot::channel();
        let mut line = self.line();
        line.last += 1;
        let place = (rank, line.last);
        line.waiting.insert(place, grant);
        drop(line);
        self.let_through(Instant::now());
        QueuedStart { brake: self.clone(), place, granted }
    }

    /// Lets through whoever may go now. Skips those that have left in the meantime.
    fn let_through(&self, now: Instant) {
        loop {
            // The lock is released before anything is sent.
            let next = self.line().next(now);
            let Some(grant) = next else { return };
            if let Err(mut unused) = grant.send(StartPermit(Some(self.clone()))) {
                unused.0 = None;
                self.line().under_way -= 1;
            }
        }
    }

    /// Has somebody look whether more may go, if anything waits.
    fn watch(&self) {
        let mut line = self.line();
        if line.waiting.is_empty() || line.is_watched {
            return;
        }
        line.is_watched = true;
        drop(line);
        tokio::spawn(self.clone().watched());
    }

    /// Looks at the machine and at the pace until nobody waits.
    async fn watched(self) {
        let mut pressure = Pressure::default();
        loop {
            let now = Instant::now();
            let is_idle = pressure.is_low(now, pressure::stalled());
            if !self.line().look(is_idle) {
                return;
            }
            self.let_through(now);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl QueuedStart {
    /// Returns a view of this position.
    pub(super) fn view(&self) -> QueuedStartView {
        QueuedStartView { brake: self.brake.clone(), place: self.place }
    }

    /// Waits until the start is granted.
    pub(super) async fn granted(mut self) -> StartPermit {
        self.brake.watch();
        // The sender stays in the line until it sends. If it were lost, starting would be better than never
        // starting.
        (&mut self.granted).await.unwrap_or(StartPermit(None))
    }
}

impl Drop for QueuedStart {
    fn drop(&mut self) {
        // Drops the removed entry only after the lock is released.
        let left = self.brake.line().waiting.remove(&self.place);
        drop(left);
    }
}

impl QueuedStartView {
    /// Returns the number of starts before this one; `None` once it is its turn.
    pub fn before(&self) -> Option<usize> {
        let line = self.brake.line();
        line.waiting.contains_key(&self.place).then(|| line.waiting.range(..self.place).count())
    }
}

impl fmt::Debug for QueuedStartView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TurnView").field(&self.place).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_second_has_more_restarts_than_allowed_after_the_first_burst() {
        let mut pacer = Pacer::new(10);
        let start = Instant::now();
        let begun = |pacer: &mut Pacer, ms: u64| {
            (0..50).filter(|_| pacer.take(start + Duration::from_millis(ms))).count()
        };
        assert_eq!(begun(&mut pacer, 0), 10, "a burst");
        let later: usize = (1..=20).map(|look| begun(&mut pacer, look * 50)).sum();
        assert_eq!(later, 10, "then an even pace");
        assert_eq!(begun(&mut pacer, 60_000), 10, "an idle time allows a new burst");
    }

    fn taken(turn: &mut QueuedStart) -> Option<StartPermit> {
        turn.granted.try_recv().ok()
    }

    fn is_granted(turn: &mut QueuedStart) -> bool {
        // Leaked on purpose: dropping the permit would pass the start on to the next.
        taken(turn).map(std::mem::forget).is_some()
    }

    #[test]
    fn only_what_failed_waits_for_the_pace_and_holds_nobody_up() {
        let brake = StartLimiter::new(StartLimits { concurrent: 100, per_second: 2 });
        let mut restarts: Vec<QueuedStart> = (0..5).map(|_| brake.stand_in_line(Rank::Restart)).collect();
        assert_eq!(restarts.iter_mut().filter_map(|turn| is_granted(turn).then_some(())).count(), 2);
        let mut firsts: Vec<QueuedStart> = (0..50).map(|_| brake.stand_in_line(Rank::First)).collect();
        assert!(firsts.iter_mut().all(is_granted));
        assert_eq!(restarts[4].view().before(), Some(2));
        brake.let_through(Instant::now() + Duration::from_secs(1));
        assert_eq!(restarts.iter_mut().filter_map(|turn| is_granted(turn).then_some(())).count(), 2);
    }

    #[test]
    fn an_idle_machine_starts_more_at_a_time_and_a_busy_one_as_many_as_is_set() {
        let brake = StartLimiter::new(StartLimits { concurrent: 4, per_second: 10 });
        let mut turns: Vec<QueuedStart> = (0..60).map(|_| brake.stand_in_line(Rank::First)).collect();
        let mut granted = |brake: &StartLimiter| {
            brake.let_through(Instant::now());
            turns.iter_mut().filter_map(taken).collect::<Vec<_>>()
        };
        let mut under_way = granted(&brake);
        assert_eq!(under_way.len(), 4);
        for _ in 0..3 {
            assert!(brake.line().look(true));
            under_way.extend(granted(&brake));
        }
        assert_eq!(under_way.len(), 7);
        for _ in 0..100 {
            brake.line().look(true);
        }
        under_way.extend(granted(&brake));
        assert_eq!(under_way.len(), 32, "never more than eight times as many");
        brake.line().look(false);
        under_way.truncate(4);
        assert_eq!(granted(&brake).len(), 0, "nobody until there are as few as is set");
        drop(under_way.pop());
        assert_eq!(granted(&brake).len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_nobody_is_forgotten_and_no_place_is_lost(
            steps in proptest::collection::vec((0u8..5, any::<prop::sample::Index>()), 1..80),
        ) {
            let brake = StartLimiter::new(StartLimits { concurrent: 2, per_second: 1_000_000 });
            let (mut turns, mut permits) = (Vec::new(), Vec::new());
            for (step, which) in steps {
                match step {
                    0 => turns.push(brake.stand_in_line(Rank::First)),
                    1 => turns.push(brake.stand_in_line(Rank::Restart)),
                    2 if !turns.is_empty() => drop(turns.swap_remove(which.index(turns.len()))),
                    3 if !permits.is_empty() => drop(permits.swap_remove(which.index(permits.len()))),
                    _ => drop(brake.line().look(step == 4)),
                }
                permits.extend(turns.iter_mut().filter_map(taken));
                prop_assert_eq!(brake.line().under_way, permits.len());
                prop_assert!(permits.len() <= 16);
                prop_assert!(brake.line().waiting.is_empty() || !permits.is_empty());
            }
            drop((turns, permits));
            let line = brake.line();
            prop_assert!(line.under_way == 0 && line.waiting.is_empty());
        }
    }

    #[test]
    fn first_starts_go_before_restarts_and_what_goes_on_before_all() {
        let brake = StartLimiter::new(StartLimits { concurrent: 1, per_second: 1000 });
        let mut running = brake.stand_in_line(Rank::First);
        let permit = running.granted.try_recv().expect("the first is let through at once");
        let mut restart = brake.stand_in_line(Rank::Restart);
        let mut first = brake.stand_in_line(Rank::First);
        let mut second = brake.stand_in_line(Rank::First);
        let mut again = brake.stand_in_line(Rank::Again);
        let before = |turn: &QueuedStart| turn.view().before();
        assert_eq!((before(&again), before(&first), before(&second)), (Some(0), Some(1), Some(2)));
        assert_eq!((before(&restart), before(&running)), (Some(3), None));
        drop(permit);
        assert!(is_granted(&mut again) && !is_granted(&mut first));
        for next in [&mut first, &mut second, &mut restart] {
            assert!(!is_granted(next), "one at a time");
            drop(StartPermit(Some(brake.clone())));
            assert!(is_granted(next));
        }
    }

    #[test]
    fn whoever_leaves_the_line_takes_no_start_along() {
        let brake = StartLimiter::new(StartLimits { concurrent: 1, per_second: 1000 });
        let mut running = brake.stand_in_line(Rank::First);
        let permit = running.granted.try_recv().expect("at once");
        let (leaves, mut stays) = (brake.stand_in_line(Rank::First), brake.stand_in_line(Rank::First));
        drop(leaves);
        drop(permit);
        assert!(is_granted(&mut stays), "the next one");
        // A start that was granted but never looked at is passed on, too.
        drop(StartPermit(Some(brake.clone())));
        drop(brake.stand_in_line(Rank::First));
        assert_eq!(brake.line().under_way, 0);
    }
}
