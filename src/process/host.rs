//! The host starts processes, marks them so that they can be found again, and tracks the children that are waited for.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::cgroup::{Cgroups, ChildCgroup};
use super::leaders::{LeaderTable, children_at_start};
use super::limits::{Controllers, Limits};
use super::orphans::{Kin, OrphanReading, Orphans};
use super::pidfd::{self, ProcessWatch, send};
use super::reference::references;
use super::spawn::{Command, Pipes, Spawned};
use super::stop_sequence::Process;
use super::tree::{KILL_ROUNDS, MARK_VARIABLE, Tree, TreeGuard};
use super::{Secret, SpawnError, harden, inherited, proc_fs, resolve, sandbox, secret};

/// Time leftovers of an earlier daemon get to end after each signal.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

/// Settings of a [`Host`].
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// Id that distinguishes this daemon's processes from those of others; the same after a restart.
    pub instance: String,
    /// Variables that every child gets. Nothing else of our environment reaches a child.
    pub base_env: Vec<(OsString, OsString)>,
    /// Bare command name that means the given file, the running executable; `None` if there is no such name.
    pub own_command: Option<(String, PathBuf)>,
    /// `true` to use control groups if there is a subtree for us.
    pub cgroups: bool,
    /// Parent directory of the directories of sandboxed servers.
    pub sandboxes: PathBuf,
    /// Directory that sandboxed servers may not read, except for their own directories: the daemon's data.
    pub private: PathBuf,
    /// `true` if nothing else in this process starts processes.
    pub alone: bool,
}

impl HostSettings {
    /// Returns the program that a process would run. Reads only.
    pub(super) fn program(&self, spec: &Spec) -> Result<PathBuf, SpawnError> {
        self.find(spec, &spec.resolve(|name| std::env::var_os(name))?)
    }

    fn find(&self, spec: &Spec, resolved: &Resolved<'_>) -> Result<PathBuf, SpawnError> {
        let Resolved { command, env, cwd, .. } = resolved;
        let wanted = command.expose();
        let configured_path =
            env.iter().rev().find(|(name, _)| *name == "PATH").map(|(_, value)| OsStr::new(value.expose()));
        let base_path =
            self.base_env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        let cwd = cwd.as_ref().map(|cwd| Path::new(cwd.expose()));
        if let Some(cwd) = cwd {
            check_directory(cwd, spec.cwd.as_deref().unwrap_or(cwd))?;
        }
        match &self.own_command {
            Some((name, path)) if *name == wanted => Ok(path.clone()),
            _ => resolve::resolve(wanted, configured_path.or(base_path), cwd)
                .map_err(|error| spec.without_values(error)),
        }
    }
}

/// Command, environment and limits of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Path, or name to look up in the child's PATH. References in it are resolved at each spawn and kept nowhere, as
    /// with `args`, `env` and `cwd`; the others see the variables of `env`, too.
    pub command: String,
    /// Arguments, without the program name.
    pub args: Vec<String>,
    /// Variables in addition to the base ones, which they override.
    pub env: Vec<(String, String)>,
    /// Secrets of the principal whose child it is, by name, for the references to them in `env`.
    pub secrets: Vec<(String, Secret)>,
    /// Working directory; `None` for ours, or the sandbox's directory if there is a sandbox.
    pub cwd: Option<PathBuf>,
    /// Resource limits of the process and its tree.
    pub limits: Limits,
    /// Name of the directory that its writes are confined to; `None` if it is not sandboxed.
    pub sandbox: Option<String>,
}

/// The texts of a [`Spec`] with their references resolved: for one spawn, and never to be shown.
struct Resolved<'s> {
    command: Secret,
    args: Vec<Secret>,
    env: Vec<(&'s str, Secret)>,
    cwd: Option<Secret>,
}

impl Spec {
    /// Resolves the references, the variables first: the other texts may refer to these as well.
    fn resolve(&self, ours: impl Fn(&str) -> Option<OsString>) -> Result<Resolved<'_>, SpawnError> {
        let stored = |wanted: &str| {
            let known = self.secrets.iter().find(|(name, _)| name == wanted);
            known.map(|(_, secret)| secret.expose().to_owned())
        };
        let of_variable = |(name, value): &'_ (String, String)| {
            secret::resolve(&format!("env.{name}"), value, &ours, stored)
        };
        let env: Vec<(&str, Secret)> = self
            .env
            .iter()
            .map(|variable| Ok((variable.0.as_str(), of_variable(variable)?)))
            .collect::<Result<_, SpawnError>>()?;
        // Every user of the machine can read the others.
        let none = |_: &str| None;
        let theirs = |wanted: &str| {
            let own = env.iter().rev().find(|(name, _)| *name == wanted);
            own.map(|(_, value)| OsString::from(value.expose())).or_else(|| ours(wanted))
        };
        let command = secret::resolve("command", &self.command, theirs, none)?;
        let args = self.args.iter().enumerate();
        let args = args.map(|(at, text)| secret::resolve(&format!("args[{at}]"), text, theirs, none));
        let args = args.collect::<Result<_, _>>()?;
        let cwd = self.cwd.as_deref().map(|cwd| secret::resolve("cwd", &cwd.to_string_lossy(), theirs, none));
        let cwd = cwd.transpose()?;
        Ok(Resolved { command, args, env, cwd })
    }

    /// Replaces an error about the command by one that shows the reference instead of its value, if there is one.
    fn without_values(&self, error: SpawnError) -> SpawnError {
        let of_path =
            self.env.iter().any(|(name, value)| name == "PATH" && references(value).next().is_some());
        if references(&self.command).next().is_none() {
            return SpawnError { searched: error.searched.filter(|_| !of_path), ..error };
        }
        SpawnError {
            what: format!("command '{}' leads to no program that can be run", self.command),
            searched: None,
            ..error
        }
    }
}

