//! Groups of servers and the naming of what is in them: `[mcp]` as far as it is about names, and `[groups.NAME]`.

use std::collections::HashMap;
use std::sync::Arc;

use toml::de::DeValue;

use super::problem::{ConfigProblem, Problems, path_step};
use super::section::{Section, integer, texts};
use super::servers_file::ServersFile;
use super::settings::Config;
use crate::access::Pattern;
use crate::gateway::{Group, Groups, Naming, PrefixRule, SEARCH_TOOLS, Search};
use crate::nearest::closest;

const PREFIXES: [(&str, PrefixRule); 3] =
    [("always", PrefixRule::Always), ("conflict", PrefixRule::Conflict), ("never", PrefixRule::Never)];
/// Longest text for people or models, in characters.
const MAX_TEXT: usize = 20_000;
/// Most servers of a group, patterns of a list, and entries of a table.
const MAX_ENTRIES: usize = 1_000;
/// Longest name of a group, and of a tool, in characters.
const MAX_NAME: usize = 64;

/// Reads how things of several servers are named; what is not set stays.
pub(super) fn naming(s: &mut Section<'_>, naming: &mut Naming, problems: &mut Problems) {
    s.choice("prefix", &PREFIXES, &mut naming.prefix, problems);
    const SEPARATOR: &str = "1 to 4 letters (without accents), digits, '_' and '-'";
    s.set("separator", SEPARATOR, &mut naming.separator, problems, |value| {
        value.as_str().filter(|text| is_name(text, 4)).map(Into::into)
    });
    const SEARCH: &str =
        "\"off\", \"on\", or the number of tools from which on they are searched for, 1 to 100000";
    s.set("search", SEARCH, &mut naming.search, problems, |value| match value.as_str() {
        Some("off") => Some(Search::Off),
        Some("on") => Some(Search::On),
        Some(_) => None,
        None => {
            let most = integer(value).filter(|most| (1..=100_000).contains(most))?;
            usize::try_from(most).ok().map(Search::Above)
        }
    });
}

/// Reads `[groups]`.
pub(super) fn read(mut section: Section<'_>, groups: &mut Groups, problems: &mut Problems) {
    for (name, s) in section.named(problems) {
        let before = problems.len();
        if !is_group_name(&name) {
            let reason = "is no name of a group: 1 to 64 letters (without accents), digits, '_', '-' and '.'";
            s.refuse_all(reason, problems);
        }
        let group = group(&name, s, &groups.all, problems);
        if problems.len() == before {
            groups.by_name.insert(group.name.clone(), Arc::new(group));
        }
    }
}

fn group(name: &str, mut s: Section<'_>, all: &Naming, problems: &mut Problems) -> Group {
    let mut group = Group::new(name, all.clone());
    let before = problems.len();
    let servers = format!("an array of 1 to {MAX_ENTRIES} names of servers, each once");
    s.set("servers", &servers, &mut group.servers, problems, |value| {
        let names: Vec<Arc<str>> = texts(value, |name| (!name.is_empty()).then(|| name.into()))?;
        let is_twice = names.iter().enumerate().any(|(at, name)| names[..at].contains(name));
        ((1..=MAX_ENTRIES).contains(&names.len()) && !is_twice).then_some(names)
    });
    if group.servers.is_empty() && problems.len() == before {
        s.refuse("servers", "is required: the names of the group's servers".to_owned(), problems);
    }
    naming(&mut s, &mut group.naming, problems);
    s.set("allow", PATTERNS, &mut group.allow, problems, |value| patterns(value).map(Some));
    s.set("deny", PATTERNS, &mut group.deny, problems, patterns);
    const RENAME: &str = "a table of new names, each 1 to 64 letters (without accents), digits, '_' and '-': {\"server.tool\" = \"name\"}";
    s.set("rename", RENAME, &mut group.rename, problems, |value| {
        table(value, |text| is_name(text, MAX_NAME))
    });
    const DESCRIBE: &str = "a table of texts: {\"server.tool\" = \"what it does\"}";
    s.set("describe", DESCRIBE, &mut group.describe, problems, |value| table(value, is_text));
    for (name, slot) in [("description", &mut group.description), ("instructions", &mut group.instructions)] {
        s.set(name, "a text of 1 to 20000 characters", slot, problems, |value| {
            value.as_str().filter(|text| is_text(text)).map(|text| Some(text.into()))
        });
    }
    if problems.len() == before {
        check_tools(&s, &group, problems);
    }
    s.finish(problems);
    group
}

