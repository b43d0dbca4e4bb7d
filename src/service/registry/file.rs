//! The `mcpServers` file, as desktop clients write it (contract 5.3): read, checked and written.
//! Order and unknown members survive, also beside `mcpServers`.

use serde_json::{Map, Value};

use super::list::ServerList;
use super::merge::Raw;
use crate::service::Error;
use crate::supervisor::{Definition, Problem, check_name};

/// The member that holds the servers.
const SERVERS: &str = "mcpServers";

/// More servers than this are refused: each is a process.
pub const MAX_SERVERS: usize = 10_000;

/// The content of a servers file, taken apart and not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ServersFile {
    /// The top level with an empty `mcpServers`, which keeps the place where the servers stood.
    frame: Map<String, Value>,
    /// The entries of `mcpServers`.
    servers: Map<String, Value>,
}

/// The entries alone, without anything beside `mcpServers`; of two with one name the last counts.
impl FromIterator<(String, Map<String, Value>)> for ServersFile {
    fn from_iter<I: IntoIterator<Item = (String, Map<String, Value>)>>(entries: I) -> ServersFile {
        let servers = entries.into_iter().map(|(name, raw)| (name, Value::Object(raw))).collect();
        ServersFile { frame: empty_frame(), servers }
    }
}

impl ServersFile {
    /// Takes a file's content apart. `path` is for the error's text: what the caller wrote.
    pub fn parse(path: &str, content: &[u8]) -> Result<ServersFile, Error> {
        let refuse = |reason: &str| Error::FileContent { path: path.to_owned(), reason: reason.to_owned() };
        // Editors of another operating system begin a file with a byte order mark.
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let content: Value = serde_json::from_slice(content).map_err(|_| refuse("is not a valid JSON file"))?;
        let Value::Object(mut frame) = content else {
            return Err(refuse("does not contain an 'mcpServers' object"));
        };
        let Some(Value::Object(servers)) = frame.get_mut(SERVERS) else {
            return Err(refuse("does not contain an 'mcpServers' object"));
        };
        let servers = std::mem::take(servers);
        Ok(ServersFile { frame, servers })
    }

    /// What stands around the servers.
    pub(super) fn frame(&self) -> &Map<String, Value> {
        &self.frame
    }

    /// The entries as they were written.
    pub(super) fn servers(&self) -> &Map<String, Value> {
        &self.servers
    }

    /// Checks every entry and reports all problems at once, each with server and member:
    /// `mcpServers.git.args`.
    pub(super) fn definitions(&self) -> Result<Vec<(String, Definition)>, Error> {
        let mut problems = Vec::new();
        let mut definitions = Vec::with_capacity(self.servers.len());
        if self.servers.len() > MAX_SERVERS {
            problems.push(too_many());
        }
        for (name, entry) in &self.servers {
            let path = format!("{SERVERS}.{name}");
            if let Err(problem) = check_name(name) {
                problems.push(Problem { path: path.clone(), reason: format!("has a bad name: it {}", problem.reason) });
            }
            let Value::Object(raw) = entry else {
                problems.push(Problem { path, reason: "must be an object".to_owned() });
                continue;
            };
            match Definition::parse(raw.clone()) {
                Ok(definition) => definitions.push((name.clone(), definition)),
                Err(found) => problems.extend(
                    found.into_iter().map(|p| Problem { path: format!("{path}.{}", p.path), reason: p.reason }),
                ),
            }
        }
        if problems.is_empty() { Ok(definitions) } else { Err(Error::InvalidDefinition { problems }) }
    }
}

/// The problem of a set that would become too large.
pub(super) fn too_many() -> Problem {
    Problem { path: SERVERS.to_owned(), reason: format!("must not hold more than {MAX_SERVERS} servers") }
}

/// A top level with nothing but an empty `mcpServers`.
pub(super) fn empty_frame() -> Map<String, Value> {
    Map::from_iter([(SERVERS.to_owned(), Value::Object(Map::new()))])
}

/// Whether there is something beside `mcpServers`.
pub(super) fn has_extras(frame: &Map<String, Value>) -> bool {
    frame.keys().any(|member| member != SERVERS)
}

/// The text of the file: two blanks to indent, servers in their order, a line end at the end.
pub(super) fn render(frame: &Map<String, Value>, list: &ServerList) -> Result<String, Error> {
    let entry = |raw: &Raw| Value::Object(raw.clone());
    let servers = list.entries().iter().map(|server| (server.name.to_string(), entry(server.definition.raw())));
    let mut content = frame.clone();
    content.insert(SERVERS.to_owned(), Value::Object(servers.collect()));
    let mut text = serde_json::to_string_pretty(&content)
        .map_err(|error| Error::Internal { reason: format!("the servers file cannot be written: {error}") })?;
    text.push('\n');
    Ok(text)
}
