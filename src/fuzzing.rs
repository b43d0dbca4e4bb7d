//! Fuzz targets for everything that reads what a stranger, a child or a damaged disk may have written. Each is
//! a function of bytes that panics when a promise is broken. `make fuzz` drives them by coverage (`fuzz/`), and
//! the tests here replay the corpora that it keeps, so that an input found once is tried in every later run.
//! Not part of the product: compiled for tests and for the fuzzer only.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use crate::access::Permissions;
use crate::jsonrpc::{Framer, Incoming, Line, RpcError, classify, push_error, push_result, too_deep};
use crate::sse::{SseData, TooLong};
use crate::{config, http, store};

/// Name of a target, which is also that of its corpus, and the function to run.
pub type Target = (&'static str, fn(&[u8]));

/// Every fuzz target.
pub const TARGETS: [Target; 8] = [
    ("frames", frames),
    ("servers_file", config::fuzz::servers_file),
    ("heads", http::fuzz::heads),
    ("permissions", permissions),
    ("origins", http::fuzz::origins),
    ("sse", sse),
    ("journal", store::fuzz::journal),
    ("backup", store::fuzz::backup),
];

/// Checks that a child's output gives the same frames however the bytes are cut, and that the parts passed on
/// from a frame are valid.
fn frames(bytes: &[u8]) {
    const LIMIT: usize = 4096;
    let collect = |framer: &mut Framer, lines: &mut Vec<Line>| loop {
        match framer.next_frame() {
            Ok(Some(line)) => lines.push(line),
            Ok(None) => return true,
            Err(_) => return false,
        }
    };
    let (mut whole, mut found) = (Framer::new(LIMIT), Vec::new());
    whole.push(bytes);
    let within = collect(&mut whole, &mut found);
    let (mut cut, mut pieced) = (Framer::new(LIMIT), Vec::new());
    let size = usize::from(bytes.first().copied().unwrap_or(0)) % 61 + 1;
    let all = bytes.chunks(size).all(|chunk| {
        cut.push(chunk);
        collect(&mut cut, &mut pieced)
    });
    assert_eq!((within, &found), (all, &pieced), "cuts matter");
    for line in &found {
        match line {
            Line::Frame(frame) => {
                let is_one = !frame.contains(&b'\n') && !frame.is_empty() && frame.len() <= LIMIT;
                assert!(is_one, "no frame: {frame:?}");
                message(frame);
            }
            Line::TooLong(line) => {
                assert!(line.length > LIMIT && line.limit == LIMIT, "not too long: {line:?}");
                assert!(line.front.len() + line.back.len() <= line.length, "more than there was: {line:?}");
            }
        }
    }
}

fn message(frame: &Bytes) {
    let deep = too_deep(frame);
    let parsed = serde_json::from_slice::<Value>(frame);
    if let Ok(value) = &parsed {
        assert_eq!(deep, depth(value) > crate::jsonrpc::MAX_DEPTH, "another depth: {frame:?}");
    }
    let raw = |bytes: &Bytes| {
        assert!(serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok(), "no JSON: {bytes:?}");
    };
    match classify(frame) {
        Incoming::Response { id: _, outcome: Ok(result) } => raw(&result),
        Incoming::Response { id: _, outcome: Err(RpcError { message, data, .. }) } => {
            assert!(message.chars().count() <= 4096, "a message that fills the memory");
            data.iter().for_each(raw);
        }
        Incoming::Request { id, params, .. } => {
            raw(&id);
            params.iter().for_each(raw);
            answered(&id);
        }
        Incoming::Notification { params, .. } => params.iter().for_each(raw),
        Incoming::Noise => {}
    }
}

/// Checks that an answer carries the child's own id back to it, in a frame that is one line of JSON.
fn answered(id: &Bytes) {
    for is_error in [false, true] {
        let mut out = BytesMut::new();
        if is_error {
            push_error(&mut out, id, -32601, "no such method");
        } else {
            push_result(&mut out, id, b"{}");
        }
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1, "more than a line: {out:?}");
        let answer: Option<Value> = serde_json::from_slice(&out).ok();
        let expected: Option<Value> = serde_json::from_slice(id).ok();
        // A number or a lone surrogate that serde_json cannot hold is passed on unchanged.
        if expected.is_some() {
            assert_eq!(answer.map(|answer| answer["id"].clone()), expected, "another id");
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Checks permissions. The input is two sets of permissions, each as a line of JSON, and then tool names, one a
/// line. A set reads the same after it was stored, a pattern matches exactly where a slow comparison does, and
/// a set within another allows nothing that the other forbids.
fn permissions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let mut next = || {
        let value: Value = serde_json::from_str(lines.next()?).ok()?;
        let read = Permissions::read(&value, &mut |id| Arc::from(id)).ok()?;
        Some((value, read))
    };
    let Some((value, first)) = next() else { return };
    let second = next().map(|(_, second)| second);
    let stored = Value::from(first.clone());
    let again = Permissions::try_from(stored.clone());
    assert_eq!(again, Ok(first.clone()), "stored as {stored}");
    let tools: Vec<&str> = lines.take(8).collect();
    for mcp in ["mcp_a", "mcp_b", ""] {
        for tool in &tools {
            assert_eq!(first.allow_tool(mcp, tool), allowed(&value, mcp, tool), "{value} {mcp:?} {tool:?}");
            if first.allow_all_tools(mcp) {
                assert!(first.allow_tool(mcp, tool), "all tools, and not {tool:?}");
            }
            if let Some(second) = &second
                && first.are_within(second)
                && first.allow_tool(mcp, tool)
            {
                assert!(second.allow_tool(mcp, tool), "{tool:?} of {mcp:?} leads out of what contains it");
            }
        }
    }
    assert!(first.are_within(&first), "nobody is beyond itself");
}

/// Decides what permissions allow, from the JSON of the API and independently of [`Permissions`].
fn allowed(value: &Value, mcp: &str, tool: &str) -> bool {
    let list = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let mcps = value.get("mcps").filter(|it| it.is_array()).map(list);
    if mcps.is_some_and(|mcps| !mcps.iter().any(|id| id == mcp)) {
        return false;
    }
    let any = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern.as_bytes(), tool.as_bytes()));
    match value.get("tools") {
        Some(Value::Array(_)) => any(&list(&value["tools"])),
        Some(Value::Object(by_mcp)) => {
            let by_mcp: BTreeMap<&str, Vec<String>> =
                by_mcp.iter().map(|(mcp, patterns)| (mcp.as_str(), list(patterns))).collect();
            let own = if mcp == "*" { None } else { by_mcp.get(mcp) };
            own.or(by_mcp.get("*")).is_some_and(|patterns| any(patterns))
        }
        _ => true,
    }
}

