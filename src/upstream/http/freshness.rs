//! When the lists of a server that announces no changes are read again: when it is used, and they are old
//! (`remote-upstreams.md`, R26 and R42).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Shortest time between two readings, however short the server says that they are good for.
const SHORTEST: Duration = Duration::from_secs(60);

/// Age of the lists.
pub(super) struct Freshness {
    /// `true` while the server tells of changes by itself.
    is_told: AtomicBool,
    began: Instant,
    /// Time of the last reading, in milliseconds behind `began`.
    read_at: AtomicU64,
}

impl Freshness {
    /// Makes that of lists which are read now.
    pub(super) fn new(now: Instant) -> Freshness {
        Freshness { is_told: AtomicBool::new(false), began: now, read_at: AtomicU64::new(0) }
    }

    /// Notes whether the server tells of changes by itself.
    pub(super) fn set_told(&self, is_told: bool) {
        self.is_told.store(is_told, Ordering::Relaxed);
    }

    /// Reports whether they are to be read again now that the server is used; `fresh_for` is how long it says that they are
    /// good. Only one of several that ask at once is told so.
    pub(super) fn is_over(&self, fresh_for: impl FnOnce() -> Duration, now: Instant) -> bool {
        if self.is_told.load(Ordering::Relaxed) {
            return false;
        }
        let now = u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let read_at = self.read_at.load(Ordering::Relaxed);
        let age = Duration::from_millis(now.saturating_sub(read_at));
        // Most calls come soon after another.
        age >= SHORTEST
            && age >= fresh_for()
            && self.read_at.compare_exchange(read_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lists_are_read_once_a_minute_at_most_and_as_late_as_the_server_says() {
        let began = Instant::now();
        let lists = Freshness::new(began);
        let is_over = |fresh_for: u64, at: u64| {
            lists.is_over(|| Duration::from_secs(fresh_for), began + Duration::from_secs(at))
        };
        assert!(!is_over(0, 59));
        assert!(is_over(0, 60) && !is_over(0, 61), "once");
        assert!(!is_over(300, 200) && is_over(300, 361));
        lists.set_told(true);
        assert!(!is_over(0, 10_000), "a server that tells of changes is believed");
        lists.set_told(false);
        assert!(is_over(0, 10_000));
    }
}
