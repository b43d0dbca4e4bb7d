//! Delays before the next start of a crashed server. Pure.

use std::time::Duration;

use crate::upstream::spread;

/// The first delay; each further one is twice as long, up to [`CAP`].
const FIRST: Duration = Duration::from_secs(1);
/// The longest delay of the first [`PATIENT_AFTER`] attempts.
const CAP: Duration = Duration::from_secs(60);
/// The delay after more than [`PATIENT_AFTER`] failures in a row.
const LATE_CAP: Duration = Duration::from_secs(300);
/// Number of failures in a row after which the server is tried only every [`LATE_CAP`].
const PATIENT_AFTER: u32 = 10;
/// Delay of a server that is unlikely to do better next time: at least five minutes, whatever the jitter.
const FUTILE_WAIT: Duration = Duration::from_secs(375);
/// Number of ends in a row in the same way after which a server that was never ready waits for
/// [`FUTILE_WAIT`]: its fault does not mend itself within seconds.
pub(super) const FUTILE: u32 = 3;
/// The same number for a server that has read nothing of what it was sent: no other way to open it can
/// help.
pub(super) const FUTILE_UNREAD: u32 = 2;

/// Number of failures in a row from which a server is said to be in a crash loop.
pub const CRASH_LOOP: u32 = 5;

/// Time for which a server must have been ready to count as recovered: its failures are then forgotten.
pub(super) const RECOVERED_AFTER: Duration = Duration::from_secs(60);
/// Delay before the next attempt of a server that cannot be started as it is defined.
pub(super) const RECHECK: Duration = Duration::from_secs(300);

/// Time for which credentials that were refused are not sent again while they are the same (remote-upstreams, R16).
pub(super) const SAME_CREDENTIALS: Duration = Duration::from_secs(24 * 3600);
/// Delays before the next attempt of a server that refuses the credentials; the last one stays (R16).
const AFTER_REFUSALS: [Duration; 5] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(4 * 3600),
    SAME_CREDENTIALS,
];

/// Returns the delay after this many refusals of the credentials in a row (1 is the first).
pub(super) fn after_refusals(refusals: u32) -> Duration {
    let step = usize::try_from(refusals.saturating_sub(1)).unwrap_or(usize::MAX);
    AFTER_REFUSALS[step.min(AFTER_REFUSALS.len() - 1)]
}

/// Returns the delay after this many failures in a row (1 is the first), spread by `jitter` in `0..1`.
/// `futile` selects the longest delay: trying again soon is known not to help. After the end of a child that had served well
/// there is none: see [`Lifecycle`](super::Lifecycle).
pub(super) fn delay(failures: u32, futile: bool, jitter: f64) -> Duration {
    let exact = match (futile, failures > PATIENT_AFTER) {
        (true, _) => FUTILE_WAIT,
        (false, true) => LATE_CAP,
        (false, false) => FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(CAP),
    };
    spread(exact, jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_a_minute_and_then_tries_every_five() {
        let seconds: Vec<u64> = (1..=12).map(|n| delay(n, false, 0.5).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 300, 300]);
        assert_eq!([0.0, 0.5, 1.0].map(|jitter| delay(1, true, jitter).as_secs()), [300, 375, 450]);
    }

    #[test]
    fn who_refuses_credentials_is_asked_ever_more_seldom_and_at_last_once_a_day() {
        let hours: Vec<f64> = (1..=7).map(|n| after_refusals(n).as_secs_f64() / 3600.0).collect();
        assert_eq!(hours, [5.0 / 60.0, 0.25, 1.0, 4.0, 24.0, 24.0, 24.0]);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        assert_eq!(delay(1, false, 0.0), Duration::from_millis(800));
        assert_eq!(delay(1, false, 1.0), Duration::from_millis(1200));
        assert_eq!(delay(u32::MAX, false, 7.0), Duration::from_secs(360));
    }
}
