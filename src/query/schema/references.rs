//! References within a schema, rewritten to places in it whose names need no escape. llama.cpp follows no others,
//! and neither `#` nor an anchor.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::BY_NAME;

/// Name of the copy of the whole among the definitions.
const WHOLE: &str = "whole";
/// Members that hold values, not schemas.
const VALUES: [&str; 4] = ["const", "enum", "default", "examples"];

/// Visits every schema, with its place as a JSON pointer.
fn visit(schema: &mut Map<String, Value>, place: &str, each: &mut dyn FnMut(&mut Map<String, Value>, &str)) {
    each(schema, place);
    for (name, value) in schema.iter_mut().filter(|(name, _)| !VALUES.contains(&name.as_str())) {
        let place = format!("{place}/{}", escaped(name));
        match value {
            Value::Object(schemas) if BY_NAME.contains(&name.as_str()) => {
                for (name, value) in schemas.iter_mut() {
                    if let Value::Object(schema) = value {
                        visit(schema, &format!("{place}/{}", escaped(name)), each);
                    }
                }
            }
            Value::Object(schema) => visit(schema, &place, each),
            Value::Array(values) => {
                for (at, value) in values.iter_mut().enumerate() {
                    if let Value::Object(schema) = value {
                        visit(schema, &format!("{place}/{at}"), each);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Escapes a step of a JSON pointer (RFC 6901, section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Changes references; `changed` returns the new target, or `None` to keep the old one. Returns `true` if
/// something was changed.
fn redirect(schema: &mut Map<String, Value>, changed: impl Fn(&str) -> Option<String>) -> bool {
    let mut is_changed = false;
    visit(schema, "", &mut |schema, _| {
        if let Some(Value::String(target)) = schema.get_mut("$ref")
            && let Some(new) = changed(target)
        {
            *target = new;
            is_changed = true;
        }
    });
    is_changed
}

/// Turns references by anchor or id into references by place, and removes those that lead nowhere in this schema:
/// an endpoint fetches no other document. Returns `true` if something was changed.
pub(super) fn settle(schema: &mut Map<String, Value>) -> bool {
    let mut places = HashMap::new();
    let mut is_changed = false;
    visit(schema, "", &mut |schema, place| {
        for (name, before) in [("$anchor", "#"), ("$dynamicAnchor", "#"), ("$id", "")] {
            if let Some(Value::String(anchor)) = schema.get(name) {
                places.entry(format!("{before}{anchor}")).or_insert_with(|| format!("#{place}"));
            }
        }
        is_changed |=
            schema.shift_remove("$anchor").is_some() | schema.shift_remove("$dynamicAnchor").is_some();
    });
    is_changed |= redirect(schema, |target| places.get(target).filter(|place| *place != target).cloned());
    is_changed | settle_places(schema)
}

/// Turns references to places that have to be escaped into references to definitions, since some endpoints know
/// no escapes, and removes those that lead nowhere. Returns `true` if something was changed.
fn settle_places(schema: &mut Map<String, Value>) -> bool {
    let (mut moved, mut lost) = (HashMap::new(), HashSet::new());
    let mut targets = HashSet::new();
    visit(schema, "", &mut |schema, _| {
        targets.extend(schema.get("$ref").and_then(Value::as_str).map(str::to_owned))
    });
    for target in targets.into_iter().filter(|target| target != "#") {
        let steps: Option<Vec<&str>> = target.strip_prefix("#/").map(|rest| rest.split('/').collect());
        let found = |unescape: fn(&str) -> String| {
            let steps: Vec<String> = steps.as_ref()?.iter().map(|step| unescape(step)).collect();
            let (first, rest) = steps.split_first()?;
            rest.iter().try_fold(schema.get(first)?, at_step).filter(|found| found.is_object()).cloned()
        };
        match (found(str::to_owned), found(unescaped)) {
            (Some(_), _) => {}
            (None, Some(copy)) => drop(moved.insert(target, copy)),
            (None, None) => drop(lost.insert(target)),
        }
    }
    if moved.is_empty() && lost.is_empty() {
        return false;
    }
    visit(schema, "", &mut |schema, _| {
        if schema.get("$ref").and_then(Value::as_str).is_some_and(|target| lost.contains(target)) {
            schema.shift_remove("$ref");
        }
    });
    let mut names = HashMap::new();
    let mut moved: Vec<(String, Value)> = moved.into_iter().collect();
    moved.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    for (target, copy) in moved {
        let name = define(schema, "place", copy);
        names.insert(target, format!("#/$defs/{name}"));
    }
    redirect(schema, |target| names.get(target).cloned());
    true
}

fn at_step<'a>(value: &'a Value, step: &String) -> Option<&'a Value> {
    match value {
        Value::Object(members) => members.get(step),
        Value::Array(values) => values.get(step.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Unescapes a step of a JSON pointer in a fragment (RFC 6901, section 6).
fn unescaped(step: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), step.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        let code = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &behind[2..];
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).replace("~1", "/").replace("~0", "~")
}

/// Adds a definition under a free name; returns the name.
fn define(schema: &mut Map<String, Value>, wanted: &str, definition: Value) -> String {
    let definitions = schema.entry("$defs").or_insert_with(|| json!({}));
    let mut name = wanted.to_owned();
    let mut number = 1;
    while definitions.get(&name).is_some() {
        number += 1;
        name = format!("{wanted}_{number}");
    }
    definitions[&name] = definition;
    name
}

/// Turns references to the whole into references to a definition that is equal. Returns `true` if there were
/// some.
pub(super) fn name_whole(schema: &mut Map<String, Value>) -> bool {
    let mut is_there = false;
    visit(schema, "", &mut |schema, _| is_there |= schema.get("$ref").is_some_and(|target| target == "#"));
    if !is_there {
        return false;
    }
    let name = define(schema, WHOLE, Value::Null);
    redirect(schema, |target| (target == "#").then(|| format!("#/$defs/{name}")));
    let mut copy = schema.clone();
    copy.retain(|name, _| name != "$defs" && name != "definitions");
    schema["$defs"][&name] = Value::Object(copy);
    true
}

/// Adjusts references after a schema has gone one level down, into this property, while its definitions have not:
/// references to places in it still lead there.
pub(super) fn go_deeper(outer: &mut Value, property: &str) {
    let Value::Object(outer) = outer else { return };
    redirect(outer, |target| {
        let rest = target.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let is_shared = rest.starts_with("/$defs/") || rest.starts_with("/definitions/");
        (!is_shared).then(|| format!("#/properties/{property}{rest}"))
    });
}
