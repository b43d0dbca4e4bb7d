//! The files of one part of the audit, the oldest first: appended to, synced, thinned. Blocks on the disk.
//!
//! After a failed sync, kernels drop the data, still show it to readers, and report success for the next sync. So a
//! segment whose sync failed, or that an earlier process wrote, is rewritten as a whole before a line in it is
//! reported to be on the disk.

use std::collections::HashSet;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::line::{is_entry, number_of};
use super::part::Part;
use super::shares::{Authors, Gone, Shares, add, shares_of, thin, to_go};
use crate::process;
use crate::store::disk::{self as fs, File, OpenOptions};
use crate::store::{is_unfinished, write_and_move};
use crate::unix_time;

/// Length in bytes from which a segment of an earlier process is not appended to, because it would have to be
/// rewritten as a whole.
const SHORT: u64 = 64 * 1024;
/// Number of bytes of disk space reserved for the next lines of acts, so that an act carried out while the disk is
/// full still has a line: such as one that ends somebody's authority.
const AHEAD: u64 = 1024 * 1024;
/// Reserved space, in bytes, below which more is reserved.
const MIN_AHEAD: u64 = AHEAD / 2;

/// File, and the number of its bytes that are whole lines.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Place of its lines after it was thinned, set before the file changes.
    moved: Arc<OnceLock<Segment>>,
}

impl Segment {
    pub(super) fn new(path: PathBuf, bytes: u64) -> Segment {
        Segment { path, bytes, moved: Arc::default() }
    }

    /// Returns the current place of its lines that still exist, possibly among others.
    pub(super) fn now(&self) -> &Segment {
        let mut now = self;
        while let Some(moved) = now.moved.get() {
            now = moved;
        }
        now
    }

    fn modified(&self) -> Option<SystemTime> {
        self.path.metadata().and_then(|metadata| metadata.modified()).ok()
    }
}

/// Segment and the bytes each author has in it.
#[derive(Debug)]
struct Kept {
    segment: Segment,
    shares: Shares,
}

/// Degree to which the newest segment's file can be relied on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Trust {
    /// Synced data is on the disk.
    #[default]
    Whole,
    /// The disk may lack any of the data, and no sync can tell.
    Shown,
    /// Same as `Shown`, and a fragment follows the last line: nothing may be appended.
    Torn,
}

/// Segments of one part.
#[derive(Debug)]
pub(super) struct Strand {
    part: Part,
    directory: PathBuf,
    authors: Arc<Authors>,
    /// Maximum length of a segment, in bytes.
    longest: u64,
    /// All segments, the oldest first.
    kept: Vec<Kept>,
    /// File of the newest segment; `None` if it may not be appended to.
    open: Option<File>,
    trust: Trust,
    /// `true` if data was appended to the newest segment that was not synced, or whose sync failed.
    unkept: bool,
    /// `true` if a file was made whose directory entry may not be on the disk.
    unnamed: bool,
    /// Offset in the newest segment up to which disk space is reserved.
    aside: u64,
}

impl Strand {
    pub(super) fn new(part: Part, directory: &Path, authors: &Arc<Authors>, longest: u64) -> Strand {
        Strand {
            part,
            directory: directory.to_owned(),
            authors: authors.clone(),
            longest,
            kept: Vec::new(),
            open: None,
            trust: Trust::Whole,
            unkept: false,
            unnamed: false,
            aside: 0,
        }
    }

    /// Takes over the files of an earlier process, the oldest first. Returns the number of their last line.
    pub(super) fn take_in(&mut self, paths: Vec<PathBuf>) -> io::Result<Option<u64>> {
        let (mut last, mut is_cut_short, mut before) = (None, false, Vec::new());
        for path in paths {
            let mut lines = fs::read(&path)?;
            let whole = memchr::memrchr(b'\n', &lines).map_or(0, |end| end + 1);
            is_cut_short = whole < lines.len();
            lines.truncate(whole);
            let first = lines.split(|byte| *byte == b'\n').find_map(number_of);
            if first.is_some() && first <= last && have_one_in_common(&before, &lines) {
                // The earlier process added the rest of this file to the one before, and ended before it removed
                // this one.
                fs::remove_file(&path)?;
                continue;
            }
            last = lines.rsplit(|byte| *byte == b'\n').find_map(number_of).max(last);
            let shares = shares_of(&lines, &self.authors);
            self.kept.push(Kept { segment: Segment::new(path, whole as u64), shares });
            before = lines;
        }
        self.go_on(is_cut_short)?;
        Ok(last)
    }

