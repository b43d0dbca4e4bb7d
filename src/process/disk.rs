//! How much room a disk has.

use std::io;
use std::path::Path;

/// How many bytes there is room for in the file system of this path, for processes that are not root's.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    // The types differ between platforms.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    Ok((stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_of_what_is_there_and_nothing_of_what_is_not() {
        assert!(free_bytes(Path::new("/")).is_ok_and(|free| free > 0));
        assert!(free_bytes(Path::new("/no/such/place")).is_err());
    }
}
