//! What can go wrong with the store and its directory: a closed set, each with what was being
//! done, where, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the store cannot be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the data directory.
    #[error("the data directory '{}' is in use by another process", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The path of the data directory names something else.
    #[error("the data directory '{}' is not a directory", path.display())]
    NotADirectory {
        /// What was given.
        path: PathBuf,
    },
    /// What is stored cannot be read: damage, or a record that no version of this program writes.
    #[error("{what} is damaged: {reason}")]
    Corrupt {
        /// The store or the record.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The data was written by a newer version of this program. Nothing was changed.
    #[error(
        "{what} has format {found}, but this version knows formats up to {known}: run the version that wrote it"
    )]
    NewerSchema {
        /// The store or the record.
        what: String,
        /// The format found.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// Opening did not end in time.
    #[error("opening the store in '{}' did not end within {} s", path.display(), after.as_secs_f64())]
    OpenTimeout {
        /// The data directory.
        path: PathBuf,
        /// The limit.
        after: Duration,
    },
    /// The operating system refused.
    #[error("cannot {what} '{}': {reason}", path.display())]
    Io {
        /// What was tried, a verb and its object: `create the data directory`.
        what: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The kind of the operating system's error.
        kind: io::ErrorKind,
        /// The operating system's words.
        reason: String,
    },
    /// A value that JSON cannot hold was given to be stored: a defect of the caller.
    #[error("a record cannot be encoded: {reason}")]
    Unencodable {
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// An [`StoreError::Io`] of an operating system's error.
    pub(super) fn io(what: &'static str, path: &Path, error: &io::Error) -> StoreError {
        StoreError::Io { what, path: path.to_owned(), kind: error.kind(), reason: error.to_string() }
    }
}
