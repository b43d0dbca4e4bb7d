//! File operations of the store and the audit: `std::fs`, and in tests the same for paths on a simulated disk, which
//! fails and loses data as a seed determines.

pub(crate) use std::fs::*;
use std::path::Path;

#[cfg(test)]
pub(crate) use super::simulated::{
    DirBuilder, File, OpenOptions, read, read_dir, remove_dir_all, remove_file, rename,
};

/// Returns the operating system's file; `None` for one on a simulated disk.
pub(crate) fn real(file: &File) -> Option<&std::fs::File> {
    #[cfg(not(test))]
    return Some(file);
    #[cfg(test)]
    file.real()
}

/// Reports whether the path exists; a dangling symbolic link counts.
pub(super) fn is_there(path: &Path) -> bool {
    #[cfg(test)]
    if let Some(there) = super::simulated::is_there(path) {
        return there;
    }
    path.symlink_metadata().is_ok()
}
