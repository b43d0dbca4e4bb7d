//! How many requests a second: a token bucket a member (contract, section 4.4). Its size is the
//! plan's rate, so that a second's worth may come at once, and no more than that ever.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// How a bucket is after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateReading {
    /// The most requests at once.
    pub limit: u32,
    /// How many more may come now.
    pub remaining: u32,
    /// How long until as many as the limit may come again.
    pub full_in: Duration,
    /// `Some` when the request was one too many: how long until the next one may come.
    pub refused: Option<Duration>,
}

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>;

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket<C: Clock = DefaultClock> {
    limit: NonZeroU32,
    limiter: Limiter<C>,
    clock: C,
}

impl Bucket {
    /// A full bucket of this many requests that gains as many a second.
    pub(super) fn new(per_second: NonZeroU32) -> Bucket {
        Bucket::with_clock(per_second, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Bucket<C> {
    fn with_clock(limit: NonZeroU32, clock: C) -> Bucket<C> {
        let limiter = RateLimiter::direct_with_clock(Quota::per_second(limit), clock.clone())
            .with_middleware::<StateInformationMiddleware>();
        Bucket { limit, limiter, clock }
    }

    /// Takes one token, if there is one.
    pub(super) fn take(&self) -> RateReading {
        let limit = self.limit.get();
        let (remaining, refused) = match self.limiter.check() {
            Ok(snapshot) => (snapshot.remaining_burst_capacity(), None),
            Err(refused) => (0, Some(refused.wait_time_from(self.clock.now()))),
        };
        let full_in = Duration::from_secs_f64(f64::from(limit - remaining.min(limit)) / f64::from(limit));
        RateReading { limit, remaining, full_in, refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_as_many_a_second() {
        let clock = FakeRelativeClock::default();
        let bucket = Bucket::with_clock(NonZeroU32::new(10).expect("not zero"), clock.clone());
        for left in (0..10).rev() {
            let reading = bucket.take();
            assert_eq!((reading.limit, reading.remaining, reading.refused), (10, left, None));
        }
        let refused = bucket.take();
        assert_eq!((refused.remaining, refused.refused), (0, Some(Duration::from_millis(100))));
        assert_eq!(refused.full_in, Duration::from_secs(1));
        clock.advance(Duration::from_millis(100));
        assert_eq!(bucket.take().refused, None);
        assert!(bucket.take().refused.is_some());
        clock.advance(Duration::from_secs(3600));
        assert_eq!((0..100).filter(|_| bucket.take().refused.is_none()).count(), 10, "and no more than that");
    }
}
