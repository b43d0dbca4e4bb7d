//! A file with preallocated space whose content is replaced in place: for data so short and so urgent that it must be
//! written when the disk is full. Two halves are written in turns, so that a crash leaves one of them whole. The
//! content is its owner's business.
//!
//! A file system that never writes in place (btrfs, ZFS) may still refuse the write on a full disk.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::disk::{File, OpenOptions, is_there};
use super::files::{seal, unseal, write_private};

/// Name of the file in the data directory.
pub(super) const FILE: &str = "reserve";
/// Longest text that fits, in bytes, with its checksum and number.
const HALF: usize = 32 * 1024;

/// The open reserve file of a data directory; see the module.
pub struct Reserve {
    path: PathBuf,
    /// The open file; `None` as long as it could not be created.
    file: Option<File>,
    /// Number of writes so far: the half with the higher number counts.
    number: u64,
    text: String,
    /// `true` if the disk has the half that counts. Data of an earlier process can be read even if its sync failed, and
    /// would be lost with the other half.
    is_kept: bool,
    /// Set by a test to make writes fail.
    #[cfg(test)]
    pub(crate) fails: bool,
}

impl Reserve {
    /// Opens and reads the file of a data directory; creates it if it does not exist. A failure is logged: without the
    /// file a full disk has its usual effect.
    pub fn open(dir: &Path) -> Reserve {
        let path = dir.join(FILE);
        let mut reserve = Reserve {
            path,
            file: None,
            number: 0,
            text: String::new(),
            is_kept: false,
            #[cfg(test)]
            fails: false,
        };
        match reserve.file().map(read) {
            Ok(Some((number, text))) => (reserve.number, reserve.text) = (number, text),
            Ok(None) => {
                tracing::error!(path = %reserve.path.display(), "the reserve is damaged; what it said is lost");
            }
            Err(error) => tracing::warn!(%error, "no room is kept for revocations on a full disk"),
        }
        reserve
    }

    /// Returns the text that was written last; empty at first.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Replaces the text, which is one line. `Ok` means it is on the disk; after an error the text is unchanged.
    pub fn write(&mut self, text: &str) -> Result<(), StoreError> {
        if text == self.text && self.is_kept {
            return Ok(());
        }
        #[cfg(test)]
        if self.fails {
            return Err(StoreError::NoRoom { path: self.path.clone(), reason: "a test says so".to_owned() });
        }
        if !self.is_kept {
            let text = self.text.clone();
            self.put(self.number, &text)?;
            self.is_kept = true;
        }
        if text != self.text {
            self.put(self.number + 1, text)?;
            self.number += 1;
            text.clone_into(&mut self.text);
        }
        Ok(())
    }

    /// Writes a complete half. After a failed sync a retry writes it again, so that the next sync has something to
    /// keep.
    fn put(&mut self, number: u64, text: &str) -> Result<(), StoreError> {
        let line = seal(&format!("{number} {text}"));
        if line.len() > HALF {
            let reason = format!("it has {} bytes, and {HALF} are kept for it", line.len());
            return Err(StoreError::NoRoom { path: self.path.clone(), reason });
        }
        let offset = number % 2 * HALF as u64;
        let path = self.path.clone();
        let file = self.file()?;
        file.write_all_at(line.as_bytes(), offset)
            .and_then(|()| file.sync_data())
            .map_err(|error| StoreError::io("write the reserve", &path, &error))
    }

    fn file(&mut self) -> Result<&File, StoreError> {
        if self.file.is_none() {
            let failed = |error| StoreError::io("make the reserve", &self.path, &error);
            if !is_there(&self.path) {
                let mut content = seal("0 ").into_bytes();
                content.resize(2 * HALF, b' ');
                write_private(&self.path, &content).map_err(failed)?;
            }
            self.file = Some(OpenOptions::new().read(true).write(true).open(&self.path).map_err(failed)?);
        }
        // It was set just above.
        self.file
            .as_ref()
            .ok_or_else(|| StoreError::NoRoom { path: self.path.clone(), reason: String::new() })
    }
}

