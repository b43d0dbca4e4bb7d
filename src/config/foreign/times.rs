//! Time limits of calls and starts in clients' notations: in seconds or in milliseconds, by client. Pure.

use serde_json::{Map, Value};

use super::client::Unit;
use super::look::Look;
use crate::supervisor::OWN_MEMBER;

/// Longest time that is accepted, in milliseconds: a day.
const MAX_MS: u64 = 86_400_000;
/// Usual start deadline in milliseconds. A shorter one of a client does not shorten it: clients have a person
/// waiting.
const USUAL_START_MS: u64 = 60_000;

/// Members with the unit in their names, for calls; the factor gives milliseconds.
const OF_CALLS: [(&str, u64); 4] =
    [("tool_timeout_sec", 1_000), ("request_timeout_ms", 1), ("requestTimeout", 1), ("callTimeoutMs", 1)];
/// Members with the unit in their names, for starts; the factor gives milliseconds.
const OF_STARTS: [(&str, u64); 4] =
    [("startup_timeout_sec", 1_000), ("startup_timeout_ms", 1), ("initTimeout", 1), ("connectionTimeout", 1)];
/// Members that only some clients write, with the unit of `timeout` there.
const TELLTALES: [(&str, Unit); 6] = [
    ("alwaysAllow", Unit::Seconds),
    ("trust", Unit::Milliseconds),
    ("httpUrl", Unit::Milliseconds),
    ("includeTools", Unit::Milliseconds),
    ("excludeTools", Unit::Milliseconds),
    ("initTimeout", Unit::Milliseconds),
];

/// Copies the time limits of an entry into the member that is this gateway's own.
pub(super) fn take_over(raw: &mut Map<String, Value>, unit: Option<Unit>, look: &mut Look<'_, '_>) {
    let own = raw.get(OWN_MEMBER).and_then(Value::as_object);
    let has = |setting: &str| own.is_some_and(|own| own.contains_key(setting));
    let (has_call, has_start) = (has("call_timeout"), has("start_timeout"));
    let named = |table: &[(&'static str, u64)]| {
        table.iter().find_map(|(member, unit)| Some((*member, milliseconds(raw.get(*member)?, *unit)?)))
    };
    let (call, start) = (named(&OF_CALLS), named(&OF_STARTS));
    if !has_start && let Some((_, ms)) = start.filter(|(_, ms)| *ms > USUAL_START_MS) {
        set(raw, "start_timeout", ms);
    }
    if has_call {
        return;
    }
    match call {
        Some((_, ms)) => set(raw, "call_timeout", ms),
        None => of_timeout(raw, unit, look),
    }
}

fn of_timeout(raw: &mut Map<String, Value>, unit: Option<Unit>, look: &mut Look<'_, '_>) {
    let Some(value) = raw.get("timeout").filter(|value| !value.is_null()) else { return };
    let telltale = || TELLTALES.iter().find(|(member, _)| raw.contains_key(*member)).map(|(_, unit)| *unit);
    let factor = match unit.or_else(telltale) {
        Some(Unit::Seconds) => 1_000,
        Some(Unit::Milliseconds) => 1,
        Some(Unit::OfLists) => return,
        None => {
            let text = "has no effect: clients mean seconds or milliseconds; write mcpvisor.call_timeout, such as \"60s\"";
            return look.warn("timeout", text);
        }
    };
    match milliseconds(value, factor) {
        // One client ignores such short values of its own, since they were meant in the other unit.
        Some(ms) if factor == 1 && ms < 1_000 => {
            look.warn("timeout", "has no effect: it is less than a second; write mcpvisor.call_timeout");
        }
        Some(ms) => set(raw, "call_timeout", ms),
        None => look.warn("timeout", "has no effect: it must be a number above 0, of a day at most"),
    }
}

fn milliseconds(value: &Value, factor: u64) -> Option<u64> {
    let number = value.as_f64().filter(|number| number.is_finite() && *number > 0.0)?;
    let ms = (number * factor as f64).round();
    (1.0..=MAX_MS as f64).contains(&ms).then_some(ms as u64)
}

fn set(raw: &mut Map<String, Value>, setting: &str, ms: u64) {
    let text = if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") };
    let own = raw.entry(OWN_MEMBER).or_insert_with(|| Value::Object(Map::new()));
    if own.is_null() {
        *own = Value::Object(Map::new());
    }
    if let Value::Object(own) = own {
        own.insert(setting.to_owned(), Value::String(text));
    }
}
