//! Backups: all configuration, as a file that people can read and this program can check; and beside it, from time to
//! time, the usage counts. Data that can be obtained again is left out.
//!
//! One record per line, exactly as it is stored, and a SHA-256 over all of it, so that a file that was cut short,
//! edited or hit by a failing disk is never taken for a good one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::disk::{self as fs, DirBuilder};
use super::files::{from_hex, hex, write_private};
use super::records::{MAX_SEQ, SCHEMA_KEY, SEQ_KEY};
use super::{DataDir, RECORD_VERSION, Record, StoreError};
use crate::clock;

/// Name of the directory in the data directory.
pub(super) const DIR: &str = "backup";
const FORMAT: u32 = 1;
/// Format of a backup that has usage with it.
const WITH_USAGE: u32 = 2;
/// Number of the newest configuration backups that are kept.
pub(super) const KEPT: usize = 20;
/// Number of the newest usage backups that are kept.
const KEPT_USAGE: usize = 3;
/// Prefix of a configuration backup's name; `USAGE` is that of a usage backup.
const CONFIG: &str = "config-";
const USAGE: &str = "usage-";

/// Prefixes of records that a backup leaves out: kept lists, usage, audit.
const LEFT_OUT: [&[u8]; 3] = [b"c/", USAGE_KEYS, b"a/"];
/// Prefix of the records of usage.
const USAGE_KEYS: &[u8] = b"u/";

/// Reports whether a record belongs into a backup.
pub(super) fn covers(key: &[u8]) -> bool {
    key != SEQ_KEY && !LEFT_OUT.iter().any(|prefix| key.starts_with(prefix))
}

/// Reports whether a record must be the same in a store and in the files beside it. The schema's number changes without
/// a change.
pub(super) fn is_compared(key: &[u8]) -> bool {
    key != SCHEMA_KEY && covers(key)
}

/// All configuration as of a change, and in one that is to leave the data directory what was counted, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Number of the last change it contains.
    pub(super) seq: u64,
    pub(super) created_at: String,
    /// Records in the order of their keys.
    pub(super) records: Vec<Record>,
    /// Records of usage in the order of their keys. `None` if it is in a file of its own.
    pub(super) usage: Option<Vec<Record>>,
}

#[derive(Deserialize)]
struct Written {
    format: u32,
    seq: u64,
    created_at: String,
    sha256: String,
    records: WrittenRecords,
    #[serde(default)]
    usage: Option<WrittenRecords>,
}

type WrittenRecords = BTreeMap<String, Box<RawValue>>;

impl Backup {
    /// Reads and checks a backup; the error names the file.
    pub fn read(path: &Path) -> Result<Backup, StoreError> {
        let bytes = fs::read(path).map_err(|error| StoreError::io("read", path, &error))?;
        Backup::parse(&bytes).map_err(|reason| StoreError::Corrupt {
            what: format!("the backup '{}'", path.display()),
            reason,
        })
    }

    /// Returns the newest good backup of a data directory and its path; `None` if there is none.
    pub fn latest(dir: &DataDir) -> Result<Option<(PathBuf, Backup)>, StoreError> {
        Ok(newest(dir.path())?.good)
    }

    /// Returns the number of the last change it contains.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the time it was made, in UTC (RFC 3339).
    pub fn created_at(&self) -> &str {
        &self.created_at
    }

    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Reports whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the number of records of usage; `None` if it has none of usage at all.
    pub fn counted(&self) -> Option<usize> {
        self.usage.as_ref().map(Vec::len)
    }

    /// Returns this backup with records of usage.
    pub fn with_usage(mut self, mut usage: Vec<Record>) -> Backup {
        usage.retain(|(key, _)| key.starts_with(USAGE_KEYS));
        usage.sort();
        self.usage = Some(usage);
        self
    }

    /// Creates a backup of these records with the current time.
    pub(super) fn now(seq: u64, records: Vec<Record>) -> Backup {
        let now = OffsetDateTime::from(clock::wall_clock());
        let created_at = now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default();
        Backup { seq, created_at, records, usage: None }
    }