/// A starter of processes. Cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<HostInner>);

struct HostInner {
    settings: HostSettings,
    cgroups: Option<Cgroups>,
    spawned: AtomicU64,
    leaders: Arc<LeaderTable>,
    /// Limit on open files that we were started with, for the children; `None` if it was not raised.
    open_files: Option<Rlimit>,
    orphans: Arc<Orphans>,
}

impl Host {
    /// Makes this process the subreaper of all its descendants, so that no orphan is lost.
    pub fn new(settings: HostSettings) -> io::Result<Host> {
        nix::sys::prctl::set_child_subreaper(true)?;
        inherited::close_on_exec()?;
        let open_files = raise_open_files();
        // The process that became us by exec may have had children: they are not our strays.
        let at_start = children_at_start()?;
        let leaders = Arc::new(LeaderTable::new(at_start.clone()));
        let kin = Kin::new(&settings.instance, settings.alone, at_start);
        let orphans = Arc::new(Orphans::new(leaders.clone(), kin));
        let cgroups = find_cgroups(&settings);
        let spawned = AtomicU64::new(0);
        let inner = HostInner { settings, cgroups, spawned, leaders, open_files, orphans };
        Ok(Host(Arc::new(inner)))
    }

    /// Starts a process in a group of its own. Must be called inside a runtime.
    pub fn spawn(&self, spec: &Spec) -> Result<(Process, TreeGuard, Pipes), SpawnError> {
        let number = self.0.spawned.fetch_add(1, Ordering::Relaxed) + 1;
        let mark = format!("{}.{number}", self.0.settings.instance);
        let brand = self.0.orphans.brands().limit_of(number);
        let command = self.command(spec, &mark, brand)?;
        let leaf = self.leaf(number, spec)?;
        let group = leaf.as_ref().map(ChildCgroup::directory).transpose().map_err(|error| {
            SpawnError::new("the child's control group cannot be joined".to_owned(), &error)
        })?;
        let mut leaders = self.0.leaders.lock();
        let program = command.program().to_owned();
        let spawned = command.spawn(group).map_err(|error| describe(spec, &program, &error))?;
        let Spawned { pid, pidfd, pipes } = spawned;
        let started = proc_fs::stat(pid).map_or(0, |stat| stat.started);
        leaders.insert(pid, started);
        drop(leaders);
        let brand = brand.and_then(|limit| limit.current);
        let tree =
            Arc::new(Tree::new(pid, format!("{MARK_VARIABLE}={mark}"), brand, leaf, self.0.leaders.clone()));
        let guard = TreeGuard(tree.clone());
        let watch = ProcessWatch::over(pidfd).map_err(|error| {
            guard.0.kill_now();
            self.0.leaders.forget(pid);
            SpawnError::new("the child could not be watched".to_owned(), &error)
        })?;
        Ok((Process::new(watch, tree, self.0.orphans.clone()), guard, pipes))
    }

    fn leaf(&self, number: u64, spec: &Spec) -> Result<Option<ChildCgroup>, SpawnError> {
        let Some(cgroups) = &self.0.cgroups else { return Ok(None) };
        cgroups.leaf(number, &spec.limits).map(Some).map_err(|error| {
            SpawnError::new("a control group for the child cannot be made".to_owned(), &error)
        })
    }

    fn controllers(&self) -> Controllers {
        self.0.cgroups.as_ref().map(Cgroups::controllers).unwrap_or_default()
    }

    /// Returns one sentence for each limit that this machine does not, or not fully, enforce.
    pub fn unenforced(&self, limits: &Limits) -> Vec<String> {
        limits.unenforced(self.controllers(), rustix::process::geteuid().is_root())
    }

    fn command(&self, spec: &Spec, mark: &str, brand: Option<Rlimit>) -> Result<Command, SpawnError> {
        let settings = &self.0.settings;
        let resolved = spec.resolve(|name| std::env::var_os(name))?;
        let mut command = Command::new(settings.find(spec, &resolved)?);
        let Resolved { args, env, cwd, .. } = resolved;
        if let Some(cwd) = &cwd {
            command.current_dir(cwd.expose());
        }
        let sandbox = spec.sandbox.as_ref().map(|name| settings.sandboxes.join(name));
        if let (Some(directory), None) = (&sandbox, &spec.cwd) {
            command.current_dir(directory);
        }
        args.iter().for_each(|argument| command.arg(argument.expose()));
        settings.base_env.iter().for_each(|(name, value)| command.env(name, value));
        env.iter().for_each(|(name, value)| command.env(name, value.expose()));
        command.env(MARK_VARIABLE, mark);
        harden::harden(&mut command, self.0.open_files, brand);
        spec.limits.put_on(&mut command, self.controllers());
        if let Some(directory) = &sandbox {
            for (name, path) in sandbox::confine(&mut command, directory, &settings.private)? {
                if !spec.env.iter().any(|(given, _)| given == name) {
                    command.env(name, path);
                }
            }
        }
        Ok(command)
    }

