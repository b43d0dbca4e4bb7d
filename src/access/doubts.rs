//! Warnings about permissions that have no effect today: names that match nothing, and empty lists. Pure.

use super::permissions::{Pattern, Permissions};
use crate::nearest::closest;

/// Maximum number of warnings.
const MAX_DOUBTS: usize = 10;
/// Maximum number of comparisons of patterns with tools; beyond it no further pattern is doubted.
const MAX_COMPARED: usize = 1_000_000;

/// An MCP and the tools that it has announced.
#[derive(Debug, Clone)]
pub struct Announced<'a> {
    /// Id of the MCP.
    pub id: &'a str,
    /// Name of the MCP, as the warnings show it.
    pub name: &'a str,
    /// Names of its tools; `None` if it has not announced any yet.
    pub tools: Option<Vec<&'a str>>,
}

impl Permissions {
    /// Returns a warning of one sentence for each part that has no effect with these MCPs. A pattern that
    /// matches nothing today may be meant for tools to come, so it is not certainly a mistake.
    pub fn doubts(&self, mcps: &[Announced<'_>]) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.mcps.as_ref().is_some_and(|ids| ids.is_empty()) {
            doubts.push("permissions.mcps is empty: the key may use no MCP".to_owned());
        }
        let Some(tools) = &self.tools else { return doubts };
        let lists = tools.others.iter().chain(tools.by_mcp.values());
        if lists.clone().all(Vec::is_empty) {
            doubts.push("permissions.tools is empty: the key may call no tool".to_owned());
        }
        let name_of =
            |id: &str| mcps.iter().find(|mcp| mcp.id == id).map_or(id.to_owned(), |mcp| mcp.name.to_owned());
        for id in tools.by_mcp.keys().filter(|id| !self.allow_mcp(id)) {
            let name = name_of(id);
            doubts.push(format!(
                "permissions.tools names the MCP '{name}', which permissions.mcps does not allow"
            ));
        }
        let mut compared = 0;
        let mut judge = |patterns: &[Pattern], among: Vec<&Announced<'_>>, whose: &str| {
            let Some(names) = among.iter().map(|mcp| mcp.tools.as_deref()).collect::<Option<Vec<_>>>() else {
                return;
            };
            let count: usize = names.iter().map(|names| names.len()).sum();
            for pattern in patterns {
                compared += count.max(1);
                let fits = || names.iter().copied().flatten().any(|name| pattern.fits(name));
                if doubts.len() >= MAX_DOUBTS || compared > MAX_COMPARED || among.is_empty() || fits() {
                    continue;
                }
                let near = closest(pattern.text(), names.iter().copied().flatten().copied());
                let near = near.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
                doubts
                    .push(format!("'{}' in permissions.tools fits no tool of {whose}{near}", pattern.text()));
            }
        };
        for (id, patterns) in &tools.by_mcp {
            let among = mcps.iter().filter(|mcp| *mcp.id == **id && self.allow_mcp(mcp.id)).collect();
            judge(patterns, among, &format!("the MCP '{}'", name_of(id)));
        }
        let others = mcps.iter().filter(|mcp| self.allow_mcp(mcp.id) && !tools.by_mcp.contains_key(mcp.id));
        judge(tools.others.as_deref().unwrap_or_default(), others.collect(), "the MCPs that the key may use");
        doubts.truncate(MAX_DOUBTS);
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn doubts(permissions: Value) -> Vec<String> {
        let mcps = [
            Announced { id: "m1", name: "files", tools: Some(vec!["read_file", "list"]) },
            Announced { id: "m2", name: "web", tools: Some(vec!["fetch"]) },
            Announced { id: "m3", name: "slow", tools: None },
        ];
        Permissions::try_from(permissions).expect("good").doubts(&mcps)
    }

    #[test]
    fn what_allows_nothing_today_is_doubted_and_what_may_come_is_not() {
        let none: [&str; 0] = [];
        assert_eq!(doubts(json!({})), none);
        assert_eq!(doubts(json!({"mcps": ["m1"], "tools": ["read_*", "list"]})), none);
        assert_eq!(doubts(json!({"tools": ["nothing"]})), none, "one of them has not announced its tools");
        assert_eq!(
            doubts(json!({"mcps": ["m1"], "tools": ["raed_file", "list"]})),
            [
                "'raed_file' in permissions.tools fits no tool of the MCPs that the key may use; did you mean 'read_file'?"
            ]
        );
        assert_eq!(doubts(json!({"mcps": []})), ["permissions.mcps is empty: the key may use no MCP"]);
        assert_eq!(doubts(json!({"tools": []})), ["permissions.tools is empty: the key may call no tool"]);
        assert_eq!(
            doubts(json!({"mcps": ["m1"], "tools": {"m2": ["fetch"], "m1": ["list"]}})),
            ["permissions.tools names the MCP 'web', which permissions.mcps does not allow"]
        );
        let many: Vec<String> = (0..50).map(|number| format!("no{number}")).collect();
        assert_eq!(doubts(json!({"mcps": ["m1"], "tools": many})).len(), MAX_DOUBTS);
    }
}
