//! Conversions between a [`SystemTime`] and numbers since the Unix epoch (1970-01-01T00:00:00Z). Times before it become
//! the epoch, and numbers that no `SystemTime` can hold become it too, so that no conversion fails.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time since the epoch.
pub fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns whole seconds since the epoch.
pub fn seconds(at: SystemTime) -> u64 {
    since_epoch(at).as_secs()
}

/// Returns whole milliseconds since the epoch.
pub fn millis(at: SystemTime) -> u64 {
    u64::try_from(since_epoch(at).as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time so many seconds after the epoch.
pub fn from_seconds(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

/// Returns the time so many milliseconds after the epoch.
pub fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_before_the_epoch_is_the_epoch() {
        let before = UNIX_EPOCH - Duration::from_secs(7);
        assert_eq!((seconds(before), millis(before), since_epoch(before)), (0, 0, Duration::ZERO));
        assert_eq!(from_seconds(u64::MAX), UNIX_EPOCH);
    }

    proptest! {
        #[test]
        fn numbers_come_back_as_they_were(number in 0u64..1 << 40) {
            prop_assert_eq!(seconds(from_seconds(number)), number);
            prop_assert_eq!(millis(from_millis(number)), number);
            prop_assert_eq!(seconds(from_millis(number)), number / 1000);
        }

        #[test]
        fn no_number_is_too_large(number: u64) {
            from_seconds(number);
            from_millis(number);
        }
    }
}
