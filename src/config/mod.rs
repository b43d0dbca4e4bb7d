//! Files, flags and environment variables: the only code that knows them. Reads everything, reports every
//! problem at once, and returns one strict [`Config`], the sum of the settings of the daemon's parts.
//!
//! For each setting a flag takes precedence over an environment variable, that over the configuration file, and
//! that over the default. Nothing is created or changed: loading only reads.

mod connecting;
mod dotenv;
mod effective;
mod environment;
mod file;
mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod groups;
mod importing;
mod json;
mod llm;
mod oidc;
mod otlp;
mod problem;
mod report;
mod schema;
mod section;
mod servers_file;
mod settings;
mod tenancy;
mod values;

use std::path::{Path, PathBuf};

pub use connecting::{Link, TARGETS, Target, Uneditable, Way};
pub use effective::{effective, effective_of};
pub use environment::{
    ENV_CONFIG, ENV_DATA_DIR, ENV_DEBUG, ENV_HOST, ENV_LOG, ENV_PORT, ENV_SERVERS, Environment,
    ProcessEnvironment,
};
pub use foreign::{
    CLIENTS, Client, Entry, ImportError, Reading, Remark, Source, Weight, read as read_foreign,
};
pub use groups::{clashing_groups, group_problems};
pub use importing::{Found, Plan, look, plan};
pub use problem::{ConfigProblem, Position};
pub use report::{describe, list_problems, remarks, warnings};
pub use schema::{config_schema, servers_schema};
pub use servers_file::{ServersFile, entry_problems, version_of};
pub use settings::Config;
pub use values::host as read_host;

use crate::access::Tenancy;
use crate::files;
use crate::http::SocketPlace;
use crate::telemetry::logging::Level;
use problem::Problems;
use section::Document;
use servers_file::Named;

/// Servers file that is read if none is named and this one exists in the working directory.
pub const DEFAULT_SERVERS_FILE: &str = "config/servers.json";

/// Settings given on the command line. `None` and an empty list mean "not given".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// Path of the configuration file.
    pub config: Option<PathBuf>,
    /// Paths of the servers files; they replace those of the configuration file.
    pub servers: Vec<PathBuf>,
    /// Address to listen on, as [`read_host`] returns it.
    pub host: Option<String>,
    /// Port to listen on; 0 for any free one.
    pub port: Option<u16>,
    /// Directory of the store.
    pub data_dir: Option<PathBuf>,
    /// `Some(true)` for verbose log and error texts.
    pub debug: Option<bool>,
    /// Address to listen on if no other source gives one: the two program names differ in it.
    pub default_host: Option<&'static str>,
}

impl Flags {
    /// Returns these flags, with missing ones taken from others.
    fn or(self, others: Flags) -> Flags {
        Flags {
            config: self.config.or(others.config),
            servers: if self.servers.is_empty() { others.servers } else { self.servers },
            host: self.host.or(others.host),
            port: self.port.or(others.port),
            data_dir: self.data_dir.or(others.data_dir),
            debug: self.debug.or(others.debug),
            default_host: self.default_host.or(others.default_host),
        }
    }
}

/// Reads and checks the whole configuration of the daemon. Problems of single servers of the servers files stay
/// with them: see [`entry_problems`].
///
/// # Errors
/// Every other problem of every source, those of one source together. Never empty.
pub fn load(flags: &Flags, env: &dyn Environment) -> Result<Config, Vec<ConfigProblem>> {
    let mut problems = Problems::default();
    let flags = flags.clone().or(environment::flags_from(env, &mut problems));
    let working_dir = env.working_dir();

    let mut config = Config::with_defaults(PathBuf::new());
    if let Some(host) = flags.default_host {
        config.http.host = host.to_owned();
    }
    let paths = match &flags.config {
        Some(named) => read_file(named, &working_dir, &mut config, &mut problems),
        None => file::Paths::default(),
    };

    config.http.host = flags.host.unwrap_or(config.http.host);
    config.http.port = flags.port.unwrap_or(config.http.port);
    config.http.debug = flags.debug.unwrap_or(false);
    if config.http.debug {
        config.log.level = config.log.level.max(Level::Debug);
    }
    config.log.directives = environment::log_directives(env, &mut problems);
    config.log.to_journal = environment::logs_to_journal(env);
    otlp::complete(&mut config.traces, &paths.trace_headers, env, &mut problems);
    config.data_dir = flags
        .data_dir
        .map(|dir| working_dir.join(dir))
        .or(paths.data_dir)
        .unwrap_or_else(|| environment::default_data_dir(env));
    config.config_root = paths.config_root.unwrap_or_else(|| config.data_dir.clone());
    config.http.socket = match paths.socket {
        Some(asked) => asked.map(|path| SocketPlace { path, wanted: true }),
        None => {
            let path = environment::default_socket(env, &config.data_dir);
            Some(SocketPlace { path, wanted: false })
        }
    };

    let named = if flags.servers.is_empty() {
        paths.servers.unwrap_or_else(|| default_servers(&working_dir))
    } else {
        flags.servers.iter().map(|path| named(path, &working_dir)).collect()
    };
    config.servers = servers_file::read_all(&named, env, &mut problems);
    config.warnings = llm::complete(&mut config.llm, paths.llm_key, env, &mut problems);
    if problems.len() > 0 {
        // The operator has to fix the files anyway, so all problems are reported at once.
        config.servers.iter().for_each(|file| file.problems(&mut problems));
    }
    problems.into_result(config)
}

