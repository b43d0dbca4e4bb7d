//! Pauses before something is tried again that broke or was refused: one second, doubling to a minute
//! (`remote-upstreams.md`, R43 and R55). Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);

/// Pauses, each twice as long as the one before.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses(FIRST)
    }
}

impl Pauses {
    /// Longest pause.
    pub(super) const LONGEST: Duration = Duration::from_secs(60);

    /// Returns the next one.
    pub(super) fn next(&mut self) -> Duration {
        let next = self.0;
        self.0 = (next * 2).min(Pauses::LONGEST);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let mut pauses = Pauses::default();
        let seconds: Vec<u64> = (0..9).map(|_| pauses.next().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
