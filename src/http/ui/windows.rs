//! What happened lately, of numbers that only grow: calls a second, and how long calls took. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Time over which a rate is taken.
const RATE: Duration = Duration::from_secs(10);
/// Time over which durations are taken, and the least time between two readings of them.
const DURATIONS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(5));

/// Numbers of one server at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) errors: u64,
    /// Processor seconds.
    pub(super) cpu: f64,
}

/// The latest readings.
#[derive(Debug, Default)]
pub(super) struct Window {
    sums: VecDeque<(Instant, Counts)>,
    durations: VecDeque<(Instant, Vec<(f64, u64)>)>,
}

impl Window {
    /// Adds a reading, and returns the rates a second over the last seconds.
    pub(super) fn rates(&mut self, now: Instant, sums: Counts) -> Rates {
        self.sums.push_back((now, sums));
        // One from before the window is kept: the rate is taken from it.
        while self.sums.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RATE) {
            self.sums.pop_front();
        }
        let Some((since, first)) = self.sums.front() else { return Rates::default() };
        let seconds = now.duration_since(*since).as_secs_f64();
        if seconds < 0.5 {
            return Rates::default();
        }
        let rate = |now: f64, then: f64| ((now - then).max(0.0) / seconds * 100.0).round() / 100.0;
        Rates {
            calls: rate(sums.calls as f64, first.calls as f64),
            errors: rate(sums.errors as f64, first.errors as f64),
            cpu: rate(sums.cpu, first.cpu),
        }
    }

    /// Adds a reading of cumulative buckets, and returns the median and the 99th percentile of the last minute in
    /// milliseconds, or of all if nothing was called in it; `None` if nothing ever was.
    pub(super) fn percentiles(&mut self, now: Instant, buckets: &[(f64, u64)]) -> Option<(f64, f64)> {
        let last = self.durations.back().map(|(at, _)| *at);
        if last.is_none_or(|at| now.duration_since(at) >= DURATIONS.1) {
            self.durations.push_back((now, buckets.to_vec()));
        }
        while self.durations.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= DURATIONS.0) {
            self.durations.pop_front();
        }
        let before = self.durations.front().map_or(&[][..], |(_, buckets)| buckets);
        let then = |at: usize| before.get(at).map_or(0, |(_, count)| *count);
        let lately: Vec<(f64, u64)> = buckets
            .iter()
            .enumerate()
            .map(|(at, (bound, count))| (*bound, count.saturating_sub(then(at))))
            .collect();
        let of = |buckets: &[(f64, u64)]| Some((quantile(0.5, buckets)?, quantile(0.99, buckets)?));
        of(&lately).or_else(|| of(buckets))
    }
}

/// Rates a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) calls: f64,
    pub(super) errors: f64,
    /// Processors in use.
    pub(super) cpu: f64,
}

/// Returns a quantile in milliseconds of cumulative buckets, between the bounds of its bucket as far as it lies between their
/// counts. `None` if nothing was counted.
fn quantile(q: f64, buckets: &[(f64, u64)]) -> Option<f64> {
    let total = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0)?;
    let rank = q * total as f64;
    let (mut low, mut before) = (0.0, 0);
    for (bound, count) in buckets {
        if *count as f64 >= rank && bound.is_finite() {
            let share = (rank - before as f64) / (count - before).max(1) as f64;
            return Some(((low + (bound - low) * share) * 100_000.0).round() / 100.0);
        }
        if bound.is_finite() {
            (low, before) = (*bound, *count);
        }
    }
    // Longer than the last bound: that is all that is known.
    Some((low * 100_000.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rate_is_of_the_last_seconds_and_ends_when_calls_do() {
        let (mut window, start) = (Window::default(), Instant::now());
        let at = |n: u64| start + Duration::from_secs(n);
        let of = |calls| Counts { calls, ..Counts::default() };
        assert_eq!(window.rates(at(0), of(100)).calls, 0.0);
        assert_eq!(window.rates(at(1), of(110)).calls, 10.0);
        for n in 2..=20 {
            window.rates(at(n), of(100 + 10 * n));
        }
        assert_eq!(window.rates(at(21), of(310)).calls, 10.0);
        for n in 22..=40 {
            window.rates(at(n), of(310));
        }
        assert_eq!(window.rates(at(41), of(310)).calls, 0.0);
        assert!(window.sums.len() <= 12, "{}", window.sums.len());
    }

    #[test]
    fn percentiles_are_of_the_last_minute_and_of_all_where_there_was_none() {
        let (mut window, start) = (Window::default(), Instant::now());
        assert_eq!(window.percentiles(start, &[(0.1, 0), (1.0, 0)]), None);
        let fast = [(0.1, 100), (1.0, 100)];
        assert_eq!(window.percentiles(start + DURATIONS.1, &fast), Some((50.0, 99.0)));
        for n in 2..40 {
            window.percentiles(start + DURATIONS.1 * n, &fast);
        }
        assert_eq!(window.percentiles(start + DURATIONS.1 * 40, &fast), Some((50.0, 99.0)), "of all");
        let slow = [(0.1, 100), (1.0, 110)];
        let told = window.percentiles(start + DURATIONS.1 * 41, &slow).expect("calls");
        assert!(told.0 > 500.0 && told.1 > 900.0, "{told:?}");
    }

    proptest! {
        #[test]
        fn a_quantile_lies_within_the_bounds_and_rises(counts in prop::collection::vec(0u64..1000, 1..12)) {
            let mut sum = 0;
            let buckets: Vec<(f64, u64)> = counts.iter().enumerate().map(|(n, count)| {
                sum += count;
                ((n + 1) as f64, sum)
            }).collect();
            let told: Vec<Option<f64>> = [0.0, 0.5, 0.9, 0.99, 1.0].map(|q| quantile(q, &buckets)).into();
            prop_assert_eq!(told.iter().all(Option::is_none), sum == 0);
            for pair in told.windows(2) {
                prop_assert!(pair[0] <= pair[1], "{:?}", told);
            }
            prop_assert!(told.iter().flatten().all(|ms| (0.0..=12_000.0).contains(ms)));
        }
    }
}
