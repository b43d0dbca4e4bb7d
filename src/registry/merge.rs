//! Changes of the set of servers: if two definitions mean the same, what an update leaves, what an import
//! replaces, and what a servers file asks for since it was last applied. Pure functions; time and new ids are
//! arguments.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::list::{Origin, ServerEntry, ServerList};
use crate::supervisor::{ADDRESS_MEMBERS, Definition, HEADER_MEMBERS};

/// Entry of an `mcpServers` map as it was written.
pub(super) type Raw = Map<String, Value>;

/// Members that make up a definition in the `/api` dialect.
const CORE_MEMBERS: [&str; 3] = ["command", "args", "env"];

/// Reports whether two values of a member mean the same: `null` is absent, and so are an empty `args` and an
/// empty `env`. The order of an object's members has no meaning.
fn same_member(member: &str, a: Option<&Value>, b: Option<&Value>) -> bool {
    meaning(member, a) == meaning(member, b)
}

fn meaning<'a>(member: &str, value: Option<&'a Value>) -> Option<&'a Value> {
    value.filter(|value| match value {
        Value::Null => false,
        Value::Array(items) => member != "args" || !items.is_empty(),
        Value::Object(members) => member != "env" || !members.is_empty(),
        _ => true,
    })
}

/// Reports whether two entries mean the same in all their members.
pub(super) fn equivalent(a: &Raw, b: &Raw) -> bool {
    a.keys().chain(b.keys()).all(|member| same_member(member, a.get(member), b.get(member)))
}

/// Reports whether adding `given` over `stored` asks for nothing new (`docs/http-api.md`, M4.3): `command`,
/// `args` and `env` are the same, and so is every other member that is given.
pub(super) fn covered(given: &Raw, stored: &Raw) -> bool {
    let given_members = given.keys().map(String::as_str);
    CORE_MEMBERS
        .into_iter()
        .chain(given_members)
        .all(|member| same_member(member, given.get(member), stored.get(member)))
}

/// Returns the entry without the members that are `null`, which stand for absent ones (`docs/http-api.md`, M3.2).
pub(super) fn without_nulls(raw: Raw) -> Raw {
    raw.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

/// Returns the stored entry with the given members replaced, each as a whole (`docs/http-api.md`, M4.4); `None`
/// if that changes nothing. A member that is `null` is not given.
pub(super) fn with_members(stored: &Raw, members: Raw) -> Option<Raw> {
    let mut next = stored.clone();
    let mut changed = false;
    let members = without_nulls(members);
    for member in replaced(&members) {
        changed |= !members.contains_key(member) && next.shift_remove(member).is_some();
    }
    for (member, value) in members {
        if !same_member(&member, Some(&value), stored.get(&member)) {
            changed = true;
            next.insert(member, value);
        }
    }
    changed.then_some(next)
}

/// Returns the members that make room for those that are given: a server has a command or an address, and each of what
/// goes with an address in one spelling.
fn replaced(given: &Raw) -> Vec<&'static str> {
    let has_text = |member: &str| given.get(member).is_some_and(|value| value.as_str() != Some(""));
    let mut replaced = Vec::new();
    if has_text("url") {
        replaced.extend(["command", "args"]);
        replaced.extend(ADDRESS_MEMBERS);
    }
    if has_text("headers") {
        replaced.extend(HEADER_MEMBERS);
    }
    if has_text("command") {
        replaced.extend(["type", "transport"]);
        replaced.extend(ADDRESS_MEMBERS);
        replaced.extend(HEADER_MEMBERS);
    }
    replaced
}

/// Applies the changes from `last` to `wanted` to `live`, member by member and down into objects. Members that
/// the file left alone stay as they are in `live`; if both changed, the file wins.
fn merged(last: &Raw, wanted: &Raw, live: &Raw) -> Raw {
    let mut next = live.clone();
    for member in last.keys().filter(|member| !wanted.contains_key(*member)) {
        next.shift_remove(member);
    }
    for (member, value) in wanted {
        let before = last.get(member);
        if before == Some(value) {
            continue;
        }
        let value = match (before, value, live.get(member)) {
            (Some(Value::Object(last)), Value::Object(wanted), Some(Value::Object(live))) => {
                Value::Object(merged(last, wanted, live))
            }
            _ => value.clone(),
        };
        next.insert(member.clone(), value);
    }
    next
}

