//! The journal: every acknowledged change as one line of a file beside the database, on the disk before the database is
//! changed. The database hands its data to the kernel and syncs a second later; a power cut can have cost it the lines
//! above its sequence number.
//!
//! A line is a checksum and JSON. The first one holds the number of the last change before the file was begun; each
//! further one is a change, numbered without a gap:
//!
//! ```text
//! 5b1f… {"journal":1,"base":7}
//! 0c9d… {"seq":8,"ops":[{"put":["s/mcp_01","\u0001{\"name\":…}"]},{"delete":"s/mcp_00"}]}
//! ```
//!
//! Kernels drop the data of a failed sync, still show it to readers, and report success for the next sync. So a file is
//! not written to after such a failure, nor one that an earlier process wrote: the part of it that counts goes into a
//! new file that takes its place, and only then is another change accepted.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::{self as fs, File, OpenOptions};
use super::files::{from_hex, hex, read_if_there, seal, sync_dir, unseal, write_and_move};
use super::records::MAX_SEQ;
use super::{Op, StoreError};

/// Name of the file in the data directory.
pub(super) const FILE: &str = "journal";
const FORMAT: u32 = 1;
/// Size in bytes beyond which a journal is rewritten without the changes that backups cover.
pub(super) const COMPACT_AT: u64 = 256 * 1024;

/// One change of the journal, with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) ops: Vec<Op>,
}

/// Place of damage: a journal cannot be read there, although the rest or its end shows that it once was whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    /// Number of the line, counted from 1.
    pub(super) line: usize,
    /// Offset of the line in the file.
    pub(super) byte: usize,
    pub(super) reason: String,
    /// Highest number of a readable change at or beyond that place; 0 if there is none.
    pub(super) beyond: u64,
}

/// Content of a journal's file, up to the first damage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Number of the last change before the file was begun.
    pub(super) base: u64,
    pub(super) entries: Vec<Entry>,
    /// Length of the part of the file that counts, in bytes.
    pub(super) len: u64,
    /// `true` if an unfinished line follows: it was never acknowledged.
    pub(super) torn: bool,
    pub(super) damage: Option<Damage>,
}

impl Contents {
    /// Returns the number of the last change.
    pub(super) fn last(&self) -> u64 {
        self.entries.last().map_or(self.base, |entry| entry.seq)
    }

    /// Returns the changes after a number; `None` if some of them are not in this file.
    pub(super) fn after(&self, seq: u64) -> Option<impl Iterator<Item = &Entry>> {
        (self.base <= seq).then(|| self.entries.iter().filter(move |entry| entry.seq > seq))
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    journal: u32,
    base: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    seq: u64,
    ops: Vec<Change>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Put(Bytes, Bytes),
    Delete(Bytes),
}

/// Bytes as text if they are text, which they nearly always are.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Hex { hex: String },
}

impl Bytes {
    fn of(bytes: &[u8]) -> Bytes {
        match std::str::from_utf8(bytes) {
            Ok(text) => Bytes::Text(text.to_owned()),
            Err(_) => Bytes::Hex { hex: hex(bytes) },
        }
    }

    fn read(self) -> Option<Vec<u8>> {
        match self {
            Bytes::Text(text) => Some(text.into_bytes()),
            Bytes::Hex { hex } => from_hex(&hex),
        }
    }
}

fn head(base: u64) -> Result<String, StoreError> {
    write(&Head { journal: FORMAT, base })
}

fn line(seq: u64, ops: &[Op]) -> Result<String, StoreError> {
    let change = |op: &Op| match op {
        Op::Put { key, value } => Change::Put(Bytes::of(key), Bytes::of(value)),
        Op::Delete { key } => Change::Delete(Bytes::of(key)),
    };
    write(&Line { seq, ops: ops.iter().map(change).collect() })
}

fn write(line: &impl Serialize) -> Result<String, StoreError> {
    let text = serde_json::to_string(line);
    text.map(|text| seal(&text)).map_err(|error| StoreError::Unencodable { reason: error.to_string() })
}

fn read_head(text: &str) -> Result<u64, String> {
    match serde_json::from_str::<Head>(text) {
        Ok(head) if head.base > MAX_SEQ => Err(format!("no change has the number {}", head.base)),
        Ok(head) if head.journal <= FORMAT => Ok(head.base),
        Ok(head) => Err(format!("it has format {}, and {FORMAT} is the newest known here", head.journal)),
        Err(_) => Err("its first line is not that of a journal".to_owned()),
    }
}

