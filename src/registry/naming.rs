//! Checks of server names. Names that callers make up are refused if people or programs could take them for
//! another server's. Names that come from a servers file or are stored already stay in use, with a warning.

use std::collections::HashSet;

use super::list::ServerList;
use crate::supervisor::{LookAlikes, Problem, check_visible};

/// Maximum number of names that are warned of one by one.
const MAX_WARNED: usize = 20;

/// Returns the problems of a new server's name beside the names in `list`.
pub(super) fn check_new(list: &ServerList, name: &str) -> Vec<Problem> {
    let looks = LookAlikes::of(list.entries().iter().map(|entry| &*entry.name));
    check(list, &looks, name).collect()
}

/// Returns the problems of the new names in a set that is to replace `list`, each with its path.
pub(super) fn check_import<'a>(list: &ServerList, names: impl Iterator<Item = &'a str>) -> Vec<Problem> {
    let (known, new): (Vec<&str>, Vec<&str>) = names.partition(|name| list.by_name(name).is_some());
    let mut looks = LookAlikes::of(known);
    let mut problems = Vec::new();
    for name in new {
        let path = format!("mcpServers.{name}");
        let found = check(list, &looks, name);
        problems.extend(found.map(|problem| Problem {
            path: path.clone(),
            reason: format!("has a bad name: it {}", problem.reason),
        }));
        looks.add(name);
    }
    problems
}

fn check(list: &ServerList, looks: &LookAlikes, name: &str) -> impl Iterator<Item = Problem> {
    let problem = |reason: String| Problem { path: "name".into(), reason };
    let unseen = check_visible(name).err();
    // An id wins over a name: a caller who means the one would get the other.
    let taken = list.by_id(name).map(|_| problem("must not be the id of another server".to_owned()));
    let alike =
        looks.like(name).map(|other| problem(format!("looks like the name of another server, '{other}'")));
    [unseen, taken, alike].into_iter().flatten()
}

/// Logs warnings for names that a caller could not make: all of them, or only those in `only`.
pub(super) fn warn(list: &ServerList, only: Option<&[String]>) {
    let only: Option<HashSet<&str>> = only.map(|only| only.iter().map(String::as_str).collect());
    if only.as_ref().is_some_and(HashSet::is_empty) {
        return;
    }
    let mut looks = LookAlikes::default();
    let mut found = 0;
    for entry in list.entries() {
        let name: &str = &entry.name;
        let problems: Vec<String> = check(list, &looks, name).map(|problem| problem.reason).collect();
        looks.add(name);
        if problems.is_empty() || only.as_ref().is_some_and(|only| !only.contains(name)) {
            continue;
        }
        found += 1;
        if found <= MAX_WARNED {
            let reason = problems.join("; it ");
            tracing::warn!(server = name, id = %entry.id, "a server's name is misleading: it {reason}");
        }
    }
    if found > MAX_WARNED {
        tracing::warn!(more = found - MAX_WARNED, "more servers have misleading names");
    }
}