    /// Ends the processes an earlier daemon of this instance left behind, first with SIGTERM, and returns their number.
    /// Must be called before anything is spawned. Blocks for at most a few seconds.
    pub fn sweep_leftovers(&self) -> usize {
        let entry = format!("{MARK_VARIABLE}={}.", self.0.settings.instance);
        let own = std::process::id().cast_signed();
        let is_left =
            |pid: i32| proc_fs::has_variable(pid, &entry, true) || self.0.orphans.brands().is_on(pid);
        let find = || -> Vec<i32> {
            let mut found = proc_fs::pids().unwrap_or_default();
            found.retain(|&pid| {
                pid != own && proc_fs::stat(pid).is_some_and(|stat| !stat.is_zombie()) && is_left(pid)
            });
            found
        };
        let mut ended = HashSet::new();
        for round in 0..KILL_ROUNDS {
            let found = find();
            if found.is_empty() {
                break;
            }
            let handles: Vec<_> =
                found.iter().filter_map(|&pid| Some((pid, pidfd::open(pid).ok()?))).collect();
            let signal = if round == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
            for (pid, handle) in &handles {
                // Checked again once the handle is open: the pid may have been recycled before.
                if is_left(*pid) && send(handle, signal) {
                    ended.insert(*pid);
                }
            }
            let handles: Vec<_> = handles.into_iter().map(|(_, handle)| handle).collect();
            pidfd::await_end(&handles, LEFTOVER_GRACE);
        }
        let of_leaves = self.0.cgroups.as_ref().map_or(0, Cgroups::sweep);
        self.0.leaders.reap_adopted();
        ended.len() + of_leaves
    }

    /// Kills orphans that were reparented to us and whose tree is unknown. For the end of the daemon, when no child is
    /// left.
    pub fn kill_strays(&self) {
        self.0.orphans.kill_all();
        if let Some(cgroups) = &self.0.cgroups {
            cgroups.remove();
        }
        self.0.leaders.reap_adopted();
    }

    /// Looks for processes that were reparented to us and belong to no known tree, ends those that no running server
    /// can have started, and returns the counts. Reads `/proc`: do not call it on the runtime.
    pub fn sweep_strays(&self) -> OrphanReading {
        self.0.orphans.sweep()
    }

    /// Reaps ended orphans that were reparented to us; call it after SIGCHLD.
    pub fn reap_adopted(&self) {
        self.0.leaders.reap_adopted();
    }
}

/// Checks the working directory before the program is looked up in it; the error shows it as it was written.
fn check_directory(cwd: &Path, written: &Path) -> Result<(), SpawnError> {
    let what = || format!("working directory '{}' cannot be used", written.display());
    let metadata = std::fs::metadata(cwd).map_err(|error| SpawnError::new(what(), &error))?;
    match metadata.is_dir() {
        true => Ok(()),
        false => Err(SpawnError::new(what(), &io::Error::from_raw_os_error(nix::libc::ENOTDIR))),
    }
}

/// Tries to use control groups and logs the result.
fn find_cgroups(settings: &HostSettings) -> Option<Cgroups> {
    if !settings.cgroups {
        tracing::info!("control groups: switched off; trees are held by group, mark and brand");
        return None;
    }
    match Cgroups::probe(&settings.instance) {
        Ok(cgroups) => {
            tracing::info!("control groups: one for each child; {}", cgroups.controllers());
            Some(cgroups)
        }
        Err(reason) => {
            tracing::info!(reason, "control groups: none; trees are held by group, mark and brand");
            None
        }
    }
}

/// Raises our soft limit on open files to the hard one: connections and pipes need them, and at the limit nothing about
/// a tree can be looked up. Returns the previous limit; `None` if it was not raised.
fn raise_open_files() -> Option<Rlimit> {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    let needed = before.current.is_some() && before.current != before.maximum;
    (needed && setrlimit(Resource::Nofile, raised).is_ok()).then_some(before)
}

/// Returns the number of files this process may have open; `None` if there is no limit.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

fn describe(spec: &Spec, program: &Path, error: &io::Error) -> SpawnError {
    let what = match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::ENOENT) => {
            let name =
                resolve::interpreter(program).map(|(name, _)| format!(" '{name}'")).unwrap_or_default();
            format!("the interpreter{name} that '{}' names does not exist", spec.command)
        }
        Some(nix::errno::Errno::ENOEXEC) => format!("'{}' is not a program for this machine", spec.command),
        _ => format!("'{}' could not be run", spec.command),
    };
    SpawnError::new(what, error)
}
