//! Permissions of a key: the MCPs it may use, and which of their tools. Pure; the stored form and the form
//! of the API are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::nearest::closest;

/// Maximum number of MCPs, and of patterns in a list, that a key may name.
const MAX_ENTRIES: usize = 1_000;
/// Maximum length of a pattern, in characters.
const MAX_PATTERN: usize = 256;
/// Text that stands for all, or for all MCPs that are not named.
const ALL: &str = "*";

/// MCPs and tools that a key may use. Unlimited by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct Permissions {
    /// The ids of the MCPs; `None` for all, including those to come.
    pub(super) mcps: Option<BTreeSet<Arc<str>>>,
    /// The tools; `None` for all tools.
    pub(super) tools: Option<Tools>,
}

/// Tools that may be called and seen, as patterns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tools {
    /// Patterns for the MCPs that `by_mcp` does not name; `None` allows none of their tools.
    pub(super) others: Option<Vec<Pattern>>,
    pub(super) by_mcp: BTreeMap<Arc<str>, Vec<Pattern>>,
}

/// Pattern for the names of tools: each `*` stands for any number of characters, including none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Reads a pattern; `None` for an empty text and one of more than 256 characters.
    pub fn read(text: &str) -> Option<Pattern> {
        (1..=MAX_PATTERN).contains(&text.chars().count()).then(|| Pattern(text.into()))
    }

    /// Returns the pattern as it was written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Reports whether a name matches. A `*` in the name is matched only by a `*`, so this also reports
    /// whether the pattern allows everything that another pattern does (it may return `false` although that
    /// is so).
    pub fn fits(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Position of the last `*`, and the position in the name where the rest of the pattern was last
        // tried after it.
        let mut retry: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    retry = Some((p, n));
                    p += 1;
                }
                Some(byte) if *byte == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => {
                    let Some((star, tried)) = retry else { return false };
                    retry = Some((star, tried + 1));
                    p = star + 1;
                    n = tried + 1;
                }
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

/// Error for permissions that cannot be read, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPermissions(pub String);

impl Permissions {
    /// Reports whether the key may use an MCP.
    pub fn allow_mcp(&self, id: &str) -> bool {
        self.mcps.as_ref().is_none_or(|ids| ids.contains(id))
    }

    /// Reports whether the key may use every MCP, including those to come.
    pub fn allow_all_mcps(&self) -> bool {
        self.mcps.is_none()
    }

    /// Reports whether the key may see and call a tool of an MCP.
    pub fn allow_tool(&self, mcp: &str, tool: &str) -> bool {
        self.allow_mcp(mcp)
            && self.patterns(mcp).is_none_or(|patterns| patterns.iter().any(|pattern| pattern.fits(tool)))
    }

    /// Reports whether the key may see and call every tool of an MCP.
    pub fn allow_all_tools(&self, mcp: &str) -> bool {
        self.allow_mcp(mcp) && self.patterns(mcp).is_none_or(|all| all.iter().any(|one| &*one.0 == ALL))
    }

    /// Reports whether nothing is limited.
    pub fn are_unlimited(&self) -> bool {
        *self == Permissions::default()
    }

