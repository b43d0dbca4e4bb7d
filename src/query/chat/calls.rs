//! Streamed tool calls: finds the call that a piece belongs to. Pure. An index alone does not tell: Ollama counts
//! every call 0, others count from 1, or not at all.

use serde_json::{Map, Value};

/// The most calls of one message; a piece that begins one more is ignored.
pub(super) const MAX_CALLS: usize = 256;

/// Adds a piece to the call it belongs to, or begins a call with it.
pub(super) fn merge_call(calls: &mut Vec<Value>, piece: Value) {
    let Value::Object(piece) = piece else { return };
    // The rest of a call that was ignored belongs to no other call.
    let is_known = |index: &Value| calls.iter().any(|call| call["index"] == *index);
    if calls.len() >= MAX_CALLS && piece.get("index").is_some_and(|index| index.is_u64() && !is_known(index))
    {
        return;
    }
    let at = place(calls, &piece).unwrap_or(calls.len());
    if at >= MAX_CALLS {
        return;
    }
    if at == calls.len() {
        calls.push(Value::Object(Map::new()));
    }
    let Value::Object(call) = &mut calls[at] else { return };
    for (name, value) in piece {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            // The number of its first piece is the call's.
            ("index", value) => drop(call.entry("index").or_insert(value)),
            ("function", Value::Object(function)) => {
                let known = call.entry("function").or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(known) = known {
                    merge_function(known, function);
                }
            }
            // An id that is made anew for each piece would change under the receivers of the first.
            ("id", value) if !is_empty_text(&value) => drop(call.entry("id").or_insert(value)),
            (_, value) if !is_empty_text(&value) => drop(call.insert(name, value)),
            _ => {}
        }
    }
}

/// Removes the numbers of the pieces, which a whole message does not have, and calls that never got a name, an id
/// or arguments.
pub(super) fn without_numbers(calls: &mut Vec<Value>) {
    for call in calls.iter_mut().filter_map(Value::as_object_mut) {
        call.remove("index");
    }
    calls
        .retain(|call| !(told(call, "id").is_empty() && name(call).is_empty() && arguments(call).is_empty()));
}

/// Returns the index of the call that a piece continues; `None` if the piece begins one.
fn place(calls: &[Value], piece: &Map<String, Value>) -> Option<usize> {
    let piece = &Piece::read(piece);
    let last = calls.len().checked_sub(1)?;
    let with_id = || calls.iter().rposition(|call| told(call, "id") == piece.id);
    if let Some(at) = (!piece.id.is_empty()).then(with_id).flatten() {
        return (!piece.begins_after(&calls[at])).then_some(at);
    }
    let numbered = piece.index.map(|index| calls.iter().rposition(|call| call["index"] == *index));
    match numbered {
        // A number that no call has had is one more call, unless the piece has only arguments.
        Some(None) if !piece.is_tail() => None,
        None if !piece.id.is_empty() => None,
        Some(Some(at)) => {
            let call = &calls[at];
            let other = !piece.id.is_empty() && !told(call, "id").is_empty();
            let other = other && (!piece.name.is_empty() || is_complete(call));
            if other || piece.begins_after(call) || piece.is_another(call) {
                return None;
            }
            if at != last && piece.is_tail() && is_complete(call) {
                return Some(last);
            }
            Some(at)
        }
        _ => (!piece.begins_after(&calls[last]) && !piece.is_another(&calls[last])).then_some(last),
    }
}

/// Members of a piece that identify its call.
struct Piece<'a> {
    index: Option<&'a Value>,
    id: &'a str,
    name: &'a str,
    arguments: &'a str,
}

impl Piece<'_> {
    fn read(piece: &Map<String, Value>) -> Piece<'_> {
        let function = |member: &str| piece.get("function").and_then(|function| function[member].as_str());
        Piece {
            index: piece.get("index").filter(|index| index.is_u64()),
            id: piece.get("id").and_then(Value::as_str).unwrap_or_default(),
            name: function("name").unwrap_or_default(),
            arguments: function("arguments").unwrap_or_default(),
        }
    }

    /// Reports whether the piece has arguments only.
    fn is_tail(&self) -> bool {
        self.id.is_empty() && self.name.is_empty()
    }

    /// Reports whether the piece names a tool, and cannot continue this call because the call is complete: by its
    /// arguments or by its number. Some endpoints repeat an id.
    fn begins_after(&self, call: &Value) -> bool {
        let is_numbered_apart = self.index.is_some_and(|index| call["index"] != *index);
        let begins = self.arguments.trim_start().starts_with('{') || is_numbered_apart;
        !self.name.is_empty() && begins && is_complete(call)
    }

    /// Reports whether the piece names another tool. An equal id takes precedence over that.
    fn is_another(&self, call: &Value) -> bool {
        let known = name(call);
        !self.name.is_empty() && !known.is_empty() && known != self.name
    }
}

/// Reports whether a call's arguments are a whole object. The end is looked at first: this is called often.
fn is_complete(call: &Value) -> bool {
    let arguments = arguments(call);
    arguments.trim_end().ends_with('}') && serde_json::from_str::<Map<String, Value>>(arguments).is_ok()
}

fn told<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn name(call: &Value) -> &str {
    told(&call["function"], "name")
}

fn arguments(call: &Value) -> &str {
    told(&call["function"], "arguments")
}