    /// Reopens the newest file that was taken over, unless it is long. Removes a line that the end of an earlier run
    /// cut short.
    fn go_on(&mut self, is_cut_short: bool) -> io::Result<()> {
        let Some(Kept { segment: last, .. }) = self.kept.last() else { return Ok(()) };
        let file = OpenOptions::new().append(true).open(&last.path)?;
        if is_cut_short {
            file.set_len(last.bytes)?;
        }
        // A file of a version that kept everything in one place is not appended to.
        let goes_on = last.bytes < self.longest.min(SHORT) && !is_of_first_version(&last.path);
        self.open = goes_on.then_some(file);
        self.trust = Trust::Shown;
        Ok(())
    }

    /// Returns the total length of its files, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.iter().map(|kept| kept.segment.bytes).sum()
    }

    /// Returns the number of its files.
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    /// Returns the files as they are now.
    pub(super) fn list(&self) -> Vec<Segment> {
        self.kept.iter().map(|kept| kept.segment.clone()).collect()
    }

    /// Returns the number of segments that are no longer appended to.
    fn closed(&self) -> usize {
        self.kept.len() - usize::from(self.open.is_some())
    }

    /// Reports whether at least one segment is no longer appended to.
    pub(super) fn may_lose_one(&self) -> bool {
        self.closed() > 0
    }

    /// Reports whether everything in the oldest segment was written before `moment`. Its own time may come from a
    /// wrong clock. The next segment was begun when this one was full, so the times of both must be older.
    pub(super) fn is_from_before(&self, moment: u64) -> bool {
        let written = |kept: &Kept| {
            let modified = kept.segment.modified()?;
            Some(unix_time::seconds(modified))
        };
        let mut oldest = self.kept.iter().take(2).map(written);
        !self.kept.is_empty() && oldest.all(|at| at.is_some_and(|at| at < moment))
    }

    /// Appends a line with this number. After an error the line is not in the file.
    pub(super) fn append(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        let size = line.len() as u64;
        let fits = |last: &Kept| last.segment.bytes == 0 || last.segment.bytes + size <= self.longest;
        if self.open.is_none() || !self.kept.last().is_some_and(fits) {
            // A failure here was reported when the line concerned was written, or nobody waited for that line.
            let _ = self.keep();
            let begun = self.begin(number);
            // On a full disk a longer segment is better than none: its space is reserved.
            if begun.is_err() && self.open.is_none() {
                return begun;
            }
        }
        if self.trust == Trust::Torn {
            self.write_anew()?;
        }
        let (Some(file), Some(last)) = (&mut self.open, self.kept.last_mut()) else {
            return Err(io::Error::other("no segment is open"));
        };
        if let Err(error) = file.write_all(line) {
            if file.set_len(last.segment.bytes).is_err() {
                self.trust = Trust::Torn;
            }
            // Cutting the file releases the space reserved behind its end.
            self.aside = 0;
            return Err(error);
        }
        self.unkept = true;
        last.segment.bytes += size;
        *last.shares.entry(self.authors.of(line)).or_default() += size;
        self.set_aside();
        Ok(())
    }

    /// Reserves disk space for the next acts.
    fn set_aside(&mut self) {
        let (Some(file), Some(last)) = (&self.open, self.kept.last()) else { return };
        let end = last.segment.bytes;
        if self.part != Part::Acts || end + MIN_AHEAD <= self.aside {
            return;
        }
        // If the disk is full or the file system cannot do it, the space reserved before is used up; then the write
        // of the line itself fails.
        if fs::real(file).is_some_and(|file| process::set_aside(file, end, AHEAD).is_ok()) {
            self.aside = end + AHEAD;
        }
    }

    /// Syncs what was appended, and the names of new files.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.sync_names()?;
        self.keep()
    }

    /// Syncs the newest segment, and rewrites it if the sync fails.
    fn keep(&mut self) -> io::Result<()> {
        if !self.unkept {
            return Ok(());
        }
        if self.trust == Trust::Whole {
            match self.open.as_ref().map_or(Ok(()), File::sync_data) {
                Ok(()) => self.unkept = false,
                Err(_) => self.trust = Trust::Shown,
            }
        }
        if self.unkept { self.write_anew() } else { Ok(()) }
    }

    /// Replaces the newest segment by a new file with all lines that can still be read. Those include every line
    /// that was reported to be on the disk.
    fn write_anew(&mut self) -> io::Result<()> {
        let Some(last) = self.kept.last_mut() else { return Ok(()) };
        let lines = shown_lines(&last.segment)?;
        self.open = Some(write_and_move(&last.segment.path, &lines)?);
        (self.trust, self.aside) = (Trust::Shown, 0);
        last.segment.bytes = lines.len() as u64;
        last.shares = shares_of(&lines, &self.authors);
        sync_directory(&self.directory)?;
        (self.trust, self.unkept) = (Trust::Whole, false);
        Ok(())
    }

    /// Syncs the directory: without that, a new file may be missing after a power cut.
    fn sync_names(&mut self) -> io::Result<()> {
        if self.unnamed {
            sync_directory(&self.directory)?;
            self.unnamed = false;
        }
        Ok(())
    }

    fn begin(&mut self, number: u64) -> io::Result<()> {
        let path = self.directory.join(format!("{number:020}{}", self.part.suffix()));
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        if let (Some(full), Some(last)) = (self.open.replace(file), self.kept.last()) {
            // Releases the space reserved behind its end.
            let _ = full.set_len(last.segment.bytes);
        }
        (self.trust, self.unkept, self.aside) = (Trust::Whole, false, 0);
        self.kept.push(Kept { segment: Segment::new(path, 0), shares: Shares::new() });
        self.unnamed = true;
        self.sync_names()
    }

    /// Removes lines of about `bytes` bytes from the segments that are not appended to, from the authors with the
    /// most bytes there, the oldest first. After an error some lines may be removed; `gone` counts exactly those.
    pub(super) fn thin(&mut self, bytes: u64, gone: &mut Gone) -> io::Result<()> {
        let mut shares = Shares::new();
        self.kept[..self.closed()].iter().for_each(|kept| add(&mut shares, &kept.shares));
        let mut going = to_go(&shares, bytes);
        let mut index = 0;
        while index < self.closed() && !going.is_empty() {
            let is_hit = self.kept[index].shares.keys().any(|author| going.contains_key(author));
            if !is_hit || !self.thin_one(index, &mut going, gone)? {
                index += 1;
            }
            going.retain(|_, bytes| *bytes > 0);
        }
        Ok(())
    }

    /// Does the same for one segment. Adds the rest of it to the segment before if that has room. Returns whether
    /// another segment now has its index.
    fn thin_one(&mut self, index: usize, going: &mut Shares, gone: &mut Gone) -> io::Result<bool> {
        let lines = lines_of(&self.kept[index].segment)?;
        let mut leaving = Gone::default();
        let (left, shares) = thin(&lines, &self.authors, going, &mut leaving);
        let before = index.checked_sub(1).filter(|before| {
            let segment = &self.kept[*before].segment;
            segment.bytes + left.len() as u64 <= self.longest && !is_of_first_version(&segment.path)
        });
        let is_removed = left.is_empty() || before.is_some();
        match before {
            _ if left.is_empty() => {}
            Some(before) => self.add_to(before, index, &left, &shares)?,
            None => self.replace(index, index, &left, shares)?,
        }
        if is_removed {
            // If a file stays whose lines are in another one, the next start removes it.
            let removed = remove(&self.kept[index].segment);
            if before.is_some() || removed.is_ok() {
                self.kept.remove(index);
            }
            removed?;
        }
        gone.add(leaving);
        Ok(is_removed)
    }

    /// Adds the rest of a segment to the one before it, and directs readers there.
    fn add_to(&mut self, before: usize, index: usize, left: &[u8], shares: &Shares) -> io::Result<()> {
        let mut lines = lines_of(&self.kept[before].segment)?;
        lines.extend_from_slice(left);
        let mut all = self.kept[before].shares.clone();
        add(&mut all, shares);
        self.replace(before, index, &lines, all)?;
        let _ = self.kept[index].segment.moved.set(self.kept[before].segment.clone());
        Ok(())
    }

    /// Replaces a segment that is not appended to by a new file. The new file gets the modification time of the
    /// segment at `newest`, which its newest line came from.
    fn replace(&mut self, at: usize, newest: usize, lines: &[u8], shares: Shares) -> io::Result<()> {
        let modified = self.kept[newest].segment.modified();
        let old = self.kept[at].segment.clone();
        let mut segment = Segment::new(old.path.clone(), lines.len() as u64);
        // Readers must know before they find another file there. If the file stays the same, no harm is done.
        let _ = old.moved.set(segment.clone());
        if let Err(error) = write_and_move(&old.path, lines) {
            segment.bytes = old.bytes;
            self.kept[at].segment = segment;
            return Err(error);
        }
        self.kept[at] = Kept { segment, shares };
        if let (Some(modified), Ok(file)) = (modified, std::fs::File::open(&old.path)) {
            // On failure the file is kept for longer.
            let _ = file.set_modified(modified);
        }
        sync_directory(&self.directory)
    }

    /// Removes the oldest segment, regardless of the authors of its lines. Returns whether it was removed.
    pub(super) fn remove_oldest(&mut self, gone: &mut Gone) -> bool {
        let segment = &self.kept[0].segment;
        let lines = lines_of(segment).unwrap_or_default();
        if let Err(error) = remove(segment) {
            tracing::warn!(%error, path = %segment.path.display(), "an old part of the audit stays");
            return false;
        }
        lines.split_inclusive(|byte| *byte == b'\n').for_each(|line| gone.count(line));
        self.kept.remove(0);
        true
    }
}