/// One change that a servers file asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// New server.
    Add { name: String, definition: Definition },
    /// Another definition for a server of this file; `addresses` if the file says where it connects to.
    Change { name: String, definition: Definition, addresses: bool },
    /// The file's definition for a server that somebody else or another file made; it belongs to this file from
    /// then on.
    TakeOver { name: String, definition: Definition },
    /// Removal of a server of this file.
    Remove { name: String },
}

/// Returns what a servers file asks for since it was last applied: what it added, changed and dropped. An entry
/// that is as it was asks for nothing, whatever has happened to its server since. A server that the file did
/// not make is touched only if the file newly asks for its name.
pub(super) fn three_way(
    file: &str,
    last: &Map<String, Value>,
    unfit: &[String],
    wanted: &[(String, Definition)],
    live: &ServerList,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for name in last.keys().filter(|name| !wanted.iter().any(|(wanted, _)| wanted == *name)) {
        if live.by_name(name).is_some_and(|entry| entry.origin.is_file(file)) {
            steps.push(Step::Remove { name: name.clone() });
        }
    }
    for (name, definition) in wanted {
        let before = last.get(name).and_then(Value::as_object);
        let was_fit = !unfit.contains(name);
        if was_fit == definition.problems().is_empty()
            && before.is_some_and(|before| equivalent(before, definition.raw()))
            && live.by_name(name).is_none_or(|live| same_faults(&live.definition, definition))
        {
            continue;
        }
        steps.extend(step(file, before, name, definition, live.by_name(name)));
    }
    steps
}

/// Reports whether two definitions are unfit for the same reasons, or `live` is fit. If somebody has mended it
/// since, the file's old faults do not matter.
fn same_faults(live: &Definition, wanted: &Definition) -> bool {
    live.problems().is_empty() || live.problems() == wanted.problems()
}

/// Returns what an entry that is new or changed in the file asks for; `None` if its server is already so.
fn step(
    file: &str,
    before: Option<&Raw>,
    name: &str,
    wanted: &Definition,
    live: Option<&Arc<ServerEntry>>,
) -> Option<Step> {
    let name = name.to_owned();
    let Some(live) = live else {
        return Some(Step::Add { name, definition: wanted.clone() });
    };
    let live_raw = live.definition.raw();
    if equivalent(live_raw, wanted.raw())
        && live.definition.problems() == wanted.problems()
        && !live.origin.is_other_file(file)
        && !live.is_readdressed
    {
        return None;
    }
    if !live.origin.is_file(file) {
        return Some(Step::TakeOver { name, definition: wanted.clone() });
    }
    let definition = match before {
        Some(before) if !equivalent(before, live_raw) && wanted.problems().is_empty() => {
            let both = merged(before, wanted.raw(), live_raw);
            // Two good changes can make a bad pair; then the file's word stands alone.
            Definition::parse(both).unwrap_or_else(|_| wanted.clone())
        }
        _ => wanted.clone(),
    };
    let addresses = definition.connects_like(wanted);
    let differs = !equivalent(definition.raw(), live_raw)
        || definition.problems() != live.definition.problems()
        || live.is_readdressed && addresses;
    differs.then_some(Step::Change { name, definition, addresses })
}

/// Time and ids for new and changed entries.
pub(super) struct ChangeContext<'a> {
    /// Time of the change, to the millisecond.
    pub(super) now: SystemTime,
    /// Source of ids, each of which was never used.
    pub(super) new_id: &'a mut dyn FnMut() -> Arc<str>,
}