/// Returns the directory of the store, for commands that need nothing else: the servers files are not read.
///
/// # Errors
/// The problems of the environment and the configuration file, if no flag gives the directory.
pub fn data_dir(flags: &Flags, env: &dyn Environment) -> Result<PathBuf, Vec<ConfigProblem>> {
    match &flags.data_dir {
        Some(dir) => Ok(env.working_dir().join(dir)),
        None => data_dir_and_members(flags, env).map(|(dir, _)| dir),
    }
}

/// Returns the directory of the store, and the organization of the configuration file.
///
/// # Errors
/// The problems of the environment and the configuration file.
pub fn data_dir_and_members(
    flags: &Flags,
    env: &dyn Environment,
) -> Result<(PathBuf, Tenancy), Vec<ConfigProblem>> {
    let PartialConfig { data_dir, config, problems, .. } = partial_config(flags, env);
    problems.into_result((data_dir, config.tenancy))
}

/// What flags, environment and configuration file say, for commands that need a part of it.
struct PartialConfig {
    flags: Flags,
    config: Config,
    data_dir: PathBuf,
    /// Socket that the file names, `Some(None)` if it switches it off.
    socket: Option<Option<PathBuf>>,
    problems: Problems,
}

fn partial_config(flags: &Flags, env: &dyn Environment) -> PartialConfig {
    let working_dir = env.working_dir();
    let mut problems = Problems::default();
    let flags = flags.clone().or(environment::flags_from(env, &mut problems));
    let mut config = Config::with_defaults(PathBuf::new());
    let paths = match &flags.config {
        Some(named) => read_file(named, &working_dir, &mut config, &mut problems),
        None => file::Paths::default(),
    };
    let given = flags.data_dir.as_ref().map(|dir| working_dir.join(dir)).or(paths.data_dir);
    let data_dir = given.unwrap_or_else(|| environment::default_data_dir(env));
    PartialConfig { flags, config, data_dir, socket: paths.socket, problems }
}

/// Where a daemon of this user is that runs with the settings of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonPlace {
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// Unix socket. `None` if it is switched off.
    pub socket: Option<PathBuf>,
    /// Port; 0 for any free one.
    pub port: u16,
    /// `true` if it is spoken to by TLS.
    pub tls: bool,
}

/// Returns where a daemon is that was started with these flags and this environment, for commands that look for one or
/// start it. The servers files are not read.
///
/// # Errors
/// The problems of the environment and the configuration file.
pub fn daemon_place(flags: &Flags, env: &dyn Environment) -> Result<DaemonPlace, Vec<ConfigProblem>> {
    let PartialConfig { flags, config, data_dir, socket, problems } = partial_config(flags, env);
    let socket = socket.unwrap_or_else(|| Some(environment::default_socket(env, &data_dir)));
    let port = flags.port.unwrap_or(config.http.port);
    let tls = config.http.tls.is_some();
    problems.into_result(DaemonPlace { data_dir, socket, port, tls })
}

/// Returns the Unix socket of a daemon of this user that runs with default settings, for commands that look for
/// one.
pub fn usual_socket(env: &dyn Environment) -> PathBuf {
    environment::default_socket(env, &environment::default_data_dir(env))
}

fn read_file(path: &Path, working_dir: &Path, config: &mut Config, problems: &mut Problems) -> file::Paths {
    let Named { shown, path } = named(path, working_dir);
    let text = match servers_file::read_text(&path) {
        Ok(text) => text,
        Err(error) => {
            problems.source(&shown, format!("cannot be read: {error}"));
            return file::Paths::default();
        }
    };
    let base = path.parent().unwrap_or(working_dir).to_owned();
    let paths = file::apply(Document::new(&shown, &text), &base, config, problems);
    config.file = Some(path);
    paths
}

fn named(path: &Path, working_dir: &Path) -> Named {
    Named { shown: path.display().to_string(), path: working_dir.join(path) }
}

/// Returns the default file if it exists. One that exists and cannot be checked is included, so that the reason
/// becomes a problem.
fn default_servers(working_dir: &Path) -> Vec<Named> {
    let default = named(Path::new(DEFAULT_SERVERS_FILE), working_dir);
    let path = default.path.clone();
    let there = files::within(&default.path, files::FILE_TIMEOUT, move || path.try_exists().unwrap_or(true));
    if there.unwrap_or(true) { vec![default] } else { Vec::new() }
}

#[cfg(test)]
pub(crate) mod test_support {
    use super::Environment;
    use std::collections::HashMap;
    use std::ffi::OsString;
    use std::path::PathBuf;

    /// An environment made of given values.
    pub(crate) struct MapEnvironment {
        pub(crate) vars: HashMap<String, OsString>,
        pub(crate) dir: PathBuf,
    }

    impl MapEnvironment {
        pub(crate) fn new(vars: &[(&str, &str)]) -> MapEnvironment {
            let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
            MapEnvironment { vars, dir: PathBuf::from("/nonexistent/working/dir") }
        }

        pub(crate) fn within(dir: &std::path::Path, vars: &[(&str, &str)]) -> MapEnvironment {
            MapEnvironment { dir: dir.to_owned(), ..MapEnvironment::new(vars) }
        }
    }

    impl Environment for MapEnvironment {
        fn var(&self, name: &str) -> Option<OsString> {
            self.vars.get(name).cloned()
        }

        fn working_dir(&self) -> PathBuf {
            self.dir.clone()
        }
    }
}

#[cfg(test)]
mod tests;
