//! Off switches that are stored outside the entries they apply to. Pure.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::shape::at;

/// Servers that a file switches off outside their entries: names, each with the member that says so.
pub(super) struct Switches {
    off: HashMap<String, String>,
    /// Names that are switched off in some projects and not in others.
    partly: HashMap<String, String>,
    allowed: Option<(Vec<String>, String)>,
}

/// Statement of a file on a server outside its entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'s> {
    Nothing,
    /// The server is off, by this member.
    Off(&'s str),
    /// The server is off for some projects, by this member.
    OffForSome(&'s str),
}

/// Lists of names that are off, at the top of a file.
const LISTS: [&[&str]; 5] = [
    &["disabledMcpServers"],
    &["disabledMcpjsonServers"],
    &["mcp", "excluded"],
    &["mcp", "exclude"],
    &["excludeMCPServers"],
];
/// Lists of allowed names; all others are off.
const ALLOWED: [&[&str]; 2] = [&["mcp", "allowed"], &["allowMCPServers"]];

impl Switches {
    pub(super) fn read(top: &Map<String, Value>) -> Switches {
        let mut switches = Switches { off: HashMap::new(), partly: HashMap::new(), allowed: None };
        for place in LISTS {
            for name in names(top, place).unwrap_or_default() {
                switches.off.entry(name).or_insert_with(|| place.join("."));
            }
        }
        switches.allowed = ALLOWED.iter().find_map(|place| Some((names(top, place)?, place.join("."))));
        switches.read_projects(top);
        switches
    }

    /// Reads the switches of projects in a file of Claude Code. This gateway has no projects: a server is off
    /// if it is off in all of them.
    fn read_projects(&mut self, top: &Map<String, Value>) {
        let Some(projects) = top.get("projects").and_then(Value::as_object) else { return };
        let mut counts: HashMap<String, usize> = HashMap::new();
        for project in projects.values().filter_map(Value::as_object) {
            let mut listed = names(project, &["disabledMcpServers"]).unwrap_or_default();
            listed.sort_unstable();
            listed.dedup();
            for name in listed {
                *counts.entry(name).or_default() += 1;
            }
        }
        for (name, count) in counts {
            let (list, place) = match count == projects.len() {
                true => (&mut self.off, "disabledMcpServers of every project"),
                false => (&mut self.partly, "disabledMcpServers of some projects"),
            };
            list.entry(name).or_insert_with(|| place.to_owned());
        }
    }

    pub(super) fn of(&self, name: &str) -> Said<'_> {
        if let Some(place) = self.off.get(name) {
            return Said::Off(place);
        }
        match &self.allowed {
            Some((allowed, place)) if !allowed.iter().any(|known| known == name) => Said::Off(place),
            _ => self.partly.get(name).map_or(Said::Nothing, |place| Said::OffForSome(place)),
        }
    }
}

fn names(top: &Map<String, Value>, place: &[&str]) -> Option<Vec<String>> {
    Some(at(top, place)?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(top: Value, name: &str) -> String {
        let Value::Object(top) = top else { panic!("the test gives an object") };
        match Switches::read(&top).of(name) {
            Said::Nothing => "on".to_owned(),
            Said::Off(place) => format!("off by {place}"),
            Said::OffForSome(place) => format!("on in spite of {place}"),
        }
    }

    #[test]
    fn what_stands_outside_an_entry_switches_it() {
        for (top, told) in [
            (json!({}), "on"),
            (json!({"disabledMcpServers": ["b"]}), "on"),
            (json!({"disabledMcpServers": ["a"]}), "off by disabledMcpServers"),
            (json!({"mcp": {"excluded": ["a"]}}), "off by mcp.excluded"),
            (json!({"mcp": {"allowed": ["a"]}}), "on"),
            (json!({"mcp": {"allowed": []}}), "off by mcp.allowed"),
            (json!({"mcp": {"allowed": ["a"], "excluded": ["a"]}}), "off by mcp.excluded"),
            (
                json!({"projects": {"/p": {"disabledMcpServers": ["a", "a"]}}}),
                "off by disabledMcpServers of every project",
            ),
            (
                json!({"projects": {"/p": {"disabledMcpServers": ["a"]}, "/q": {}}}),
                "on in spite of disabledMcpServers of some projects",
            ),
        ] {
            assert_eq!(said(top.clone(), "a"), told, "{top}");
        }
    }
}
