//! The file that the clock keeps the latest time in that was believed.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::{disk, write_private};
use crate::clock::Keep;

/// Name of the file in a data directory.
pub(super) const FILE: &str = "clock";

/// File of a data directory that the clock keeps its time in.
pub struct ClockFile(PathBuf);

impl ClockFile {
    /// Returns the file of a data directory, whether or not it is there.
    pub fn of(data_dir: &Path) -> ClockFile {
        ClockFile(data_dir.join(FILE))
    }
}

impl fmt::Display for ClockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Keep for ClockFile {
    fn read(&self) -> io::Result<Vec<u8>> {
        disk::read(&self.0)
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        write_private(&self.0, text)
    }
}