fn read_line(text: &str) -> Option<Entry> {
    let line: Line = serde_json::from_str(text).ok().filter(|line: &Line| line.seq <= MAX_SEQ)?;
    let op = |change| {
        Some(match change {
            Change::Put(key, value) => Op::Put { key: key.read()?, value: value.read()? },
            Change::Delete(key) => Op::Delete { key: key.read()? },
        })
    };
    let ops = line.ops.into_iter().map(op).collect::<Option<_>>()?;
    Some(Entry { seq: line.seq, ops })
}

/// Reads a journal's bytes. A last line without its end is torn, as a crash leaves it; any other line that does not fit
/// is damage, and nothing from there on counts.
pub(super) fn parse(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let mut at = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let text = line.strip_suffix(b"\n").map(unseal);
        let outcome = match text {
            // The first line is written with the file, so it is never a torn one.
            None if index > 0 => {
                contents.torn = true;
                return contents;
            }
            None | Some(None) => Err("the checksum does not fit".to_owned()),
            Some(Some(text)) if index == 0 => read_head(text).map(|base| contents.base = base),
            Some(Some(text)) => match read_line(text) {
                Some(entry) if entry.seq == contents.last() + 1 => {
                    contents.entries.push(entry);
                    Ok(())
                }
                Some(entry) => {
                    Err(format!("it has number {} where {} is due", entry.seq, contents.last() + 1))
                }
                None => Err("it is not a change".to_owned()),
            },
        };
        if let Err(reason) = outcome {
            let beyond = highest(&bytes[at..]);
            contents.damage = Some(Damage { line: index + 1, byte: at, reason, beyond });
            return contents;
        }
        at += line.len();
        contents.len = at as u64;
    }
    if at == 0 {
        contents.damage = Some(Damage { line: 1, byte: 0, reason: "it is empty".to_owned(), beyond: 0 });
    }
    contents
}

fn highest(bytes: &[u8]) -> u64 {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(unseal).filter_map(read_line);
    lines.map(|entry| entry.seq).max().unwrap_or(0)
}

/// Reads the journal of a data directory; `None` if there is none.
pub(super) fn read(dir: &Path) -> Result<Option<Contents>, StoreError> {
    Ok(read_if_there(&dir.join(FILE))?.map(|bytes| parse(&bytes)))
}

/// File operations of a journal; a test substitutes a failing file.
pub(super) trait JournalFile: Send {
    /// Writes all of it at the end, or a part of it and returns an error.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Syncs the written data to the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to a length in bytes.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl JournalFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// Function that wraps a journal's file.
pub(super) type WrapJournalFile = fn(File) -> Box<dyn JournalFile>;

/// Repair that a journal's file needs before anything else is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PendingRepair {
    /// None: the disk has all that counts, and nothing else.
    None,
    /// The file may be longer than the part that counts, and is cut.
    Tail,
    /// The state of the file or of its name on the disk is unknown, and no sync reveals it: another file takes its
    /// place.
    File,
}

/// A journal that is open for writing.
pub(super) struct Journal {
    medium: Box<dyn JournalFile>,
    wrap: WrapJournalFile,
    path: PathBuf,
    /// Number of the last change before the file was begun.
    base: u64,
    /// Length of the part of the file that counts, in bytes.
    len: u64,
    /// Offset of the last line, which can be taken back; equal to `len` if there is none.
    before: u64,
    doubt: PendingRepair,
}

impl Journal {
    /// Begins a new journal in a data directory, replacing an existing one. `base` is the number of the last change
    /// that needs no journal.
    pub(super) fn begin(dir: &Path, base: u64, wrap: WrapJournalFile) -> Result<Journal, StoreError> {
        let path = dir.join(FILE);
        let head = head(base)?;
        let file = write_and_move(&path, head.as_bytes())
            .and_then(|file| sync_dir(dir).map(|()| file))
            .map_err(|error| StoreError::io("write the journal", &path, &error))?;
        let len = head.len() as u64;
        Ok(Journal { medium: wrap(file), wrap, path, base, len, before: len, doubt: PendingRepair::None })
    }

