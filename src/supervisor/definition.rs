//! Definition of a server: the checked entry of an `mcpServers` map. Pure; knows no file and no store.

use std::ffi::OsString;

use serde_json::{Map, Value};

use super::policy::{Isolation, OF_PROCESSES, OWN_MEMBER, Policy, parse_policy};
use super::problem::{Problem, Problems, kind_of};
use super::remote::{Remote, Transport};
use super::remote_policy::OF_REMOTES;
use crate::process::{self, Reference};
use crate::upstream::PoolKey;
use crate::upstream::http::AuthChoice;

/// A checked server definition. `raw` is the entry as it was written, with unknown members and order; the
/// typed members are read from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    raw: Map<String, Value>,
    command: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// Names of the secrets of a principal that `env` refers to, each once.
    secrets: Vec<String>,
    cwd: Option<String>,
    enabled: bool,
    policy: Policy,
    remote: Option<Remote>,
    /// Reasons why it cannot be used; empty if it can be used.
    problems: Vec<Problem>,
}

impl Definition {
    /// Checks one entry of an `mcpServers` map and reports every problem at once. Paths are
    /// relative to the entry (`args[1]`, `env.HOME`, `mcpvisor.era`). Unknown members are kept.
    pub fn parse(raw: Map<String, Value>) -> Result<Definition, Vec<Problem>> {
        Definition::read(raw, true)
    }

    /// Checks an entry that was accepted earlier, perhaps by a daemon that knew no references. A malformed
    /// reference is not an error here: it fails only this server when it starts.
    pub fn parse_kept(raw: Map<String, Value>) -> Result<Definition, Vec<Problem>> {
        Definition::read(raw, false)
    }

    /// Makes a definition from an entry that cannot be used, with the reasons. It is kept and shown, and
    /// never started. It always has at least one problem.
    pub fn quarantined(raw: Map<String, Value>, mut problems: Vec<Problem>) -> Definition {
        let (definition, found) = Definition::look_at(raw, false);
        if problems.is_empty() {
            problems = found;
        }
        if problems.is_empty() {
            problems.push(Problem { path: "entry".to_owned(), reason: "was refused".to_owned() });
        }
        Definition { problems, ..definition }
    }

    fn read(raw: Map<String, Value>, references: bool) -> Result<Definition, Vec<Problem>> {
        let (definition, problems) = Definition::look_at(raw, references);
        if problems.is_empty() { Ok(definition) } else { Err(problems) }
    }

    /// Reads as much of an entry as possible and collects its problems.
    fn look_at(raw: Map<String, Value>, references: bool) -> (Definition, Vec<Problem>) {
        let mut problems = Problems::default();
        let remote = Remote::read(&raw, &mut problems);
        let command = command(&raw, remote.is_some(), &mut problems);
        let args = string_array(&raw, "args", &mut problems);
        let env = string_map(&raw, "env", &mut problems);
        let cwd = optional_string(&raw, "cwd", &mut problems);
        let policy = match raw.get(OWN_MEMBER) {
            None | Some(Value::Null) => Policy::default(),
            Some(Value::Object(own)) => parse_policy(own, &mut problems),
            Some(_) => problems.add(OWN_MEMBER, "must be an object").unwrap_or_default(),
        };
        let mut policy = policy;
        if let Some(own) = raw.get(OWN_MEMBER).and_then(Value::as_object) {
            check_kind(own, command.is_none() && remote.is_some(), &mut problems);
        }
        if let Some(remote) = remote.as_ref().filter(|_| command.is_none()) {
            policy.be_remote(raw.get(OWN_MEMBER));
            if matches!(policy.remote.auth, Some(AuthChoice::Login(_)))
                && policy.isolation == Isolation::PerPrincipal
            {
                let reason =
                    "is for all callers together: isolation must not be \"per-principal\" with a login";
                problems.add::<()>("mcpvisor.auth", reason);
            }
            if remote.transport() == Transport::WebSocket {
                problems
                    .add::<()>("url", "is of a WebSocket, which is not supported: use an https:// address");
            }
        }
        let enabled = switched_on(&raw, &mut problems);
        let none = Vec::new();
        let values = env.iter().map(|(_, value)| value.as_str());
        let headers =
            remote.iter().flat_map(|remote| remote.headers().iter().map(|(_, value)| value.as_str()));
        let secrets = secrets_of(values.chain(headers));
        let definition =
            Definition { raw, command, args, env, secrets, cwd, enabled, policy, remote, problems: none };
        if references {
            definition.check_references(&mut problems);
        }
        (definition, problems.into_list())
    }

