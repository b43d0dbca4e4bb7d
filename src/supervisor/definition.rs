//! What a server is: the entry of an `mcpServers` map, checked. Pure; knows no file and no store.

use std::ffi::OsString;
use std::fmt;

use serde_json::{Map, Value};

use super::policy::{Policy, parse_policy};
use crate::process;

/// One thing that is wrong with a setting: where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the setting, for example `args` or `mcpServers.git.env.HOME`.
    pub path: String,
    /// What is wrong and what would be right, worded to follow the path.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.reason)
    }
}

/// A checked server definition. `raw` is the entry as it was written, unknown members and order
/// included; the typed members are what was read out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    raw: Map<String, Value>,
    command: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: Option<String>,
    enabled: bool,
    policy: Policy,
}

/// The member of an entry that holds what only this gateway knows.
pub const OWN_MEMBER: &str = "mcpvisor";

impl Definition {
    /// Checks one entry of an `mcpServers` map and reports every problem at once. Paths are
    /// relative to the entry (`args`, `env.HOME`, `mcpvisor.era`). Unknown members are kept.
    pub fn parse(raw: Map<String, Value>) -> Result<Definition, Vec<Problem>> {
        Definition::read(raw, true)
    }

    /// Checks an entry that was accepted earlier, perhaps by a daemon that knew no references: a
    /// malformed one is a fault of this server when it starts, and nobody else's.
    pub fn parse_kept(raw: Map<String, Value>) -> Result<Definition, Vec<Problem>> {
        Definition::read(raw, false)
    }

    fn read(raw: Map<String, Value>, references: bool) -> Result<Definition, Vec<Problem>> {
        let mut problems = Problems::default();
        let command = match raw.get("command") {
            Some(Value::String(text)) if text.trim().is_empty() => {
                problems.add("command", "must not be empty")
            }
            Some(Value::String(text)) if text.contains('\0') => {
                problems.add("command", "must not contain NUL")
            }
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) | None => {
                if raw.get("url").or_else(|| raw.get("ws_url")).is_none() {
                    problems.add::<()>("command", "is required: the program to run");
                }
                None
            }
            Some(_) => problems.add("command", "must be a string"),
        };
        let args = string_array(&raw, "args", &mut problems);
        let env = string_map(&raw, "env", &mut problems);
        for (name, value) in env.iter().filter(|_| references) {
            if let Err(malformed) = process::check_references(value) {
                problems.add::<()>(&format!("env.{name}"), &malformed.to_string());
            }
        }
        let cwd = optional_string(&raw, "cwd", &mut problems);
        let enabled = match raw.get("disabled") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(disabled)) => !disabled,
            Some(_) => problems.add("disabled", "must be true or false").unwrap_or(true),
        };
        let policy = match raw.get(OWN_MEMBER) {
            None | Some(Value::Null) => Policy::default(),
            Some(Value::Object(own)) => parse_policy(own, &mut problems),
            Some(_) => problems.add(OWN_MEMBER, "must be an object").unwrap_or_default(),
        };
        if problems.0.is_empty() {
            Ok(Definition { raw, command, args, env, cwd, enabled, policy })
        } else {
            Err(problems.0)
        }
    }

    /// The program to run; `None` for an entry that names a URL, which is kept but never started.
    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// The program's arguments.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The environment given in the entry, in its order, references as they were written. Values
    /// may be secrets: do not log them.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// What the environment refers to and is not there now, a sentence each; `variables` looks up
    /// the daemon's own. Names the references and no value.
    pub fn unresolved(&self, variables: impl Fn(&str) -> Option<OsString>) -> Vec<String> {
        let unresolved = |(name, value): &(String, String)| process::unresolved(name, value, &variables);
        self.env.iter().filter_map(unresolved).collect()
    }

    /// The working directory, when the entry names one.
    pub fn cwd(&self) -> Option<&str> {
        self.cwd.as_deref()
    }

    /// False when the entry says `"disabled": true`.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// How the server is to be treated.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether a child that was started by the other definition is as it would be by this one.
    pub(super) fn same_child(&self, other: &Definition) -> bool {
        let sorted = |definition: &Definition| {
            let mut env = definition.env.clone();
            env.sort();
            env
        };
        self.command == other.command
            && self.args == other.args
            && self.cwd == other.cwd
            && sorted(self) == sorted(other)
            && self.policy.same_child(&other.policy)
    }

    /// Whether the command is one that may fetch the server before it runs it, such as `npx`.
    pub(super) fn is_launcher(&self) -> bool {
        let Some(command) = self.command.as_deref() else { return false };
        let program = command.rsplit('/').next().unwrap_or(command);
        let first =
            self.args.iter().map(String::as_str).find(|arg| !arg.starts_with('-')).unwrap_or_default();
        match program {
            "npx" | "pnpx" | "bunx" | "uvx" => true,
            "npm" | "pnpm" | "yarn" => matches!(first, "exec" | "x" | "dlx"),
            "uv" => matches!(first, "run" | "tool"),
            "pipx" | "docker" | "podman" | "deno" | "cargo" => first == "run",
            _ => false,
        }
    }

    /// Whether it is to run at all: switched on, with a command.
    pub fn runs(&self) -> bool {
        self.enabled && self.command.is_some()
    }

    /// The entry's `description`, if it is a string.
    pub fn description(&self) -> Option<&str> {
        self.raw.get("description").and_then(Value::as_str)
    }

    /// The entry as it was written, unknown members and order included.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