impl ChangeContext<'_> {
    /// Returns a new server with an id of its own, made now.
    pub(super) fn entry(
        &mut self,
        name: &str,
        definition: Definition,
        origin: Origin,
        position: u64,
    ) -> ServerEntry {
        ServerEntry {
            id: (self.new_id)(),
            name: name.into(),
            definition: Arc::new(definition),
            created_at: self.now,
            updated_at: self.now,
            origin,
            is_readdressed: false,
            position,
        }
    }

    /// Returns the server with another definition, changed now.
    fn redefined(&self, entry: &ServerEntry, definition: Definition, is_readdressed: bool) -> ServerEntry {
        ServerEntry {
            definition: Arc::new(definition),
            updated_at: self.now,
            is_readdressed,
            ..entry.clone()
        }
    }

    /// Returns the server with another definition by the API, changed now.
    pub(super) fn redefined_by_api(&self, entry: &ServerEntry, definition: Definition) -> ServerEntry {
        let is_readdressed = entry.is_readdressed || !definition.connects_like(&entry.definition);
        self.redefined(entry, definition, is_readdressed)
    }
}

/// Returns the set after the steps of a servers file; new servers come last, in the file's order.
pub(super) fn after_steps(
    live: &ServerList,
    steps: Vec<Step>,
    file: &Arc<str>,
    stamp: &mut ChangeContext<'_>,
) -> Vec<Arc<ServerEntry>> {
    let origin = || Origin::File { path: file.clone() };
    let mut entries = live.entries().to_vec();
    let mut position = live.next_position();
    for step in steps {
        match step {
            Step::Remove { name } => entries.retain(|entry| *entry.name != *name),
            Step::Add { name, definition } => {
                entries.push(Arc::new(stamp.entry(&name, definition, origin(), position)));
                position += 1;
            }
            Step::Change { name, definition, addresses } => replace(&mut entries, &name, |entry| {
                stamp.redefined(entry, definition, entry.is_readdressed && !addresses)
            }),
            Step::TakeOver { name, definition } => replace(&mut entries, &name, |entry| ServerEntry {
                origin: origin(),
                ..stamp.redefined(entry, definition, false)
            }),
        }
    }
    entries
}

/// Replaces the entry of this name, if there is one.
pub(super) fn replace(
    entries: &mut [Arc<ServerEntry>],
    name: &str,
    with: impl FnOnce(&ServerEntry) -> ServerEntry,
) {
    if let Some(entry) = entries.iter_mut().find(|entry| *entry.name == *name) {
        *entry = Arc::new(with(entry));
    }
}

/// Returns the set after an import: exactly the wanted servers in their order. A server of the same name stays
/// the same server; one whose definition means the same also keeps its times.
pub(super) fn after_import(
    live: &ServerList,
    wanted: Vec<(String, Definition)>,
    stamp: &mut ChangeContext<'_>,
) -> Vec<Arc<ServerEntry>> {
    let mut entries = Vec::with_capacity(wanted.len());
    let mut free = 0;
    for (name, definition) in wanted {
        let existing = live.by_name(&name);
        // A server that already stands behind the ones before it stays where it is.
        let position = existing.map_or(free, |entry| entry.position.max(free));
        free = position + 1;
        entries.push(match existing {
            None => Arc::new(stamp.entry(&name, definition, Origin::Api, position)),
            Some(entry) => imported(entry, definition, position, stamp),
        });
    }
    entries
}

fn imported(
    entry: &Arc<ServerEntry>,
    definition: Definition,
    position: u64,
    stamp: &ChangeContext<'_>,
) -> Arc<ServerEntry> {
    let same_text = written(entry.definition.raw()) == written(definition.raw());
    let is_fit = entry.definition.problems().is_empty();
    if same_text && is_fit && entry.position == position {
        return entry.clone();
    }
    let mut next = if is_fit && equivalent(entry.definition.raw(), definition.raw()) {
        let definition = if same_text { entry.definition.clone() } else { Arc::new(definition) };
        ServerEntry { definition, ..ServerEntry::clone(entry) }
    } else {
        stamp.redefined_by_api(entry, definition)
    };
    next.position = position;
    Arc::new(next)
}

/// Returns the text of an object: unlike `==` it tells the order of members apart.
pub(super) fn written(raw: &Raw) -> String {
    // A map with string keys always has a text.
    serde_json::to_string(raw).unwrap_or_default()
}

#[cfg(test)]
mod tests;