    /// Continues an undamaged journal; a torn line is cut off. Its readable content need not be on the disk, so it is
    /// rewritten: now, or if that fails, before the next change.
    pub(super) fn resume(
        dir: &Path,
        contents: &Contents,
        wrap: WrapJournalFile,
    ) -> Result<Journal, StoreError> {
        let path = dir.join(FILE);
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|error| StoreError::io("open the journal", &path, &error))?;
        let (medium, base, len) = (wrap(file), contents.base, contents.len);
        let mut journal = Journal { medium, wrap, path, base, len, before: len, doubt: PendingRepair::File };
        if let Err(error) = journal.settle() {
            tracing::warn!(%error, "the journal cannot be written anew yet; no change is accepted before");
        }
        Ok(journal)
    }

    /// Writes a change. `Ok` means it is on the disk; after an error the journal is as before, at the latest when the
    /// next change is accepted.
    pub(super) fn append(&mut self, seq: u64, ops: &[Op]) -> Result<(), StoreError> {
        self.settle()?;
        let line = line(seq, ops)?;
        let written = match self.medium.append(line.as_bytes()) {
            Ok(()) => self.medium.sync().map_err(|error| (PendingRepair::File, error)),
            Err(error) => Err((PendingRepair::Tail, error)),
        };
        if let Err((doubt, error)) = written {
            self.doubt = doubt;
            if let Err(error) = self.settle() {
                tracing::error!(%error, "a line that does not count may still be in the journal; mended before the next change");
            }
            return Err(StoreError::io("write the journal", &self.path, &error));
        }
        self.before = self.len;
        self.len += line.len() as u64;
        Ok(())
    }

    /// Takes back the last line; done at the latest by [`Journal::settle`]. A second call changes nothing.
    pub(super) fn take_back(&mut self) {
        if self.len > self.before {
            self.doubt = self.doubt.max(PendingRepair::Tail);
        }
        self.len = self.before;
    }

    /// Makes sure that the disk has the part that counts and nothing else. [`StoreError::Corrupt`] means that the file
    /// no longer shows the written data: it has to be begun again.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        if self.doubt == PendingRepair::None {
            return Ok(());
        }
        // In any case, so that a start after a kill does not find the rest; it needs no disk space.
        let cut = self.medium.cut(self.len);
        if self.doubt == PendingRepair::Tail && cut.and_then(|()| self.medium.sync()).is_ok() {
            self.doubt = PendingRepair::None;
            return Ok(());
        }
        self.doubt = PendingRepair::File;
        let (bytes, _) = self.counted()?;
        self.put_in_place(&bytes)?;
        self.keep_name()
    }

    /// Reads the part of the file that counts.
    fn counted(&self) -> Result<(Vec<u8>, Contents), StoreError> {
        let corrupt = |reason: String| StoreError::Corrupt {
            what: format!("the journal '{}'", self.path.display()),
            reason,
        };
        let mut bytes = fs::read(&self.path).map_err(|error| corrupt(error.to_string()))?;
        bytes.truncate(usize::try_from(self.len).unwrap_or(usize::MAX));
        let contents = parse(&bytes);
        if contents.damage.is_some() || contents.len != self.len {
            return Err(corrupt("it is not what was written".to_owned()));
        }
        Ok((bytes, contents))
    }

    /// Replaces the file by a new one whose content is certainly on the disk. If that fails, the old one is still
    /// there.
    fn put_in_place(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let file = write_and_move(&self.path, bytes)
            .map_err(|error| StoreError::io("rewrite the journal", &self.path, &error))?;
        self.medium = (self.wrap)(file);
        self.doubt = PendingRepair::File;
        Ok(())
    }

    /// Syncs the directory, so that the disk keeps which file has the journal's name.
    fn keep_name(&mut self) -> Result<(), StoreError> {
        sync_dir(self.path.parent().unwrap_or(&self.path))
            .map_err(|error| StoreError::io("keep the name of the journal", &self.path, &error))?;
        self.doubt = PendingRepair::None;
        Ok(())
    }

    /// Returns the length of the part of the file that counts, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Reports whether the file is long enough to be rewritten.
    pub(super) fn is_long(&self) -> bool {
        self.len > COMPACT_AT
    }

    /// Rewrites the file without the changes up to a number. If that fails, the old file stays in use.
    pub(super) fn compact(&mut self, covered: u64) -> Result<(), StoreError> {
        if self.base >= covered {
            return Ok(());
        }
        self.settle()?;
        let (_, contents) = self.counted()?;
        let base = covered.min(contents.last());
        let mut text = head(base)?;
        for entry in contents.entries.iter().filter(|entry| entry.seq > covered) {
            text.push_str(&line(entry.seq, &entry.ops)?);
        }
        self.put_in_place(text.as_bytes())?;
        self.base = base;
        self.len = text.len() as u64;
        self.before = self.len;
        self.keep_name()
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