/// Checks a server's name: 1 to 128 characters, no control characters, no blank at either end,
/// not `.` or `..`.
pub fn check_name(name: &str) -> Result<(), Problem> {
    let bad = |reason: &str| Err(Problem { path: "name".into(), reason: reason.into() });
    if name.is_empty() || name.chars().count() > 128 {
        return bad("must be 1 to 128 characters long");
    }
    if name.chars().any(char::is_control) {
        return bad("must not contain control characters");
    }
    if name.trim() != name {
        return bad("must not begin or end with a blank");
    }
    if name == "." || name == ".." {
        return bad("must not be '.' or '..'");
    }
    Ok(())
}

#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().map(Problem::to_string).collect()
    }

    /// Notes a problem and yields nothing, so that a check can go on to the next member.
    pub(super) fn add<T>(&mut self, path: &str, reason: &str) -> Option<T> {
        self.0.push(Problem { path: path.to_owned(), reason: reason.to_owned() });
        None
    }
}

fn optional_string(raw: &Map<String, Value>, member: &str, problems: &mut Problems) -> Option<String> {
    match raw.get(member) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => problems.add(member, "must not be empty"),
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => problems.add(member, "must be a string"),
    }
}

fn string_array(raw: &Map<String, Value>, member: &str, problems: &mut Problems) -> Vec<String> {
    let texts = match raw.get(member) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    };
    let Some(texts) = texts else {
        return problems.add(member, "must be an array of strings").unwrap_or_default();
    };
    if texts.iter().any(|text| text.contains('\0')) {
        problems.add::<()>(member, "must not contain NUL");
    }
    texts
}

fn string_map(raw: &Map<String, Value>, member: &str, problems: &mut Problems) -> Vec<(String, String)> {
    let entries = match raw.get(member) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Object(entries)) => entries,
        Some(_) => {
            return problems.add(member, "must be an object of strings").unwrap_or_default();
        }
    };
    let mut out = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        if name.is_empty() || name.contains(['=', '\0']) {
            problems.add::<()>(member, "names must not be empty and must not contain '=' or NUL");
        }
        match value {
            Value::String(text) if text.contains('\0') => {
                problems.add::<()>(&format!("{member}.{name}"), "must not contain NUL");
            }
            Value::String(text) => out.push((name.clone(), text.clone())),
            _ => {
                problems.add::<()>(member, "must be an object of strings");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<Definition, Vec<String>> {
        let Value::Object(raw) = value else { panic!("the test gives an object") };
        Definition::parse(raw).map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn reports_every_problem_at_once() {
        let problems = parse(json!({
            "command": "", "args": "x", "env": {"A": 1}, "cwd": 5, "disabled": "no",
            "mcpvisor": {"era": "old", "start_timeout": "soon", "max_in_flight": 0, "typo": 1}
        }))
        .expect_err("everything is wrong");
        assert_eq!(problems.len(), 9, "{problems:#?}");
        assert!(problems.contains(&"args must be an array of strings".to_owned()));
        assert!(problems.contains(&"mcpvisor.typo is not a known setting".to_owned()));
    }

    #[test]
    fn references_of_the_environment_are_checked_and_told_when_they_lead_nowhere() {
        let problems = parse(json!({
            "command": "x", "args": ["${env:"],
            "env": {"A": "${env:", "B": "${file:relative}", "C": "${env:SET} ${HOME}", "D": "$${env:"}
        }))
        .expect_err("two are malformed");
        assert_eq!(problems.len(), 2, "{problems:#?}");
        assert!(
            problems[0].starts_with("env.A has a \"${env:\" without") && problems[1].starts_with("env.B ")
        );
        let kept = json!({"command": "x", "env": {"A": "${env:"}});
        assert!(Definition::parse_kept(kept.as_object().unwrap().clone()).is_ok());
        let definition =
            parse(json!({"command": "x", "env": {"A": "${env:SET}", "B": "${env:GONE}"}})).unwrap();
        let missing = definition.unresolved(|name| (name == "SET").then(|| "s3cret".into()));
        assert_eq!(missing, ["env.B refers to ${env:GONE}, which is not set"]);
    }

    #[test]
    fn keeps_unknown_members_and_their_order() {
        let given = json!({"zeta": 1, "command": "npx", "alpha": {"b": 1, "a": 2}, "args": null});
        let definition = parse(given.clone()).expect("valid");
        assert_eq!(serde_json::to_string(definition.raw()).unwrap(), serde_json::to_string(&given).unwrap());
        assert!(definition.args().is_empty());
    }

    #[test]
    fn a_url_entry_is_kept_without_a_command() {
        let definition = parse(json!({"url": "http://localhost:1/mcp"})).expect("valid");
        assert_eq!(definition.command(), None);
    }

    #[test]
    fn launchers_are_known_by_their_names_and_what_they_are_told() {
        let is_launcher = |command: &str, args: &[&str]| {
            parse(json!({"command": command, "args": args})).expect("valid").is_launcher()
        };
        assert!(is_launcher("npx", &["-y", "x"]) && is_launcher("/usr/bin/uvx", &["x"]));
        assert!(is_launcher("npm", &["exec", "x"]) && is_launcher("docker", &["run", "x"]));
        assert!(!is_launcher("node", &["x.js"]) && !is_launcher("docker", &["exec", "x"]));
    }

    #[test]
    fn names_are_bounded_and_printable() {
        for good in ["demo", "a/b", "ü", "two words"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", " a", "a ", "a\nb", &"x".repeat(129)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
