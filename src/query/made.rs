//! Tools that a question has called so far, which can be reported however it ends.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most different tools that are named.
const NAMED: usize = 50;

/// Calls of one question, counted as they are made.
#[derive(Debug, Default)]
pub struct CallsMade(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    count: u64,
    tools: BTreeSet<String>,
}

impl CallsMade {
    /// Counts a call of this tool, which begins now.
    pub(super) fn add(&self, server: &str, tool: &str) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.count += 1;
        if made.tools.len() < NAMED {
            made.tools.insert(format!("{server}/{tool}"));
        }
    }

    /// Returns the number of calls that were begun, and the first of the tools, each once.
    pub fn told(&self) -> (u64, Vec<String>) {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (made.count, made.tools.iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_and_tools_named_once_and_not_without_end() {
        let made = CallsMade::default();
        for n in 0..200 {
            made.add("s", &format!("t{:03}", n % 100));
        }
        let (count, tools) = made.told();
        assert_eq!((count, tools.len(), tools[0].as_str()), (200, NAMED, "s/t000"));
    }
}
