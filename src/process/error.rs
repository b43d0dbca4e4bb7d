//! Why a process could not be started.

use std::io;

/// Why a process could not be started: what was tried and what the operating system said.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{what}{}", shown(errno))]
pub struct SpawnError {
    /// For example `command 'nmx' was not found in PATH`.
    pub what: String,
    /// The error's symbol, for example `ENOENT`; empty when the operating system was not asked.
    pub errno: String,
    /// True when trying again cannot help until the definition or the file system changes.
    pub permanent: bool,
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
        SpawnError { what, errno, permanent }
    }

    pub(super) fn not_found(what: String) -> SpawnError {
        SpawnError { what, errno: "ENOENT".to_owned(), permanent: true }
    }

    /// A fault of the definition that is ours to find.
    pub(super) fn refused(what: String) -> SpawnError {
        SpawnError { what, errno: String::new(), permanent: true }
    }
}

fn shown(errno: &str) -> String {
    if errno.is_empty() { String::new() } else { format!(" ({errno})") }
}
