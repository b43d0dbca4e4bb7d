//! The files of one part of the audit, the oldest first: appended to, synced, thinned. Blocks on the disk.
//!
//! Kernels drop what a sync that failed was to keep, show it all the same, and say yes to the next one. So a
//! segment whose sync failed, or that an earlier process wrote, is written anew as a whole before a line in
//! it is told to be on the disk.

use std::collections::HashSet;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::IgnoredAny;

use super::segments::{Part, number_of};
use super::shares::{Authors, Gone, Shares, add, shares_of, thin, to_go};
use crate::process;
use crate::store::disk::{self as fs, File, OpenOptions};
use crate::store::{is_unfinished, write_and_move};

/// A segment of an earlier process that is longer is not gone on with: it would be written anew as a whole.
const SHORT: u64 = 64 * 1024;
/// Acts have so much room on the disk set aside for their next lines, in bytes, so that what is done while the
/// disk is full has a line: to end somebody's authority.
const AHEAD: u64 = 1024 * 1024;
/// It is set aside anew when there is less than this.
const LEAST_AHEAD: u64 = AHEAD / 2;

/// A file, and how many of its bytes are whole lines.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Where its lines are since it was thinned. Known before the file changes.
    moved: Arc<OnceLock<Segment>>,
}

impl Segment {
    pub(super) fn new(path: PathBuf, bytes: u64) -> Segment {
        Segment { path, bytes, moved: Arc::default() }
    }

    /// Where those of its lines are that there still are, maybe among others.
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

/// A segment and whose lines are in it.
#[derive(Debug)]
struct Kept {
    segment: Segment,
    shares: Shares,
}

/// How far the newest segment's file can be relied on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Trust {
    /// What is synced is on the disk.
    #[default]
    Whole,
    /// Nobody knows what of it the disk has, and no sync finds out.
    Shown,
    /// The same, and something follows the last line: nothing may be appended.
    Torn,
}

/// The segments of one part.
#[derive(Debug)]
pub(super) struct Strand {
    part: Part,
    directory: PathBuf,
    authors: Arc<Authors>,
    /// How long a segment may be, in bytes.
    longest: u64,
    /// The oldest first.
    kept: Vec<Kept>,
    /// The newest one, where it may be appended to.
    open: Option<File>,
    trust: Trust,
    /// Whether something was appended to it that the disk was not asked to keep, or did not.
    unkept: bool,
    /// A file was made, and the disk does not have its name for certain.
    unnamed: bool,
    /// Up to which byte of the newest segment room is set aside.
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

