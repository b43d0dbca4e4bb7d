//! Files beside the database: written completely or not at all, moved aside and never deleted, and lines that carry a
//! checksum.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::StoreError;
use super::disk::{self as fs, File, OpenOptions};
use crate::{clock, unix_time};

/// Number of SHA-256 bytes that protect a line: enough against damage, which is not an adversary.
const SUM_BYTES: usize = 8;

/// Prefix of the name of a file that is not moved to its place yet; `END` is the suffix.
const BEGIN: &str = ".mcpvisor-";
const END: &str = ".tmp";

/// Writes a file under a new name beside its place, mode 0600, syncs it and moves it there: a reader sees the old
/// content or the new, never a part. Also after a power cut.
pub fn write_private(target: &Path, content: &[u8]) -> io::Result<()> {
    let parent = parent(target)?;
    write_and_move(target, content)?;
    sync_dir(parent)
}

/// Does the same up to the move, and returns the file, opened for appending. [`sync_dir`] makes the move survive a
/// power cut.
pub(crate) fn write_and_move(target: &Path, content: &[u8]) -> io::Result<File> {
    let temporary = parent(target)?.join(format!("{BEGIN}{}{END}", uuid::Uuid::new_v4().simple()));
    let written =
        write_new(&temporary, content).and_then(|file| fs::rename(&temporary, target).map(|()| file));
    if written.is_err() {
        // It may not exist; either way there is nothing more to do about it.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Reports whether a path is that of a file that was never moved to its place.
pub(crate) fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(BEGIN) && name.ends_with(END))
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(file)
}

fn parent(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

/// Syncs the names in a directory to the disk.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Reads a file; `None` if it does not exist.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path, &error)),
    }
}

/// Moves a damaged file or directory to `quarantine-<unix time><suffix>` in `dir`, under a name that is free, and
/// returns the new path. Nothing is deleted.
pub(super) fn quarantine(dir: &Path, path: &Path, suffix: &str) -> Result<PathBuf, StoreError> {
    let now = unix_time::seconds(clock::wall_clock());
    let name = |again: u64| match again {
        0 => format!("{QUARANTINE}{now}{suffix}"),
        again => format!("{QUARANTINE}{now}-{again}{suffix}"),
    };
    let target = (0..).map(|again| dir.join(name(again))).find(|target| !fs::is_there(target));
    let target = target.unwrap_or_else(|| dir.join(name(0)));
    fs::rename(path, &target)
        .and_then(|()| sync_dir(dir))
        .map_err(|error| StoreError::io("move aside", path, &error))?;
    Ok(target)
}

/// Prefix of the names of damaged files and directories that were moved aside.
pub(super) const QUARANTINE: &str = "quarantine-";

/// Returns a text of one line with its checksum before it, and a line end.
pub(super) fn seal(text: &str) -> String {
    format!("{} {text}\n", sum(text.as_bytes()))
}

/// Returns the text of a sealed line, given without its end; `None` if the checksum does not fit or it is not UTF-8.
pub(super) fn unseal(line: &[u8]) -> Option<&str> {
    let (given, text) = line.split_at_checked(2 * SUM_BYTES)?;
    let text = text.strip_prefix(b" ")?;
    let fits = given == sum(text).as_bytes();
    if fits { std::str::from_utf8(text).ok() } else { None }
}

fn sum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..SUM_BYTES])
}

/// Returns bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the bytes of hexadecimal digits; `None` if there are other characters or an odd number.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// Bytes that must fit on a disk that was full before it counts as recovered. On a full one a small change still fits
/// sometimes, while larger ones are refused.
pub(super) const ROOM: usize = 64 * 1024;
/// Bytes that must fit before a store is created or reopened: a database begins with half of it.
pub(super) const ROOM_FOR_A_STORE: usize = 1024 * 1024;
/// Name of the file used to try this.
pub(super) const ROOM_FILE: &str = "room";

/// Checks that there is room for `bytes` bytes, by writing a file and removing it again.
pub(super) fn check_room(dir: &Path, bytes: usize) -> Result<(), StoreError> {
    let path = dir.join(ROOM_FILE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; bytes])?;
        file.sync_data()
    });
    let removed = fs::remove_file(&path);
    written.and(removed).map_err(|error| StoreError::io("write to the disk of", dir, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for content in ["one", "two"] {
            write_private(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn the_directory_of_a_bare_name_is_the_working_directory() {
        assert_eq!(parent(Path::new("f")).unwrap(), Path::new("."));
        assert_eq!(parent(Path::new("d/f")).unwrap(), Path::new("d"));
        assert!(parent(Path::new("/")).is_err());
    }

    #[test]
    fn what_is_moved_aside_takes_no_other_s_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut places = Vec::new();
        for round in 0..3 {
            let path = dir.path().join("f");
            fs::write(&path, format!("{round}")).unwrap();
            places.push(quarantine(dir.path(), &path, ".journal").unwrap());
        }
        for (round, place) in places.iter().enumerate() {
            assert_eq!(fs::read_to_string(place).unwrap(), format!("{round}"));
        }
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_read_again(text in "[^\n]*") {
            let line = seal(&text);
            prop_assert_eq!(unseal(line.trim_end_matches('\n').as_bytes()), Some(text.as_str()));
        }

        #[test]
        fn a_flipped_bit_breaks_the_seal(text in "[^\n]{1,60}", place: prop::sample::Index, bit in 0u8..8) {
            let mut line = seal(&text).into_bytes();
            line.pop();
            let place = place.index(line.len());
            line[place] ^= 1 << bit;
            prop_assert_eq!(unseal(&line), None);
        }

        #[test]
        fn hex_goes_there_and_back(bytes: Vec<u8>) {
            prop_assert_eq!(from_hex(&hex(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_hex_or_not(text: String) {
            let _ = from_hex(&text);
        }
    }
}