    /// Renders the text of the file.
    pub fn render(&self) -> Result<String, StoreError> {
        let mut records = String::new();
        push_records(&mut records, &self.records)?;
        if let Some(usage) = &self.usage {
            records.push_str("\n  },\n  \"usage\": {");
            push_records(&mut records, usage)?;
        }
        let (format, sum) = (self.format(), self.sum());
        let (seq, created_at) = (self.seq, &self.created_at);
        Ok(format!(
            "{{\n  \"format\": {format},\n  \"seq\": {seq},\n  \"created_at\": \"{created_at}\",\n  \
             \"sha256\": \"{sum}\",\n  \"records\": {{{records}\n  }}\n}}\n"
        ))
    }

    fn format(&self) -> u32 {
        if self.usage.is_some() { WITH_USAGE } else { FORMAT }
    }

    /// Reads and checks the bytes of a file; the error is the end of a sentence that begins with the file's name.
    pub fn parse(bytes: &[u8]) -> Result<Backup, String> {
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| format!("is not a backup: {}", place(&error)))?;
        if !(FORMAT..=WITH_USAGE).contains(&written.format) {
            let known = format!("this version knows only {FORMAT} and {WITH_USAGE}");
            return Err(format!("has format {}, but {known}", written.format));
        }
        if written.seq > MAX_SEQ {
            return Err(format!("is of change {}, and no change has that number", written.seq));
        }
        let (records, usage) = (read_records(written.records)?, written.usage.map(read_records).transpose()?);
        let backup = Backup { seq: written.seq, created_at: written.created_at, records, usage };
        if backup.sum() != written.sha256 || backup.format() != written.format {
            return Err("does not have the content that its checksum is of".to_owned());
        }
        let is_of_usage = |record: &Record| record.0.starts_with(USAGE_KEYS);
        match backup.usage.iter().flatten().all(is_of_usage) {
            true => Ok(backup),
            false => Err("has under \"usage\" what is no usage".to_owned()),
        }
    }

    /// Returns the checksum over number, time and records.
    fn sum(&self) -> String {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        part(&self.seq.to_be_bytes());
        part(self.created_at.as_bytes());
        for (key, value) in &self.records {
            part(key);
            part(value);
        }
        if let Some(usage) = &self.usage {
            // Parts it from the records: none has this key.
            part(USAGE_KEYS);
            for (key, value) in usage {
                part(key);
                part(value);
            }
        }
        hex(&hasher.finalize())
    }

    /// Writes the file into a data directory, and removes the oldest beyond [`KEPT`].
    pub(super) fn write(&self, data_dir: &Path) -> Result<PathBuf, StoreError> {
        self.write_as(CONFIG, KEPT, data_dir)
    }

    fn write_as(&self, kind: &str, kept: usize, data_dir: &Path) -> Result<PathBuf, StoreError> {
        let dir = data_dir.join(DIR);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|error| StoreError::io("create", &dir, &error))?;
        let path = dir.join(format!("{kind}{}.json", self.seq));
        self.write_to(&path)?;
        for (_, path) in list_of(kind, data_dir)?.into_iter().skip(kept) {
            fs::remove_file(&path).map_err(|error| StoreError::io("remove the old backup", &path, &error))?;
        }
        Ok(path)
    }

    /// Writes the file to the given path, as a whole or not at all.
    pub fn write_to(&self, path: &Path) -> Result<(), StoreError> {
        let text = self.render()?;
        write_private(path, text.as_bytes()).map_err(|error| StoreError::io("write the backup", path, &error))
    }
}

/// Appends records as members of an object, a line each.
fn push_records(text: &mut String, records: &[Record]) -> Result<(), StoreError> {
    for (index, (key, value)) in records.iter().enumerate() {
        let (key, value) = readable(key, value)?;
        let key = serde_json::to_string(&key)
            .map_err(|error| StoreError::Unencodable { reason: error.to_string() })?;
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n    {key}: {value}");
    }
    Ok(())
}

fn read_records(written: WrittenRecords) -> Result<Vec<Record>, String> {
    let record = |(key, value): (String, Box<RawValue>)| {
        let key = read_key(key).ok_or("has a key that is none")?;
        Ok((key, [&[RECORD_VERSION], value.get().as_bytes()].concat()))
    };
    let mut records: Vec<Record> = written.into_iter().map(record).collect::<Result<_, String>>()?;
    records.sort();
    Ok(records)
}

/// Prefix of a key that is written as hexadecimal digits: no text key begins with it.
const HEX: &str = "0x";

