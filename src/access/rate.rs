//! Rate limits: a token bucket for a member and for a key (`docs/http-api.md`, P3.1). The size of a bucket is
//! its rate, so the requests of one second may come at once, and never more than that. A bucket is stored
//! as one number: the time at which it is full again. Pure except for that; the time is given.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND: u64 = 1_000_000_000;

/// State of a bucket after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateReading {
    /// Maximum number of requests at once.
    pub limit: u32,
    /// Number of further requests that may come now.
    pub remaining: u32,
    /// Time until the bucket is full again.
    pub full_in: Duration,
    /// Time until the next request may come, if this one was refused; `None` if it was accepted.
    pub refused: Option<Duration>,
}

/// A token bucket without locks.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: NonZeroU32,
    /// Time that the other times are counted from.
    began: Instant,
    /// Time at which it is full again, in nanoseconds since `began`; in the past while it is full.
    full_at: AtomicU64,
}

impl Bucket {
    /// Makes a full bucket of `limit` requests that gains as many per second.
    pub(super) fn new(limit: NonZeroU32, now: Instant) -> Bucket {
        Bucket { limit, began: now, full_at: AtomicU64::new(0) }
    }

    /// Makes a bucket of another rate from this one. Tokens taken from this one stay taken, so that a
    /// change of the rate does not fill a bucket.
    pub(super) fn resized(&self, limit: NonZeroU32, now: Instant) -> Bucket {
        let missing = self.limit.get() - self.remaining(self.full_at.load(Ordering::Relaxed), self.at(now));
        let missing = u64::from(missing.min(limit.get()));
        let bucket = Bucket::new(limit, now);
        bucket.full_at.store(missing * bucket.interval(), Ordering::Relaxed);
        bucket
    }

    /// Returns the rate in requests per second.
    pub(super) fn limit(&self) -> NonZeroU32 {
        self.limit
    }

    /// Takes one token if there is one; the reading says if the request is refused.
    pub(super) fn take(&self, now: Instant) -> RateReading {
        let at = self.at(now);
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(at) + self.interval();
            (next - at <= self.size()).then_some(next)
        });
        match taken {
            Ok(before) => self.reading(before.max(at) + self.interval(), at, None),
            Err(full_at) => self.reading(full_at, at, Some(self.wait(full_at, at))),
        }
    }

    /// Reads the bucket without taking a token; `refused` is set if a request would be refused.
    pub(super) fn look(&self, now: Instant) -> RateReading {
        let (at, full_at) = (self.at(now), self.full_at.load(Ordering::Relaxed));
        let empty = full_at.max(at) + self.interval() - at > self.size();
        self.reading(full_at, at, empty.then(|| self.wait(full_at, at)))
    }

    /// Puts back a token that was taken but not used.
    pub(super) fn give_back(&self) {
        let give = |full_at: u64| Some(full_at.saturating_sub(self.interval()));
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }

    /// Returns the time in nanoseconds that one token takes; rounded up, so that the rate is never
    /// exceeded.
    fn interval(&self) -> u64 {
        SECOND.div_ceil(u64::from(self.limit.get()))
    }

    fn size(&self) -> u64 {
        self.interval() * u64::from(self.limit.get())
    }

    fn at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX / 2)
    }

    fn wait(&self, full_at: u64, at: u64) -> Duration {
        Duration::from_nanos((full_at.max(at) + self.interval()).saturating_sub(at + self.size()))
    }

    fn remaining(&self, full_at: u64, at: u64) -> u32 {
        let free = self.size().saturating_sub(full_at.saturating_sub(at));
        u32::try_from(free / self.interval()).unwrap_or(u32::MAX).min(self.limit.get())
    }

    fn reading(&self, full_at: u64, at: u64, refused: Option<Duration>) -> RateReading {
        let full_in = Duration::from_nanos(full_at.saturating_sub(at));
        RateReading { limit: self.limit.get(), remaining: self.remaining(full_at, at), full_in, refused }
    }
}

