//! `mcpvisor backup [FILE]`: everything of a daemon in one file, while it runs and while it does not.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use reqwest::Method;
use time::OffsetDateTime;
use time::macros::format_description;

use super::Exit;
use super::client::{self, Access, Daemon, Problem};
use crate::store;
use crate::text::{count_of, innermost};

/// A backup to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// File to write, a directory for it, or `-`. `None` for a new file in the working directory.
    pub to: Option<PathBuf>,
    /// The daemon.
    pub access: Access,
    /// `true` if a data directory was named, which no daemon is asked for.
    pub here: bool,
}

/// Makes a backup. `of_stopped` writes that of the data directory where no daemon runs.
pub fn run(backup: &Backup, now: fn() -> OffsetDateTime, of_stopped: &dyn Fn(&Path) -> Exit) -> Exit {
    let target = Target::of(backup.to.as_deref(), now());
    // What was named must be there; otherwise a daemon that does not run is one way in which things may be.
    let is_named = backup.access.url.is_some() || backup.access.socket.is_some();
    let runs = !backup.here && (is_named || client::is_there(&backup.access));
    match &target {
        _ if runs => client::run(of_running(backup, &target)),
        Target::File(path) => of_stopped(path),
        Target::Stdout => client::run(async {
            Err(Problem::Usage("no daemon runs; name a file to back its data directory up to".to_owned()))
        }),
    }
}

/// Place that a backup is written to.
#[derive(Debug, PartialEq)]
enum Target {
    File(PathBuf),
    Stdout,
}

impl Target {
    fn of(to: Option<&Path>, now: OffsetDateTime) -> Target {
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        let name = || format!("mcpvisor-backup-{}.json", now.format(form).unwrap_or_default());
        match to {
            None => Target::File(name().into()),
            Some(to) if to.as_os_str() == "-" => Target::Stdout,
            Some(to) if to.is_dir() => Target::File(to.join(name())),
            Some(to) => Target::File(to.to_owned()),
        }
    }
}

async fn of_running(backup: &Backup, target: &Target) -> Result<(), Problem> {
    if *target == Target::Stdout && io::stdout().is_terminal() {
        return Err(Problem::Usage(
            "a backup has secrets in it and is not for a terminal; name a file".to_owned(),
        ));
    }
    let daemon = Daemon::find(&backup.access)?;
    let response = daemon.send(Method::POST, daemon.path("/v1/backup")?, None).await?;
    let text = response.bytes().await.map_err(|error| Problem::BrokenOff(innermost(&error)))?;
    // Only its checksum says that all of it came, and that it is one.
    let read = store::Backup::parse(&text)
        .map_err(|reason| Problem::BrokenOff(format!("the backup of {} {reason}", daemon.shown())))?;
    let mut out = io::stdout().lock();
    match target {
        Target::Stdout => out.write_all(&text)?,
        Target::File(path) => {
            store::write_private(path, &text).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot write the backup '{}': {error}", path.display()))
            })?;
            out.write_all(told(&read, path).as_bytes())?;
        }
    }
    Ok(out.flush()?)
}

/// Returns what to say of a backup that was written to a file.
pub fn told(backup: &store::Backup, path: &Path) -> String {
    let counted = match backup.counted() {
        Some(0) | None => String::new(),
        Some(count) => format!(" and {count} of usage"),
    };
    format!(
        "wrote a backup of change {} to {}: {}{counted}\n",
        backup.seq(),
        path.display(),
        count_of(backup.len() as u64, "record")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_backup_gets_the_name_that_is_given_or_one_of_its_time() {
        let now = datetime!(2026-11-30 08:09:10 UTC);
        let file = |path: &str| Target::File(path.into());
        assert_eq!(Target::of(None, now), file("mcpvisor-backup-20261130T080910Z.json"));
        assert_eq!(Target::of(Some(Path::new("a.json")), now), file("a.json"));
        assert_eq!(Target::of(Some(Path::new("/")), now), file("/mcpvisor-backup-20261130T080910Z.json"));
        assert_eq!(Target::of(Some(Path::new("-")), now), Target::Stdout);
    }
}
