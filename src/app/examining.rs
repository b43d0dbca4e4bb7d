//! `mcpvisor doctor` before a start: what the configuration would meet.

use std::ffi::OsString;

use serde_json::Value;

use super::{BASE_ENV, OWN_COMMAND, places};
use crate::config::{self, Config, ConfigProblem, Environment, Flags};
use crate::doctor::{Doctor, Finding, Severity, StartEnvironment, sorted};
use crate::process::HostSettings;
use crate::supervisor::Definition;

/// Returns the variables of our environment that every child gets.
pub(super) fn base_env(config: &Config, env: &dyn Environment) -> Vec<(OsString, OsString)> {
    let passed = config.pass_env.iter().map(String::as_str);
    let names = BASE_ENV.iter().copied().chain(passed);
    names.filter_map(|name| Some((name.into(), env.var(name)?))).collect()
}

/// Returns the settings of a host that starts the servers of a configuration.
pub(super) fn host_settings(config: &Config, instance: String, env: &dyn Environment) -> HostSettings {
    HostSettings {
        instance,
        base_env: base_env(config, env),
        own_command: std::env::current_exe().ok().map(|path| (OWN_COMMAND.to_owned(), path)),
        cgroups: config.cgroups,
        sandboxes: config.data_dir.join("servers"),
        private: config.data_dir.clone(),
        alone: true,
    }
}

/// Returns an examiner of servers that this host starts.
pub(super) fn doctor(host: HostSettings) -> Doctor {
    Doctor::new(StartEnvironment { host, variable: |name| std::env::var_os(name) })
}

/// Returns what the configuration that a daemon would be started with here would meet, and the names of its servers.
pub(super) fn beforehand(env: &dyn Environment) -> (Vec<Value>, Vec<String>) {
    let (findings, servers) = match config::load(&Flags::default(), env) {
        Ok(config) => of(&config, env),
        Err(problems) => (problems.into_iter().map(of_problem).collect(), Vec::new()),
    };
    let findings = sorted(findings).into_iter().filter_map(|finding| serde_json::to_value(finding).ok());
    (findings.collect(), servers)
}

fn of(config: &Config, env: &dyn Environment) -> (Vec<Finding>, Vec<String>) {
    let mut problems = places::problems(config);
    problems.extend(config::group_problems(config, |_| false));
    let mut findings: Vec<Finding> = problems.into_iter().map(of_problem).collect();
    let doctor = doctor(host_settings(config, String::new(), env));
    let entries = config.servers.iter().flat_map(|file| &file.entries);
    let defined: Vec<(&str, Definition)> = entries.map(|entry| (&*entry.name, entry.definition())).collect();
    for (name, definition) in &defined {
        findings.extend(doctor.of_definition(name, definition));
    }
    findings.extend(doctor.of_environment(defined.iter().map(|(name, definition)| (*name, definition))));
    findings.extend(config.warnings.iter().map(|text| Finding {
        severity: Severity::Warning,
        server: None,
        place: "configuration".to_owned(),
        fault: None,
        cause: text.clone(),
        fix: None,
        command: None,
    }));
    (findings, defined.iter().map(|(name, _)| (*name).to_owned()).collect())
}

/// Returns a problem that would keep the daemon from starting.
fn of_problem(problem: ConfigProblem) -> Finding {
    Finding {
        severity: Severity::Error,
        server: None,
        place: problem.path.clone(),
        fault: None,
        cause: problem.to_string(),
        fix: Some("Mend it: the daemon does not start with it.".to_owned()),
        command: Some("mcpvisor serve --check".to_owned()),
    }
}