    /// Reports whether these allow nothing that `wider` does not. Returns `false` in doubt.
    pub fn are_within(&self, wider: &Permissions) -> bool {
        let mcps = match (&self.mcps, &wider.mcps) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(theirs)) => own.is_subset(theirs),
        };
        let Some(theirs) = &wider.tools else { return mcps };
        let Some(own) = &self.tools else { return false };
        let named = own.by_mcp.keys().chain(theirs.by_mcp.keys());
        mcps && within(own.others.as_deref(), theirs.others.as_deref())
            && named.into_iter().all(|mcp| within(self.patterns(mcp), wider.patterns(mcp)))
    }

    /// Returns the permissions that allow what at least one of these does, and nothing else; with none of them, nothing.
    #[must_use]
    pub fn union<'a>(all: impl IntoIterator<Item = &'a Permissions>) -> Permissions {
        let all: Vec<&Permissions> = all.into_iter().collect();
        let named: BTreeSet<Arc<str>> = all.iter().flat_map(|one| one.named_mcps()).cloned().collect();
        let covers_all = all.iter().any(|one| one.mcps.is_none());
        // An MCP that nobody names is used by whoever is not limited to some, by the patterns for all others.
        let patterns = |mcp: Option<&str>| -> Vec<Pattern> {
            let with = all.iter().filter(|one| mcp.map_or(one.mcps.is_none(), |mcp| one.allow_mcp(mcp)));
            let patterns = with.map(|one| match (mcp, &one.tools) {
                (_, None) => None,
                (Some(mcp), Some(_)) => one.patterns(mcp),
                (None, Some(tools)) => Some(tools.others.as_deref().unwrap_or_default()),
            });
            match patterns.collect::<Option<Vec<&[Pattern]>>>() {
                Some(lists) => lists.concat(),
                None => vec![Pattern(ALL.into())],
            }
        };
        let by_mcp = named.iter().map(|mcp| (mcp.clone(), patterns(Some(mcp)))).collect();
        let others = covers_all.then(|| patterns(None));
        let mcps = (!covers_all)
            .then(|| named.into_iter().filter(|mcp| all.iter().any(|one| one.allow_mcp(mcp))).collect());
        let permissions = Permissions { mcps, tools: Some(Tools { others, by_mcp }) };
        match all.iter().any(|one| one.are_unlimited()) {
            true => Permissions::default(),
            false => permissions,
        }
    }

    /// Returns these permissions with each MCP named as `id_of` says. Where two names are of one MCP, only tools that both
    /// allow by the same words are allowed.
    #[must_use]
    pub fn renamed(&self, id_of: &mut dyn FnMut(&str) -> Arc<str>) -> Permissions {
        let mcps = self.mcps.as_ref().map(|mcps| mcps.iter().map(|mcp| id_of(mcp)).collect());
        let tools = self.tools.as_ref().map(|tools| {
            let mut renamed = Tools { others: tools.others.clone(), ..Tools::default() };
            for (mcp, list) in &tools.by_mcp {
                let known = renamed.by_mcp.entry(id_of(mcp));
                known
                    .and_modify(|both| both.retain(|one| list.contains(one)))
                    .or_insert_with(|| list.clone());
            }
            renamed
        });
        Permissions { mcps, tools }
    }

    /// Returns the ids of all MCPs that are named in these permissions, possibly repeated.
    pub fn named_mcps(&self) -> impl Iterator<Item = &Arc<str>> {
        let by_mcp = self.tools.iter().flat_map(|tools| tools.by_mcp.keys());
        self.mcps.iter().flatten().chain(by_mcp)
    }

    /// Returns the patterns for an MCP; `None` for all its tools.
    fn patterns(&self, mcp: &str) -> Option<&[Pattern]> {
        let tools = self.tools.as_ref()?;
        Some(tools.by_mcp.get(mcp).or(tools.others.as_ref()).map_or(&[], Vec::as_slice))
    }

    /// Reads the form of the API. `id_of` maps the id or the name of an MCP to its id; the caller reports
    /// names that it does not know.
    pub fn read(
        value: &Value,
        id_of: &mut dyn FnMut(&str) -> Arc<str>,
    ) -> Result<Permissions, BadPermissions> {
        let Value::Object(members) = value else { return bad("must be an object") };
        if let Some(unknown) = members.keys().find(|name| !matches!(name.as_str(), "mcps" | "tools")) {
            let near = closest(unknown, ["mcps", "tools"]).map(|name| format!("did you mean '{name}'?"));
            let near = near.unwrap_or_else(|| "there are 'mcps' and 'tools'".to_owned());
            return bad(&format!("has the unknown member '{unknown}'; {near}"));
        }
        let mcps = match members.get("mcps") {
            None => None,
            Some(Value::String(all)) if all == ALL => None,
            Some(Value::Array(ids)) if ids.len() <= MAX_ENTRIES => {
                let ids: Option<BTreeSet<Arc<str>>> =
                    ids.iter().map(|id| id.as_str().map(&mut *id_of)).collect();
                match ids {
                    Some(ids) => Some(ids),
                    None => return bad("'mcps' must be \"*\" or an array of ids or names"),
                }
            }
            Some(_) => return bad("'mcps' must be \"*\" or an array of ids or names"),
        };
        let tools = match members.get("tools") {
            None => None,
            Some(tools) => read_tools(tools, id_of)?,
        };
        Ok(Permissions { mcps, tools })
    }
}