/// Refuses what names no server of the group, and two tools of one new name.
fn check_tools(s: &Section<'_>, group: &Group, problems: &mut Problems) {
    let lists = [("allow", group.allow.as_deref().unwrap_or_default()), ("deny", &group.deny)];
    for (setting, patterns) in lists {
        for pattern in
            patterns.iter().filter(|pattern| !group.servers.iter().any(|name| may_fit(pattern, name)))
        {
            refuse_foreign(s, setting, pattern.text(), group, problems);
        }
    }
    for (setting, table) in [("rename", &group.rename), ("describe", &group.describe)] {
        let mut tools: Vec<&str> = table.keys().map(|tool| &**tool).collect();
        tools.sort_unstable();
        for tool in tools.iter().filter(|tool| !group.servers.iter().any(|server| is_of(tool, server))) {
            refuse_foreign(s, setting, tool, group, problems);
        }
    }
    for (tool, name) in group.rename.iter().filter(|(_, name)| SEARCH_TOOLS.contains(&&***name)) {
        let reason = format!("calls {tool:?} {name:?}, which is a tool of the gateway's own: see mcp.search");
        s.refuse("rename", reason, problems);
    }
    let mut given: Vec<(&str, &str)> = group.rename.iter().map(|(tool, name)| (&**name, &**tool)).collect();
    given.sort_unstable();
    for pair in given.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let [(name, first), (_, second)] = pair else { continue };
        s.refuse("rename", format!("gives {first:?} and {second:?} the same name, {name:?}"), problems);
    }
}

fn refuse_foreign(
    s: &Section<'_>,
    setting: &'static str,
    tool: &str,
    group: &Group,
    problems: &mut Problems,
) {
    let server = tool.split_once('.').map_or(tool, |(server, _)| server);
    let near = closest(server, group.servers.iter().map(|name| &**name));
    let near = near.map(|name| format!("; did you mean {:?}?", format!("{name}.…"))).unwrap_or_default();
    let reason =
        format!("has {tool:?}, which is no tool of a server of the group: write \"server.tool\"{near}");
    s.refuse(setting, reason, problems);
}

const PATTERNS: &str =
    "an array of tools, each \"server.tool\" with * for any characters, at most 256 characters long";

fn patterns(value: &DeValue<'_>) -> Option<Vec<Pattern>> {
    texts(value, Pattern::read).filter(|patterns| patterns.len() <= MAX_ENTRIES)
}

/// Reports whether a pattern can fit a tool of a server.
fn may_fit(pattern: &Pattern, server: &str) -> bool {
    let (begin, server) = (pattern.text().split('*').next().unwrap_or_default(), format!("{server}."));
    match begin.len() == pattern.text().len() {
        // Without a star it is a tool.
        true => is_of(begin, server.trim_end_matches('.')),
        false => begin.starts_with(&server) || server.starts_with(begin),
    }
}

fn is_of(tool: &str, server: &str) -> bool {
    tool.strip_prefix(server).and_then(|rest| rest.strip_prefix('.')).is_some_and(|own| !own.is_empty())
}

fn table(value: &DeValue<'_>, is_good: impl Fn(&str) -> bool) -> Option<HashMap<Box<str>, Box<str>>> {
    let table = value.as_table().filter(|table| table.len() <= MAX_ENTRIES)?;
    let entry = |(tool, text): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
        let text = text.get_ref().as_str().filter(|text| is_good(text))?;
        Some((tool.get_ref().as_ref().into(), text.into()))
    };
    table.iter().map(entry).collect()
}

fn is_name(text: &str, longest: usize) -> bool {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=longest).contains(&text.len()) && text.bytes().all(is_kept)
}

fn is_group_name(name: &str) -> bool {
    is_name(&name.replace('.', "-"), MAX_NAME) && !name.starts_with('.')
}

fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.chars().count())
}

/// Returns the problems of groups that have the name of a server of a servers file; `is_known` tells groups that were there
/// before such a server, which then is at fault.
pub fn group_problems(config: &Config, is_known: impl Fn(&str) -> bool) -> Vec<ConfigProblem> {
    let mut problems = Problems::default();
    for name in config.groups.by_name.keys().filter(|name| !is_known(name)) {
        let entries =
            config.servers.iter().flat_map(|file| file.entries.iter().map(move |entry| (file, entry)));
        for (file, entry) in entries.filter(|(_, entry)| *entry.name == **name) {
            clash(config, name, &format!("{} of {}", entry.place, file.shown), &mut problems);
        }
    }
    problems.into_result(()).err().unwrap_or_default()
}

/// Returns the problems of groups that are called as something else is: `taken` says what.
pub fn clashing_groups(config: &Config, taken: impl Fn(&str) -> Option<String>) -> Vec<ConfigProblem> {
    let mut problems = Problems::default();
    for name in config.groups.by_name.keys() {
        if let Some(what) = taken(name) {
            clash(config, name, &what, &mut problems);
        }
    }
    problems.into_result(()).err().unwrap_or_default()
}

fn clash(config: &Config, name: &str, what: &str, problems: &mut Problems) {
    let file = config.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
    let path = format!("groups.{}", path_step(name));
    problems.at(
        &file,
        None,
        path,
        format!("must not have the name or the id of a server: {what}; rename one of them"),
    );
}

