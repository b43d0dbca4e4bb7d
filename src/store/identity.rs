//! Identification of the installation of a data directory, for processes that may not open its store because somebody
//! else has the lock.

use std::path::Path;

use super::marker::Marker;
use super::records::{INSTANCE_KEY, decode};
use super::{Op, backup, journal};

/// Returns the record of the installation, as JSON, from the files beside the store: the marker, else the journal, else
/// the newest good backup. Takes no lock and changes nothing; unreadable files are skipped. `None` if none of them has
/// it.
pub fn instance_beside(data_dir: &Path) -> Option<String> {
    let of_marker = Marker::read(data_dir).ok().flatten().and_then(|marker| marker.instance);
    of_marker.or_else(|| of_journal(data_dir)).or_else(|| {
        let records = backup::newest(data_dir).ok()?.good?.1.records;
        records.iter().find(|(key, _)| key == INSTANCE_KEY).and_then(|(_, value)| json(value))
    })
}

fn of_journal(data_dir: &Path) -> Option<String> {
    let journal = journal::read(data_dir).ok().flatten()?;
    let ops = journal.entries.iter().rev().flat_map(|entry| entry.ops.iter().rev());
    ops.into_iter().find_map(|op| match op {
        Op::Put { key, value } if key == INSTANCE_KEY => json(value),
        Op::Put { .. } | Op::Delete { .. } => None,
    })
}

fn json(value: &[u8]) -> Option<String> {
    let raw: Box<serde_json::value::RawValue> = decode(INSTANCE_KEY, value).ok()?;
    Some(raw.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DataDir, DurableStore, encode};
    use std::fs;

    #[test]
    fn an_installation_is_known_by_whatever_of_it_can_be_read() {
        let outer = tempfile::tempdir().unwrap();
        assert_eq!(instance_beside(outer.path()), None);
        let dir = DataDir::open(outer.path()).unwrap();
        let mut durable = DurableStore::open(&dir, |_| Ok(())).unwrap();
        let record = serde_json::json!({"id": "x"});
        let put = Op::Put { key: INSTANCE_KEY.to_vec(), value: encode(&record).unwrap() };
        durable.commit(vec![put]).unwrap();
        let known = || instance_beside(outer.path()).map(|text| serde_json::from_str(&text).unwrap());
        assert_eq!(known(), Some(record.clone()), "by the journal");
        durable.run_maintenance();
        fs::write(outer.path().join("journal"), b"damaged").unwrap();
        assert_eq!(known(), Some(record.clone()), "by the marker");
        fs::write(outer.path().join("marker"), b"damaged").unwrap();
        assert_eq!(known(), Some(record), "by a backup");
    }
}
