//! Converts one entry of a servers file from a client's form to that of definitions here. Pure. An entry that
//! is valid already is kept unchanged, member by member and in its order.

use serde_json::{Map, Value};

use super::look::{Look, Setting};
use super::placeholder::Spot;
use super::remark::{Remarks, below};
use super::switches::Said;
use super::{Entry, advice, fields, times};
use crate::config::problem::path_step;
use crate::supervisor::{ADDRESS_MEMBERS, Definition, OFF_SWITCHES, Problem, Transport, check_name, kind_of};

/// Reads one entry. `None` if it is not a server. `base` is the path of the map that contains it.
pub(super) fn read(
    name: &str,
    entry: Value,
    base: &str,
    setting: &Setting<'_>,
    remarks: &mut Remarks,
) -> Option<Entry> {
    let place = below(base, name);
    let (name, of_name) = usable_name(name, &place, remarks);
    let mut raw = match entry {
        Value::Object(raw) => raw,
        Value::Null | Value::String(_) => {
            remarks.warn(place, format!("is {}, no server, and is passed over", kind_of(&entry)));
            return None;
        }
        other => {
            let reason = format!("must be an object (found {})", kind_of(&other));
            let of_entry = Problem { path: "entry".to_owned(), reason };
            let problems = of_name.into_iter().chain([of_entry]).collect();
            return Some(Entry { place, name, raw: Map::new(), problems });
        }
    };
    if let Some(text) = somebody_else_s(&raw) {
        remarks.note(place, text);
        return None;
    }
    let problems = of_name.into_iter().collect();
    let mut look = Look::begin(setting, place.clone(), remarks, problems);
    capitals(&raw, &mut look);
    fields::usual(&mut raw, &mut look);
    remote(&raw, &mut look);
    switch(&name, &mut raw, &mut look);
    times::take_over(&mut raw, setting.unit, &mut look);
    placeholders(&mut raw, &mut look);
    advice::give(&raw, &mut look);
    without_effect(&raw, &mut look);
    let parsed = Definition::parse(raw.clone());
    for (at, reference) in parsed.iter().flat_map(Definition::arguments_with_references) {
        let text =
            format!("refers to {reference}: every user of the machine can read what it stands for (ps)");
        look.warn(&format!("args[{at}]"), text);
    }
    let mut problems = look.finish();
    if let Err(found) = parsed {
        let told: Vec<String> = problems.iter().map(|problem| problem.path.clone()).collect();
        problems.extend(found.into_iter().filter(|problem| !told.contains(&problem.path)));
    }
    Some(Entry { place, name, raw, problems })
}

/// Returns a valid name for the server, and the problem with the given one.
fn usable_name(name: &str, place: &str, remarks: &mut Remarks) -> (String, Option<Problem>) {
    let trimmed = name.trim();
    if check_name(trimmed).is_ok() {
        if trimmed != name {
            remarks.warn(place, "is named without the blanks around it");
        }
        return (trimmed.to_owned(), None);
    }
    let reason = check_name(trimmed).err().map(|problem| problem.reason).unwrap_or_default();
    let mended: String = trimmed.chars().filter(|c| !c.is_control()).take(100).collect();
    let mended = match mended.trim() {
        "" | "." | ".." => "unnamed".to_owned(),
        mended => mended.to_owned(),
    };
    (mended, Some(Problem { path: "name".to_owned(), reason }))
}

/// Recognizes entries that are not programs: parts of the client or of its extensions. Returns the reason.
fn somebody_else_s(raw: &Map<String, Value>) -> Option<&'static str> {
    let names_program =
        raw.contains_key("command") || raw.contains_key("cmd") || raw.contains_key("transport");
    if names_program || ADDRESS_MEMBERS.iter().any(|member| raw.contains_key(*member)) {
        return None;
    }
    let kind = raw.get("type").or_else(|| raw.get("source")).and_then(Value::as_str).unwrap_or_default();
    match kind {
        "builtin" | "platform" | "frontend" | "inline_python" => {
            Some("is left out: it is a part of its client, and no program")
        }
        "extension" => Some("is left out: it comes from an extension of its client, which has the command"),
        _ if raw.contains_key("settings") => {
            Some("is left out: it comes from an extension of its client, which has the command")
        }
        _ => None,
    }
}

/// Members that have a meaning here, or for most clients.
const KNOWN: [&str; 10] =
    ["command", "args", "env", "cwd", "url", "type", "headers", "disabled", "enabled", "mcpvisor"];

/// Warns of members that differ from a known one by case only: some programs accept them, and then run
/// something else than this gateway does.
fn capitals(raw: &Map<String, Value>, look: &mut Look<'_, '_>) {
    for name in raw.keys() {
        if let Some(known) = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name) && *known != name) {
            let text = format!(
                "is not read: it differs from {known} by capitals, and some programs read it as that"
            );
            look.warn(&path_step(name), text);
        }
    }
}

