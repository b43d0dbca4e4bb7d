//! Converts the unusual forms of an entry's members to the usual one: `command` and `args` as texts, `env` as
//! names and texts. Pure. Members that cannot be understood are left for the check of definitions to report.

use serde_json::{Map, Value};

use super::look::Look;
use crate::supervisor::kind_of;

/// Other names of members: `cmd` is `command`, `envs` and `environment` are `env`. If an entry has both, the
/// usual name counts and a warning is given.
const OTHER_WORDS: [(&str, &str); 4] =
    [("cmd", "command"), ("envs", "env"), ("environment", "env"), ("workingDirectory", "cwd")];

/// Converts all members to the usual form.
pub(super) fn usual(raw: &mut Map<String, Value>, look: &mut Look<'_, '_>) {
    flatten(raw, "transport");
    for (word, usual) in OTHER_WORDS {
        rename(raw, word, usual, look);
    }
    command(raw, look);
    args(raw, look);
    env(raw, look);
    passed(raw, look);
    cwd(raw, look);
}

/// Moves the members of a nested object with the command, which one client's command line writes, into the
/// entry.
fn flatten(raw: &mut Map<String, Value>, member: &str) {
    let is_local =
        raw.get(member).and_then(Value::as_object).is_some_and(|inner| inner.contains_key("command"));
    if !is_local {
        return;
    }
    let Some(Value::Object(inner)) = raw.shift_remove(member) else { return };
    for (name, value) in inner {
        raw.entry(name).or_insert(value);
    }
}

fn rename(raw: &mut Map<String, Value>, word: &str, usual: &str, look: &mut Look<'_, '_>) {
    if !raw.contains_key(word) {
        return;
    }
    if raw.get(usual).is_some_and(|value| !value.is_null()) {
        return look.warn(word, format!("is not read, since there is {usual}, too"));
    }
    let renamed = std::mem::take(raw).into_iter().filter(|(name, _)| name != usual);
    *raw = renamed.map(|(name, value)| (if name == word { usual.to_owned() } else { name }, value)).collect();
}

/// Converts the command: a list holds the program and its first arguments; an object has the program as `path`.
fn command(raw: &mut Map<String, Value>, look: &mut Look<'_, '_>) {
    match raw.get("command") {
        Some(Value::Array(words)) => {
            let mut words = words.clone();
            if words.is_empty() {
                return look.problem("command", "must not be an empty list: the program, then its arguments");
            }
            let program = words.remove(0);
            let rest = match raw.get("args") {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(args)) => args.clone(),
                Some(_) => {
                    return look
                        .problem("args", "must be an array of strings beside a command that is a list");
                }
            };
            let is_plain = words.is_empty() && !raw.contains_key("args");
            raw.insert("command".to_owned(), program);
            if !is_plain {
                words.extend(rest);
                raw.insert("args".to_owned(), Value::Array(words));
            }
        }
        Some(Value::Object(inner)) => {
            let mut inner = inner.clone();
            let program = inner.shift_remove("path").or_else(|| inner.shift_remove("command"));
            let Some(program) = program else {
                return look.problem("command", "must be a string, or an object with the program as path");
            };
            raw.insert("command".to_owned(), program);
            for (member, value) in inner {
                if raw.get(&member).is_none_or(Value::is_null) {
                    raw.insert(member, value);
                }
            }
        }
        _ => {}
    }
}

fn args(raw: &mut Map<String, Value>, look: &mut Look<'_, '_>) {
    match raw.get_mut("args") {
        Some(Value::Array(items)) => {
            for (at, item) in items.iter_mut().enumerate() {
                if let Some(text) = plain_text(item) {
                    look.warn(&format!("args[{at}]"), format!("is {} and is read as text", kind_of(item)));
                    *item = Value::String(text);
                }
            }
        }
        Some(Value::String(text)) => {
            let shown = showable(text).unwrap_or("FIRST");
            look.problem("args", format!("must be a list: write [\"{shown}\"], a text for each argument"));
        }
        _ => {}
    }
}

/// Returns a text if a message may repeat it: one short word that cannot be a secret.
fn showable(text: &str) -> Option<&str> {
    let plain = text.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '.' | '/'));
    (plain && (1..=24).contains(&text.len())).then_some(text)
}

/// Returns the text of a number or a boolean. `None` for anything else.
fn plain_text(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn env(raw: &mut Map<String, Value>, look: &mut Look<'_, '_>) {
    if let Some(Value::Array(list)) = raw.get("env") {
        match assignments(list) {
            Some(env) if env.is_empty() => drop(raw.shift_remove("env")),
            Some(env) => drop(raw.insert("env".to_owned(), Value::Object(env))),
            None => return look.problem("env", "must be an object, or a list of \"NAME=value\""),
        }
    }
    let Some(Value::Object(env)) = raw.get_mut("env") else { return };
    let mut gone = Vec::new();
    for (name, value) in env.iter_mut() {
        let place = format!("env.{name}");
        if let Some(text) = plain_text(value) {
            look.warn(&place, format!("is {} and is read as text", kind_of(value)));
            *value = Value::String(text);
        }
        let inherits = value.is_null() || (look.empty_inherits() && *value == "");
        if inherits && look.is_set(name) {
            look.warn(&place, "is read as the daemon's own variable of that name");
            *value = Value::String(format!("${{env:{name}}}"));
        } else if value.is_null() {
            look.warn(&place, "is null and left out: the daemon has no variable of that name");
            gone.push(name.clone());
        }
        if value.as_str().is_some_and(|text| text.trim() != text) {
            look.warn(&place, "begins or ends with a blank or a line's end");
        }
    }
    gone.iter().for_each(|name| drop(env.shift_remove(name)));
}

/// Reads variables from `["NAME=value"]`, or `[{"name": …, "value": …}]`.
fn assignments(list: &[Value]) -> Option<Map<String, Value>> {
    let one = |item: &Value| match item {
        Value::String(text) => text.split_once('=').map(|(name, value)| (name.to_owned(), value.into())),
        Value::Object(it) => Some((it.get("name")?.as_str()?.to_owned(), it.get("value")?.clone())),
        _ => None,
    };
    list.iter().map(one).collect()
}

/// Adds references for the variables that the client passes on from its own environment.
fn passed(raw: &mut Map<String, Value>, look: &mut Look<'_, '_>) {
    for member in ["env_vars", "env_keys"] {
        let Some(Value::Array(names)) = raw.get(member) else { continue };
        let names: Vec<String> = names
            .iter()
            .filter_map(|name| name.as_str().or_else(|| name.get("name")?.as_str()))
            .filter(|name| crate::process::is_variable(name))
            .map(str::to_owned)
            .collect();
        let env = raw.entry("env").or_insert_with(|| Value::Object(Map::new()));
        if env.is_null() {
            *env = Value::Object(Map::new());
        }
        let Value::Object(env) = env else { continue };
        for name in names {
            env.entry(name.as_str()).or_insert_with(|| Value::String(format!("${{env:{name}}}")));
        }
        if member == "env_keys" {
            look.warn(
                member,
                "are read as variables of the daemon's environment: the client's keyring is its own",
            );
        }
    }
}

fn cwd(raw: &mut Map<String, Value>, look: &mut Look<'_, '_>) {
    if raw.get("cwd").is_some_and(|cwd| cwd == "") {
        raw.shift_remove("cwd");
        look.warn("cwd", "is empty and counts as none");
    }
}
