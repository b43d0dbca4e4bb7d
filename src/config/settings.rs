//! The strict settings with their defaults. All values here have been checked; their sources are unknown here.

use std::path::PathBuf;
use std::time::Duration;

use super::ServersFile;
use crate::access::Tenancy;
use crate::activity;
use crate::audit::AuditSettings;
use crate::gateway::{GatewaySettings, Groups};
use crate::http::Settings as HttpSettings;
use crate::query::LlmSettings;
use crate::registry::AllowedServers;
use crate::supervisor::{RemoteSettings, StartLimits};
use crate::telemetry::{logging, traces};
use crate::usage::Retention;

/// All settings of the daemon at its start: the sum of the modules' settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Path of the configuration file that was read. `None` if none was named.
    pub file: Option<PathBuf>,
    /// Directory of the store; absolute unless the working directory was removed.
    pub data_dir: PathBuf,
    /// Number of runtime threads, 1 to 256; 1 selects the single-threaded runtime.
    pub workers: usize,
    /// `true` if servers files are applied again when they change.
    pub watch: bool,
    /// `true` if children get control groups where a subtree is available to us.
    pub cgroups: bool,
    /// Names of variables of our environment that children get besides the usual few.
    pub pass_env: Vec<String>,
    /// Longest time that calls may take to finish once the daemon was told to stop.
    pub drain: Duration,
    /// Settings of the HTTP front.
    pub http: HttpSettings,
    /// Directory that the API's config export and import must stay in; `/` for no limit.
    pub config_root: PathBuf,
    /// Limits on starting servers.
    pub starts: StartLimits,
    /// Addresses that remote servers may have.
    pub remotes: RemoteSettings,
    /// The organization, its members and their plans.
    pub tenancy: Tenancy,
    /// Groups of servers, and how things of several servers are named.
    pub groups: Groups,
    /// Deadlines of calls, and limits on what callers may have under way.
    pub gateway: GatewaySettings,
    /// Times for which usage is kept.
    pub retention: Retention,
    /// Servers that may be defined through the API.
    pub allowed: AllowedServers,
    /// Settings of the audit, such as the time that it is kept.
    pub audit: AuditSettings,
    /// Number of calls that activity keeps; 0 keeps none.
    pub activity_calls: usize,
    /// Settings of the model that answers questions.
    pub llm: LlmSettings,
    /// Settings of the log.
    pub log: logging::Settings,
    /// Settings of the traces.
    pub traces: traces::Settings,
    /// Servers files, in the order they were named.
    pub servers: Vec<ServersFile>,
    /// Warnings about skipped sources that may have been intended, one line each, with its place. They contain
    /// no secret.
    pub warnings: Vec<String>,
}

impl Config {
    /// Returns the configuration without any file, variable or flag, with its data in this directory.
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
            starts: StartLimits::default(),
            remotes: RemoteSettings::default(),
            tenancy: Tenancy::default(),
            groups: Groups::default(),
            gateway: GatewaySettings::default(),
            retention: Retention::default(),
            allowed: AllowedServers::Any,
            audit: AuditSettings::default(),
            activity_calls: activity::KEPT,
            llm: LlmSettings::default(),
            log: logging::Settings::default(),
            traces: traces::Settings::default(),
            servers: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