    fn check_references(&self, problems: &mut Problems) {
        for (place, text) in self.texts() {
            if let Err(malformed) = process::check_references(text) {
                problems.add::<()>(&place, &malformed.to_string());
            }
            let is_secret = |reference: &Reference<'_>| matches!(reference, Reference::Principal(_));
            let Some(secret) = process::references(text).find(is_secret) else { continue };
            if !place.starts_with("env.") && !place.starts_with("headers.") {
                let reason = format!(
                    "refers to {secret}: only values of env and of headers may refer to a principal's secret"
                );
                problems.add::<()>(&place, &reason);
            } else if self.policy.isolation != Isolation::PerPrincipal {
                let reason = format!(
                    "refers to {secret}, which needs a child of its own for each principal: set \
                     {OWN_MEMBER}.isolation to \"per-principal\""
                );
                problems.add::<()>(&place, &reason);
            }
        }
    }

    /// Returns the definition of a pool of the server: its children are those of the server, made on demand.
    pub(super) fn of_pool(&self, key: &PoolKey) -> Definition {
        // A child must not go on with a secret that was replaced, not even until the next one is ready.
        let policy = self.policy.of_pool(key, !self.secrets.is_empty());
        Definition { policy, ..self.clone() }
    }

    /// Returns the names of the secrets that a principal must have stored for a child of its own, each once; empty if the
    /// server needs none. Such a server has no children but those of principals.
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// Returns the texts that may contain references, with their places.
    fn texts(&self) -> impl Iterator<Item = (String, &str)> {
        let command = self.command.iter().map(|text| ("command".to_owned(), text.as_str()));
        let args = self.args.iter().enumerate().map(|(at, text)| (format!("args[{at}]"), text.as_str()));
        let env = self.env.iter().map(|(name, text)| (format!("env.{name}"), text.as_str()));
        let cwd = self.cwd.iter().map(|text| ("cwd".to_owned(), text.as_str()));
        let remote = self.remote().into_iter().flat_map(|remote| {
            let headers = remote.headers().iter();
            let headers = headers.map(|(name, text)| (format!("headers.{name}"), text.as_str()));
            std::iter::once(("url".to_owned(), remote.address())).chain(headers)
        });
        let auth = self.policy.remote.auth.iter().flat_map(AuthChoice::texts);
        let credentials = auth.map(|(place, text)| (place.to_owned(), text));
        env.chain(command).chain(args).chain(cwd).chain(remote).chain(credentials)
    }

    /// Returns the places of the address, the headers and the variables of a remote server that refer to something of the
    /// daemon's: its environment, or a file.
    pub fn remote_references(&self) -> impl Iterator<Item = String> {
        let is_ours = |reference: Reference<'_>| !matches!(reference, Reference::Principal(_));
        let texts = self.texts().filter(|_| self.remote().is_some());
        texts.filter(move |(_, text)| process::references(text).any(is_ours)).map(|(place, _)| place)
    }

