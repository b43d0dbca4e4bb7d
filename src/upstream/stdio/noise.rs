//! Limits on what a child may write to stdout besides messages. Pure: the caller passes the time.

use std::time::{Duration, Instant};

/// Bytes allowed to a child that has never sent a message: beyond that it is not an MCP server.
const NEVER_SPOKEN: usize = 1024 * 1024;
/// Bytes per minute allowed to a child that has: a build started by a tool prints, which is not our business.
const A_MINUTE: usize = 256 * 1024 * 1024;
const MINUTE: Duration = Duration::from_secs(60);

/// Noise of a child so far.
#[derive(Debug, Default)]
pub(super) struct Noise {
    has_spoken: bool,
    bytes: usize,
    since: Option<Instant>,
}

impl Noise {
    /// Records that a message came.
    pub(super) fn spoken(&mut self) {
        self.has_spoken = true;
    }

    /// Reports whether a message ever came.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Counts further bytes and reports whether they exceed the limit. The limit of a child that has sent messages
    /// holds for one minute at a time.
    pub(super) fn is_too_much(&mut self, bytes: usize, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        if self.has_spoken && now.saturating_duration_since(since) >= MINUTE {
            (self.bytes, self.since) = (0, Some(now));
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes > if self.has_spoken { A_MINUTE } else { NEVER_SPOKEN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_never_spoke_has_a_mebibyte_and_another_one_a_rate() {
        let begin = Instant::now();
        let mut noise = Noise::default();
        assert!(!noise.is_too_much(NEVER_SPOKEN, begin));
        assert!(noise.is_too_much(1, begin + 100 * MINUTE), "however slowly");
        noise.spoken();
        assert!(!noise.is_too_much(A_MINUTE, begin + 200 * MINUTE));
        assert!(noise.is_too_much(1, begin + 200 * MINUTE));
        assert!(!noise.is_too_much(A_MINUTE, begin + 201 * MINUTE));
    }
}
