//! The strict settings with their defaults. Everything here has been checked; nothing here knows
//! where it came from.

use std::path::PathBuf;
use std::time::Duration;

use super::ServersFile;
use crate::access::Charter;
use crate::http::Settings as HttpSettings;
use crate::query::LlmSettings;
use crate::service::{AllowedServers, AuditSettings, Retention, UnreadLimits};
use crate::supervisor::BrakeSettings;
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
    /// Whether servers files are applied again when they change.
    pub watch: bool,
    /// Whether children get control groups where there is a subtree for us.
    pub cgroups: bool,
    /// Names of variables of our environment that children get beside the usual few.
    pub pass_env: Vec<String>,
    /// How long calls may take to finish once the daemon was told to stop.
    pub drain: Duration,
    /// The HTTP front.
    pub http: HttpSettings,
    /// The directory that the API's config export and import must stay in; `/` for no limit.
    pub config_root: PathBuf,
    /// The brakes on starting servers.
    pub starts: BrakeSettings,
    /// The organization, its members and their plans.
    pub charter: Charter,
    /// How many calls a key may have under way.
    pub calls_per_key: usize,
    /// How many bytes of answers may wait to be read.
    pub unread: UnreadLimits,
    /// How long usage is kept.
    pub retention: Retention,
    /// Which servers may be defined through the API.
    pub allowed: AllowedServers,
    /// What the audit keeps.
    pub audit: AuditSettings,
    /// The model that answers questions.
    pub llm: LlmSettings,
    /// The log.
    pub log: logging::Settings,
    /// The servers files, in the order they were named.
    pub servers: Vec<ServersFile>,
    /// What was passed over and may have been meant, a line each, with its place. No secret is in it.
    pub warnings: Vec<String>,
}

impl Config {
    /// The configuration without any file, variable or flag, but for where its data is.
    pub(super) fn with_defaults(data_dir: PathBuf) -> Config {
        Config {
            file: None,
            config_root: data_dir.clone(),
            data_dir,
            workers: 1,
            watch: true,
            cgroups: true,
            pass_env: Vec::new(),
            drain: Duration::from_secs(20),
            http: HttpSettings::default(),
            starts: BrakeSettings::default(),
            charter: Charter::default(),
            calls_per_key: 128,
            unread: UnreadLimits::default(),
            retention: Retention::default(),
            allowed: AllowedServers::Any,
            audit: AuditSettings::default(),
            llm: LlmSettings::default(),
            log: logging::Settings::default(),
            servers: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