/// Matches a pattern against a name the slow way: compares each prefix of the pattern with each prefix of the
/// name.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let mut row = vec![false; name.len() + 1];
    row[0] = true;
    for byte in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match byte {
                b'*' => row[at] || at > 0 && next[at - 1],
                byte => at > 0 && row[at - 1] && name[at - 1] == *byte,
            };
        }
        row = next;
    }
    row[name.len()]
}

/// Checks that the data of the events in a model's stream is the same however the bytes are cut.
fn sse(bytes: &[u8]) {
    let read = |size: usize| {
        let (mut events, mut sse) = (Vec::new(), SseData::default());
        let fed = bytes.chunks(size.max(1)).try_for_each(|chunk| {
            sse.feed(chunk, |data| {
                events.push(data.to_owned());
                Ok::<(), TooLong>(())
            })
        });
        assert_eq!(fed, Ok(()), "an input of a fuzzer is short");
        (events, sse.rest())
    };
    let whole = read(bytes.len());
    let size = usize::from(bytes.first().copied().unwrap_or(0)) % 13 + 1;
    assert_eq!(read(size), whole, "cuts matter");
    assert!(whole.0.iter().all(|event| !event.is_empty()), "an event without data");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }

    /// Runs a target and prints its input when it fails.
    fn run(name: &str, target: fn(&[u8]), what: &str, bytes: &[u8]) {
        if let Err(panic) = std::panic::catch_unwind(|| target(bytes)) {
            eprintln!("{name}: {what}: {:?}", String::from_utf8_lossy(bytes));
            std::panic::resume_unwind(panic);
        }
    }

    #[test]
    fn every_target_has_a_corpus_and_every_corpus_a_target() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let there = std::fs::read_dir(folder).unwrap();
        let mut there: Vec<_> =
            there.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
        there.sort();
        let mut names: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.sort();
        assert_eq!(there, names);
        assert!(names.iter().all(|name| corpus(name).len() >= 5), "a corpus is more than a few files");
    }

    #[test]
    fn what_the_fuzzer_kept_breaks_no_promise() {
        for (name, target) in TARGETS {
            for (path, bytes) in corpus(name) {
                run(name, target, &path.display().to_string(), &bytes);
            }
        }
    }

    /// Short form of the fuzzer, without coverage and the same in each run. `FUZZ_SEED` sets the seed; a
    /// failure prints the input itself.
    #[test]
    fn what_the_fuzzer_kept_breaks_no_promise_when_it_is_changed_at_random() {
        let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_500);
        let seed = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_128);
        for (name, target) in TARGETS {
            let kept = corpus(name);
            let mut dice = crate::power_disk::Dice::new(seed);
            for _ in 0..rounds {
                let mut bytes = kept[dice.index(kept.len())].1.clone();
                for _ in 0..=dice.below(4) {
                    mutate(&mut bytes, &kept[dice.index(kept.len())].1, &mut dice);
                }
                run(name, target, "changed at random", &bytes);
            }
        }
    }

    fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut crate::power_disk::Dice) {
        let place = dice.index(bytes.len() + 1);
        match dice.below(6) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, u8::try_from(dice.below(256)).unwrap()),
            2 => {
                let from = dice.index(other.len() + 1);
                bytes.splice(place..place, other[from..].iter().copied());
            }
            3 => drop(bytes.drain(place..(place + dice.index(9)).min(bytes.len()).max(place))),
            _ if place < bytes.len() => bytes[place] = b" \r\n\t:;,{}[]\"\\*0-\xff"[dice.index(17)],
            _ => bytes.extend_from_slice(b"\r\n\r\n"),
        }
        bytes.truncate(16 * 1024);
    }
}