/// Takes a request from both buckets, or from neither: a refusal by one costs nothing in the other. Returns
/// the reading of the tighter one, or of the one with the longest wait; `None` if there are no buckets.
/// `own` belongs to the key and only its requests use it, so a token that is given back was missing only
/// for requests that `shared` would have refused as well.
pub(super) fn take_both(own: Option<&Bucket>, shared: Option<&Bucket>, now: Instant) -> Option<RateReading> {
    let (own, shared) = match (own, shared) {
        (Some(own), Some(shared)) => (own, shared),
        (one, other) => return one.or(other).map(|bucket| bucket.take(now)),
    };
    let first = own.take(now);
    if first.refused.is_some() {
        let other = shared.look(now);
        return Some(if other.refused > first.refused { other } else { first });
    }
    let second = shared.take(now);
    if second.refused.is_some() {
        own.give_back();
        return Some(second);
    }
    let tightness = |reading: &RateReading| (reading.remaining, reading.limit);
    Some(if tightness(&first) <= tightness(&second) { first } else { second })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bucket(limit: u32, now: Instant) -> Bucket {
        Bucket::new(NonZeroU32::new(limit).expect("not zero"), now)
    }

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_as_many_a_second() {
        let start = Instant::now();
        let bucket = bucket(10, start);
        for left in (0..10).rev() {
            let reading = bucket.take(start);
            assert_eq!((reading.limit, reading.remaining, reading.refused), (10, left, None));
        }
        let refused = bucket.take(start);
        assert_eq!((refused.remaining, refused.refused), (0, Some(Duration::from_millis(100))));
        assert_eq!(refused.full_in, Duration::from_secs(1));
        let later = start + Duration::from_millis(100);
        assert_eq!(bucket.take(later).refused, None);
        assert!(bucket.take(later).refused.is_some());
        let much_later = start + Duration::from_secs(3600);
        let taken = (0..100).filter(|_| bucket.take(much_later).refused.is_none()).count();
        assert_eq!(taken, 10, "and no more than that");
    }

    #[test]
    fn another_rate_fills_no_bucket() {
        let start = Instant::now();
        let mut bucket = bucket(10, start);
        for _ in 0..10 {
            bucket.take(start);
        }
        let mut missing = 10;
        for limit in [9, 100, 3, 10] {
            bucket = bucket.resized(NonZeroU32::new(limit).expect("not zero"), start);
            missing = limit.min(missing);
            assert_eq!(bucket.look(start).remaining, limit - missing, "{limit}");
        }
    }

    #[test]
    fn of_two_buckets_the_tighter_one_is_told() {
        let start = Instant::now();
        let (own, shared) = (bucket(5, start), bucket(3, start));
        let told = |own, shared| take_both(own, shared, start).map(|reading| reading.limit);
        assert_eq!(told(Some(&own), Some(&shared)), Some(3));
        assert_eq!(told(Some(&own), None), Some(5));
        assert_eq!(told(None, Some(&shared)), Some(3));
        assert_eq!(told(None, None), None);
    }

    proptest! {
        /// With any sequence of requests, the two buckets let through what the tighter one allows, and a
        /// refusal takes nothing: the same requests without the refused ones leave the same buckets.
        #[test]
        fn both_or_neither(own in 1u32..8, shared in 1u32..8, gaps in prop::collection::vec(0u64..400, 1..200)) {
            let start = Instant::now();
            let (key, member) = (bucket(own, start), bucket(shared, start));
            let (twin_key, twin_member) = (bucket(own, start), bucket(shared, start));
            let (mut now, mut taken) = (start, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                let could = key.look(now).refused.is_none() && member.look(now).refused.is_none();
                let reading = take_both(Some(&key), Some(&member), now).expect("limited");
                prop_assert_eq!(could, reading.refused.is_none());
                if could {
                    taken.push(now);
                    twin_key.take(now);
                    twin_member.take(now);
                }
                prop_assert_eq!((key.look(now), member.look(now)), (twin_key.look(now), twin_member.look(now)));
                let tighter = key.look(now).remaining.min(member.look(now).remaining);
                prop_assert!(reading.refused.is_some() || reading.remaining == tighter);
            }
            let least = own.min(shared) as usize;
            for (index, first) in taken.iter().enumerate() {
                let second = taken[index..].iter().take_while(|at| **at < *first + Duration::from_secs(1)).count();
                prop_assert!(second <= 2 * least, "a full bucket and what a second gives");
            }
        }
    }
}
