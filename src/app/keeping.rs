//! Works on a stored data directory from the command line: the check of a store before it is opened, and
//! `mcpvisor store`, `backup` and `restore`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::directory;
use crate::cli::{self, Exit, StoreAction};
use crate::config::{self, Environment, Flags};
use crate::process;
use crate::registry::OWNER_KEY_FILE;
use crate::store::{self, Backup, DataDir, DurableStore, PROBE_LIMIT, Part, StoreError};
use crate::usage;

/// Name of the subcommand.
pub(super) const STORE: &str = "store";

/// First line of a probe's output: the store can be opened, it is damaged, or something else prevents it.
const FINE: &str = "fine";
const DAMAGED: &str = "damaged";
const REFUSED: &str = "refused";
/// First line of a probe's output if the disk is full.
const FULL: &str = "full";

/// Time after [`PROBE_LIMIT`], at which the probe ends by itself, before it is killed.
const GRACE: Duration = Duration::from_secs(1);

/// Probes a store in a separate process, since a damaged one can abort a process or block it for ever. `Ok`
/// means that opening it does no harm, not that it will succeed.
pub(super) fn probe_store(dir: &DataDir) -> Result<(), StoreError> {
    let damaged = |reason: String| StoreError::Corrupt {
        what: format!("the store in '{}'", dir.path().display()),
        reason,
    };
    let (said, status) = match ask(dir) {
        Ok(answer) => answer,
        // The state of the store is unknown then, so the caller can only try to open it.
        Err(error) => {
            tracing::warn!(%error, "the store could not be looked at in a process of its own");
            return Ok(());
        }
    };
    let Some(status) = status else {
        return Err(damaged(format!("opening it did not end within {} s", (PROBE_LIMIT + GRACE).as_secs())));
    };
    match said.split_once('\n').unwrap_or_default() {
        (FINE | REFUSED, _) => Ok(()),
        (DAMAGED, reason) => Err(damaged(reason.trim_end().to_owned())),
        (FULL, reason) => Err(StoreError::Io {
            what: "open the store in",
            path: dir.path().to_owned(),
            kind: io::ErrorKind::StorageFull,
            reason: reason.trim_end().to_owned(),
        }),
        _ => Err(damaged(format!("a process that opened it ended with {status}"))),
    }
}

/// Runs the probe and returns its output and exit status. No status if it had to be killed.
fn ask(dir: &DataDir) -> io::Result<(String, Option<ExitStatus>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([STORE, "check", "--probe", "--data-dir"])
        .arg(dir.path())
        // The probe gets the lock that we hold, as its standard input.
        .stdin(dir.handed_on()?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(mark) = directory::known_mark(dir.path()) {
        // If we are killed meanwhile, the next start recognizes the probe by this mark.
        command.env(process::MARK_VARIABLE, format!("{mark}.0"));
    }
    let mut child = process::spawn_own(&mut command)?;
    let (sender, receiver) = sync_channel(1);
    let output = child.stdout.take();
    let reader = thread::Builder::new().name("store-look".to_owned()).spawn(move || {
        let mut said = String::new();
        let read = output.map_or(Ok(0), |mut output| output.read_to_string(&mut said));
        let _ = sender.send(read.map(|_| said));
    });
    let said = match &reader {
        Ok(_) => receiver.recv_timeout(PROBE_LIMIT + GRACE).ok(),
        Err(_) => None,
    };
    if said.is_none() {
        child.kill()?;
    }
    let status = child.wait()?;
    reader?;
    match said {
        Some(said) => Ok((said.unwrap_or_default(), Some(status))),
        None => Ok((String::new(), None)),
    }
}

/// Carries out an action of `mcpvisor store`.
pub(super) fn run(flags: &Flags, action: &StoreAction, env: &dyn Environment) -> Exit {
    process::hold_too_large();
    let path = match config::data_dir(flags, env) {
        Ok(path) => path,
        Err(problems) => {
            let _ = io::stderr().write_all(config::list_problems(&problems).as_bytes());
            return Exit::Config;
        }
    };
    let done = match action {
        StoreAction::Probe => Ok(probe(&path)),
        StoreAction::Check => existing(&path).and_then(|dir| store::check(&dir)).map(|parts| report(&parts)),
        StoreAction::Backup { to } => existing(&path).and_then(|dir| backup(&dir, to.as_deref())),
        StoreAction::Restore { from, replace } => restore(&path, from.as_deref(), *replace),
    };
    finish(done)
}

/// Writes what was done to stdout, or why it was not to stderr.
fn finish(done: Result<(String, Exit), StoreError>) -> Exit {
    let (text, exit) = match done {
        Ok(done) => done,
        Err(error) => {
            let exit = if error.is_lasting() { Exit::Config } else { Exit::Io };
            let _ = writeln!(io::stderr(), "mcpvisor: {error}{}", hint(&error));
            return exit;
        }
    };
    let mut out = io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() { Exit::Io } else { exit }
}

fn hint(error: &StoreError) -> &'static str {
    match error {
        StoreError::Locked { .. } => " (a daemon that runs there? stop it first)",
        _ => "",
    }
}

