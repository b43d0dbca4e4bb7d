//! `mcpvisor keys owner --new`: replaces the owner's key where no daemon runs.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::keeping;
use crate::access::{KeyRing, Tenancy};
use crate::audit::{self, AuditEntry, AuditSettings, Outcome};
use crate::cli::Exit;
use crate::config::{self, Environment, Flags};
use crate::pins::PinBook;
use crate::process;
use crate::registry::{AllowedServers, OWNER_KEY_FILE, OpenError, Registry, Renewed, Settings};
use crate::store::{DurableStore, StoreError};

/// Replaces the key and reports what happened to the old one.
pub(super) fn renew(flags: &Flags, env: &dyn Environment) -> Exit {
    process::hold_too_large();
    let (path, tenancy) = match config::data_dir_and_members(flags, env) {
        Ok(found) => found,
        Err(problems) => {
            let _ = io::stderr().write_all(config::list_problems(&problems).as_bytes());
            return Exit::Config;
        }
    };
    match replace(&path, tenancy) {
        Ok(renewed) => {
            let mut out = io::stdout().lock();
            let written = out.write_all(report(&renewed).as_bytes()).and_then(|()| out.flush());
            if written.is_err() { Exit::Io } else { Exit::Graceful }
        }
        Err(Failed(exit, reason)) => {
            let _ = writeln!(io::stderr(), "mcpvisor: {reason}");
            exit
        }
    }
}

struct Failed(Exit, String);

fn replace(path: &Path, tenancy: Tenancy) -> Result<Renewed, Failed> {
    let store = |error: StoreError| {
        let exit = if error.is_lasting() { Exit::Config } else { Exit::Io };
        Failed(exit, format!("{error}{}", hint(&error, path)))
    };
    let dir = keeping::existing(path).map_err(store)?;
    let durable = DurableStore::open(&dir, keeping::probe_store).map_err(store)?;
    let settings = Settings { data_dir: path.to_owned(), config_root: None, allowed: AllowedServers::Off };
    let open = |error: OpenError| match error {
        OpenError::Store(error) => store(error),
        OpenError::OwnerKey { .. } => Failed(Exit::Io, error.to_string()),
    };
    let (ring, pins) = (KeyRing::new(tenancy), PinBook::default());
    let mut registry = Registry::open(durable, settings, &ring, &pins).map_err(open)?;
    let renewed = registry.renew_owner_key().map_err(open)?;
    record(path, &renewed).map_err(|error| Failed(Exit::Io, error.to_string()))?;
    registry.finish().map_err(|error| Failed(Exit::Io, error.to_string()))?;
    Ok(renewed)
}

/// Records what was done in the audit of the data directory.
fn record(path: &Path, renewed: &Renewed) -> Result<(), audit::Error> {
    // The daemon's own settings decide how long entries are kept; nothing is removed here.
    let keep = Duration::from_secs(36_600 * 86_400);
    let audit = audit::open(path, AuditSettings { keep, keep_bytes: u64::MAX, calls: false })?;
    let done = AuditEntry::of_daemon("key.renew_owner", &renewed.prefix, Outcome::Done);
    // A line that cannot be written is logged where that happens.
    let _ = audit.record(done).blocking_recv();
    Ok(())
}

/// Returns advice if a running daemon holds the directory's lock: it can replace the key itself.
fn hint(error: &StoreError, path: &Path) -> String {
    let StoreError::Locked { .. } = error else { return String::new() };
    let key = path.join(OWNER_KEY_FILE);
    format!(
        "\nA daemon runs there. Stop it first, or have it give the key another text, and keep that:\n  \
         curl -X POST http://127.0.0.1:5000/v1/api-keys/self/rotate -H \"Authorization: Bearer $(cat {})\"",
        key.display()
    )
}

fn report(renewed: &Renewed) -> String {
    let Renewed { path, prefix, member_id, revoked } = renewed;
    let revoked = match revoked.as_slice() {
        [] => "none: the one before had ended already".to_owned(),
        revoked => revoked.iter().map(|prefix| format!("{prefix}…")).collect::<Vec<_>>().join(", "),
    };
    format!(
        "made the owner key {prefix}… of {member_id}\nits text is in {}\nrevoked {revoked}\n",
        path.display()
    )
}