/// Returns warnings of members of groups that no servers file has, worded with their place.
pub(super) fn missing_members(config: &Config) -> impl Iterator<Item = String> {
    let has = |name: &str| {
        let entries = config.servers.iter().flat_map(|file: &ServersFile| &file.entries);
        entries.map(|entry| &*entry.name).any(|known| known == name)
    };
    config.groups.by_name.values().flat_map(move |group| {
        let missing = group.servers.iter().filter(move |name| !has(name));
        missing.map(|name| {
            let group = path_step(&group.name);
            format!("groups.{group}.servers names {name:?}, which no servers file has (yet): it is in the group once it is added")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::super::section::Document;
    use super::*;
    use std::path::Path;

    fn loaded(text: &str) -> (Groups, Vec<String>) {
        let mut config = Config::with_defaults("/data".into());
        let mut problems = Problems::default();
        file::apply(Document::new("c.toml", text), Path::new("/etc/m"), &mut config, &mut problems);
        (config.groups, problems.lines())
    }

    #[test]
    fn a_group_is_read_with_what_it_takes_over() {
        let (groups, lines) = loaded(
            "[mcp]\nprefix = 'conflict'\nseparator = '-'\nsearch = 50\n[groups.dev]\nservers = ['git', 'my.files']\n\
             search = 'off'\nallow = ['git.*', '*.read_*', 'my.files.list']\ndeny = ['git.push']\n\
             rename = {'git.status' = 'state'}\ndescribe = {'my.files.list' = 'Lists.'}\n\
             description = 'D'\ninstructions = 'I'\n[groups.other]\nservers = ['git']\nprefix = 'never'\nseparator = '.'\n",
        );
        assert_eq!(
            lines,
            [
                "c.toml:17:13: groups.other.separator must be 1 to 4 letters (without accents), digits, '_' and '-' (found '.')"
            ]
        );
        let dev = &groups.by_name["dev"];
        assert_eq!(
            (&*dev.servers[1], dev.naming.prefix, &*dev.naming.separator),
            ("my.files", PrefixRule::Conflict, "-")
        );
        assert_eq!((dev.naming.search, groups.all.search), (Search::Off, Search::Above(50)));
        assert!(
            dev.has_tool("git", "pull") && !dev.has_tool("git", "push") && dev.has_tool("my.files", "read_x")
        );
        assert_eq!(Group::told(&dev.rename, "git", "status"), Some("state"));
        assert_eq!(groups.by_name.len(), 1, "one that is wrong is not there");
    }

    /// Reads one group and returns its only problem, without its place.
    fn only_problem(settings: &str) -> String {
        let (_, lines) = loaded(&format!("[groups.dev]\n{settings}\n"));
        assert_eq!(lines.len(), 1, "{settings}: {lines:#?}");
        lines[0].split_once(": ").expect("a place").1.to_owned()
    }

    #[test]
    fn every_fault_of_a_group_is_told_with_what_would_be_right() {
        for (settings, told) in [
            ("", "groups.dev.servers is required: the names of the group's servers"),
            (
                "servers = []",
                "groups.dev.servers must be an array of 1 to 1000 names of servers, each once (found [])",
            ),
            (
                "servers = ['a', 'a']",
                "groups.dev.servers must be an array of 1 to 1000 names of servers, each once (found ['a', 'a'])",
            ),
            (
                "servers = ['a']\nprefx = 'never'",
                "groups.dev.prefx is not a known setting; did you mean \"prefix\"?",
            ),
            (
                "servers = ['a']\nprefix = 'no'",
                "groups.dev.prefix must be one of \"always\", \"conflict\", \"never\" (found 'no')",
            ),
            (
                "servers = ['git']\nallow = ['gti.*']",
                "groups.dev.allow has \"gti.*\", which is no tool of a server of the group: write \"server.tool\"; did you mean \"git.…\"?",
            ),
            (
                "servers = ['git']\ndeny = ['push']",
                "groups.dev.deny has \"push\", which is no tool of a server of the group: write \"server.tool\"",
            ),
            (
                "servers = ['git']\nrename = {'gitt.x' = 'y'}",
                "groups.dev.rename has \"gitt.x\", which is no tool of a server of the group: write \"server.tool\"; did you mean \"git.…\"?",
            ),
            (
                "servers = ['git']\nrename = {'git.x' = 'call_tool'}",
                "groups.dev.rename calls \"git.x\" \"call_tool\", which is a tool of the gateway's own: see mcp.search",
            ),
            (
                "servers = ['git']\nrename = {'git.x' = 'y', 'git.z' = 'y'}",
                "groups.dev.rename gives \"git.x\" and \"git.z\" the same name, \"y\"",
            ),
        ] {
            assert_eq!(only_problem(settings), told);
        }
        assert!(
            only_problem("servers = ['git']\nrename = {'git.x' = 'y z'}")
                .contains("must be a table of new names")
        );
        assert!(
            only_problem("servers = ['git']\nsearch = 0").contains("must be \"off\", \"on\", or the number")
        );
        let (_, lines) = loaded("[groups.'a b']\nservers = ['git']\n[groups]\nx = 1\n");
        assert!(lines.iter().any(|line| line.contains("groups.\"a b\" is no name of a group")), "{lines:#?}");
    }
}
