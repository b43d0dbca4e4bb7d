//! The global start brake: however many servers crash at once, only a few are started at a time,
//! and only a few a second. Who was never tried goes before who has failed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How hard the brake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrakeSettings {
    /// How many starts may be under way at once.
    pub concurrent: usize,
    /// How many starts may begin in a second.
    pub per_second: u32,
}

impl Default for BrakeSettings {
    fn default() -> Self {
        BrakeSettings { concurrent: 4, per_second: 10 }
    }
}

/// Who goes first of those that wait for a start, the smallest first; among equals whoever came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A start that goes on with one that has just ended: opened in the other way.
    Again,
    /// A first start, one that somebody asked for, or one in place of a child that was ready.
    First,
    /// A further try of what has failed to start.
    Restart,
}

/// Says when the next start may begin. Pure.
#[derive(Debug)]
struct Pacer {
    gap: Duration,
    /// How far ahead of an even pace a burst may run.
    burst: Duration,
    next: Option<Instant>,
}

impl Pacer {
    fn new(per_second: u32) -> Pacer {
        let gap = Duration::from_secs(1) / per_second.max(1);
        Pacer { gap, burst: gap * (per_second.max(1) - 1), next: None }
    }

    /// Books the next start: it may begin at the time that is returned.
    fn book(&mut self, now: Instant) -> Instant {
        // `next` is when an even pace would have the next start; a burst may begin that much earlier.
        let even = self.next.map_or(now, |next| next.max(now));
        self.next = Some(even + self.gap);
        even.checked_sub(self.burst).map_or(now, |early| early.max(now))
    }
}

/// A place in the line: the rank, and a number that counts up.
type Place = (Rank, u64);

/// Who has a start, and who waits for one, in the order in which they get it.
struct Line {
    free: usize,
    waiting: BTreeMap<Place, oneshot::Sender<StartPermit>>,
    last: u64,
    pacer: Pacer,
}

/// Hands out starts. Cheap to clone.
#[derive(Clone)]
pub(super) struct StartBrake(Arc<Mutex<Line>>);

/// A start under way; to be dropped when the child is ready or has failed.
pub(super) struct StartPermit(Option<StartBrake>);

impl Drop for StartPermit {
    fn drop(&mut self) {
        if let Some(brake) = self.0.take() {
            brake.pass_on();
        }
    }
}

/// A place among those that wait, or at once a start.
pub(super) struct Turn {
    brake: StartBrake,
    place: Place,
    granted: oneshot::Receiver<StartPermit>,
}

/// A look at a place among those that wait. Cheap to clone.
#[derive(Clone)]
pub struct TurnView {
    brake: StartBrake,
    place: Place,
}

impl StartBrake {
    pub(super) fn new(settings: BrakeSettings) -> StartBrake {
        let pacer = Pacer::new(settings.per_second);
        let line = Line { free: settings.concurrent.max(1), waiting: BTreeMap::new(), last: 0, pacer };
        StartBrake(Arc::new(Mutex::new(line)))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the line, which may be a start at once.
    pub(super) fn stand_in_line(&self, rank: Rank) -> Turn {
        let mut line = self.line();
        line.last += 1;
        let place = (rank, line.last);
        let (grant, granted) = oneshot::channel();
        if line.free > 0 {
            line.free -= 1;
            drop(line);
            // The receiver is here: it takes it.
            let _ = grant.send(StartPermit(Some(self.clone())));
        } else {
            line.waiting.insert(place, grant);
        }
        Turn { brake: self.clone(), place, granted }
    }

    /// Gives a start that is over to whoever is next. Whoever has left in the meantime is passed over.
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

impl Turn {
    /// A look at it.
    pub(super) fn view(&self) -> TurnView {
        TurnView { brake: self.brake.clone(), place: self.place }
    }

    /// Waits for the start.
    pub(super) async fn granted(mut self) -> StartPermit {
        // The sender is in the line until it sends; if it were not, starting would be better than never starting.
        let permit = (&mut self.granted).await.unwrap_or(StartPermit(None));
        let at = self.brake.line().pacer.book(Instant::now());
        tokio::time::sleep_until(at.into()).await;
        permit
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // What was taken out is dropped when the lock is free again.
        let left = self.brake.line().waiting.remove(&self.place);
        drop(left);
    }
}

impl TurnView {
    /// How many go before it; `None` once it is its turn.
    pub fn before(&self) -> Option<usize> {
        let line = self.brake.line();
        line.waiting.contains_key(&self.place).then(|| line.waiting.range(..self.place).count())
    }
}

impl fmt::Debug for TurnView {
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

    fn is_granted(turn: &mut Turn) -> bool {
        turn.granted.try_recv().is_ok_and(|permit| {
            // Kept: a start that is dropped would be the next one's.
            std::mem::forget(permit);
            true
        })
    }

    #[test]
    fn first_starts_go_before_restarts_and_what_goes_on_before_all() {
        let brake = StartBrake::new(BrakeSettings { concurrent: 1, per_second: 1000 });
        let mut running = brake.stand_in_line(Rank::First);
        let permit = running.granted.try_recv().expect("the first is let through at once");
        let mut restart = brake.stand_in_line(Rank::Restart);
        let mut first = brake.stand_in_line(Rank::First);
        let mut second = brake.stand_in_line(Rank::First);
        let mut again = brake.stand_in_line(Rank::Again);
        let before = |turn: &Turn| turn.view().before();
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
        let brake = StartBrake::new(BrakeSettings { concurrent: 1, per_second: 1000 });
        let mut running = brake.stand_in_line(Rank::First);
        let permit = running.granted.try_recv().expect("at once");
        let (leaves, mut stays) = (brake.stand_in_line(Rank::First), brake.stand_in_line(Rank::First));
        drop(leaves);
        drop(permit);
        assert!(is_granted(&mut stays), "the next one");
        // One that was granted and never looked is given on, too.
        brake.clone().pass_on();
        drop(brake.stand_in_line(Rank::First));
        assert_eq!(brake.line().free, 1);
    }
}
