//! Properties that `make fuzz` and the tests check on the readers of the files beside the database.

use super::backup::Backup;
use super::files::{seal, unseal};
use super::journal::{self, Contents};

/// Reads bytes as a journal. The entries are numbered without a gap, and are the same when only the part of the bytes
/// that counts is read: so a start that cuts off a torn line finds the entries the one before it had.
pub(crate) fn journal(bytes: &[u8]) {
    let contents = journal::parse(bytes);
    let numbers = contents.entries.iter().map(|entry| entry.seq);
    for (due, number) in (contents.base + 1..).zip(numbers) {
        assert_eq!(number, due, "a change has another number than is due");
    }
    let length = usize::try_from(contents.len).unwrap_or(usize::MAX);
    assert!(length <= bytes.len(), "more counts than there is");
    assert!(!(contents.torn && contents.damage.is_some()), "torn and damaged at once");
    if length > 0 {
        let expected = Contents { torn: false, damage: None, ..contents.clone() };
        assert_eq!(journal::parse(&bytes[..length]), expected, "what counts is read otherwise");
    }
    sealed(bytes);
    // The same bytes as lines with valid checksums, which a fuzzer does not find by itself.
    let text = String::from_utf8_lossy(bytes);
    let sealed: String = text.split('\n').map(seal).collect();
    let contents = journal::parse(sealed.as_bytes());
    let again = journal::parse(&sealed.as_bytes()[..usize::try_from(contents.len).unwrap_or(usize::MAX)]);
    assert_eq!(again.entries, contents.entries, "what counts is read otherwise");
}

fn sealed(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some(text) = unseal(line) {
            assert_eq!(seal(text).as_bytes(), [line, b"\n"].concat(), "sealed otherwise");
        }
    }
}

/// Reads bytes as a backup. A good one must be the same after it is written and read again.
pub(crate) fn backup(bytes: &[u8]) {
    if let Ok(backup) = Backup::parse(bytes) {
        let text = backup.render();
        let again = text.as_ref().ok().map(|text| Backup::parse(text.as_bytes()));
        assert_eq!(again, Some(Ok(backup)), "a good backup is written otherwise: {text:?}");
    }
}