#[cfg(test)]
impl Strand {
    /// Begins a further segment.
    pub(super) fn begin_for_test(&mut self, number: u64) {
        self.begin(number).expect("begun");
    }

    /// Simulates a failed append that could not be undone.
    pub(super) fn tear(&mut self) {
        self.trust = Trust::Torn;
    }
}

/// Removes files that were to replace a segment when a process ended.
pub(super) fn remove_unfinished(paths: &[PathBuf]) {
    paths.iter().filter(|path| is_unfinished(path)).for_each(|path| drop(fs::remove_file(path)));
}

fn remove(segment: &Segment) -> io::Result<()> {
    match fs::remove_file(&segment.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads the lines of a segment with their ends.
fn lines_of(segment: &Segment) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(&segment.path)?;
    bytes.truncate(usize::try_from(segment.bytes).unwrap_or(usize::MAX));
    Ok(bytes)
}

/// Reads the lines of a segment without those that a disk has damaged.
fn shown_lines(segment: &Segment) -> io::Result<Vec<u8>> {
    let bytes = lines_of(segment)?;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| is_entry(line));
    Ok(lines.collect::<Vec<_>>().concat())
}

/// Reports whether a line is in both. Each line has its own number, so a match means that one holds lines of the
/// other.
fn have_one_in_common(some: &[u8], others: &[u8]) -> bool {
    let some: HashSet<&[u8]> = some.split_inclusive(|byte| *byte == b'\n').collect();
    others.split_inclusive(|byte| *byte == b'\n').any(|line| is_entry(line) && some.contains(line))
}

/// Reports whether a file is of the version that kept everything in one place.
fn is_of_first_version(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.len() == 20 + ".jsonl".len())
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
