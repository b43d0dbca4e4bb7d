//! The sum of calls by outcome, with their duration and bytes. Pure.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::telemetry::metrics::OK;

/// Counts of calls by outcome, with their total duration and bytes, never their content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStats {
    /// Number of calls by outcome. A handful of outcomes, so a linear search is cheap.
    outcomes: Vec<(Cow<'static, str>, u64)>,
    latency_us: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl CallStats {
    /// Counts a call; `bytes` are those of its arguments and its result.
    pub(super) fn record(&mut self, outcome: &'static str, took: Duration, bytes: (usize, usize)) {
        self.count(Cow::Borrowed(outcome), 1);
        self.latency_us += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.bytes_in += bytes.0 as u64;
        self.bytes_out += bytes.1 as u64;
    }

    fn count(&mut self, outcome: Cow<'static, str>, calls: u64) {
        match self.outcomes.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, count)) => *count += calls,
            None => self.outcomes.push((outcome, calls)),
        }
    }

    /// Adds the counts of another tally.
    pub(super) fn add(&mut self, other: &CallStats) {
        for (outcome, calls) in &other.outcomes {
            self.count(outcome.clone(), *calls);
        }
        self.latency_us = self.latency_us.saturating_add(other.latency_us);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
    }

    /// Reports whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// Returns the number of all calls.
    pub fn calls(&self) -> u64 {
        self.outcomes.iter().map(|(_, calls)| calls).sum()
    }

    /// Returns the number of calls with an outcome other than success.
    pub fn errors(&self) -> u64 {
        self.outcomes.iter().filter(|(outcome, _)| outcome != OK).map(|(_, calls)| calls).sum()
    }

    /// Returns the total duration of all calls.
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us)
    }

    /// Returns the total bytes of arguments and of results.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_in, self.bytes_out)
    }

    /// Returns the number of calls for each outcome that occurred.
    pub fn outcomes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.outcomes.iter().map(|(outcome, calls)| (&**outcome, *calls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_parts_are_the_whole() {
        let ms = Duration::from_millis;
        let (mut whole, mut a, mut b) = (CallStats::default(), CallStats::default(), CallStats::default());
        for (part, outcome, took) in [(true, OK, 5), (false, "tool_error", 7), (true, OK, 11), (false, OK, 1)]
        {
            whole.record(outcome, ms(took), (3, 4));
            if part { &mut a } else { &mut b }.record(outcome, ms(took), (3, 4));
        }
        a.add(&b);
        assert_eq!(a, whole);
        assert_eq!((a.calls(), a.errors(), a.latency(), a.bytes()), (4, 1, ms(24), (12, 16)));
        let text = serde_json::to_string(&a).expect("JSON");
        assert_eq!(serde_json::from_str::<CallStats>(&text).expect("readable"), a);
    }
}