fn bad<T>(reason: &str) -> Result<T, BadPermissions> {
    Err(BadPermissions(reason.to_owned()))
}

fn within(own: Option<&[Pattern]>, theirs: Option<&[Pattern]>) -> bool {
    let (own, theirs) = (own.unwrap_or_default(), theirs.unwrap_or_default());
    own.iter().all(|narrow| theirs.iter().any(|wide| wide.fits(&narrow.0)))
}

fn read_tools(
    value: &Value,
    id_of: &mut dyn FnMut(&str) -> Arc<str>,
) -> Result<Option<Tools>, BadPermissions> {
    const FORM: &str = "'tools' must be \"*\", an array of names (with * for any characters), \
                        or an object of such arrays by MCP, with \"*\" for all others";
    let patterns = |value: &Value| -> Option<Vec<Pattern>> {
        let Value::Array(list) = value else { return None };
        (list.len() <= MAX_ENTRIES).then_some(())?;
        list.iter().map(|item| item.as_str().and_then(Pattern::read)).collect()
    };
    match value {
        Value::String(all) if all == ALL => Ok(None),
        Value::Array(_) => match patterns(value) {
            Some(others) => Ok(Some(Tools { others: Some(others), by_mcp: BTreeMap::new() })),
            None => bad(FORM),
        },
        Value::Object(members) if members.len() <= MAX_ENTRIES => {
            let mut tools = Tools::default();
            for (mcp, list) in members {
                let Some(list) = patterns(list) else { return bad(FORM) };
                match mcp.as_str() {
                    ALL => tools.others = Some(list),
                    mcp => drop(tools.by_mcp.insert(id_of(mcp), list)),
                }
            }
            Ok(Some(tools))
        }
        _ => bad(FORM),
    }
}

impl TryFrom<Value> for Permissions {
    type Error = BadPermissions;

    fn try_from(value: Value) -> Result<Permissions, BadPermissions> {
        Permissions::read(&value, &mut |id| id.into())
    }
}