/// Merges a piece of a function. Its name comes once, and from some servers again with each piece; arguments
/// grow.
fn merge_function(known: &mut Map<String, Value>, piece: Map<String, Value>) {
    for (name, value) in piece {
        match (known.get_mut(&name), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more)) if name == "arguments" => text.push_str(&more),
            (Some(_), value) if is_empty_text(&value) => {}
            (_, value) => drop(known.insert(name, value)),
        }
    }
}

fn is_empty_text(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    type Told<'a> = (Option<u64>, &'a str, &'a str, &'a str);

    const ONE: &str = "{\"t\":\"1\"}";
    const TWO: &str = "{\"t\":\"2\"}";

    fn put_together(pieces: &[Told<'_>]) -> Vec<(String, String)> {
        let mut calls = Vec::new();
        for (index, id, name, arguments) in pieces {
            let piece = json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
            merge_call(&mut calls, piece);
        }
        without_numbers(&mut calls);
        calls.iter().map(|call| (name(call).to_owned(), arguments(call).to_owned())).collect()
    }

    #[test]
    fn two_calls_stay_two_however_they_are_numbered() {
        let cases: [&[Told<'_>]; 11] = [
            &[(Some(0), "same", "x", ONE), (Some(1), "same", "x", ""), (Some(1), "", "", TWO)],
            &[(Some(0), "a", "x", ""), (Some(0), "", "", ONE), (Some(1), "b", "x", TWO)],
            &[(Some(0), "a", "x", ""), (Some(1), "b", "x", TWO), (Some(0), "", "", ONE)],
            &[(Some(0), "a", "x", ONE), (Some(0), "b", "x", TWO)],
            &[(None, "a", "x", ONE), (None, "b", "x", TWO)],
            &[(None, "", "x", ONE), (None, "", "x", TWO)],
            &[(Some(0), "", "x", ONE), (Some(0), "", "x", TWO)],
            &[(Some(0), "a", "x", ONE), (Some(0), "b", "x", ""), (Some(1), "", "", TWO)],
            &[(Some(0), "a", "x", ONE), (Some(1), "b", "x", ""), (Some(0), "", "", TWO)],
            &[(Some(0), "same", "x", ONE), (Some(1), "same", "x", TWO)],
            &[(Some(1), "a", "x", ONE), (Some(2), "b", "x", "{\"t\":"), (Some(2), "b", "x", "\"2\"}")],
        ];
        for pieces in cases {
            let wanted = [("x".to_owned(), ONE.to_owned()), ("x".to_owned(), TWO.to_owned())];
            assert_eq!(put_together(pieces), wanted, "{pieces:?}");
        }
    }

    #[test]
    fn one_call_stays_one_however_it_is_numbered() {
        let cases: [&[Told<'_>]; 6] = [
            &[(None, "a", "x", "{\"t\":"), (None, "a", "", "\"1\"}")],
            &[(Some(0), "a", "x", ""), (Some(1), "", "", ONE)],
            &[(Some(1), "a", "x", ONE)],
            &[(Some(0), "a", "x", "{\"t\":"), (Some(0), "other", "", "\"1\"}")],
            &[(Some(0), "a", "x", ONE), (Some(0), "a", "x", "")],
            &[(Some(3), "", "", ""), (Some(3), "a", "x", ONE)],
        ];
        for pieces in cases {
            assert_eq!(put_together(pieces), [("x".to_owned(), ONE.to_owned())], "{pieces:?}");
        }
    }

    #[test]
    fn tools_of_other_names_without_arguments_are_calls_of_their_own() {
        let pieces = [(Some(0), "", "x", ""), (Some(0), "", "y", ""), (None, "", "z", "")];
        assert_eq!(put_together(&pieces).len(), 3);
    }

    #[test]
    fn there_is_an_end_to_the_number_of_calls_and_those_before_it_still_grow() {
        let mut calls = Vec::new();
        for at in 0..MAX_CALLS + 3 {
            merge_call(
                &mut calls,
                json!({"index": at, "id": format!("c{at}"), "function": {"name": "x", "arguments": "{"}}),
            );
        }
        merge_call(&mut calls, json!({"index": 0, "function": {"arguments": "}"}}));
        merge_call(&mut calls, json!({"index": MAX_CALLS + 1, "function": {"arguments": "}"}}));
        assert_eq!((calls.len(), arguments(&calls[0])), (MAX_CALLS, "{}"));
        assert_eq!(arguments(&calls[MAX_CALLS - 1]), "{");
    }

    #[test]
    fn a_place_that_nobody_filled_is_no_call() {
        assert!(put_together(&[(Some(7), "", "", "")]).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_by_the_book_give_the_calls_that_were_meant(
            texts in prop::collection::vec("[a-z{}\\[\\]:,]{0,12}", 1..6),
            size in 1usize..5,
        ) {
            let mut calls = Vec::new();
            let wanted: Vec<String> = texts.iter().map(|text| json!({"t": text}).to_string()).collect();
            for (at, text) in wanted.iter().enumerate() {
                merge_call(&mut calls, json!({"index": at, "id": format!("c{at}"), "function": {"name": "x", "arguments": ""}}));
                for piece in text.as_bytes().chunks(size) {
                    let piece = String::from_utf8_lossy(piece);
                    merge_call(&mut calls, json!({"index": at, "function": {"arguments": piece}}));
                }
            }
            let got: Vec<&str> = calls.iter().map(arguments).collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
