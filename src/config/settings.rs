//! The strict settings with their defaults. Everything here has been checked; nothing here knows
//! where it came from.

use std::path::PathBuf;
use std::time::Duration;

use super::ServersFile;
use crate::telemetry::logging;

/// Everything the daemon is told at start: the sum of the modules' settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The configuration file that was read, if one was named.
    pub file: Option<PathBuf>,
    /// Where the store lives; absolute unless the working directory is gone.
    pub data_dir: PathBuf,
    /// Runtime threads, 1 to 256; 1 stands for the single-threaded runtime.
    pub workers: usize,
    /// Names of variables of our environment that children get beside the usual few.
    pub pass_env: Vec<String>,
    /// How long calls may take to finish once the daemon was told to stop.
    pub drain: Duration,
    /// The HTTP front.
    pub http: HttpSettings,
    /// The directory that the API's config export and import must stay in; `/` for no limit.
    pub config_root: PathBuf,
    /// The brakes on starting servers.
    pub starts: StartSettings,
    /// The log.
    pub log: logging::Settings,
    /// The servers files, in the order they were named.
    pub servers: Vec<ServersFile>,
}

/// Who may use `/api`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApiAuth {
    /// Open to loopback clients while bound to loopback; otherwise as [`ApiAuth::Required`].
    #[default]
    Auto,
    /// A key with the right to administer is needed.
    Required,
    /// Open to everyone who can connect.
    Off,
}

/// The settings of the HTTP front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// The address or name to listen on, without brackets.
    pub host: String,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Who may use `/api`.
    pub api_auth: ApiAuth,
    /// Further names that clients may put into `Host`, lower case, each with or without a port.
    pub allowed_hosts: Vec<String>,
    /// Further origins whose pages may call, lower case, as browsers send them; `*` for all.
    pub allowed_origins: Vec<String>,
    /// The longest request body, in bytes.
    pub body_limit: usize,
    /// From the first byte of a request to the end of its headers.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub keep_alive: Duration,
    /// How many connections may be open at once.
    pub max_connections: usize,
    /// The deadline of a call that names none.
    pub call_timeout: Duration,
    /// The longest deadline that a call may ask for.
    pub max_call_timeout: Duration,
    /// Shows `[REDACTED]` instead of the values of servers' `env`.
    pub redact_env: bool,
    /// Puts causes into error texts.
    pub debug: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            host: "127.0.0.1".to_owned(),
            port: 5000,
            api_auth: ApiAuth::Auto,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_limit: 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            max_connections: 1024,
            call_timeout: Duration::from_secs(30),
            max_call_timeout: Duration::from_secs(300),
            redact_env: false,
            debug: false,
        }
    }
}

/// The brakes on starting servers, over all servers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartSettings {
    /// How many servers may be between spawn and ready at once.
    pub concurrent: usize,
    /// How many processes may be spawned in a second.
    pub per_second: u32,
}

impl Default for StartSettings {
    fn default() -> Self {
        StartSettings { concurrent: 4, per_second: 10 }
    }
}

impl Config {
    /// The configuration without any file, variable or flag, but for where its data is.
    pub(super) fn with_defaults(data_dir: PathBuf) -> Config {
        Config {
            file: None,
            config_root: data_dir.clone(),
            data_dir,
            workers: 1,
            pass_env: Vec::new(),
            drain: Duration::from_secs(20),
            http: HttpSettings::default(),
            starts: StartSettings::default(),
            log: logging::Settings::default(),
            servers: Vec::new(),
        }
    }
}
