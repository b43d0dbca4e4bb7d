//! Applies the servers files again on SIGHUP, and when one of them changes. SIGHUP also applies the members,
//! plans, limits for keys and groups of servers of the configuration file, and what is logged.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use tokio::sync::Notify;
use tracing::Level;

use super::certificate::Watching;
use super::file_watcher::{Changes, FileWatcher, Identity, LOOK};
use super::{log_applied, systemd};
use crate::config::{self, Config, ConfigProblem, Flags, ProcessEnvironment, Weight};
use crate::gateway::{Gateway, Groups};
use crate::telemetry::logging;

/// Task that applies the servers files again. Runs until it is dropped.
pub(super) struct Reloader {
    flags: Flags,
    /// Settings that the daemon runs with, without the servers files.
    settings: Config,
    /// Paths of the servers files, and the version of each that was read at the start.
    paths: Vec<PathBuf>,
    read: Vec<Identity>,
    gateway: Gateway,
    asked: Arc<Notify>,
    certificate: Option<Watching>,
    /// Lines about the files that are logged already and still hold.
    told: HashSet<String>,
}

impl Reloader {
    /// Makes a reloader for a daemon that was started with these flags and runs with this configuration. When
    /// `asked` is notified, the files are applied whether they have changed or not.
    pub(super) fn new(
        flags: Flags,
        mut config: Config,
        gateway: Gateway,
        asked: Arc<Notify>,
        certificate: Option<Watching>,
        told: HashSet<String>,
    ) -> Reloader {
        let files = std::mem::take(&mut config.servers);
        let paths = paths(&files);
        let read = files.into_iter().map(|file| file.version).collect();
        Reloader { flags, settings: config, paths, read, gateway, asked, certificate, told }
    }

    pub(super) async fn run(mut self) {
        let (watch, named) = mpsc::channel();
        let changed = Arc::new(Notify::new());
        if self.settings.watch
            && let Err(error) = watch_files(self.paths.clone(), self.read.clone(), named, changed.clone())
        {
            tracing::error!(%error, "the servers files are not watched; SIGHUP applies them");
        }
        loop {
            let asked = tokio::select! {
                () = self.asked.notified() => true,
                () = changed.notified() => false,
            };
            if asked {
                tracing::info!(signal = "SIGHUP", "applying the servers files again");
                if let Some(certificate) = &self.certificate {
                    certificate.reload();
                }
            }
            systemd::reloading();
            let good = self.apply(asked).await;
            self.gateway.reloaded(good);
            // There is no receiver if files are not watched.
            let _ = watch.send(self.paths.clone());
            systemd::reloaded();
        }
    }

    /// Reads everything, and applies the servers files if nothing is wrong anywhere. Applies groups, members and plans
    /// only if `asked`, since a configuration file is not watched. Returns `false` if anything failed.
    async fn apply(&mut self, asked: bool) -> bool {
        let flags = self.flags.clone();
        let read = tokio::task::spawn_blocking(move || config::load(&flags, &ProcessEnvironment)).await;
        let mut config = match read {
            Ok(Ok(config)) => config,
            Ok(Err(problems)) => {
                report(&problems);
                return false;
            }
            Err(error) => {
                tracing::error!(%error, "the configuration could not be read again");
                return false;
            }
        };
        let known = &self.settings.groups.by_name;
        let clashes = config::group_problems(&config, |group| known.contains_key(group));
        let files = std::mem::take(&mut config.servers);
        tell(&files, &mut self.told);
        // First, so that a server which has the name of a new group is refused. A group may have to wait until the
        // server that has its name is gone.
        let new_groups = (asked && config.groups != self.settings.groups).then(|| config.groups.clone());
        let mut grouped = self.apply_groups(new_groups.as_ref(), &clashes).await;
        let mut good = self.apply_files(&files, asked).await;
        if grouped.is_err() && clashes.is_empty() {
            grouped = self.apply_groups(new_groups.as_ref(), &clashes).await;
            good &= grouped.is_err() || self.apply_files(&files, asked).await;
        }
        match grouped {
            Ok(()) if new_groups.is_some() => self.settings.groups = config.groups.clone(),
            Ok(()) => {}
            Err(reason) => {
                tracing::error!("{reason}; groups stay as they were");
                good = false;
            }
        }
        if !asked && config.groups != self.settings.groups {
            tracing::warn!("groups of servers have changed: SIGHUP applies them");
        }
        config.groups = self.settings.groups.clone();
        if asked {
            good &= self.apply_log(&config.log);
        }
        if asked && config.tenancy != self.settings.tenancy {
            match self.gateway.reload_tenancy(config.tenancy.clone()).await {
                Ok(()) => {
                    tracing::info!(
                        members = config.tenancy.members.len(),
                        "applied members, plans and limits of keys"
                    );
                    self.settings.tenancy = config.tenancy.clone();
                }
                Err(error) => {
                    tracing::error!(%error, "members and plans could not be applied");
                    good = false;
                }
            }
        }
        if config.tenancy != self.settings.tenancy {
            tracing::warn!("members, plans or limits of keys have changed: SIGHUP applies them");
            config.tenancy = self.settings.tenancy.clone();
        }
        if config != self.settings {
            tracing::warn!("other settings have changed, too: they take effect at the next start");
        }
        // A file that has disappeared from the list is still checked: it may come back.
        if !files.is_empty() {
            self.paths = paths(&files);
        }
        good
    }
}

