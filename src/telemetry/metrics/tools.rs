//! Calls by tool: how many, how long, how many of them failed. Nothing of it is on the path of a call: the usage thread
//! tells what it takes from the servers' books anyway, once a second.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{IntCounterVec, Registry};

use super::summaries::Summaries;
use super::{MAX_SERIES, MetricsError, OTHER, counters};
use crate::text::misleads;

/// Most tools of one server that have series of their own; further ones share the tool `other`. A server may announce
/// any number, and others are to have room as well.
const MAX_TOOLS: usize = 200;
/// Longest name of a tool in a label, in characters; the rest is cut off.
const MAX_NAME: usize = 128;

const DURATION_HELP: &str = "Calls by tool, and how long they took.";
const ERRORS_HELP: &str = "Calls by tool that had another outcome than ok.";

/// Families with a tool label.
pub(super) struct ToolFamilies {
    duration: Summaries,
    errors: IntCounterVec,
    known: Mutex<Known>,
}

/// Tools that have series of their own, by server.
#[derive(Default)]
struct Known {
    tools: HashMap<String, HashSet<String>>,
    count: usize,
}

impl ToolFamilies {
    pub(super) fn declare(registry: &Registry) -> Result<ToolFamilies, MetricsError> {
        let name = "mcpvisor_tool_duration_seconds";
        Ok(ToolFamilies {
            duration: Summaries::declare(registry, name, DURATION_HELP, Some("tool"))?,
            errors: counters(registry, "mcpvisor_tool_errors_total", ERRORS_HELP, &["server", "tool"])?,
            known: Mutex::default(),
        })
    }

    /// Adds calls of a tool of this server; `server` is the label that the server has.
    pub(super) fn count(&self, server: &str, tool: &str, calls: u64, errors: u64, took: Duration) {
        let tool = shown(tool);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let tool = if known.has_room_for(server, &tool) { &*tool } else { OTHER };
        // Under the lock, so that a removal finds all that there is.
        self.duration.add(server, tool, calls, took.as_secs_f64());
        self.errors.with_label_values(&[server, tool]).inc_by(errors);
    }

    /// Removes the series of a server.
    pub(super) fn remove(&self, server: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.count -= known.tools.remove(server).map_or(0, |tools| tools.len());
        for tool in self.duration.remove(server) {
            // Removing fails only for series that do not exist.
            let _ = self.errors.remove_label_values(&[server, &tool]);
        }
    }
}

impl Known {
    /// Reports whether a tool has series of its own, and takes the room for them if there is any.
    fn has_room_for(&mut self, server: &str, tool: &str) -> bool {
        if server == OTHER || tool == OTHER {
            return false;
        }
        let is_full = self.count >= MAX_SERIES;
        match self.tools.get_mut(server) {
            Some(tools) if tools.contains(tool) => return true,
            Some(tools) if !is_full && tools.len() < MAX_TOOLS => drop(tools.insert(tool.to_owned())),
            None if !is_full => {
                self.tools.insert(server.to_owned(), HashSet::from([tool.to_owned()]));
            }
            _ => return false,
        }
        self.count += 1;
        true
    }
}

/// Returns the name of a tool as a label: cut, and with what could steer a terminal as an escape, since whoever looks at
/// metrics by hand does that in one.
fn shown(tool: &str) -> String {
    let mut shown = String::with_capacity(tool.len());
    for c in tool.chars().take(MAX_NAME) {
        if misleads(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).expect("text")
    }

    fn families() -> (ToolFamilies, Registry) {
        let registry = Registry::new();
        (ToolFamilies::declare(&registry).expect("declared"), registry)
    }

    #[test]
    fn calls_of_a_tool_add_up_with_their_errors_and_their_time() {
        let (tools, registry) = families();
        tools.count("git", "log", 3, 1, Duration::from_millis(1500));
        tools.count("git", "log", 1, 0, Duration::from_millis(500));
        let text = text(&registry);
        for line in [
            r#"mcpvisor_tool_duration_seconds_sum{server="git",tool="log"} 2"#,
            r#"mcpvisor_tool_duration_seconds_count{server="git",tool="log"} 4"#,
            r#"mcpvisor_tool_errors_total{server="git",tool="log"} 1"#,
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        tools.remove("git");
        assert!(!self::text(&registry).contains("git"));
    }

    #[test]
    fn tools_beyond_the_bounds_are_counted_together_and_none_is_lost() {
        let (tools, registry) = families();
        for server in 0..20 {
            for tool in 0..MAX_TOOLS + 50 {
                tools.count(&format!("s{server}"), &format!("t{tool}"), 1, 0, Duration::ZERO);
            }
        }
        let text = text(&registry);
        let counts = text.lines().filter(|line| line.starts_with("mcpvisor_tool_duration_seconds_count"));
        let counts: Vec<(bool, u64)> = counts
            .map(|line| {
                let value = line.rsplit_once(' ').expect("a value").1;
                (line.contains(r#"tool="other""#), value.parse().expect("a number"))
            })
            .collect();
        assert_eq!(counts.iter().filter(|(is_other, _)| !is_other).count(), MAX_SERIES);
        assert_eq!(counts.iter().map(|(_, calls)| calls).sum::<u64>(), 20 * (MAX_TOOLS as u64 + 50));
        tools.remove("s0");
        tools.count("late", "t", 1, 0, Duration::ZERO);
        assert!(self::text(&registry).contains(r#"server="late",tool="t"} 1"#), "its room is free again");
    }

    #[test]
    fn names_that_would_steer_a_terminal_are_escaped_and_long_ones_cut() {
        let (tools, registry) = families();
        tools.count("s", "a\u{1b}[2J\u{202e}b\n", 1, 0, Duration::ZERO);
        tools.count("s", &"x".repeat(5000), 1, 0, Duration::ZERO);
        let text = text(&registry);
        assert!(text.lines().all(|line| !line.contains(|c: char| c.is_control() || c == '\u{202e}')));
        assert!(text.lines().all(|line| line.len() < 300));
    }
}
