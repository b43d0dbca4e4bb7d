//! Inspection of all parts of a data directory, as far as possible without changing anything. (sled itself may tidy its
//! own files when it is opened.)

use super::backup::{self, Backup};
use super::opening::compare;
use super::records::read_seq;
use super::recovery::RecoverySources;
use super::{DataDir, OPEN_LIMIT, StoreError};

/// Result for one part of a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name of the part: `store`, `journal`, `backups` or `marker`.
    pub name: &'static str,
    /// Summary of its content, for people.
    pub what: String,
    /// Damage found in it; empty if it is good.
    pub problems: Vec<StoreError>,
}

/// Checks all parts. Fails only if they could not be examined.
pub fn check(dir: &DataDir) -> Result<Vec<Part>, StoreError> {
    let beside = RecoverySources::read(dir)?;
    Ok(vec![
        check_store(dir, &beside)?,
        check_journal(dir, &beside),
        check_backups(dir)?,
        check_marker(&beside),
    ])
}

fn check_store(dir: &DataDir, beside: &RecoverySources) -> Result<Part, StoreError> {
    let part = |what: String, problems| Part { name: "store", what, problems };
    if !dir.store_path().exists() {
        return Ok(part("none yet".to_owned(), Vec::new()));
    }
    let store = match super::open_unchanged(dir, OPEN_LIMIT) {
        Ok(store) => store,
        Err(error) if error.is_lasting() || error.is_damage() => {
            return Ok(part("cannot be read".to_owned(), vec![error]));
        }
        Err(error) => return Err(error),
    };
    let count = store.scan_prefix(b"")?.len();
    let seq = read_seq(&*store)?;
    let missing = beside.journal.as_ref().map_or(0, |journal| journal.last().saturating_sub(seq));
    if missing > 0 {
        // The next start applies them; until then a comparison is not possible.
        let what =
            format!("{count} records, change {seq}; the journal has {missing} more for the next start");
        return Ok(part(what, Vec::new()));
    }
    let problems = compare(dir, &*store, seq, beside).err().into_iter().collect();
    Ok(part(format!("{count} records, change {seq}"), problems))
}

fn check_journal(dir: &DataDir, beside: &RecoverySources) -> Part {
    let part = |what: String, problems| Part { name: "journal", what, problems };
    let Some(journal) = &beside.journal else { return part("none yet".to_owned(), Vec::new()) };
    let torn = if journal.torn { ", and an unfinished one that does not count" } else { "" };
    let what = format!("{} changes after {}{torn}", journal.entries.len(), journal.base);
    part(what, beside.journal_damage(dir).into_iter().collect())
}

fn check_backups(dir: &DataDir) -> Result<Part, StoreError> {
    let mut problems = Vec::new();
    let mut good: Vec<Backup> = Vec::new();
    for (_, path) in backup::list(dir.path())? {
        match Backup::read(&path) {
            Ok(backup) => good.push(backup),
            Err(error) => problems.push(error),
        }
    }
    let what = match good.first() {
        Some(newest) => {
            format!("{} good, the newest of change {}, {}", good.len(), newest.seq, newest.created_at)
        }
        None => "none".to_owned(),
    };
    Ok(Part { name: "backups", what, problems })
}

fn check_marker(beside: &RecoverySources) -> Part {
    let what = match &beside.marker {
        Some(marker) => format!("change {}", marker.seq),
        None => "none".to_owned(),
    };
    let of_marker = |error: &&StoreError| matches!(error, StoreError::Corrupt { what, .. } if what.starts_with("the marker"));
    Part { name: "marker", what, problems: beside.bad.iter().filter(of_marker).cloned().collect() }
}

#[cfg(test)]
mod tests {
    use super::super::{DurableStore, Op, encode};
    use super::*;
    use crate::store::conformance::reopen;

    #[test]
    fn every_part_is_looked_at_and_what_is_wrong_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let dir = reopen(|| DataDir::open(outer.path())).unwrap();
        let parts = check(&dir).unwrap();
        assert!(parts.iter().all(|part| part.problems.is_empty()), "{parts:?}");
        assert!(!dir.store_path().exists(), "looking makes nothing");

        let mut durable = DurableStore::open(&dir, |_| Ok(())).unwrap();
        let instance = Op::Put { key: b"m/instance".to_vec(), value: encode("i").unwrap() };
        durable.commit(vec![instance]).unwrap();
        durable.run_maintenance();
        drop(durable);
        let parts = reopen(|| check(&dir)).unwrap();
        assert!(parts.iter().all(|part| part.problems.is_empty()), "{parts:?}");
        let whats: Vec<&str> = parts.iter().map(|part| part.what.as_str()).collect();
        assert_eq!(whats[..2], ["3 records, change 1", "1 changes after 0"]);
        assert!(whats[2].starts_with("1 good, the newest of change 1, 2"), "{whats:?}");
        assert_eq!(whats[3], "change 1");

        std::fs::write(outer.path().join("marker"), b"x").unwrap();
        std::fs::write(outer.path().join("journal"), b"y\n").unwrap();
        std::fs::write(outer.path().join("backup/config-1.json"), b"z").unwrap();
        let parts = reopen(|| check(&dir)).unwrap();
        let wrong: Vec<&str> =
            parts.iter().filter(|part| !part.problems.is_empty()).map(|part| part.name).collect();
        assert_eq!(wrong, ["journal", "backups", "marker"]);
        let text = parts[1].problems[0].to_string();
        assert!(text.ends_with("line 1 (byte 0): the checksum does not fit"), "{text}");
    }
}
