//! The global start brake: however many servers crash at once, only a few are started at a time,
//! and only a few a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// Hands out starts. Cheap to clone.
#[derive(Clone)]
pub(super) struct StartBrake {
    slots: Arc<Semaphore>,
    pacer: Arc<Mutex<Pacer>>,
}

/// A start under way; to be dropped when the child is ready or has failed.
pub(super) struct StartPermit {
    _slot: Option<OwnedSemaphorePermit>,
}

impl StartBrake {
    pub(super) fn new(settings: BrakeSettings) -> StartBrake {
        StartBrake {
            slots: Arc::new(Semaphore::new(settings.concurrent.max(1))),
            pacer: Arc::new(Mutex::new(Pacer::new(settings.per_second))),
        }
    }

    /// Waits for a start. Fair: first come, first served.
    pub(super) async fn acquire(&self) -> StartPermit {
        // The semaphore is never closed; if it were, starting would be better than never starting.
        let slot = self.slots.clone().acquire_owned().await.ok();
        let at = self.pacer.lock().unwrap_or_else(PoisonError::into_inner).book(Instant::now());
        tokio::time::sleep_until(at.into()).await;
        StartPermit { _slot: slot }
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
}
