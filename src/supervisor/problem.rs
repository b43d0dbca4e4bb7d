//! Problems of a definition or a name: the place of a setting, and what would be right there. Pure.

use std::fmt;

use serde_json::Value;

use crate::nearest::closest;

/// A single problem with a setting: its place, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the setting, for example `args` or `mcpServers.git.env.HOME`.
    pub path: String,
    /// Fault and remedy, worded to follow the path.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.reason)
    }
}

/// Problems of a definition as its checks find them, so that all of them are told at once.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Returns the number of problems so far.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().map(Problem::to_string).collect()
    }

    /// Returns the problems in the order in which they were found.
    pub(super) fn into_list(self) -> Vec<Problem> {
        self.0
    }

    /// Records an unknown setting, with the known one that was probably meant.
    pub(super) fn unknown(&mut self, path: &str, member: &str, known: &[&str]) {
        let near = closest(member, known.iter().copied());
        let near = near.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
        self.add::<()>(path, &format!("is not a known setting{near}"));
    }

    /// Records a problem and returns `None`, so that a check can continue with the next member.
    pub(super) fn add<T>(&mut self, path: &str, reason: &str) -> Option<T> {
        self.0.push(Problem { path: path.to_owned(), reason: reason.to_owned() });
        None
    }
}

/// Returns the kind of a value, for a message that must not show the value.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
