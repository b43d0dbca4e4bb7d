//! What becomes of requests while a server says that it is asked too often (429): it is left alone for as long as it wants,
//! and then one request goes first, to see whether the others may follow (`remote-upstreams.md`, R55).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::pauses::Pauses;

/// Gate that requests go through.
pub(super) struct Throttle {
    /// `true` from a refusal until a request is served.
    is_limited: AtomicBool,
    state: Mutex<State>,
    /// Place of the request that goes first.
    first: Semaphore,
}

#[derive(Default)]
struct State {
    until: Option<Instant>,
    pauses: Pauses,
}

/// Error of a request whose time ends before it may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLate {
    /// How long the server still wants to be left alone.
    pub(super) pause: Duration,
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle { is_limited: AtomicBool::new(false), state: Mutex::default(), first: Semaphore::new(1) }
    }
}

impl Throttle {
    /// Notes that a request was refused, and for how long the server wants to be left alone if it says so; returns for how
    /// long it is.
    pub(super) fn refused(&self, said: Option<Duration>, now: Instant) -> Duration {
        self.is_limited.store(true, Ordering::Release);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = state.until.filter(|until| *until > now);
        let until = match (said, under_way) {
            (Some(said), _) => now + said,
            // Those that were sent together count once.
            (None, Some(until)) => until,
            (None, None) => now + state.pauses.next(),
        };
        let until = under_way.map_or(until, |before| before.max(until));
        state.until = Some(until);
        until.saturating_duration_since(now)
    }

    /// Notes that a request was served.
    pub(super) fn served(&self) {
        if self.is_limited.load(Ordering::Relaxed) && self.is_limited.swap(false, Ordering::AcqRel) {
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
        }
    }

    fn until(&self) -> Option<Instant> {
        let until = self.state.lock().unwrap_or_else(PoisonError::into_inner).until;
        until.filter(|until| *until > Instant::now())
    }

    /// Waits until a request may be sent that has time until `end`; what is returned is to be held until it is over.
    pub(super) async fn turn(&self, end: Instant) -> Result<Option<SemaphorePermit<'_>>, TooLate> {
        while self.is_limited.load(Ordering::Acquire) {
            if let Some(until) = self.until() {
                if until >= end {
                    return Err(TooLate { pause: until.saturating_duration_since(Instant::now()) });
                }
                tokio::time::sleep_until(until.into()).await;
                continue;
            }
            let first = tokio::time::timeout_at(end.into(), self.first.acquire()).await;
            let Ok(Ok(first)) = first else { return Err(TooLate { pause: Duration::ZERO }) };
            // While it waited, another may have been served or refused.
            if self.is_limited.load(Ordering::Acquire) && self.until().is_none() {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_request_without_time_for_the_pause_is_told_how_long_it_is() {
        let throttle = Throttle::default();
        let now = Instant::now();
        assert!(throttle.turn(now).await.expect("nothing was refused").is_none());
        throttle.refused(Some(60 * SECOND), now);
        throttle.refused(None, now);
        let TooLate { pause } = throttle.turn(now + SECOND).await.expect_err("a minute is longer");
        assert!(pause > 58 * SECOND && pause <= 60 * SECOND, "{pause:?}");
    }

    #[tokio::test]
    async fn after_the_pause_one_request_goes_first_and_the_others_once_it_is_served() {
        let throttle = Throttle::default();
        let end = Instant::now() + 60 * SECOND;
        throttle.refused(Some(Duration::from_millis(20)), Instant::now());
        let first = throttle.turn(end).await.expect("time enough").expect("the first");
        let mut second = Box::pin(throttle.turn(end));
        let is_first = second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!is_first, "it waits for the first");
        throttle.served();
        drop(first);
        assert!(second.await.expect("time enough").is_none(), "it needs no place of its own");
    }

    #[tokio::test]
    async fn refusals_that_say_nothing_double_the_pause_and_one_herd_counts_once() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let pause =
            |throttle: &Throttle, now| (0..50).map(|_| throttle.refused(None, now)).max().expect("a pause");
        assert_eq!(pause(&throttle, now), SECOND);
        assert_eq!(pause(&throttle, now + 2 * SECOND), 2 * SECOND);
        assert_eq!(pause(&throttle, now + 5 * SECOND), 4 * SECOND);
        throttle.served();
        assert_eq!(pause(&throttle, now + 100 * SECOND), SECOND);
    }
}