/// Opens a data directory that exists. Does not create one: a check must not change anything.
pub(super) fn existing(path: &Path) -> Result<DataDir, StoreError> {
    path.canonicalize().map_err(|error| StoreError::Io {
        what: "find the data directory",
        path: path.to_owned(),
        kind: error.kind(),
        reason: error.to_string(),
    })?;
    DataDir::open(path)
}

fn probe(path: &Path) -> (String, Exit) {
    let lock = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let looked = match lock {
        Ok(lock) => DataDir::open_handed_on(path, lock).and_then(|dir| store::probe(&dir)),
        Err(_) => Err(StoreError::Locked { path: path.to_owned() }),
    };
    match looked {
        Ok(()) => (format!("{FINE}\n"), Exit::Graceful),
        Err(StoreError::Corrupt { reason, .. }) => (format!("{DAMAGED}\n{reason}\n"), Exit::Config),
        Err(error) if error.is_damage() => (format!("{DAMAGED}\n{error}\n"), Exit::Config),
        Err(error) if error.is_full() => (format!("{FULL}\n{}\n", error.cause()), Exit::Io),
        Err(error) => (format!("{REFUSED}\n{error}\n"), Exit::Io),
    }
}

fn report(parts: &[Part]) -> (String, Exit) {
    let mut text = String::new();
    let mut good = true;
    for Part { name, what, problems } in parts {
        let state = if problems.is_empty() { "ok" } else { "DAMAGED" };
        text.push_str(&format!("{name:8} {state:8} {what}\n"));
        for problem in problems {
            good = false;
            text.push_str(&format!("{:17} {problem}\n", ""));
        }
    }
    (text, if good { Exit::Graceful } else { Exit::Config })
}

fn backup(dir: &DataDir, to: Option<&Path>) -> Result<(String, Exit), StoreError> {
    let mut durable = DurableStore::open_for_backup(dir)?;
    let Some(path) = to else {
        let path = durable.checkpoint()?.unwrap_or_default();
        let told = format!("wrote the backup of change {} to {}\n", durable.seq(), path.display());
        return Ok((told, Exit::Graceful));
    };
    // It is to leave the directory, so it has what is in files of their own there.
    let backup = durable.snapshot()?.with_usage(usage::backup_of(&**durable.store())?);
    backup.write_to(path)?;
    Ok((cli::backup::told(&backup, path), Exit::Graceful))
}

/// Restores a backup into the data directory at a path, which is made if it is not there. One with something in it is
/// refused unless that may be replaced; the backup is read and checked before anything is touched.
fn restore(path: &Path, from: Option<&Path>, may_replace: bool) -> Result<(String, Exit), StoreError> {
    let given = from.map(|from| Backup::read(from).map(|backup| (from.to_owned(), backup))).transpose()?;
    let there = if may_replace { None } else { something_in(path)? };
    if let Some(name) = there {
        return Err(StoreError::NotEmpty { path: path.to_owned(), name });
    }
    let dir = if given.is_some() { DataDir::open(path)? } else { existing(path)? };
    let (from, backup) = match given {
        Some(given) => given,
        None => Backup::latest(&dir)?.ok_or_else(|| StoreError::NothingToRestore {
            path: dir.path().to_owned(),
            reason: "the content cannot be replaced".to_owned(),
        })?,
    };
    let (aside, durable) = DurableStore::replace(&dir, &backup)?;
    let counted = backup.counted().map(|count| format!(" and {count} of usage")).unwrap_or_default();
    let mut text = format!(
        "restored {} records of change {}{counted}, made {}, from {}\n",
        backup.len(),
        backup.seq(),
        backup.created_at(),
        from.display()
    );
    if let Some(aside) = aside {
        text.push_str(&format!("what was there is kept in {}\n", aside.display()));
    }
    text.push_str(&format!("the store is at change {} now\n", durable.seq()));
    if !dir.path().join(OWNER_KEY_FILE).exists() {
        text.push_str(&format!(
            "the text of the owner's key is in no backup: copy {OWNER_KEY_FILE} into {} as well, or make another one by \
             `mcpvisor keys owner --new`\n",
            dir.path().display()
        ));
    }
    Ok((text, Exit::Graceful))
}

/// Returns the name of something that is in a directory beside a lock; `None` if nothing is, or if there is no directory.
fn something_in(path: &Path) -> Result<Option<String>, StoreError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let (path, kind, reason) = (path.to_owned(), error.kind(), error.to_string());
            return Err(StoreError::Io { what: "look into the data directory", path, kind, reason });
        }
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name != store::LOCK).min())
}