/// Applies all off switches: any one of them disables the server, in the entry or outside.
fn switch(name: &str, raw: &mut Map<String, Value>, look: &mut Look<'_, '_>) {
    for (member, _) in OFF_SWITCHES {
        let text = raw.get(member).and_then(Value::as_str).map(str::to_ascii_lowercase);
        if let Some(truth @ ("true" | "false")) = text.as_deref() {
            look.warn(member, "is a text and is read as true or false");
            raw.insert(member.to_owned(), Value::Bool(truth == "true"));
        }
    }
    let says = |off: bool| {
        let says =
            |(member, value): &(&'static str, bool)| raw.get(*member) == Some(&Value::Bool(*value == off));
        OFF_SWITCHES.iter().find(|switch| says(switch)).map(|(member, _)| *member)
    };
    let (off, on) = (says(true), says(false));
    if let (Some(off), Some(on)) = (off, on) {
        look.warn(off, format!("and {on} say opposite things: it is off"));
    }
    if raw.get("startup") == Some(&Value::Bool(false)) && off.is_none() {
        raw.insert("disabled".to_owned(), Value::Bool(true));
    }
    match look.said_elsewhere(name) {
        Said::Nothing => {}
        Said::Off(place) => {
            look.warn_of_entry(format!("is off by {place}"));
            raw.insert("disabled".to_owned(), Value::Bool(true));
        }
        Said::OffForSome(place) => {
            look.warn_of_entry(format!("runs, although it is off by {place}"));
        }
    }
}

/// Warns of contradictions in an entry that is or looks remote.
fn remote(raw: &Map<String, Value>, look: &mut Look<'_, '_>) {
    let text =
        |member: &str| raw.get(member).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let address = ADDRESS_MEMBERS.into_iter().find(|member| text(member).is_some());
    let named = text("type").and_then(Transport::named);
    let empty = ADDRESS_MEMBERS.into_iter().find(|member| raw.get(*member).is_some_and(|value| value == ""));
    match (text("command"), address) {
        // Which of them is meant is for the check of the definition to ask.
        (Some(_), Some(_)) => {}
        (Some(_), None) if named.is_some_and(|transport| transport != Transport::Stdio) => {
            look.warn("type", "names a transport of remote servers, and there is a command, which is used");
        }
        (None, None)
            if let Some(empty) = empty.filter(|_| !raw.get("transport").is_some_and(Value::is_object)) =>
        {
            look.problem(empty, "must not be empty: an address, or else a command");
        }
        _ => {}
    }
}

/// Translates every text of the entry that may contain placeholders.
fn placeholders(raw: &mut Map<String, Value>, look: &mut Look<'_, '_>) {
    let script = {
        let command = raw.get("command").and_then(Value::as_str).unwrap_or_default();
        let args = raw.get("args").and_then(Value::as_array);
        let args: Vec<&str> =
            args.into_iter().flatten().map(|arg| arg.as_str().unwrap_or_default()).collect();
        advice::scripts_argument(command, &args)
    };
    for (member, value) in raw.iter_mut() {
        match (member.as_str(), value) {
            ("command", Value::String(text)) => look.translate("command", text, Spot::Command),
            ("cwd", Value::String(text)) => look.translate("cwd", text, Spot::Directory),
            ("args", Value::Array(args)) => {
                for (at, arg) in args.iter_mut().enumerate().filter(|(at, _)| script != Some(*at)) {
                    let Value::String(text) = arg else { continue };
                    look.translate(&format!("args[{at}]"), text, Spot::Argument);
                }
            }
            ("env", Value::Object(env)) => {
                for (name, value) in env.iter_mut() {
                    let Value::String(text) = value else { continue };
                    look.translate(&format!("env.{name}"), text, Spot::Variable);
                }
            }
            ("headers" | "http_headers", Value::Object(headers)) => {
                for (name, value) in headers.iter_mut() {
                    let Value::String(text) = value else { continue };
                    look.translate(&format!("{member}.{}", path_step(name)), text, Spot::Remote);
                }
            }
            (member, Value::String(text)) if ADDRESS_MEMBERS.contains(&member) => {
                look.translate(member, text, Spot::Remote);
            }
            _ => {}
        }
    }
}

/// Members that other programs use and this gateway does not, with a hint to the alternative.
const WITHOUT_EFFECT: [(&str, &str); 13] = [
    ("envFile", "is not read: write its variables into env, or give them to the daemon"),
    ("env_file", "is not read: write its variables into env, or give them to the daemon"),
    ("includeTools", "has no effect: all tools are served; a key can be limited to some"),
    ("excludeTools", "has no effect: all tools are served; a key can be limited to some"),
    ("enabled_tools", "has no effect: all tools are served; a key can be limited to some"),
    ("disabled_tools", "has no effect: all tools are served; a key can be limited to some"),
    ("disabledTools", "has no effect: all tools are served; a key can be limited to some"),
    ("available_tools", "has no effect: all tools are served; a key can be limited to some"),
    ("sandboxEnabled", "has no effect: write mcpvisor.sandbox"),
    ("inheritParentEnv", "has no effect: servers get the variables of env and of server.pass_env"),
    ("envFilter", "has no effect: servers get the variables of env and of server.pass_env"),
    ("headersHelper", "is not run"),
    ("watchPaths", "has no effect"),
];

fn without_effect(raw: &Map<String, Value>, look: &mut Look<'_, '_>) {
    for (member, text) in WITHOUT_EFFECT {
        let says_nothing = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if raw.get(member).is_some_and(|value| !says_nothing(value)) {
            look.warn(member, text);
        }
    }
}
