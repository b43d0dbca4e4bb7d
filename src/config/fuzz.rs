//! Checks on the reader of servers files, for `make fuzz` and the tests.

use std::path::Path;

use serde_json::{Map, Value};

use super::foreign::{Entry, SERVERS_MEMBER, Source, read};
use super::{Environment, ProcessEnvironment};

/// Reads text as a servers file. Each way to read one (the file, the import through the API, and its stored
/// form) must give the same entries, and an entry converted to this gateway's form must stay the same when it
/// is read again.
pub(crate) fn servers_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let env: &dyn Environment = &ProcessEnvironment;
    for path in ["/srv/p/.vscode/mcp.json", "/srv/p/config"] {
        let source = Source { path: Path::new(path), text, yaml: true };
        let Ok(reading) = read(&source, env) else { continue };
        assert!(reading.remarks.iter().all(|remark| !remark.sentence().is_empty()), "a remark without words");
        let good: Vec<&Entry> = reading.entries.iter().filter(|entry| entry.problems.is_empty()).collect();
        let servers = good.iter().map(|entry| (entry.name.clone(), Value::Object(entry.raw.clone())));
        let servers = Value::Object(servers.collect::<Map<_, _>>());
        let written = Value::Object(Map::from_iter([(SERVERS_MEMBER.to_owned(), servers)])).to_string();
        let again = Source { path: Path::new("/srv/p/servers.json"), text: &written, yaml: false };
        let again = read(&again, env).unwrap_or_else(|refusal| panic!("{refusal}: {written}"));
        assert_eq!(again.entries.len(), good.len(), "what was good is not when it is written: {written}");
        for (now, then) in again.entries.iter().zip(&good) {
            assert_eq!(
                (&now.name, &now.raw, &now.problems),
                (&then.name, &then.raw, &then.problems),
                "{written}"
            );
        }
        imported(&written, good.len());
    }
}

/// Checks that the API accepts the same file.
fn imported(written: &str, entries: usize) {
    match crate::registry::ServersFile::parse("servers.json", written.as_bytes()) {
        Ok(file) => assert_eq!(file.count(), Some(entries), "the import refuses an entry: {written}"),
        Err(error) => panic!("the import refuses what the file is read from: {error}: {written}"),
    }
}
