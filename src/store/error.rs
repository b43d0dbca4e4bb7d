//! Errors of the store and its directory: a closed set, each with the operation, the path and the remedy.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Failure to open, read or write the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the data directory.
    #[error("the data directory '{}' is in use by another process", path.display())]
    Locked {
        /// Path of the data directory.
        path: PathBuf,
    },
    /// The path of the data directory is not a directory.
    #[error("the data directory '{}' is not a directory", path.display())]
    NotADirectory {
        /// Path that was given.
        path: PathBuf,
    },
    /// Something is in the data directory, and nobody said that it may be replaced. Nothing was changed.
    #[error(
        "the data directory '{}' has something in it ('{name}'): name another by --data-dir, or give --replace, which keeps its store \
         in quarantine", path.display()
    )]
    NotEmpty {
        /// Path of the data directory.
        path: PathBuf,
        /// Name of something in it.
        name: String,
    },
    /// The stored data cannot be read: damage, or a record that no version of this program writes.
    #[error("{what} is damaged: {reason}")]
    Corrupt {
        /// Store, file or record, as the subject of a sentence.
        what: String,
        /// Kind of the damage.
        reason: String,
    },
    /// The data was written by a newer version of this program. Nothing was changed.
    #[error(
        "{what} has format {found}, but this version knows formats up to {known}: run the version that wrote it"
    )]
    NewerSchema {
        /// Store or record, as the subject of a sentence.
        what: String,
        /// Format that was found.
        found: u32,
        /// Newest format that this version knows.
        known: u32,
    },
    /// The store is damaged and cannot be restored. Nothing was changed.
    #[error(
        "{reason}; there is no good backup in '{}' to restore it from. Put one there, or move the directory away to begin anew",
        path.join("backup").display()
    )]
    NothingToRestore {
        /// Path of the data directory.
        path: PathBuf,
        /// Damage of the store.
        reason: String,
    },
    /// There is no store yet, and no disk space for one.
    #[error("there is no room for the store in '{}': {reason}. Make some, and start again", path.display())]
    NoRoom {
        /// Path of the data directory.
        path: PathBuf,
        /// Message of the operating system, or the limit that was exceeded.
        reason: String,
    },
    /// Opening took longer than the limit.
    #[error("opening the store in '{}' did not end within {} s", path.display(), after.as_secs_f64())]
    OpenTimeout {
        /// Path of the data directory.
        path: PathBuf,
        /// Time after which it was given up.
        after: Duration,
    },
    /// The operating system refused an operation.
    #[error("cannot {what} '{}': {reason}", path.display())]
    Io {
        /// Operation, as a verb and its object: `create the data directory`.
        what: &'static str,
        /// File or directory of the operation.
        path: PathBuf,
        /// Kind of the operating system's error.
        kind: io::ErrorKind,
        /// Message of the operating system, with its error number if it has one.
        reason: String,
    },
    /// A change that was refused is still to be taken back, so the store does not hold what was acknowledged.
    #[error("a change that could not be stored is still to be taken back; try again in a few seconds")]
    Unsettled,
    /// A value that JSON cannot hold was to be stored: a defect of the caller.
    #[error("a record cannot be encoded: {reason}")]
    Unencodable {
        /// Cause, from the encoder.
        reason: String,
    },
}

impl StoreError {
    /// Reports whether the data on the disk cannot be used, so that a backup has to replace it. That excludes a disk
    /// that is full or read-only.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Corrupt { .. } | StoreError::OpenTimeout { .. } => true,
            // A file of the wrong kind, sled's own errors, and a disk that cannot read (EIO). Anything else, such as
            // too many open files, says nothing about the content.
            StoreError::Io { kind, reason, .. } => {
                matches!(
                    kind,
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidData
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                        | io::ErrorKind::IsADirectory
                        | io::ErrorKind::Other
                ) || reason.ends_with("(os error 5)")
            }
            StoreError::Locked { .. }
            | StoreError::NotADirectory { .. }
            | StoreError::NotEmpty { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::NothingToRestore { .. }
            | StoreError::NoRoom { .. }
            | StoreError::Unsettled
            | StoreError::Unencodable { .. } => false,
        }
    }

    /// Reports whether the disk is full: by itself, by a quota, or by a limit on the size of files.
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::NoRoom { .. } => true,
            StoreError::Io { kind, .. } => matches!(
                kind,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
            ),
            _ => false,
        }
    }

    /// Reports whether a restart cannot help until somebody has examined the data directory.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            StoreError::Corrupt { .. }
                | StoreError::OpenTimeout { .. }
                | StoreError::NewerSchema { .. }
                | StoreError::NothingToRestore { .. }
                | StoreError::NotEmpty { .. }
        )
    }

    /// Returns a short description that names no path: for readers who may not know the file layout.
    pub fn cause(&self) -> String {
        match self {
            StoreError::Io { reason, .. } | StoreError::NoRoom { reason, .. } => {
                reason.split_once(" (os error ").map_or(reason.as_str(), |(words, _)| words).to_owned()
            }
            StoreError::Corrupt { .. } | StoreError::NothingToRestore { .. } => {
                "the store is damaged".to_owned()
            }
            StoreError::OpenTimeout { .. } => "the store does not answer".to_owned(),
            StoreError::Locked { .. } => "the store is in use by another process".to_owned(),
            StoreError::NotADirectory { .. } => "the data directory is none".to_owned(),
            StoreError::NotEmpty { .. } => "the data directory has something in it".to_owned(),
            StoreError::NewerSchema { .. } => "the store is a newer version's".to_owned(),
            StoreError::Unsettled => "a change is still to be taken back".to_owned(),
            StoreError::Unencodable { .. } => "a record cannot be encoded".to_owned(),
        }
    }

    /// Returns the operating system's message, with its error number, or the whole text of another error.
    pub(super) fn reason(&self) -> String {
        match self {
            StoreError::Io { reason, .. } | StoreError::NoRoom { reason, .. } => reason.clone(),
            _ => self.to_string(),
        }
    }

    /// Creates a [`StoreError::Io`] from an operating system's error.
    pub(super) fn io(what: &'static str, path: &Path, error: &io::Error) -> StoreError {
        StoreError::Io { what, path: path.to_owned(), kind: error.kind(), reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_of_the_content_is_damage() {
        let io = |error: io::Error| StoreError::io("open the store", Path::new("/d/store"), &error);
        for (code, damage) in
            [(5, true), (2, true), (20, true), (28, false), (30, false), (13, false), (24, false)]
        {
            let error = io(io::Error::from_raw_os_error(code));
            assert_eq!(error.is_damage(), damage, "{error}");
            assert!(!error.is_lasting() && !error.cause().contains("/d"), "{error}");
        }
        for (code, full) in [(28, true), (122, true), (27, true), (30, false), (5, false)] {
            assert_eq!(io(io::Error::from_raw_os_error(code)).is_full(), full, "{code}");
        }
        assert!(io(io::Error::from(io::ErrorKind::UnexpectedEof)).is_damage());
        assert!(io(io::Error::other("sled says so")).is_damage());
        let corrupt = StoreError::Corrupt { what: "it".into(), reason: "x".into() };
        assert!(corrupt.is_damage() && corrupt.is_lasting());
        let newer = StoreError::NewerSchema { what: "it".into(), found: 9, known: 1 };
        assert!(!newer.is_damage() && newer.is_lasting());
        let nothing = StoreError::NothingToRestore { path: "/d".into(), reason: "it is damaged".into() };
        assert!(!nothing.is_damage() && nothing.is_lasting());
    }
}
