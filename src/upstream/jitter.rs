//! Chance in times, so that what began together does not go on in step.

use std::time::Duration;

/// Fraction of a time that is added or taken away at most.
const SPREAD: f64 = 0.2;

/// Returns a random number in `0..1`.
pub(crate) fn jitter() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

/// Spreads a time by a fifth to both sides, as `jitter` in `0..1` decides.
pub(crate) fn spread(exact: Duration, jitter: f64) -> Duration {
    exact.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_spread_by_a_fifth_at_most() {
        let spread = |jitter| spread(Duration::from_secs(100), jitter).as_secs();
        assert_eq!([-1.0, 0.0, 0.5, 1.0, 2.0].map(spread), [80, 80, 100, 120, 120]);
        assert!((0..100).all(|_| (0.0..=1.0).contains(&jitter())));
    }
}