    /// Returns the program to run; `None` for an entry without a command, which is kept but never started.
    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// Returns the address and transport; `None` if the entry has a command or names no address.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref().filter(|_| self.command.is_none())
    }

    /// Reports whether it connects to what the other one does: the address, the authorization server and the proxy. Two that
    /// connect to nothing do.
    pub fn connects_like(&self, other: &Definition) -> bool {
        match (self.remote(), other.remote()) {
            (Some(one), Some(two)) => {
                let (of_one, of_two) = (&self.policy.remote, &other.policy.remote);
                (one.address(), &of_one.auth, &of_one.proxy) == (two.address(), &of_two.auth, &of_two.proxy)
            }
            (one, two) => one.is_none() && two.is_none(),
        }
    }

    /// Returns the transport over which the server is reached.
    pub fn transport(&self) -> Transport {
        self.remote().map_or(Transport::Stdio, Remote::transport)
    }

    /// Returns why the definition cannot be used, in one sentence; `None` if it can be used. Names members
    /// but no values.
    pub fn fault(&self) -> Option<String> {
        let told: Vec<String> = self.problems.iter().take(MAX_TOLD).map(Problem::to_string).collect();
        let more = self.problems.len().saturating_sub(MAX_TOLD);
        let more = if more > 0 { format!("; and {more} more problems") } else { String::new() };
        (!told.is_empty()).then(|| told.join("; ") + &more)
    }

    /// Returns why nothing runs, where the state does not say that already; `None` if the entry has a
    /// command or an address.
    pub fn idle_reason(&self) -> Option<&'static str> {
        let is_nowhere = self.remote.is_none() && self.command.is_none();
        is_nowhere.then_some("it names neither a command nor an address")
    }

    /// Returns the problems of a quarantined definition; empty for any other.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Reports whether both mean the same, however they are written.
    pub fn means(&self, other: &Definition) -> bool {
        let rest = |it: &Definition| (it.enabled, it.policy.clone(), it.remote.clone());
        self.same_child(other) && rest(self) == rest(other)
    }

    /// Reports whether both entries were written alike and have the same problems.
    pub fn says(&self, other: &Definition) -> bool {
        self.raw == other.raw && self.problems == other.problems
    }

    /// Returns the program's arguments, with references as they were written.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Returns the environment given in the entry, in its order, with references as they were written.
    /// Values may be secrets: do not log them.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// Returns a sentence for each reference that cannot be resolved now; `variables` looks up the daemon's
    /// own environment. Names the references but no values.
    pub fn unresolved(&self, variables: impl Fn(&str) -> Option<OsString>) -> Vec<String> {
        let with_own = |wanted: &str| {
            let own = self.env.iter().any(|(name, _)| name == wanted);
            if own { Some(OsString::new()) } else { variables(wanted) }
        };
        let unresolved = |(place, text): (String, &str)| match place.starts_with("env.") {
            true => process::unresolved(&place, text, &variables),
            false => process::unresolved(&place, text, with_own),
        };
        self.texts().filter_map(unresolved).collect()
    }

    /// Returns the arguments that contain references, by index: every user of the machine can read the
    /// values they stand for.
    pub fn arguments_with_references(&self) -> impl Iterator<Item = (usize, String)> {
        let reference = |text: &String| process::references(text).next().map(|found| found.to_string());
        self.args.iter().enumerate().filter_map(move |(at, text)| Some((at, reference(text)?)))
    }

    /// Returns the working directory; `None` if the entry names none.
    pub fn cwd(&self) -> Option<&str> {
        self.cwd.as_deref()
    }

    /// Returns `false` if the entry says `"disabled": true`, or uses one of the other [`OFF_SWITCHES`].
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Returns the settings of the member `mcpvisor`.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Reports whether a child started by the other definition is the same as one started by this.
    pub(super) fn same_child(&self, other: &Definition) -> bool {
        let sorted = |definition: &Definition| {
            let mut env = definition.env.clone();
            env.sort();
            env
        };
        self.command == other.command
            && self.remote == other.remote
            && self.args == other.args
            && self.cwd == other.cwd
            && sorted(self) == sorted(other)
            && self.problems == other.problems
            && self.policy.same_child(&other.policy)
    }

    /// Reports whether the command may fetch the server before it runs it, such as `npx`.
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

    /// Reports whether the server may run: it is switched on, has a command or an address and has no problems.
    pub fn runs(&self) -> bool {
        self.enabled && self.has_target() && self.problems.is_empty()
    }

    /// Reports whether the server counts as active: it is switched on and has a command, an address or problems.
    pub fn is_active(&self) -> bool {
        self.enabled && (self.has_target() || !self.problems.is_empty())
    }

    /// Reports whether it names something to run or to connect to.
    pub fn has_target(&self) -> bool {
        self.command.is_some() || self.remote.is_some()
    }

    /// Returns the entry's `description`; `None` if it is not a string.
    pub fn description(&self) -> Option<&str> {
        self.raw.get("description").and_then(Value::as_str)
    }

    /// Returns the entry as it was written, with unknown members and order.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

/// Records the settings that make no sense for a server of this kind.
fn check_kind(own: &Map<String, Value>, is_remote: bool, problems: &mut Problems) {
    let (foreign, reason) = match is_remote {
        true => (&OF_PROCESSES[..], "is for servers that are processes, and this one has a url"),
        false => (&OF_REMOTES[..], "is for remote servers, and this one has a command"),
    };
    for member in own.keys().filter(|member| foreign.contains(&member.as_str())) {
        problems.add::<()>(&format!("{OWN_MEMBER}.{member}"), reason);
    }
}

