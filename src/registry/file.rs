//! The `mcpServers` file, as desktop clients write it (`docs/http-api.md`, M3.1): read, checked and written.
//! Order and unknown members survive, also beside `mcpServers`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::error::Error;
use super::list::ServerList;
use super::merge::Raw;
use crate::supervisor::{Definition, Problem, check_name};
use crate::text::cut;

/// Top-level member that holds the servers.
pub(super) const SERVERS: &str = "mcpServers";

/// Maximum number of servers; more are refused, since each is a process.
pub const MAX_SERVERS: usize = 10_000;

/// Content of a servers file, taken apart and not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ServersFile {
    /// Top level with an empty `mcpServers`, which keeps the place where the servers stood.
    extras: Map<String, Value>,
    /// Entries of `mcpServers`, as written.
    servers: Map<String, Value>,
    /// Problems of entries that are kept all the same, by name.
    faults: HashMap<String, Vec<Problem>>,
    /// Version of a file that was only seen, see [`ServersFile::seen`]; `None` if its content counts at once.
    version: Option<String>,
}

/// Entry of a servers file that the operator named, as it is kept, with its problems.
#[derive(Debug, Clone, PartialEq)]
pub struct FileEntry {
    /// Name of the server, already fit to be one.
    pub name: String,
    /// Members of the entry, as they are kept.
    pub raw: Map<String, Value>,
    /// Reasons why the entry cannot be used; empty if it can be used.
    pub problems: Vec<Problem>,
}

impl ServersFile {
    /// Builds a file's content from its entries. If two entries have one name, the last counts.
    pub fn of_entries(entries: impl IntoIterator<Item = FileEntry>) -> ServersFile {
        let (mut servers, mut faults) = (Map::new(), HashMap::new());
        for FileEntry { name, raw, problems } in entries {
            if !problems.is_empty() {
                faults.insert(name.clone(), problems);
            }
            servers.insert(name, Value::Object(raw));
        }
        ServersFile { extras: empty_extras(), servers, faults, version: None }
    }

    /// Returns the file as one that was seen without a request to apply it: if it no longer has servers, that
    /// counts only when a second version says so, too. Some clients empty their files by mistake.
    pub fn seen(self, version: String) -> ServersFile {
        ServersFile { version: Some(version), ..self }
    }

    /// Returns the version of a seen file that has no servers, which may be an accident; `None` for any other file.
    pub(super) fn doubtful(&self) -> Option<&str> {
        self.version.as_deref().filter(|_| self.servers.is_empty())
    }

    /// Parses a file's content. `path` is the path as the caller wrote it, for the error's text.
    pub fn parse(path: &str, content: &[u8]) -> Result<ServersFile, Error> {
        let refuse = |reason: &str| Error::FileContent { path: path.to_owned(), reason: reason.to_owned() };
        // Editors of another operating system begin a file with a byte order mark.
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let content: Value =
            serde_json::from_slice(content).map_err(|_| refuse("is not a valid JSON file"))?;
        let Value::Object(mut extras) = content else {
            return Err(refuse("does not contain an 'mcpServers' object"));
        };
        let Some(Value::Object(servers)) = extras.get_mut(SERVERS) else {
            return Err(refuse("does not contain an 'mcpServers' object"));
        };
        let servers = std::mem::take(servers);
        Ok(ServersFile { extras, servers, faults: HashMap::new(), version: None })
    }

    /// Returns the number of servers it defines; `None` unless all entries are valid.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn count(&self) -> Option<usize> {
        self.definitions().ok().map(|definitions| definitions.len())
    }

    /// Returns the top level without the servers.
    pub(super) fn extras(&self) -> &Map<String, Value> {
        &self.extras
    }

    /// Returns the entries of `mcpServers` as they were written.
    pub(super) fn servers(&self) -> &Map<String, Value> {
        &self.servers
    }

    /// Returns every entry as a definition. One that cannot be used is quarantined and affects no other.
    ///
    /// # Errors
    /// If there are more than [`MAX_SERVERS`].
    pub(super) fn quarantining(&self) -> Result<Vec<(String, Definition)>, Error> {
        if self.servers.len() > MAX_SERVERS {
            return Err(Error::InvalidDefinition { problems: vec![too_many()] });
        }
        let definition = |(name, entry): (&String, &Value)| {
            let raw = entry.as_object().cloned().unwrap_or_default();
            let definition = match self.faults.get(name) {
                Some(problems) => Definition::quarantined(raw, problems.clone()),
                None => Definition::parse(raw.clone())
                    .unwrap_or_else(|problems| Definition::quarantined(raw, problems)),
            };
            (name.clone(), definition)
        };
        Ok(self.servers.iter().map(definition).collect())
    }

    /// Checks every entry and reports all problems at once, each with server and member: `mcpServers.git.args`.
    pub(super) fn definitions(&self) -> Result<Vec<(String, Definition)>, Error> {
        let mut problems = Vec::new();
        let mut definitions = Vec::with_capacity(self.servers.len());
        if self.servers.len() > MAX_SERVERS {
            problems.push(too_many());
        }
        for (name, entry) in &self.servers {
            let path = format!("{SERVERS}.{name}");
            if let Err(problem) = check_name(name) {
                problems.push(Problem {
                    path: path.clone(),
                    reason: format!("has a bad name: it {}", problem.reason),
                });
            }
            let Value::Object(raw) = entry else {
                problems.push(Problem { path, reason: "must be an object".to_owned() });
                continue;
            };
            match Definition::parse(raw.clone()) {
                Ok(definition) => definitions.push((name.clone(), definition)),
                Err(found) => problems.extend(
                    found
                        .into_iter()
                        .map(|p| Problem { path: format!("{path}.{}", p.path), reason: p.reason }),
                ),
            }
        }
        if problems.is_empty() {
            return Ok(definitions);
        }
        Err(Error::InvalidDefinition { problems: not_too_many(problems) })
    }
}

