//! Which tools a question has called so far: what can be told of it however it ends.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// How many different tools are named.
const NAMED: usize = 50;

/// The calls of one question, counted as they are made.
#[derive(Debug, Default)]
pub struct CallsMade(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    count: u64,
    tools: BTreeSet<String>,
}

impl CallsMade {
    /// A call of this tool begins.
    pub(super) fn add(&self, server: &str, tool: &str) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.count += 1;
        if made.tools.len() < NAMED {
            made.tools.insert(format!("{server}/{tool}"));
        }
    }

    /// How many calls were begun, and the tools, each once and the first of them only.
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
