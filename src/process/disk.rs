//! Free disk space.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};

/// Returns the number of free bytes in the file system of this path, for processes that are not root's.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    // The types differ between platforms.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    Ok((stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64))
}

/// Reserves disk space for `bytes` bytes of a file from offset `from` on, also beyond its end, which stays as it is.
/// Fails if there is not enough space or the file system does not support it.
pub fn set_aside(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    let place = |bytes: u64| i64::try_from(bytes).map_err(io::Error::other);
    let kept = fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, place(from)?, place(bytes)?);
    kept.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn room_is_told_of_what_is_there_and_nothing_of_what_is_not() {
        assert!(free_bytes(Path::new("/")).is_ok_and(|free| free > 0));
        assert!(free_bytes(Path::new("/no/such/place")).is_err());
    }

    #[test]
    fn room_set_aside_is_on_the_disk_and_leaves_the_files_length_as_it_is() {
        let file = tempfile::tempfile().expect("a file");
        set_aside(&file, 10, 1024 * 1024).expect("set aside");
        let metadata = file.metadata().expect("there");
        assert_eq!(metadata.len(), 0);
        assert!(metadata.blocks() * 512 >= 1024 * 1024, "{} blocks", metadata.blocks());
    }
}
