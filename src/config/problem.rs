//! Problems of a configuration: one per wrong setting, each with its source. Collecting does not stop at the
//! first one, so that one run shows them all.

use std::fmt;

use crate::nearest::closest;
use crate::text::cut;

/// A position in a text, both numbers counted from 1; the column counts characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Number of the line, from 1.
    pub line: usize,
    /// Number of the character in the line, from 1.
    pub column: usize,
}

impl Position {
    /// Returns the position of a byte offset in a text. An offset past the end gives the position of the end.
    pub(super) fn of(text: &str, offset: usize) -> Position {
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        Position {
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: String::from_utf8_lossy(&before[line_start..]).chars().count() + 1,
        }
    }
}

/// One problem of the configuration.
///
/// Shown on one line as `config.toml:3:8: server.port must be … (found "x")`. Control characters of a foreign
/// text are escaped when it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Source of the setting: a file as it was named, or an environment variable.
    pub source: String,
    /// Position in the file. `None` if it is unknown.
    pub position: Option<Position>,
    /// Path of the setting, `server.port` or `mcpServers.git.args`; empty if the problem is about the source as
    /// a whole.
    pub path: String,
    /// Problem and remedy, worded to follow the path.
    pub reason: String,
    /// Number of problems that this one stands for: 1, except for the last one, which gives the number of
    /// problems that are not listed.
    pub count: usize,
}

/// Most problems that are reported one by one.
const MAX_PROBLEMS: usize = 100;
/// Longest path and longest reason, in characters each.
const MAX_PROBLEM_CHARS: usize = 300;

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = self.source.clone();
        if let Some(Position { line: row, column }) = self.position {
            line.push_str(&format!(":{row}:{column}"));
        }
        line.push_str(": ");
        if !self.path.is_empty() {
            line.push_str(&self.path);
            line.push(' ');
        }
        line.push_str(&self.reason);
        f.write_str(&one_line(&line))
    }
}

/// The problems found so far. A file may have more of them than fit into memory: beyond the first hundred only
/// their number is kept, and of a long text its beginning.
#[derive(Debug, Default)]
pub(super) struct Problems {
    told: Vec<ConfigProblem>,
    /// Number of further problems, and the source of the first of them.
    more: usize,
    more_in: String,
}

impl Problems {
    /// Returns the number of problems.
    pub(super) fn len(&self) -> usize {
        self.told.len() + self.more
    }

    /// Adds a problem of a source as a whole.
    pub(super) fn source(&mut self, source: &str, reason: impl Into<String>) {
        self.at(source, None, "", reason);
    }

    /// Adds a problem of one setting.
    pub(super) fn at(
        &mut self,
        source: &str,
        position: Option<Position>,
        path: impl Into<String>,
        reason: impl Into<String>,
    ) {
        if self.told.len() >= MAX_PROBLEMS {
            if self.more == 0 {
                source.clone_into(&mut self.more_in);
            }
            self.more += 1;
            return;
        }
        let (path, reason) = (cut(path.into(), MAX_PROBLEM_CHARS), cut(reason.into(), MAX_PROBLEM_CHARS));
        self.told.push(ConfigProblem { source: source.to_owned(), position, path, reason, count: 1 });
    }

    /// Returns the value if there is no problem, else every problem, those of one source together and in the
    /// order of its text.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, Vec<ConfigProblem>> {
        if self.told.is_empty() {
            return Ok(value);
        }
        let mut sources: Vec<String> = Vec::new();
        for problem in &self.told {
            if !sources.contains(&problem.source) {
                sources.push(problem.source.clone());
            }
        }
        let mut problems = self.told;
        problems.sort_by_key(|problem| {
            let rank = sources.iter().position(|source| *source == problem.source);
            (rank, problem.position.map(|at| (at.line, at.column)))
        });
        if self.more > 0 {
            let reason = format!("and {} more problems, which are not listed", self.more);
            let (source, path) = (self.more_in, String::new());
            problems.push(ConfigProblem { source, position: None, path, reason, count: self.more });
        }
        Err(problems)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn lines(&self) -> Vec<String> {
        self.told.iter().map(ConfigProblem::to_string).collect()
    }
}

/// Escapes every control character of a text, so that it stays on its line and cannot steer a terminal.
pub(super) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    crate::telemetry::logging::escape(text, &mut out);
    out
}

/// Returns a member's name as a step of a path: bare if it is plain, else in quotes.
pub(super) fn path_step(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '/');
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { format!("{name:?}") }
}

/// Returns the end of a sentence about an unknown name: a suggestion, or an empty text.
pub(super) fn did_you_mean(given: &str, known: &[&str]) -> String {
    let near = closest(given, known.iter().copied());
    near.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        let text = "ab\nüx = 1\n";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 3), Position { line: 2, column: 1 });
        assert_eq!(Position::of(text, 5), Position { line: 2, column: 2 });
        assert_eq!(Position::of(text, 999), Position { line: 3, column: 1 });
    }

    #[test]
    fn a_problem_is_one_line_whatever_it_quotes() {
        let problem = ConfigProblem {
            source: "a.toml".into(),
            position: Some(Position { line: 2, column: 1 }),
            path: "x\u{1b}[31m".into(),
            reason: "is\nodd".into(),
            count: 1,
        };
        assert_eq!(problem.to_string(), "a.toml:2:1: x\\u{1b}[31m is\\nodd");
    }

    #[test]
    fn a_file_with_a_million_problems_is_a_short_list_of_short_lines() {
        let mut problems = Problems::default();
        for n in 0..1_000_000 {
            problems.at("a.json", None, format!("mcpServers.{n}{}", "x".repeat(n % 2_000)), "is wrong");
        }
        assert_eq!(problems.len(), 1_000_000);
        let problems = problems.into_result(()).expect_err("many");
        assert_eq!(problems.len(), MAX_PROBLEMS + 1);
        assert_eq!(problems.iter().map(|problem| problem.count).sum::<usize>(), 1_000_000);
        assert!(
            problems.iter().all(|problem| problem.to_string().chars().count() < 2 * MAX_PROBLEM_CHARS + 100)
        );
        assert_eq!(
            problems[MAX_PROBLEMS].to_string(),
            "a.json: and 999900 more problems, which are not listed"
        );
    }

    #[test]
    fn problems_come_out_by_source_and_in_the_order_of_the_text() {
        let mut problems = Problems::default();
        let at = |line| Some(Position { line, column: 1 });
        problems.at("b", at(9), "late", "is wrong");
        problems.source("a", "is gone");
        problems.at("b", at(2), "early", "is wrong");
        let lines: Vec<_> =
            problems.into_result(()).expect_err("three").iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["b:2:1: early is wrong", "b:9:1: late is wrong", "a: is gone"]);
    }
}