impl Reloader {
    /// Logs from now on what the settings say, but for the form of the lines. Returns `false` if that failed.
    fn apply_log(&mut self, log: &logging::Settings) -> bool {
        let wanted = logging::Settings { format: self.settings.log.format, ..log.clone() };
        if wanted == self.settings.log {
            return true;
        }
        if let Err(error) = logging::change(&wanted) {
            tracing::error!(%error, "what is logged stays as it was");
            return false;
        }
        tracing::info!(level = wanted.level.name(), calls = wanted.calls, "applied the settings of the log");
        self.settings.log = wanted;
        true
    }

    /// Puts groups in force; `None` if they are to stay.
    async fn apply_groups(&self, groups: Option<&Groups>, clashes: &[ConfigProblem]) -> Result<(), String> {
        let Some(groups) = groups else { return Ok(()) };
        if let Some(clash) = clashes.first() {
            return Err(clash.to_string());
        }
        self.gateway.set_groups(groups.clone()).await.map_err(|error| error.to_string())?;
        tracing::info!(groups = groups.by_name.len(), "applied the groups of servers");
        Ok(())
    }

    /// Applies the servers files. Returns `false` if one could not be.
    async fn apply_files(&self, files: &[config::ServersFile], asked: bool) -> bool {
        let mut good = true;
        for file in files {
            let path = file.path.to_string_lossy();
            // An explicit request applies the file even if this version was applied before.
            let content = if asked { file.content() } else { file.content().seen(file.version.clone()) };
            match self.gateway.apply_servers_file(&path, content).await {
                Ok(applied) => log_applied(&path, &applied),
                Err(error) => {
                    tracing::error!(file = %path, %error, "the servers file could not be applied");
                    good = false;
                }
            }
        }
        good
    }
}

fn paths(files: &[config::ServersFile]) -> Vec<PathBuf> {
    files.iter().map(|file| file.path.clone()).collect()
}

/// Returns the log lines about the servers files: problems of single servers, and remarks.
fn sayings(files: &[config::ServersFile]) -> impl Iterator<Item = (Level, String)> {
    let problems = config::entry_problems(files).into_iter();
    let problems = problems.map(|problem| (Level::ERROR, format!("{problem}; this entry starts no server")));
    let remarks = config::remarks(files).map(|(weight, line)| match weight {
        Weight::Warning => (Level::WARN, line),
        Weight::Note => (Level::INFO, line),
    });
    problems.chain(remarks.collect::<Vec<_>>())
}

/// Logs the lines about the files, except those that were logged before and still hold.
pub(super) fn tell(files: &[config::ServersFile], told: &mut HashSet<String>) {
    let mut now = HashSet::new();
    for (level, line) in sayings(files) {
        if !told.contains(&line) && !now.contains(&line) {
            match level {
                Level::ERROR => tracing::error!("{line}"),
                Level::WARN => tracing::warn!("{line}"),
                _ => tracing::info!("{line}"),
            }
        }
        now.insert(line);
    }
    *told = now;
}

fn report(problems: &[ConfigProblem]) {
    for problem in problems {
        tracing::error!("{problem}");
    }
    tracing::error!(
        problems = problems.len(),
        "the servers files were not applied; everything stays as it was"
    );
}

/// Checks the files in a separate thread, and notifies `changed` when one of them has changed and stopped
/// changing. The thread ends when the sender of `named` is dropped. A file whose version differs from `read`,
/// the one of the start, has changed since.
fn watch_files(
    mut files: Vec<PathBuf>,
    read: Vec<Identity>,
    named: Receiver<Vec<PathBuf>>,
    changed: Arc<Notify>,
) -> io::Result<()> {
    let run = move || {
        let mut looker = FileWatcher::new();
        let mut changes = Changes::new(read);
        loop {
            match named.recv_timeout(LOOK) {
                Ok(others) if others != files => {
                    files = others;
                    changes = Changes::new(looker.look(&files).unwrap_or_default());
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    if looker.look(&files).is_some_and(|now| changes.look(now)) {
                        changed.notify_one();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    thread::Builder::new().name("servers-files".to_owned()).spawn(run).map(drop)
}
