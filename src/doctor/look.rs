//! The look at servers: how they are, and what their definitions would meet. Reads files' properties, and changes nothing.

use std::ffi::OsString;
use std::sync::Arc;

use super::finding::{Finding, Severity};
use crate::diagnosis::{Diagnosis, Ended, ExitFacts, diagnose, of_definition};
use crate::process::{self, Examination, HostSettings, Spec};
use crate::supervisor::{Definition, State, Status, not_spawned};
use crate::text::shell_word;

/// Variables that say whom to trust, by which proxy, and from which registry: those that a server often lacks.
const OFTEN_MISSED: [&str; 17] = [
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "npm_config_registry",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "PIP_INDEX_URL",
];

/// Launchers that fetch what they run.
const FETCHERS: [&str; 7] = ["npx", "uvx", "uv", "npm", "pipx", "bunx", "pnpm"];

/// Where servers are started: the settings of the host, and the daemon's own variables.
pub struct StartEnvironment {
    /// Settings of the host that starts them.
    pub host: HostSettings,
    /// Looks up a variable of the daemon's environment.
    pub variable: fn(&str) -> Option<OsString>,
}

/// Examiner of servers. Cheap to clone.
#[derive(Clone)]
pub struct Doctor(Arc<StartEnvironment>);

impl Doctor {
    /// Makes an examiner of servers that are started here.
    pub fn new(surroundings: StartEnvironment) -> Doctor {
        Doctor(Arc::new(surroundings))
    }

    /// Returns what is wrong with a definition, as far as it shows without a start. Reads files' properties: do not
    /// call it on the runtime.
    pub fn of_definition(&self, server: &str, definition: &Definition) -> Vec<Finding> {
        if !definition.enabled() {
            return Vec::new();
        }
        if let Some(reason) = definition.fault() {
            return vec![known(
                Severity::Error,
                server,
                "definition",
                format!("cannot be used: {reason}"),
                of_definition(),
            )];
        }
        let mut findings: Vec<Finding> =
            definition.unresolved(self.0.variable).into_iter().map(|text| unresolved(server, text)).collect();
        let Some(command) = definition.command() else { return findings };
        let spec = spec(command, definition);
        let seen = process::examine(&self.0.host, &spec);
        findings.extend(refused(server, command, &seen, !findings.is_empty()));
        findings.extend(of_places(server, command, &seen));
        findings
    }

    /// Returns what servers with these definitions would miss of the daemon's own environment: once for all of them.
    pub fn of_environment<'d>(
        &self,
        definitions: impl Iterator<Item = (&'d str, &'d Definition)>,
    ) -> Option<Finding> {
        let set: Vec<&str> = OFTEN_MISSED
            .into_iter()
            .filter(|name| (self.0.variable)(name).is_some_and(|value| !value.is_empty()))
            .collect();
        let base = &self.0.host.base_env;
        let lacks = |definition: &Definition| -> Vec<&str> {
            let has = |name: &str| {
                base.iter().any(|(known, _)| known == name)
                    || definition.env().iter().any(|(known, _)| known == name)
            };
            set.iter().copied().filter(|name| !has(name)).collect()
        };
        let mut names: Vec<&str> = Vec::new();
        let mut servers: Vec<&str> = Vec::new();
        for (server, definition) in definitions.filter(|(_, definition)| definition.runs()) {
            let fetches = definition.command().is_some_and(|command| FETCHERS.contains(&program_of(command)));
            let lacking = if fetches { lacks(definition) } else { Vec::new() };
            if !lacking.is_empty() {
                servers.push(server);
                lacking.into_iter().for_each(|name| {
                    if !names.contains(&name) {
                        names.push(name)
                    }
                });
            }
        }
        if names.is_empty() {
            return None;
        }
        let listed = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        Some(Finding {
            severity: Severity::Warning,
            server: None,
            place: "server.pass_env".to_owned(),
            fault: Some("variables-not-passed".to_owned()),
            cause: format!(
                "{} set here and do not reach servers that fetch packages ({})",
                is_or_are(&names),
                few(&servers)
            ),
            fix: Some(format!(
                "If they need them, put them into the configuration file: `[server] pass_env = [{listed}]`, or into `env` of a server."
            )),
            command: None,
        })
    }
}

