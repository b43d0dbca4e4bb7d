//! Limit on the servers that may be defined through the API: everything that an administrator may run, only
//! some commands, or none. Pure. Servers files are the operator's own and are not checked.
//!
//! A list of commands alone protects nothing, since most of them can be told to run anything; so a list also
//! refuses the arguments and variables that are known to do that. It limits what an administrator's key can do
//! by mistake or in the wrong hands. It is no sandbox.

use super::error::Error;
use super::keychange::forbidden;
use crate::supervisor::Definition;

/// Servers that may be defined through the API.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowedServers {
    /// All servers that an administrator defines.
    #[default]
    Any,
    /// Only servers with these commands, as they are written in definitions.
    Commands(Vec<String>),
    /// No server: servers come from files only.
    Off,
}

/// Variables that make a program load or run something else.
const LOADERS: [&str; 16] = [
    "PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "PERL5LIB",
    "PERL5OPT",
    "RUBYOPT",
    "RUBYLIB",
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "JAVA_TOOL_OPTIONS",
    "GIT_SSH_COMMAND",
    "HOME",
];

/// Arguments that make a program run the text beside them, or something that is not its own.
const RUNNERS: [&str; 17] = [
    "-c",
    "-e",
    "-p",
    "-r",
    "--eval",
    "--print",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "--node-options",
    "--call",
    "--privileged",
    "-v",
    "--volume",
    "--mount",
    "--entrypoint",
];

impl AllowedServers {
    /// Returns an error with the reason if a definition is not allowed.
    pub(super) fn check(&self, name: &str, definition: &Definition) -> Result<(), Error> {
        match self {
            AllowedServers::Any => Ok(()),
            AllowedServers::Off => {
                refuse("servers cannot be defined here (servers.allow is \"off\")".to_owned())
            }
            AllowedServers::Commands(commands) => check_command(commands, definition).or_else(|reason| {
                refuse(format!("server '{name}' is not allowed: {reason} (servers.allow)"))
            }),
        }
    }
}

fn refuse(reason: String) -> Result<(), Error> {
    Err(forbidden(reason))
}

fn check_command(commands: &[String], definition: &Definition) -> Result<(), String> {
    // Where a remote server may be is said elsewhere (remotes.api_addresses).
    let Some(command) = definition.command() else { return check_remote(definition) };
    if !commands.iter().any(|allowed| allowed == command) {
        return Err(format!("the command '{}' is not in the list", command.escape_debug()));
    }
    if let Some(argument) = definition.args().iter().find(|argument| runs_anything(argument)) {
        return Err(format!("the argument '{}' runs or reaches anything", argument.escape_debug()));
    }
    let mut names = definition.env().iter().map(|(name, _)| name);
    match names.find(|name| loads_anything(name)) {
        Some(name) => Err(format!("the variable '{}' changes what is run", name.escape_debug())),
        None => Ok(()),
    }
}

/// A remote server gets what its address and its headers refer to, so that may be nothing of the daemon's.
fn check_remote(definition: &Definition) -> Result<(), String> {
    match definition.remote_references().next() {
        Some(place) => Err(format!("{place} refers to the daemon's environment or files")),
        None => Ok(()),
    }
}

fn runs_anything(argument: &str) -> bool {
    let flag = argument.split('=').next().unwrap_or_default();
    RUNNERS.contains(&flag) || argument.contains(['\n', '\r', '\0', ';', '|', '`']) || argument.contains("$(")
}

fn loads_anything(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ["LD_", "DYLD_", "NPM_CONFIG_", "UV_", "PIP_"].iter().any(|prefix| upper.starts_with(prefix))
        || LOADERS.contains(&upper.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(allowed: &AllowedServers, definition: Value) -> Result<(), String> {
        let Value::Object(raw) = definition else { panic!("an object") };
        let definition = Definition::parse(raw).expect("valid");
        allowed.check("s", &definition).map_err(|error| error.to_string())
    }

    #[test]
    fn hostile_definitions_are_refused_with_a_list_and_without_servers() {
        let list =
            AllowedServers::Commands(["npx", "uvx", "node", "python", "docker"].map(str::to_owned).into());
        for hostile in [
            json!({"command": "bash", "args": ["-c", "touch /tmp/x"]}),
            json!({"command": "/bin/sh"}),
            json!({"command": "npx;id"}),
            json!({"command": "npx\nid"}),
            json!({"command": "/tmp/npx"}),
            json!({"command": "node", "args": ["-e", "1"]}),
            json!({"command": "node", "args": ["--eval=1"]}),
            json!({"command": "python", "args": ["-c", "1"]}),
            json!({"command": "docker", "args": ["run", "-v", "/:/h", "x"]}),
            json!({"command": "docker", "args": ["run", "--volume=/:/h", "x"]}),
            json!({"command": "npx", "args": ["--node-options=--require=/tmp/x", "server"]}),
            json!({"command": "npx", "args": ["-y", "server; id"]}),
            json!({"command": "npx", "env": {"LD_PRELOAD": "/tmp/x.so"}}),
            json!({"command": "npx", "env": {"ld_preload": "/tmp/x.so"}}),
            json!({"command": "npx", "env": {"NODE_OPTIONS": "--require /tmp/x"}}),
            json!({"command": "npx", "env": {"PATH": "/tmp"}}),
        ] {
            assert!(check(&list, hostile.clone()).is_err(), "{hostile}");
            assert!(check(&AllowedServers::Off, hostile.clone()).is_err());
            assert!(check(&AllowedServers::Any, hostile).is_ok());
        }
        check(&list, json!({"command": "npx", "args": ["-y", "@scope/server@1.0"], "env": {"TOKEN": "x"}}))
            .expect("an ordinary one");
        check(&list, json!({"url": "https://example.com/mcp"})).expect("never started");
        let refused = check(&list, json!({"command": "bash"})).expect_err("not in the list");
        assert_eq!(
            refused,
            "server 's' is not allowed: the command 'bash' is not in the list (servers.allow)"
        );
    }
}