/// Returns a record as text. Values always are text: their owners encode them as JSON.
fn readable<'a>(key: &'a [u8], value: &'a [u8]) -> Result<(Cow<'a, str>, &'a str), StoreError> {
    let json = value.strip_prefix(&[RECORD_VERSION]).and_then(|json| std::str::from_utf8(json).ok());
    let json = json.ok_or_else(|| StoreError::Unencodable { reason: "it is not text".to_owned() })?;
    let key = match std::str::from_utf8(key) {
        Ok(text) if !text.starts_with(HEX) => Cow::Borrowed(text),
        _ => Cow::Owned(format!("{HEX}{}", hex(key))),
    };
    Ok((key, json))
}

fn read_key(text: String) -> Option<Vec<u8>> {
    match text.strip_prefix(HEX) {
        Some(digits) => from_hex(digits),
        None => Some(text.into_bytes()),
    }
}

/// Returns only the place of an error: serde's message may quote a value, and values may be secrets.
fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

/// Lists the backups of a data directory, the newest first, with their numbers and paths.
pub(super) fn list(data_dir: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    list_of(CONFIG, data_dir)
}

fn list_of(kind: &str, data_dir: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let dir = data_dir.join(DIR);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(StoreError::io("list", &dir, &error)),
    };
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let seq = name.to_str()?.strip_prefix(kind)?.strip_suffix(".json")?.parse().ok()?;
            let seq = Some(seq).filter(|seq| *seq <= MAX_SEQ)?;
            Some((seq, dir.join(name)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Result of the search for the newest good backup.
pub(super) struct Newest {
    pub(super) good: Option<(PathBuf, Backup)>,
    /// Errors of newer, damaged ones.
    pub(super) bad: Vec<StoreError>,
}

/// Returns the newest good backup, and the errors of newer ones.
pub(super) fn newest(data_dir: &Path) -> Result<Newest, StoreError> {
    newest_of(CONFIG, data_dir)
}

/// Writes a backup of usage as of `at`, in seconds since 1970, beside the configuration backups. The newest gets the
/// highest number, even if the clock was ahead in between.
pub fn write_usage(data_dir: &Path, at: u64, mut records: Vec<Record>) -> Result<PathBuf, StoreError> {
    records.sort();
    let newest = list_of(USAGE, data_dir)?.first().map_or(0, |(number, _)| *number);
    Backup::now(at.max(newest.saturating_add(1)), records).write_as(USAGE, KEPT_USAGE, data_dir)
}

/// Returns the newest good backup of usage, and the errors of newer ones.
pub(super) fn newest_usage(data_dir: &Path) -> Result<Newest, StoreError> {
    newest_of(USAGE, data_dir)
}

fn newest_of(kind: &str, data_dir: &Path) -> Result<Newest, StoreError> {
    let mut bad = Vec::new();
    for (_, path) in list_of(kind, data_dir)? {
        match Backup::read(&path) {
            Ok(backup) => return Ok(Newest { good: Some((path, backup)), bad }),
            Err(error) => bad.push(error),
        }
    }
    Ok(Newest { good: None, bad })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::encode;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn backup(seq: u64) -> Backup {
        let value =
            |text: &str| encode(&serde_json::json!({"name": text, "n": 1.50, "big": u64::MAX})).unwrap();
        Backup::now(seq, vec![(b"k/1".to_vec(), value("a\"\n\u{1}")), (b"s/\xc3\xa4\"".to_vec(), value("b"))])
    }

    #[test]
    fn the_file_is_private_and_says_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = backup(3).write(dir.path()).unwrap();
        assert_eq!(path, dir.path().join("backup/config-3.json"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let text: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((&text["format"], &text["seq"]), (&1.into(), &3.into()));
        assert_eq!(text["records"]["s/ä\""]["name"], "b");
        assert_eq!(
            Backup::read(&path).unwrap(),
            Backup { created_at: Backup::read(&path).unwrap().created_at, ..backup(3) }
        );
    }

    #[test]
    fn the_newest_twenty_stay_and_a_bad_one_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for seq in 1..=25 {
            backup(seq).write(dir.path()).unwrap();
        }
        let numbers: Vec<u64> = list(dir.path()).unwrap().into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(numbers, (6..=25).rev().collect::<Vec<_>>());
        fs::write(dir.path().join("backup/config-25.json"), b"{}").unwrap();
        let Newest { good: found, bad } = newest(dir.path()).unwrap();
        assert_eq!(found.unwrap().1.seq, 24);
        assert!(bad[0].to_string().contains("config-25.json' is damaged: is not a backup"), "{}", bad[0]);
    }

    #[test]
    fn the_newest_three_of_usage_stay_beside_the_others() {
        let dir = tempfile::tempdir().unwrap();
        backup(7).write(dir.path()).unwrap();
        for at in 1..=5 {
            write_usage(dir.path(), at, vec![(b"u/h/\xff\x01".to_vec(), encode(&at).unwrap())]).unwrap();
        }
        fs::write(dir.path().join("backup/usage-5.json"), b"{}").unwrap();
        let Newest { good, bad } = newest_usage(dir.path()).unwrap();
        assert_eq!((good.unwrap().1.records[0].1.clone(), bad.len()), (encode(&4).unwrap(), 1));
        // The clock was set back: a file written now still counts as newer, and stays.
        write_usage(dir.path(), 2, vec![(b"u/h/x".to_vec(), encode(&6).unwrap())]).unwrap();
        assert_eq!(newest_usage(dir.path()).unwrap().good.unwrap().1.records[0].1, encode(&6).unwrap());
        assert_eq!(list_of(USAGE, dir.path()).unwrap().len(), 3);
        assert_eq!(list(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn what_is_counted_or_can_be_had_again_is_left_out() {
        for (key, belongs) in
            [("s/1", true), ("k/1", true), ("m/instance", true), ("f/x", true), ("p/x", true)]
                .into_iter()
                .chain([("c/1", false), ("u/1", false), ("a/1", false), ("m/seq", false)])
        {
            assert_eq!(covers(key.as_bytes()), belongs, "{key}");
        }
    }

    #[test]
    fn usage_goes_along_in_a_file_that_is_to_leave() {
        let usage =
            || vec![(b"u/k/\xff".to_vec(), encode(&1).unwrap()), (b"s/x".to_vec(), encode(&2).unwrap())];
        let both = backup(3).with_usage(usage());
        assert_eq!((both.counted(), backup(3).counted()), (Some(1), None), "and nothing else under its name");
        let text = both.render().unwrap();
        assert!(text.contains("\"format\": 2") && backup(3).render().unwrap().contains("\"format\": 1"));
        assert_eq!(Backup::parse(text.as_bytes()), Ok(both.clone()));
        let without = text.replace("\"usage\"", "\"usagf\"");
        assert!(Backup::parse(without.as_bytes()).is_err(), "it is not lost unnoticed");
        let foreign = Backup { usage: Some(vec![(b"k/1".to_vec(), encode(&1).unwrap())]), ..both };
        let refused = Backup::parse(foreign.render().unwrap().as_bytes()).unwrap_err();
        assert_eq!(refused, "has under \"usage\" what is no usage");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(
            seq in 0..=MAX_SEQ, texts in prop::collection::btree_map("[a-z]/.{0,9}", ".*", 0..6)
        ) {
            let records = texts.iter().map(|(key, text)| (key.clone().into_bytes(), encode(text).unwrap()));
            let backup = Backup::now(seq, records.collect());
            prop_assert_eq!(Backup::parse(backup.render().unwrap().as_bytes()), Ok(backup));
        }

        #[test]
        fn keys_of_any_bytes_are_read_again(keys in prop::collection::btree_set(any::<Vec<u8>>(), 0..6)) {
            let records = keys.iter().map(|key| (key.clone(), encode("x").unwrap())).collect();
            let backup = Backup::now(1, records);
            prop_assert_eq!(Backup::parse(backup.render().unwrap().as_bytes()), Ok(backup));
        }

        #[test]
        fn a_flipped_bit_is_found_or_changes_nothing(
            place: prop::sample::Index, bit in 0u8..8, counts in any::<bool>()
        ) {
            let usage = vec![(b"u/k/1".to_vec(), encode(&1).unwrap())];
            let good = if counts { backup(7).with_usage(usage) } else { backup(7) };
            let mut bytes = good.render().unwrap().into_bytes();
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            if let Ok(read) = Backup::parse(&bytes) {
                prop_assert_eq!(read, good);
            }
        }

        #[test]
        fn a_cut_file_is_found(cut: prop::sample::Index) {
            let bytes = backup(7).render().unwrap().into_bytes();
            // The last byte is the line end.
            prop_assert!(Backup::parse(&bytes[..cut.index(bytes.len() - 1)]).is_err());
        }
    }
}
