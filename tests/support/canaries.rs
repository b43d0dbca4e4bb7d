//! Secrets that every test carries along without knowing, and the look for them wherever they must
//! not be: in answers, in the log, in metrics, in files, on command lines. So each test is a test of
//! E68, too; what it says itself plays no part.
//!
//! The daemon gets two variables, of which one is referred to by every server of a test and the other by
//! none. Every server's `env` holds a value that is written out. Every request carries a header, and every call
//! something among its arguments or in its context. API keys are known by their shape.

use std::fmt;
use std::fs;
use std::path::Path;

use hyper::HeaderMap;
use serde_json::{Value, json};

use super::gateway::INVOKE;

/// What every canary but the keys begins with: one search finds them all.
const SONG: &str = "Kanari-";
/// What every API key begins with.
const KEY: &str = "pk_live_";
/// So many characters follow in a whole one.
const KEY_LENGTH: usize = 43;
/// No file that the daemon writes is longer.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// A variable of the daemon that no server refers to.
pub(crate) const UNNAMED_VARIABLE: &str = "CANARY_OF_THE_TEST";
/// A variable of the daemon that the servers of a test refer to.
const NAMED_VARIABLE: &str = "CANARY_FOR_SERVERS";

/// The tools that only say what is in the environment of their process.
const TELL_THE_ENVIRONMENT: [&str; 2] = ["env", "get-env"];
/// Tools of `fake-mcp` that look at some of their arguments and return none.
const RETURN_NO_ARGUMENTS: [&str; 9] =
    ["sleep", "wait_for", "gather", "big", "fail", "error", "crash", "pid", "stats"];

/// What a secret is, by which it depends where it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A variable of the daemon: for nobody.
    Unnamed,
    /// What a reference in a server's `env` stands for: for that server's processes.
    Referred,
    /// A value that is written out in a server's `env`: for whoever may see definitions.
    Literal,
    /// Part of the arguments or the context of a call: for its server, which may send it back.
    Argument,
    /// A header of a request: for nobody.
    Header,
    /// An API key: for whoever has made it, once.
    Key,
}

const SINGING: [Kind; 5] = [Kind::Unnamed, Kind::Referred, Kind::Literal, Kind::Argument, Kind::Header];

impl Kind {
    /// The secret of this kind; of keys, which the daemon makes, one of their shape.
    pub(crate) fn value(self) -> String {
        match self {
            Kind::Key => format!("{KEY}{}", "x".repeat(KEY_LENGTH)),
            _ => format!("{SONG}{self:?}-b7c1e0f4d2"),
        }
    }
}

/// Where something was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// A line of the daemon's output.
    Log,
    /// The command line of the daemon or of one of its children.
    CommandLine,
    /// The environment of a child.
    Environment,
    /// A file, by its path from the test's directory.
    File(&'a Path),
    /// An answer, by what was asked.
    Answer { method: &'a str, path: &'a str, request: &'a [u8], status: u16 },
    /// An answer of which nobody knows what was asked.
    SomeAnswer,
}

impl Place<'_> {
    /// Whether a secret of this kind may be here.
    fn allows(self, kind: Kind) -> bool {
        match self {
            Place::Log | Place::CommandLine => false,
            Place::Environment => [Kind::Referred, Kind::Literal].contains(&kind),
            Place::File(path) => may_hold(path, kind),
            Place::SomeAnswer => [Kind::Literal, Kind::Argument].contains(&kind),
            Place::Answer { method, path, request, status } => {
                let path = path.split('?').next().unwrap_or(path);
                let tells = path == INVOKE && tells_the_environment(request);
                match kind {
                    Kind::Unnamed | Kind::Header => false,
                    Kind::Referred => tells,
                    Kind::Literal => tells || shows_definitions(path),
                    Kind::Argument => path == INVOKE,
                    Kind::Key => {
                        let rotated = path.starts_with("/v1/api-keys/") && path.ends_with("/rotate");
                        let path = path.strip_prefix("/ui/api").unwrap_or(path);
                        (method, path, status) == ("POST", "/v1/api-keys", 201)
                            || ((method, status) == ("POST", 200) && rotated)
                    }
                }
            }
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Log => f.write_str("the daemon's output"),
            Place::CommandLine => f.write_str("a command line"),
            Place::Environment => f.write_str("the environment of a child"),
            Place::File(path) => write!(f, "the file {}", path.display()),
            Place::Answer { method, path, status, .. } => write!(f, "the answer {status} to {method} {path}"),
            Place::SomeAnswer => f.write_str("an answer"),
        }
    }
}

