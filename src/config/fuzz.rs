//! What `make fuzz` and the tests try on the reader of servers files.

use serde_json::{Map, Value};

use super::problem::Problems;
use super::servers_file::parse;

/// Reads text as a servers file. Each way to read one (the file, the import through the API, and what
/// is stored of it) has to come to the same entries, and one without problems is written and read
/// again as it was.
pub(crate) fn servers_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut problems = Problems::default();
    let (entries, extra) = parse("servers.json", text, &mut problems);
    let problems = problems.lines();
    assert!(problems.iter().all(|line| !line.is_empty()), "a problem without words");
    if !problems.is_empty() {
        return;
    }
    let mut top = extra;
    let servers = entries.iter().map(|(name, entry)| (name.clone(), Value::Object(entry.clone())));
    top.insert("mcpServers".to_owned(), Value::Object(servers.collect::<Map<_, _>>()));
    let written = Value::Object(top).to_string();
    let mut again = Problems::default();
    let (read, _) = parse("servers.json", &written, &mut again);
    assert_eq!(again.lines(), Vec::<String>::new(), "what was good is not when it is written: {written}");
    assert_eq!(read, entries, "what was written is read otherwise");
    imported(&written, entries.len());
}

/// The API takes the same file.
fn imported(written: &str, entries: usize) {
    match crate::service::ServersFile::parse("servers.json", written.as_bytes()) {
        Ok(file) => {
            // What may be named through the API is less than what may stand in a file.
            let count = file.count();
            assert!(count.is_none_or(|count| count == entries), "the import finds {count:?}: {written}");
            assert!(count.is_some() || !written.is_ascii(), "the import refuses an entry: {written}");
        }
        Err(error) => panic!("the import refuses what the file is read from: {error}: {written}"),
    }
}
