//! The global start brake. However many servers crash at once, only a few start at a time, and only a few
//! in a second. Servers that were never tried go before servers that have failed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Limits of the start brake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartLimits {
    /// Maximum number of starts under way at once; 0 counts as 1.
    pub concurrent: usize,
    /// Maximum number of starts that may begin in a second; 0 counts as 1.
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
    /// A first start, one that was asked for, or one in place of a child that was ready.
    First,
    /// A further attempt after a failed start.
    Restart,
}

/// Calculator of the time at which the next start may begin. Pure.
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

    /// Books the next start and returns the time at which it may begin.
    fn book(&mut self, now: Instant) -> Instant {
        // `next` is the time of the next start at an even pace; a burst may begin earlier by `burst`.
        let even = self.next.map_or(now, |next| next.max(now));
        self.next = Some(even + self.gap);
        even.checked_sub(self.burst).map_or(now, |early| early.max(now))
    }
}

/// A position in the line: the rank, and a number that counts up.
type QueuePosition = (Rank, u64);

/// The free starts, and the waiting ones in the order in which they are let through.
struct StartQueue {
    free: usize,
    waiting: BTreeMap<QueuePosition, oneshot::Sender<StartPermit>>,
    last: u64,
    pacer: Pacer,
}

/// Shared handle that hands out starts. Cheap to clone.
#[derive(Clone)]
pub(super) struct StartLimiter(Arc<Mutex<StartQueue>>);

/// Permit for a start under way; drop it when the child is ready or has failed.
pub(super) struct StartPermit(Option<StartLimiter>);

impl Drop for StartPermit {
    fn drop(&mut self) {
        if let Some(brake) = self.0.take() {
            brake.pass_on();
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
        let pacer = Pacer::new(settings.per_second);
        let line = StartQueue { free: settings.concurrent.max(1), waiting: BTreeMap::new(), last: 0, pacer };
        StartLimiter(Arc::new(Mutex::new(line)))
    }

    fn line(&self) -> MutexGuard<'_, StartQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a position in the line, or a start at once if one is free.
    pub(super) fn stand_in_line(&self, rank: Rank) -> QueuedStart {
        let mut line = self.line();
        line.last += 1;
        let place = (rank, line.last);
        let (grant, granted) = oneshot::channel();
        if line.free > 0 {
            line.free -= 1;
            drop(line);
            // This cannot fail: the receiver still exists here.
            let _ = grant.send(StartPermit(Some(self.clone())));
        } else {
            line.waiting.insert(place, grant);
        }
        QueuedStart { brake: self.clone(), place, granted }
    }

    /// Hands a finished start to the next in line. Skips waiters that have left in the meantime.
    fn pass_on(self) {
        let mut permit = StartPermit(Some(self.clone()));
        loop {
            let next = {
                let mut line = self.line();
                let next = line.waiting.pop_first();
                line.free += usize::from(next.is_none());
                next
            };
            let Some((_, grant)) = next else {
                permit.0 = None;
                return;
            };
            match grant.send(permit) {
                Ok(()) => return,
                Err(refused) => permit = refused,
            }
        }
    }
}

impl QueuedStart {
    /// Returns a view of this position.
    pub(super) fn view(&self) -> QueuedStartView {
        QueuedStartView { brake: self.brake.clone(), place: self.place }
    }

    /// Waits until the start is granted and the pace allows it.
    pub(super) async fn granted(mut self) -> StartPermit {
        // The sender stays in the line until it sends. If it were lost, starting would be better than never
        // starting.
        let permit = (&mut self.granted).await.unwrap_or(StartPermit(None));
        let at = self.brake.line().pacer.book(Instant::now());
        tokio::time::sleep_until(at.into()).await;
        permit
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

    #[test]
    fn no_second_has_more_starts_than_allowed_after_the_first_burst() {
        let mut pacer = Pacer::new(10);
        let start = Instant::now();
        let times: Vec<Duration> = (0..50).map(|_| pacer.book(start).duration_since(start)).collect();
        assert_eq!(times.iter().filter(|at| at.is_zero()).count(), 10);
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(times[49], Duration::from_secs(4));
    }

    #[test]
    fn an_idle_time_allows_a_new_burst() {
        let mut pacer = Pacer::new(10);
        let start = Instant::now();
        for _ in 0..30 {
            pacer.book(start);
        }
        let later = start + Duration::from_secs(60);
        assert_eq!(pacer.book(later), later);
    }

    fn is_granted(turn: &mut QueuedStart) -> bool {
        turn.granted.try_recv().is_ok_and(|permit| {
            // Leaked on purpose: dropping the permit would pass the start on to the next.
            std::mem::forget(permit);
            true
        })
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
            brake.clone().pass_on();
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
        brake.clone().pass_on();
        drop(brake.stand_in_line(Rank::First));
        assert_eq!(brake.line().free, 1);
    }
}