fn shows_definitions(path: &str) -> bool {
    let whole = ["/v1/backup", "/v1/export"].contains(&path);
    whole || path.strip_prefix("/api/servers").is_some_and(|rest| !rest.ends_with("/tools"))
}

fn tells_the_environment(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request);
    TELL_THE_ENVIRONMENT.iter().any(|tool| request.contains(&format!("\"{tool}\"")))
}

/// What is in files below a test's directory: definitions, and the owner's key in its own.
fn may_hold(path: &Path, kind: Kind) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let recorded = path.components().any(|part| part.as_os_str() == "audit");
    match kind {
        Kind::Key => name == "owner.key",
        Kind::Literal => !recorded && !["marker", "lock", "owner.key"].contains(&name),
        _ => false,
    }
}

/// What must not be here and is, told in words for whoever has to mend it.
pub(crate) fn leaks(place: Place, bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = Vec::new();
    if text.contains(SONG) {
        found.extend(SINGING.into_iter().filter(|kind| text.contains(&kind.value())));
    }
    if has_key(&text) {
        found.push(Kind::Key);
    }
    found.retain(|kind| !place.allows(*kind));
    let shown: String = text.chars().take(2000).collect();
    found.into_iter().map(|kind| format!("a secret ({kind:?}) is in {place}: {shown}")).collect()
}

/// Whether there is a whole API key in a text. Names of keys and shorter ones of a test are none.
fn has_key(text: &str) -> bool {
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.match_indices(KEY).any(|(at, _)| {
        text[at + KEY.len()..].chars().take_while(|c| is_of_key(*c)).take(KEY_LENGTH).count() == KEY_LENGTH
    })
}

/// Panics when an answer tells what it must not.
pub(crate) fn check_answer(place: Place, headers: &HeaderMap, body: &[u8]) {
    let mut found = leaks(place, body);
    for (name, value) in headers {
        found.extend(leaks(place, name.as_str().as_bytes()));
        found.extend(leaks(place, value.as_bytes()));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// What must not be in any file below a directory and is. Pipes and links are let be.
pub(crate) fn leaks_below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    look_below(directory, directory, &mut found);
    found
}

fn look_below(root: &Path, directory: &Path, found: &mut Vec<String>) {
    // A test may have made a directory that nobody can read.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            look_below(root, &path, found);
        } else if about.is_file()
            && about.len() <= MAX_FILE
            && let Ok(bytes) = fs::read(&path)
        {
            found.extend(leaks(Place::File(path.strip_prefix(root).unwrap_or(&path)), &bytes));
        }
    }
}

/// What must not be on the command line of a process and is.
pub(crate) fn leaks_of_process(pid: i32, is_child: bool) -> Vec<String> {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let mut found = leaks(Place::CommandLine, &read("cmdline"));
    if is_child {
        found.extend(leaks(Place::Environment, &read("environ")));
    }
    found
}

/// The variables of every daemon.
pub(crate) fn variables() -> [(&'static str, String); 2] {
    [(UNNAMED_VARIABLE, Kind::Unnamed.value()), (NAMED_VARIABLE, Kind::Referred.value())]
}

/// The headers of every request.
pub(crate) fn headers() -> [(&'static str, String); 2] {
    let value = Kind::Header.value();
    [("cookie", format!("session={value}")), ("x-canary", value)]
}

/// Puts a value and a reference into a definition's environment.
pub(crate) fn into_environment(definition: &mut Value) {
    definition["env"]["CANARY_LITERAL"] = Kind::Literal.value().into();
    definition["env"]["CANARY_REFERRED"] = format!("${{env:{NAMED_VARIABLE}}}").into();
}

/// Puts a secret into a call, where nothing that a test looks at comes from.
pub(crate) fn into_call(path: &str, body: &Value) -> Option<Value> {
    let tool = body.get("tool")?.as_str().filter(|_| path == INVOKE)?;
    let mut body = body.clone();
    if RETURN_NO_ARGUMENTS.contains(&tool) && body["arguments"].is_object() {
        body["arguments"]["canary"] = Kind::Argument.value().into();
    } else if tool != "meta" && body.get("context").is_none() {
        body["context"] = json!({"canary": Kind::Argument.value()});
    } else {
        return None;
    }
    Some(body)
}