impl From<Permissions> for Value {
    fn from(permissions: Permissions) -> Value {
        let mut members = Map::new();
        members.insert("mcps".to_owned(), permissions.mcps.map_or_else(|| json!(ALL), |ids| json!(ids)));
        let texts = |patterns: &[Pattern]| json!(patterns.iter().map(|one| &*one.0).collect::<Vec<_>>());
        if let Some(tools) = permissions.tools {
            let value = match (&tools.others, tools.by_mcp.is_empty()) {
                (Some(others), true) => texts(others),
                (others, _) => {
                    let by_mcp = tools.by_mcp.iter().map(|(mcp, list)| (mcp.to_string(), texts(list)));
                    by_mcp.chain(others.as_deref().map(|list| (ALL.to_owned(), texts(list)))).collect()
                }
            };
            members.insert("tools".to_owned(), value);
        }
        Value::Object(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: Value) -> Permissions {
        Permissions::try_from(value).expect("good")
    }

    #[test]
    fn a_pattern_fits_as_a_glob_does() {
        let fits = |pattern: &str, name: &str| Pattern(pattern.into()).fits(name);
        assert!(fits("read", "read") && !fits("read", "reads") && !fits("reads", "read"));
        assert!(fits("read_*", "read_file") && fits("read_*", "read_") && !fits("read_*", "read"));
        assert!(fits("*_file", "read_file") && fits("*a*b*", "xaxbx") && !fits("*a*b", "ba"));
        assert!(fits("*", "") && fits("a*a", "aa") && !fits("a*a", "a") && fits("**", "x"));
        assert!(!fits("a*c", "*"), "what a pattern allows is not what it is written with");
        assert!(fits("a*", "a*c") && !fits("a*c", "a*"));
    }

    #[test]
    fn tools_are_limited_for_all_mcps_or_for_each() {
        let some = read(json!({"mcps": ["mcp_1"], "tools": ["read_*", "stat"]}));
        assert!(some.allow_tool("mcp_1", "read_x") && some.allow_tool("mcp_1", "stat"));
        assert!(!some.allow_tool("mcp_1", "write") && !some.allow_tool("mcp_2", "stat"));
        let each = read(json!({"tools": {"mcp_1": ["a"], "mcp_2": ["*"]}}));
        assert!(each.allow_tool("mcp_1", "a") && !each.allow_tool("mcp_1", "b"));
        assert!(each.allow_all_tools("mcp_2") && !each.allow_tool("mcp_3", "a"), "who is not named has none");
        let others = read(json!({"tools": {"mcp_1": [], "*": ["a"]}}));
        assert!(!others.allow_tool("mcp_1", "a") && others.allow_tool("mcp_3", "a"));
        assert!(read(json!({})).are_unlimited() && read(json!({"mcps": "*", "tools": "*"})).are_unlimited());
        assert!(!read(json!({"mcps": []})).allow_mcp("mcp_1"), "an empty list is none");
    }

    #[test]
    fn bad_forms_are_told_apart() {
        for (value, reason) in [
            (json!([]), "must be an object"),
            (json!({"mcp": []}), "unknown member 'mcp'"),
            (json!({"mcps": "x"}), "'mcps' must be"),
            (json!({"mcps": [1]}), "'mcps' must be"),
            (json!({"mcps": null}), "'mcps' must be"),
            (json!({"tools": null}), "'tools' must be"),
            (json!({"tool": []}), "unknown member 'tool'; did you mean 'tools'?"),
            (json!({"tools": [""]}), "'tools' must be"),
            (json!({"tools": {"x": "*"}}), "'tools' must be"),
            (json!({"tools": 1}), "'tools' must be"),
        ] {
            let error = Permissions::try_from(value.clone()).expect_err("bad").to_string();
            assert!(error.contains(reason), "{value}: {error}");
        }
    }

    fn any_permissions() -> impl Strategy<Value = Permissions> {
        let id = || prop::sample::select(vec!["m1", "m2", "m3"]);
        let pattern = || "[ab*]{1,4}";
        let mcps = prop::option::of(prop::collection::vec(id(), 0..3));
        let list = prop::collection::vec(pattern(), 0..3);
        let by_mcp = prop::collection::btree_map(id(), prop::collection::vec(pattern(), 0..3), 0..3);
        let tools = prop::option::of((prop::option::of(list), by_mcp));
        (mcps, tools).prop_map(|(mcps, tools)| {
            let mut value = json!({});
            if let Some(mcps) = mcps {
                value["mcps"] = json!(mcps);
            }
            if let Some((others, by_mcp)) = tools {
                value["tools"] = json!(by_mcp);
                if let Some(others) = others {
                    value["tools"]["*"] = json!(others);
                }
            }
            read(value)
        })
    }

    #[test]
    fn two_names_of_one_mcp_allow_what_both_allow() {
        let named = json!({"mcps": ["todo"], "tools": {"todo": ["read_*", "add"], "mcp_1": ["read_*"]}});
        let named = read(named);
        let renamed = named.renamed(&mut |_| "mcp_1".into());
        assert!(renamed.allow_tool("mcp_1", "read_all") && !renamed.allow_tool("mcp_1", "add"));
    }

    proptest! {
        #[test]
        fn what_is_within_allows_nothing_more(
            narrow in any_permissions(),
            wide in any_permissions(),
            mcp in prop::sample::select(vec!["m1", "m2", "m3", "m4"]),
            tool in "[ab]{0,5}",
        ) {
            prop_assert!(narrow.are_within(&narrow) && narrow.are_within(&Permissions::default()));
            if narrow.are_within(&wide) && narrow.allow_tool(mcp, &tool) {
                prop_assert!(wide.allow_tool(mcp, &tool), "{:?} {:?}", narrow, wide);
            }
        }

        #[test]
        fn a_union_allows_what_one_of_its_parts_does_and_nothing_else(
            parts in prop::collection::vec(any_permissions(), 0..4),
            mcp in prop::sample::select(vec!["m1", "m2", "m3", "m4"]),
            tool in "[ab]{0,5}",
        ) {
            let union = Permissions::union(&parts);
            prop_assert_eq!(union.allow_mcp(mcp), parts.iter().any(|part| part.allow_mcp(mcp)));
            let allowed = parts.iter().any(|part| part.allow_tool(mcp, &tool));
            prop_assert_eq!(union.allow_tool(mcp, &tool), allowed, "{:?} {:?}", parts, union);
            prop_assert_eq!(union.renamed(&mut |id| id.into()), union);
        }

        #[test]
        fn what_is_written_is_read_back(permissions in any_permissions()) {
            prop_assert_eq!(read(permissions.clone().into()), permissions);
        }
    }
}