/// Maximum number of a file's problems that are reported one by one.
const MAX_PROBLEMS: usize = 100;
/// Maximum length of a problem's path and of its reason, in characters.
const MAX_PROBLEM_CHARS: usize = 300;

/// Returns the first problems, shortened, and a last one with the number of those omitted: the problems of a
/// file may be longer than the file.
pub(super) fn not_too_many(mut problems: Vec<Problem>) -> Vec<Problem> {
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    for text in problems.iter_mut().flat_map(|problem| [&mut problem.path, &mut problem.reason]) {
        *text = cut(std::mem::take(text), MAX_PROBLEM_CHARS);
    }
    if more > 0 {
        let reason = format!("has {more} more problems, which are not listed");
        problems.push(Problem { path: SERVERS.to_owned(), reason });
    }
    problems
}

/// Returns the problem of a set that would exceed [`MAX_SERVERS`].
pub(super) fn too_many() -> Problem {
    Problem { path: SERVERS.to_owned(), reason: format!("must not hold more than {MAX_SERVERS} servers") }
}

/// Returns a top level with nothing but an empty `mcpServers`.
pub(super) fn empty_extras() -> Map<String, Value> {
    Map::from_iter([(SERVERS.to_owned(), Value::Object(Map::new()))])
}

/// Reports whether there is something beside `mcpServers`.
pub(super) fn has_extras(extras: &Map<String, Value>) -> bool {
    extras.keys().any(|member| member != SERVERS)
}

