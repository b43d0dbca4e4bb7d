//! Who this process is, and what it may write.

use std::io;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

/// The user that this process acts as.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether that is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process may make files in a directory. Makes none.
pub fn check_writable(directory: &Path) -> io::Result<()> {
    let wanted = AccessFlags::W_OK | AccessFlags::X_OK;
    faccessat(AT_FDCWD, directory, wanted, AtFlags::AT_EACCESS).map_err(io::Error::from)
}