/// Returns the names of the secrets that values refer to, each once.
fn secrets_of<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for reference in values.flat_map(process::references) {
        if let Reference::Principal(name) = reference
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Maximum number of problems that are named in one sentence.
const MAX_TOLD: usize = 3;

/// Members that switch a server off, each with the value that does so; every client has its own.
pub const OFF_SWITCHES: [(&str, bool); 3] = [("disabled", true), ("enabled", false), ("isActive", false)];

fn switched_on(raw: &Map<String, Value>, problems: &mut Problems) -> bool {
    if let Some(value) = raw.get("disabled")
        && !matches!(value, Value::Null | Value::Bool(_))
    {
        problems.add::<()>("disabled", "must be true or false");
    }
    !OFF_SWITCHES.iter().any(|(member, off)| raw.get(*member) == Some(&Value::Bool(*off)))
}

fn command(raw: &Map<String, Value>, is_remote: bool, problems: &mut Problems) -> Option<String> {
    let named = is_remote || raw.contains_key("url") || raw.contains_key("ws_url");
    match raw.get("command") {
        Some(Value::String(text)) if text.trim().is_empty() => {
            // Some clients write all members, including an empty command beside an address.
            if is_remote { None } else { problems.add("command", "must not be empty") }
        }
        Some(Value::String(text)) if text.contains('\0') => problems.add("command", "must not contain NUL"),
        Some(Value::String(_)) if is_remote => {
            let reason = "is there beside an address: keep the one that is meant";
            problems.add("command", reason)
        }
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Null) | None if named => None,
        Some(Value::Null) | None => problems.add("command", "is required: the program to run"),
        Some(_) => problems.add("command", "must be a string"),
    }
}

/// Checks a server's name: 1 to 128 characters, no control characters, no blank at either end, not `.` or
/// `..`.
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

fn optional_string(raw: &Map<String, Value>, member: &str, problems: &mut Problems) -> Option<String> {
    match raw.get(member) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => problems.add(member, "must not be empty"),
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => problems.add(member, "must be a string"),
    }
}