fn is_or_are(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

/// Returns a few names, and how many more there are.
fn few(names: &[&str]) -> String {
    let shown = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and {} more", names.len() - 5) } else { shown }
}

/// Returns what a definition would have a process start with. What a principal has stored is known for its children only, and
/// nobody else's value is needed to find a program.
fn spec(command: &str, definition: &Definition) -> Spec {
    let is_stored = |value: &str| definition.secrets().iter().any(|name| value.contains(name.as_str()));
    let env =
        definition.env().iter().filter(|(_, value)| !is_stored(value) || !value.contains("${")).cloned();
    Spec {
        command: command.to_owned(),
        args: Vec::new(),
        env: env.collect(),
        secrets: Vec::new(),
        cwd: definition.cwd().map(Into::into),
        limits: definition.policy().limits.clone(),
        sandbox: None,
    }
}

fn program_of(command: &str) -> &str {
    command.rsplit('/').next().unwrap_or(command)
}

fn known(severity: Severity, server: &str, place: &str, cause: String, known: Diagnosis) -> Finding {
    Finding {
        severity,
        server: Some(server.to_owned()),
        place: place.to_owned(),
        fault: Some(known.id.to_owned()),
        cause,
        fix: Some(known.fix.into_owned()),
        command: Some(format!("mcpvisor edit {}", shell_word(server))),
    }
}

fn unresolved(server: &str, text: String) -> Finding {
    let place = text.split(' ').next().unwrap_or("env").to_owned();
    let ended = Ended::NotSpawned { errno: "", what: "refers to", searched: None, near: None };
    let fix = diagnose(&ExitFacts::before_start(ended, ""));
    Finding {
        severity: Severity::Error,
        server: Some(server.to_owned()),
        place,
        fault: Some("reference-unresolved".to_owned()),
        cause: text,
        fix: fix.map(|known| known.fix.into_owned()),
        command: None,
    }
}

/// Returns what would keep a command from being started. With references that lead nowhere that is known already, and the
/// command itself may be one of them.
fn refused(server: &str, command: &str, seen: &Examination, has_unresolved: bool) -> Option<Finding> {
    let error = seen.refused.as_ref()?;
    if error.errno.is_empty() && has_unresolved {
        return None;
    }
    let place = if error.what.starts_with("working directory") { "cwd" } else { "command" };
    let cause = format!("could not be started: {error}");
    Some(match diagnose(&ExitFacts::before_start(not_spawned(error), command)) {
        Some(fault) => known(Severity::Error, server, place, cause, fault),
        None => Finding {
            severity: Severity::Error,
            server: Some(server.to_owned()),
            place: place.to_owned(),
            fault: None,
            cause,
            fix: None,
            command: Some(format!("mcpvisor edit {}", shell_word(server))),
        },
    })
}

/// Returns what is wrong with the places that a launcher writes to.
fn of_places(server: &str, command: &str, seen: &Examination) -> Option<Finding> {
    let made = |fault: &str, cause: String, fix: String| {
        Some(Finding {
            severity: Severity::Error,
            server: Some(server.to_owned()),
            place: "env.HOME".to_owned(),
            fault: Some(fault.to_owned()),
            cause,
            fix: Some(fix),
            command: Some(format!("mcpvisor edit {}", shell_word(server))),
        })
    };
    if let Some((cache, why)) = &seen.unwritable {
        return made(
            "cache-unwritable",
            format!("{} keeps what it fetches in '{}', and {why}", program_of(command), cache.display()),
            "Let the daemon's user write there, or set HOME, npm_config_cache or UV_CACHE_DIR in the server's `env` to a directory that it may write. npx waits without a word where it cannot.".to_owned(),
        );
    }
    if seen.home.is_none() && FETCHERS.contains(&program_of(command)) {
        return made(
            "home-missing",
            format!("{} wants a home directory, and HOME is not set", program_of(command)),
            "Set HOME in the server's `env`, or where the daemon is started, to a directory that the daemon's user may write.".to_owned(),
        );
    }
    None
}

/// Returns what is wrong with a server by how it is.
pub fn of_status(server: &str, status: &Status) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |severity, place: &str, cause: String, fault: Option<Diagnosis>, command: String| {
        findings.push(Finding {
            severity,
            server: Some(server.to_owned()),
            place: place.to_owned(),
            fault: fault.as_ref().map(|known| known.id.to_owned()),
            cause,
            fix: fault.map(|known| known.fix.into_owned()),
            command: Some(command),
        });
    };
    if let Some(cause) = status.cause() {
        let fault = status.diagnosis().map(|known| known.into_owned());
        // One that has ended in order, and is not to be restarted, does what it was told.
        let severity = match status.state {
            State::Exited { .. } if fault.is_none() => Severity::Warning,
            _ => Severity::Error,
        };
        let command = match status.state {
            State::Unauthorized { .. } => format!("mcpvisor login {}", shell_word(server)),
            _ => format!("mcpvisor status {}", shell_word(server)),
        };
        add(severity, "state", cause, fault, command);
    }
    if let Some(cause) = status.update.as_ref().and_then(|update| update.state.cause()) {
        let told = format!("its changed definition {cause}; the earlier one goes on serving");
        let fault = cause.diagnosis().map(|known| known.into_owned());
        add(Severity::Warning, "update", told, fault, format!("mcpvisor edit {}", shell_word(server)));
    }
    for remark in status.remarks.iter() {
        add(
            Severity::Warning,
            "state",
            remark.clone(),
            None,
            format!("mcpvisor logs {}", shell_word(server)),
        );
    }
    for limit in status.unenforced.iter() {
        add(
            Severity::Note,
            "mcpvisor.limits",
            format!("limit {limit}"),
            None,
            format!("mcpvisor status {}", shell_word(server)),
        );
    }
    findings
}