/// Returns the number and the text of the half that counts; `None` if neither can be read.
fn read(file: &File) -> Option<(u64, String)> {
    let halves = [0, HALF as u64].into_iter().filter_map(|offset| {
        let mut bytes = vec![0; HALF];
        file.read_exact_at(&mut bytes, offset).ok()?;
        let line = bytes.split(|byte| *byte == b'\n').next().and_then(unseal)?;
        let (number, text) = line.split_once(' ')?;
        Some((number.parse().ok()?, text.to_owned()))
    });
    halves.max_by_key(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power_disk::{Cut, Dice, Fault};
    use crate::store::simulated::Place;
    use std::fs;

    #[test]
    fn what_was_written_last_is_read_again_and_the_file_never_grows() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..5 {
            let mut reserve = Reserve::open(dir.path());
            assert_eq!(reserve.text(), if round == 0 { String::new() } else { format!("[{}]", round - 1) });
            reserve.write(&format!("[{round}]")).unwrap();
            assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().len(), 2 * HALF as u64);
        }
        let mut reserve = Reserve::open(dir.path());
        assert!(reserve.write(&"x".repeat(HALF)).is_err(), "there is no room for it");
        assert_eq!(reserve.text(), "[4]");
        reserve.write(&"x".repeat(HALF / 2)).unwrap();
    }

    #[test]
    fn a_write_that_was_cut_short_anywhere_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(dir.path());
        reserve.write("first").unwrap();
        let before = fs::read(dir.path().join(FILE)).unwrap();
        reserve.write("second").unwrap();
        let after = fs::read(dir.path().join(FILE)).unwrap();
        let changed: Vec<usize> = (0..after.len()).filter(|at| before[*at] != after[*at]).collect();
        for written in 0..=changed.len() {
            let mut torn = before.clone();
            changed[..written].iter().for_each(|at| torn[*at] = after[*at]);
            fs::write(dir.path().join(FILE), &torn).unwrap();
            let expected = if written == changed.len() { "second" } else { "first" };
            assert_eq!(Reserve::open(dir.path()).text(), expected, "{written} bytes");
        }
    }

    #[test]
    fn what_was_told_to_be_written_is_there_whatever_failed_before_it() {
        for seed in 0..100 {
            let (place, mut dice) = (Place::new(), Dice::new(seed));
            place.disk().luck = Dice::new(seed);
            let dir = place.data_dir();
            let mut reserve = Reserve::open(dir.path());
            reserve.write("first").unwrap();
            place.disk().plan(Some(Fault { after: 1, lasts: 1, full: false }));
            reserve.write("second").expect_err("its sync fails");
            // Another process reads the data that the kernel shows, which the disk may not have.
            let mut again = Reserve::open(dir.path());
            assert_eq!(again.text(), "second");
            let told = match seed % 3 {
                0 => again.write("second").is_ok(),
                // It ends in the middle of the write.
                1 => {
                    place.disk().plan(Some(Fault { after: 3, lasts: 9, full: false }));
                    again.write("third").is_ok()
                }
                _ => false,
            };
            place.disk().cut(Cut::any(&mut dice), &mut dice);
            let found = Reserve::open(dir.path()).text().to_owned();
            assert!(found == "second" || (found == "third" && seed % 3 == 1) || !told && found == "first");
            assert!(seed % 3 != 1 || found != "first", "the second was kept before the third was begun");
        }
    }

    #[test]
    fn a_place_where_it_cannot_be_made_is_no_reason_not_to_start() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let mut reserve = Reserve::open(&gone);
        assert!(reserve.write("x").is_err());
        fs::create_dir(&gone).unwrap();
        reserve.write("x").expect("made as soon as it can be");
        assert_eq!(Reserve::open(&gone).text(), "x");
        fs::write(gone.join(FILE), b"no reserve").unwrap();
        assert_eq!(Reserve::open(&gone).text(), "");
    }
}