/// Returns the text of the file: indented by two blanks, servers in their order, with a line end at the end.
pub(super) fn render(extras: &Map<String, Value>, list: &ServerList) -> Result<String, Error> {
    let entry = |raw: &Raw| Value::Object(raw.clone());
    let servers =
        list.entries().iter().map(|server| (server.name.to_string(), entry(server.definition.raw())));
    let mut content = extras.clone();
    content.insert(SERVERS.to_owned(), Value::Object(servers.collect()));
    let mut text = serde_json::to_string_pretty(&content).map_err(|error| Error::Internal {
        reason: format!("the servers file cannot be written: {error}"),
    })?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::merge::{ChangeContext, after_import};
    use super::*;

    fn refusal(content: &str) -> String {
        ServersFile::parse("/p/f.json", content.as_bytes()).expect_err("no servers file").to_string()
    }

    #[test]
    fn what_is_no_servers_file_is_said_in_the_references_words() {
        for content in ["", "{", "nope", "{\"mcpServers\": {}} x", "{\"mcpServers\": {\"a\": NaN}}"] {
            assert_eq!(refusal(content), "File '/p/f.json' is not a valid JSON file", "{content}");
        }
        for content in ["[1]", "5", "null", "{}", "{\"mcpServers\": []}", "{\"mcpServers\": null}"] {
            assert_eq!(
                refusal(content),
                "File '/p/f.json' does not contain an 'mcpServers' object",
                "{content}"
            );
        }
    }

    #[test]
    fn every_bad_entry_is_named_with_server_and_member() {
        let content = json!({"mcpServers": {
            "ok": {"command": "x"}, "git": {"command": "x", "args": "y", "env": {"A": 1}}, "n": 5, " b": {"command": ""}
        }});
        let file = ServersFile::parse("f", content.to_string().as_bytes()).unwrap();
        let Err(Error::InvalidDefinition { problems }) = file.definitions() else {
            panic!("entries are bad")
        };
        let problems: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(
            problems,
            [
                "mcpServers.git.args must be an array of strings",
                "mcpServers.git.env.A must be a string (found a number)",
                "mcpServers.n must be an object",
                "mcpServers. b has a bad name: it must not begin or end with a blank",
                "mcpServers. b.command must not be empty",
            ]
        );
    }

    #[test]
    fn of_very_many_problems_the_first_are_told_and_long_names_are_cut() {
        let entries = (0..5_000).map(|n| (format!(" {n}{}", "x".repeat(3_000)), json!(5)));
        let content = json!({"mcpServers": Map::from_iter(entries)});
        let file = ServersFile::parse("f", content.to_string().as_bytes()).unwrap();
        let Err(Error::InvalidDefinition { problems }) = file.definitions() else { panic!("all are bad") };
        assert_eq!(problems.len(), MAX_PROBLEMS + 1);
        assert_eq!(
            problems[MAX_PROBLEMS].to_string(),
            "mcpServers has 9900 more problems, which are not listed"
        );
        assert!(
            problems.iter().all(|problem| problem.to_string().chars().count() < 2 * MAX_PROBLEM_CHARS + 10)
        );
    }

    #[test]
    fn a_set_beyond_the_limit_is_refused() {
        let file = |count: usize| {
            let raw = || Map::from_iter([("command".into(), "x".into())]);
            let entry = |n: usize| FileEntry { name: n.to_string(), raw: raw(), problems: Vec::new() };
            ServersFile::of_entries((0..count).map(entry))
        };
        let most = file(MAX_SERVERS);
        assert_eq!(most.definitions().map(|found| found.len()).ok(), Some(MAX_SERVERS));
        assert_eq!(most.quarantining().map(|found| found.len()).ok(), Some(MAX_SERVERS));
        let more = file(MAX_SERVERS + 1);
        assert!(more.definitions().is_err() && more.quarantining().is_err());
    }

    #[test]
    fn a_bad_entry_of_a_named_file_is_quarantined_and_costs_no_other() {
        let entry = |name: &str, raw: Value, problems: Vec<Problem>| FileEntry {
            name: name.to_owned(),
            raw: raw.as_object().cloned().unwrap_or_default(),
            problems,
        };
        let told = Problem { path: "env.A".into(), reason: "asks a person".into() };
        let file = ServersFile::of_entries([
            entry("fine", json!({"command": "x"}), Vec::new()),
            entry("told", json!({"command": "x", "env": {"A": "${input:a}"}}), vec![told]),
            entry("found", json!({"command": "x", "args": "y"}), Vec::new()),
            entry("empty", json!({}), Vec::new()),
        ]);
        let definitions = file.quarantining().expect("all of them");
        let faults: Vec<_> = definitions.iter().map(|(_, definition)| definition.fault()).collect();
        let fault = |text: &str| Some(text.to_owned());
        assert_eq!(
            faults,
            [
                None,
                fault("env.A asks a person"),
                fault("args must be an array of strings"),
                fault("command is required: the program to run"),
            ]
        );
        assert!(file.definitions().is_err(), "what is asked for at once is all or nothing");
    }

    #[test]
    fn a_byte_order_mark_is_no_obstacle() {
        assert!(ServersFile::parse("f", b"\xef\xbb\xbf{\"mcpServers\": {}}").is_ok());
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                members(inner).prop_map(Value::Object),
            ]
        })
    }

    fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
        prop::collection::vec(("[a-z]{1,3}", value), 0..4).prop_map(|members| members.into_iter().collect())
    }

    fn entry() -> impl Strategy<Value = Value> {
        // Members whose names the gateway does not know, on both sides of one that it does.
        (members(json_value()), members(json_value())).prop_map(|(before, after)| {
            let unknown = |(name, value)| (format!("x-{name}"), value);
            let mut entry: Map<String, Value> = before.into_iter().map(unknown).collect();
            entry.insert("command".into(), "run".into());
            entry.extend(after.into_iter().map(unknown));
            Value::Object(entry)
        })
    }

    proptest! {
        #[test]
        fn an_exported_import_is_the_same_text(
            before in members(json_value()), after in members(json_value()), servers in members(entry()),
        ) {
            let mut content = before;
            content.insert(SERVERS.into(), Value::Object(servers));
            content.extend(after);
            let text = serde_json::to_string_pretty(&content).unwrap() + "\n";
            let file = ServersFile::parse("f", text.as_bytes()).unwrap();
            let mut new_id = || -> Arc<str> { uuid::Uuid::now_v7().to_string().into() };
            let mut stamp = ChangeContext { now: UNIX_EPOCH, new_id: &mut new_id };
            let list = ServerList::new(after_import(&ServerList::default(), file.definitions().unwrap(), &mut stamp));
            prop_assert_eq!(render(file.extras(), &list).unwrap(), text);
        }
    }
}
