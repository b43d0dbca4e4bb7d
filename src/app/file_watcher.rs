//! Tells when files have changed and stopped changing: the servers files, and those of the certificate.
//!
//! Files are polled, not subscribed to: editors write in steps or rename over, and mounted configuration swaps
//! a link. A check each second sees all of these alike, and costs a `stat`. A thread does only this, since a
//! file may be on a disk that hangs.

use std::path::PathBuf;
use std::time::Duration;

use crate::{config, files};

/// Interval of the checks of the files.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Text that differs between two versions of a file; see [`config::version_of`].
pub(super) type Identity = String;

fn look(paths: &[PathBuf]) -> Vec<Identity> {
    paths.iter().map(|path| config::version_of(path)).collect()
}

/// Checks files that may be on a disk that hangs, and logs once when it hangs and once when it answers again.
/// Until then the files count as unchanged.
pub(super) struct FileWatcher {
    hangs: bool,
}

impl FileWatcher {
    pub(super) fn new() -> FileWatcher {
        FileWatcher { hangs: false }
    }

    pub(super) fn look(&mut self, paths: &[PathBuf]) -> Option<Vec<Identity>> {
        let first = paths.first()?;
        let own = paths.to_vec();
        match files::within(first, files::FILE_TIMEOUT, move || look(&own)) {
            Ok(seen) => {
                if std::mem::take(&mut self.hangs) {
                    tracing::info!(path = %first.display(), "the files can be looked at again");
                }
                Some(seen)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.hangs, true) {
                    let path = first.display();
                    tracing::error!("the files cannot be looked at for changes: {path} {error}");
                }
                None
            }
        }
    }
}

/// Detector for the time when changed files have stopped changing. Pure.
pub(super) struct Changes {
    applied: Vec<Identity>,
    last: Vec<Identity>,
}

impl Changes {
    pub(super) fn new(now: Vec<Identity>) -> Changes {
        Changes { last: now.clone(), applied: now }
    }

    /// Takes the versions of the latest check and reports whether the files are to be applied: they differ from
    /// those applied last, and equal those of the previous check.
    pub(super) fn look(&mut self, now: Vec<Identity>) -> bool {
        let due = now != self.applied && now == self.last;
        if due {
            self.applied.clone_from(&now);
        }
        self.last = now;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(n: u64) -> Vec<Identity> {
        vec![n.to_string()]
    }

    #[test]
    fn what_was_written_between_reading_and_looking_is_a_change() {
        let mut changes = Changes::new(version(1));
        assert!(!changes.look(version(2)) && changes.look(version(2)));
    }

    #[test]
    fn files_are_applied_once_they_have_stopped_changing() {
        let mut changes = Changes::new(version(1));
        assert!(!changes.look(version(1)));
        assert!(!changes.look(version(2)), "it may still be written");
        assert!(!changes.look(version(3)), "it still is");
        assert!(changes.look(version(3)));
        assert!(!changes.look(version(3)), "once is enough");
        assert!(!changes.look(version(1)));
        assert!(changes.look(version(1)), "back to what it was is a change as well");
    }
}