    /// Takes in the files of an earlier process, the oldest first. Gives the number of their last line.
    pub(super) fn take_in(&mut self, paths: Vec<PathBuf>) -> io::Result<Option<u64>> {
        let (mut last, mut is_cut_short, mut before) = (None, false, Vec::new());
        for path in paths {
            let mut lines = fs::read(&path)?;
            let whole = memchr::memrchr(b'\n', &lines).map_or(0, |end| end + 1);
            is_cut_short = whole < lines.len();
            lines.truncate(whole);
            let first = lines.split(|byte| *byte == b'\n').find_map(number_of);
            if first.is_some() && first <= last && have_one_in_common(&before, &lines) {
                // What was left of it was added to the file before it, and then the process ended.
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

    /// Goes on with the newest file that was taken in, unless it is long. A line that was cut short by the end
    /// of an earlier run is taken away.
    fn go_on(&mut self, is_cut_short: bool) -> io::Result<()> {
        let Some(Kept { segment: last, .. }) = self.kept.last() else { return Ok(()) };
        let file = OpenOptions::new().append(true).open(&last.path)?;
        if is_cut_short {
            file.set_len(last.bytes)?;
        }
        // One of a version that kept everything in one place is not added to.
        let goes_on = last.bytes < self.longest.min(SHORT) && !is_of_first_version(&last.path);
        self.open = goes_on.then_some(file);
        self.trust = Trust::Shown;
        Ok(())
    }

    /// How long its files are.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.iter().map(|kept| kept.segment.bytes).sum()
    }

    /// How many files there are.
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    /// The files as they are now.
    pub(super) fn list(&self) -> Vec<Segment> {
        self.kept.iter().map(|kept| kept.segment.clone()).collect()
    }

    /// How many segments are not appended to any more.
    fn closed(&self) -> usize {
        self.kept.len() - usize::from(self.open.is_some())
    }

    /// Whether there is one that is not appended to any more.
    pub(super) fn may_lose_one(&self) -> bool {
        self.closed() > 0
    }

    /// Whether everything in the oldest segment was written before a moment. Its own time may be that of
    /// a clock that was wrong; the next one was begun when it was full, so both have to say so.
    pub(super) fn is_from_before(&self, moment: u64) -> bool {
        let written = |kept: &Kept| {
            let modified = kept.segment.modified()?;
            modified.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
        };
        let mut oldest = self.kept.iter().take(2).map(written);
        !self.kept.is_empty() && oldest.all(|at| at.is_some_and(|at| at < moment))
    }

    /// Appends a line with this number. After an error it is not there.
    pub(super) fn append(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        let size = line.len() as u64;
        let fits = |last: &Kept| last.segment.bytes == 0 || last.segment.bytes + size <= self.longest;
        if self.open.is_none() || !self.kept.last().is_some_and(fits) {
            // What fails here was told when its own line was written, or nobody waited for it.
            let _ = self.keep();
            let begun = self.begin(number);
            // On a disk that is full a longer segment is better than none: its room was set aside.
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
            // Cutting the file gives back what was set aside behind its end.
            self.aside = 0;
            return Err(error);
        }
        self.unkept = true;
        last.segment.bytes += size;
        *last.shares.entry(self.authors.of(line)).or_default() += size;
        self.set_aside();
        Ok(())
    }

    /// Keeps room on the disk for the next acts.
    fn set_aside(&mut self) {
        let (Some(file), Some(last)) = (&self.open, self.kept.last()) else { return };
        let end = last.segment.bytes;
        if self.part != Part::Acts || end + LEAST_AHEAD <= self.aside {
            return;
        }
        // Where there is none, or the file system cannot, what was set aside before is used up, and then the
        // line itself finds out.
        if fs::real(file).is_some_and(|file| process::set_aside(file, end, AHEAD).is_ok()) {
            self.aside = end + AHEAD;
        }
    }

    /// Has the disk keep what was appended.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.sync_names()?;
        self.keep()
    }

    /// Has the disk keep the newest segment.
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

    /// Puts a new file in the place of the newest segment, with its lines as far as they are still shown. What
    /// was told to be on the disk is among them.
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

    /// A file that was made is there after a power cut only if its directory was written, too.
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
            // Gives back what was set aside behind its end.
            let _ = full.set_len(last.segment.bytes);
        }
        (self.trust, self.unkept, self.aside) = (Trust::Whole, false, 0);
        self.kept.push(Kept { segment: Segment::new(path, 0), shares: Shares::new() });
        self.unnamed = true;
        self.sync_names()
    }

    /// Removes lines of about so many bytes from the segments that are not appended to, of those who have the
    /// most there, the oldest first. After an error some of them may have gone; `gone` has those that have.
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

    /// The same for one segment. What is left of it is added to the one before it where that has room; gives
    /// whether another one now has its place.
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

    /// Adds what is left of a segment to the one before it. Whoever reads it finds that there.
    fn add_to(&mut self, before: usize, index: usize, left: &[u8], shares: &Shares) -> io::Result<()> {
        let mut lines = lines_of(&self.kept[before].segment)?;
        lines.extend_from_slice(left);
        let mut all = self.kept[before].shares.clone();
        add(&mut all, shares);
        self.replace(before, index, &lines, all)?;
        let _ = self.kept[index].segment.moved.set(self.kept[before].segment.clone());
        Ok(())
    }

    /// Puts a new file in the place of a segment that is not appended to, as old as the one at `newest`: the
    /// newest line in it came from there.
    fn replace(&mut self, at: usize, newest: usize, lines: &[u8], shares: Shares) -> io::Result<()> {
        let modified = self.kept[newest].segment.modified();
        let old = self.kept[at].segment.clone();
        let mut segment = Segment::new(old.path.clone(), lines.len() as u64);
        // Whoever reads must know before it finds another file there. If it stays the same, nobody is harmed.
        let _ = old.moved.set(segment.clone());
        if let Err(error) = write_and_move(&old.path, lines) {
            segment.bytes = old.bytes;
            self.kept[at].segment = segment;
            return Err(error);
        }
        self.kept[at] = Kept { segment, shares };
        if let (Some(modified), Ok(file)) = (modified, std::fs::File::open(&old.path)) {
            // Else it is kept for longer.
            let _ = file.set_modified(modified);
        }
        sync_directory(&self.directory)
    }

    /// Removes the oldest segment, whosever lines are in it; gives whether it has gone.
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

    /// As if an append had failed and could not be undone.
    pub(super) fn tear(&mut self) {
        self.trust = Trust::Torn;
    }
}

/// Removes the files in a directory that were to take a segment's place when a process ended.
pub(super) fn remove_unfinished(paths: &[PathBuf]) {
    paths.iter().filter(|path| is_unfinished(path)).for_each(|path| drop(fs::remove_file(path)));
}

fn remove(segment: &Segment) -> io::Result<()> {
    match fs::remove_file(&segment.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The lines of a segment with their ends.
fn lines_of(segment: &Segment) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(&segment.path)?;
    bytes.truncate(usize::try_from(segment.bytes).unwrap_or(usize::MAX));
    Ok(bytes)
}

/// The same without those that a disk has damaged.
fn shown_lines(segment: &Segment) -> io::Result<Vec<u8>> {
    let bytes = lines_of(segment)?;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| is_entry(line));
    Ok(lines.collect::<Vec<_>>().concat())
}

/// Whether a line is in both; each has a number of its own, so then one has lines of the other.
fn have_one_in_common(some: &[u8], others: &[u8]) -> bool {
    let some: HashSet<&[u8]> = some.split_inclusive(|byte| *byte == b'\n').collect();
    others.split_inclusive(|byte| *byte == b'\n').any(|line| is_entry(line) && some.contains(line))
}

/// Whether a line is an entry, and not what a disk has left of one.
pub(super) fn is_entry(line: &[u8]) -> bool {
    number_of(line).is_some() && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// Whether a file is of the version that kept everything in one place.
fn is_of_first_version(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.len() == 20 + ".jsonl".len())
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