fn string_array(raw: &Map<String, Value>, member: &str, problems: &mut Problems) -> Vec<String> {
    let items = match raw.get(member) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => return problems.add(member, "must be an array of strings").unwrap_or_default(),
    };
    let mut texts = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let place = || format!("{member}[{at}]");
        match item {
            Value::String(text) => texts.push(text.clone()),
            other => {
                problems.add::<()>(&place(), &format!("must be a string (found {})", kind_of(other)));
            }
        }
    }
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
        let place = || format!("{member}.{name}");
        if name.is_empty() || name.contains(['=', '\0']) {
            problems.add::<()>(member, "names must not be empty and must not contain '=' or NUL");
        }
        match value {
            Value::String(text) if text.contains('\0') => {
                problems.add::<()>(&place(), "must not contain NUL");
            }
            Value::String(text) => out.push((name.clone(), text.clone())),
            other => {
                problems.add::<()>(&place(), &format!("must be a string (found {})", kind_of(other)));
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
        assert!(problems.contains(&"env.A must be a string (found a number)".to_owned()));
        assert!(problems.contains(&"mcpvisor.typo is not a known setting".to_owned()));
    }

    #[test]
    fn environment_references_are_checked_and_told_when_they_lead_nowhere() {
        let problems = parse(json!({
            "command": "x", "args": ["a", "${env:"],
            "env": {"A": "${env:", "B": "${file:relative}", "C": "${env:SET} ${HOME}", "D": "$${env:"}
        }))
        .expect_err("three are malformed");
        assert_eq!(problems.len(), 3, "{problems:#?}");
        assert!(problems[2].starts_with("args[1] has a \"${env:\" without"), "{problems:#?}");
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
    fn a_principal_s_secret_is_for_the_environment_of_a_child_of_its_own_only() {
        let entry = |isolation: &str, args: Value| {
            json!({"command": "x", "args": args, "env": {"A": "${principal:T}-${principal:T}", "B": "${principal:U}"},
                   "mcpvisor": {"isolation": isolation}})
        };
        let definition = parse(entry("per-principal", json!([]))).expect("valid");
        assert_eq!(definition.secrets(), ["T", "U"]);
        assert!(definition.unresolved(|_| None).is_empty());
        let of_pool = definition.of_pool(&PoolKey::Principal("user".into()));
        assert!(
            of_pool.policy().update == crate::supervisor::UpdateMode::StopFirst && of_pool.says(&definition)
        );
        let problems = parse(entry("per-session", json!(["${principal:T}"]))).expect_err("three are wrong");
        let needs =
            "which needs a child of its own for each principal: set mcpvisor.isolation to \"per-principal\"";
        assert_eq!(
            problems,
            [
                format!("env.A refers to ${{principal:T}}, {needs}"),
                format!("env.B refers to ${{principal:U}}, {needs}"),
                "args[0] refers to ${principal:T}: only values of env and of headers may refer to a principal's secret"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn what_the_arguments_refer_to_may_be_in_the_server_s_own_environment() {
        let definition = parse(json!({
            "command": "${env:TOOL}", "args": ["${env:OWN}", "${env:SET}", "${env:GONE}"], "cwd": "${env:GONE}",
            "env": {"OWN": "${env:SET}"}
        }))
        .expect("valid");
        let missing = definition.unresolved(|name| (name == "SET").then(|| "s3cret".into()));
        assert_eq!(
            missing,
            [
                "command refers to ${env:TOOL}, which is not set",
                "args[2] refers to ${env:GONE}, which is not set",
                "cwd refers to ${env:GONE}, which is not set",
            ]
        );
        let told: Vec<usize> = definition.arguments_with_references().map(|(at, _)| at).collect();
        assert_eq!(told, [0, 1, 2]);
    }

    #[test]
    fn every_member_that_is_wrong_is_named() {
        let problems = parse(json!({
            "command": "x", "args": ["a", 8080, null, "b\u{0}"], "env": {"PORT": 8080, "ON": true, "L": []}
        }))
        .expect_err("six are wrong");
        assert_eq!(
            problems,
            [
                "args[1] must be a string (found a number)",
                "args[2] must be a string (found null)",
                "args must not contain NUL",
                "env.PORT must be a string (found a number)",
                "env.ON must be a string (found true or false)",
                "env.L must be a string (found a list)",
            ]
        );
    }

    #[test]
    fn every_way_to_switch_a_server_off_is_honoured() {
        let enabled = |switch: Value| {
            let mut entry = switch;
            entry["command"] = "x".into();
            parse(entry).expect("valid").enabled()
        };
        for off in [json!({"disabled": true}), json!({"enabled": false}), json!({"isActive": false})] {
            assert!(!enabled(off.clone()), "{off}");
        }
        for on in [json!({}), json!({"disabled": false}), json!({"enabled": true, "isActive": true})] {
            assert!(enabled(on.clone()), "{on}");
        }
        assert!(!enabled(json!({"disabled": true, "enabled": true})), "off wins");
    }

    #[test]
    fn a_quarantined_entry_is_kept_as_it_was_and_never_runs() {
        let raw = json!({"command": "x", "args": "y", "z": 1});
        let entry = raw.as_object().cloned().expect("an object");
        let problems = Definition::parse(entry.clone()).expect_err("args is a text");
        let definition = Definition::quarantined(entry.clone(), problems);
        assert!(!definition.runs() && definition.enabled() && definition.is_active());
        assert!(definition.fault().is_some_and(|fault| fault.starts_with("args must be an array")));
        assert_eq!(definition.raw(), &entry);
        let mended = parse(json!({"command": "x", "args": ["y"], "z": 1})).expect("valid");
        assert!(!definition.same_child(&mended) && mended.fault().is_none());
        assert!(Definition::quarantined(Map::new(), Vec::new()).fault().is_some());
        let many: Vec<Problem> =
            (0..5).map(|n| Problem { path: format!("p{n}"), reason: "is odd".into() }).collect();
        let fault = Definition::quarantined(entry, many).fault().expect("a fault");
        assert_eq!(fault, "p0 is odd; p1 is odd; p2 is odd; and 2 more problems");
    }

    #[test]
    fn keeps_unknown_members_and_their_order() {
        let given = json!({"zeta": 1, "command": "npx", "alpha": {"b": 1, "a": 2}, "args": null});
        let definition = parse(given.clone()).expect("valid");
        assert_eq!(serde_json::to_string(definition.raw()).unwrap(), serde_json::to_string(&given).unwrap());
        assert!(definition.args().is_empty());
    }

    #[test]
    fn an_entry_with_an_address_is_a_remote_server_and_one_with_both_is_refused() {
        let definition = parse(json!({"url": "http://localhost:1/mcp"})).expect("valid");
        assert_eq!(definition.command(), None);
        assert_eq!((definition.transport().name(), definition.is_active()), ("streamable-http", true));
        assert!(definition.runs() && definition.idle_reason().is_none());
        let empty = parse(json!({"command": "", "serverUrl": "http://h/sse"})).expect("valid");
        assert_eq!((empty.command(), empty.transport().name()), (None, "sse"));
        let both =
            parse(json!({"command": "x", "url": "http://h/"})).expect_err("which of them is not known");
        assert_eq!(both, ["command is there beside an address: keep the one that is meant"]);
        let socket = parse(json!({"url": "wss://h/"})).expect_err("not supported");
        assert!(socket[0].starts_with("url is of a WebSocket, which is not supported"), "{socket:?}");
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
