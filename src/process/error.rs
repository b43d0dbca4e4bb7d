//! The error of a process that could not be started.

use std::io;

/// Failure to start a process: the attempt and the operating system's error.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{what}{}", shown(errno))]
pub struct SpawnError {
    /// Description of the attempt, for example `command 'nmx' was not found in PATH`.
    pub what: String,
    /// Symbol of the error, for example `ENOENT`, or its kind if it has no number; empty if the operating system was
    /// not asked.
    pub errno: String,
    /// `true` if a retry cannot help until the definition or the file system changes.
    pub permanent: bool,
    /// Where a command was looked for in vain; `None` if it was not, or may not be shown.
    pub searched: Option<Box<Searched>>,
}

/// Where a command was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// The PATH.
    pub path: String,
    /// Name of a program there that is close to it; `None` if there is none.
    pub near: Option<String>,
}

impl SpawnError {
    pub(super) fn new(what: String, error: &io::Error) -> SpawnError {
        let errno = error.raw_os_error().map(nix::errno::Errno::from_raw);
        use nix::errno::Errno::*;
        let permanent = matches!(
            errno,
            Some(ENOENT | EACCES | ENOEXEC | ENOTDIR | EISDIR | ELOOP | EPERM | E2BIG | EINVAL)
        );
        let errno = errno.map_or_else(|| error.kind().to_string(), |errno| format!("{errno:?}"));
        SpawnError { what, errno, permanent, searched: None }
    }

    pub(super) fn not_found(what: String, searched: Searched) -> SpawnError {
        SpawnError { what, errno: "ENOENT".to_owned(), permanent: true, searched: Some(Box::new(searched)) }
    }

    /// Creates a permanent error for a mistake in the definition that we detect ourselves.
    pub(super) fn refused(what: String) -> SpawnError {
        SpawnError { what, errno: String::new(), permanent: true, searched: None }
    }
}

fn shown(errno: &str) -> String {
    if errno.is_empty() { String::new() } else { format!(" ({errno})") }
}
