//! The files of the audit: segments named after the number of their first line. There are three parts,
//! each with segments and a share of the room of its own, so that none pushes another one out; numbers
//! go through all of them. Blocks on the disk.
//!
//! Kernels drop what a sync that failed was to keep, show it all the same, and say yes to the next one. So a
//! segment whose sync failed, or that an earlier process wrote, is written anew as a whole before a line in
//! it is told to be on the disk.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::de::IgnoredAny;

use super::log::AuditSettings;
use crate::store::disk::{self as fs, File, OpenOptions};
use crate::store::{is_unfinished, write_and_move};

/// How long a segment may be, in bytes.
const SEGMENT: u64 = 4 * 1024 * 1024;
/// No segment is a larger part of what is kept than this.
const LEAST_SEGMENTS: u64 = 32;

/// A segment of an earlier process that is longer is not gone on with: it would be written anew as a whole.
const SHORT: u64 = 64 * 1024;

/// What is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Acts that were done, and files of versions that kept everything in one place.
    Acts,
    /// Calls and questions.
    Calls,
    /// What was refused or failed, and looks.
    Rest,
}

impl Part {
    pub(super) const ALL: [Part; 3] = [Part::Acts, Part::Calls, Part::Rest];

    /// How many quarters of what is kept are its own, however much of the others there is.
    fn quarters(self) -> u64 {
        match self {
            Part::Acts => 2,
            Part::Calls | Part::Rest => 1,
        }
    }

    /// The end of its files' names.
    fn suffix(self) -> &'static str {
        match self {
            Part::Acts => "-acts.jsonl",
            Part::Calls => "-calls.jsonl",
            Part::Rest => "-rest.jsonl",
        }
    }

    /// The part that a file is of, and the number of its first line.
    fn of_file(path: &Path) -> Option<(Part, u64)> {
        let (number, rest) = path.file_name()?.to_str()?.split_at_checked(20)?;
        let part = Part::ALL.into_iter().find(|part| part.suffix() == rest);
        let part = part.or_else(|| (rest == ".jsonl").then_some(Part::Acts))?;
        Some((part, number.parse().ok()?))
    }
}

/// A file, and how many of its bytes are whole lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// The files of each part as they were at one moment, the oldest first.
pub(super) type Listed = [Vec<Segment>; Part::ALL.len()];

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
#[derive(Debug, Default)]
struct Strand {
    /// The oldest first.
    segments: Vec<Segment>,
    /// The newest one, where it may be appended to.
    open: Option<File>,
    trust: Trust,
    /// Whether something was appended to it that the disk was not asked to keep, or did not.
    unkept: bool,
}

impl Strand {
    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Whether there is one that is not appended to any more.
    fn may_lose_one(&self) -> bool {
        self.segments.len() > usize::from(self.open.is_some())
    }

    /// Whether everything in the oldest segment was written before a moment. Its own time may be that of
    /// a clock that was wrong; the next one was begun when it was full, so both have to say so.
    fn is_from_before(&self, moment: u64) -> bool {
        let written = |segment: &Segment| {
            let modified = segment.path.metadata().and_then(|metadata| metadata.modified());
            modified.ok()?.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
        };
        let mut oldest = self.segments.iter().take(2).map(written);
        !self.segments.is_empty() && oldest.all(|at| at.is_some_and(|at| at < moment))
    }
}

/// All files of an audit.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    settings: AuditSettings,
    strands: [Strand; Part::ALL.len()],
    /// How long all of them are.
    bytes: u64,
    /// The number of the next line.
    next: u64,
    /// A file was made, and the disk does not have its name for certain.
    unnamed: bool,
}

impl Segments {
    /// Opens or makes the directory. A line that was cut short by the end of an earlier run is taken
    /// away.
    pub(super) fn open(directory: &Path, settings: AuditSettings) -> io::Result<Segments> {
        if !directory.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            directory.parent().map_or(Ok(()), sync_directory)?;
        }
        let there: Vec<PathBuf> =
            fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // What an end of the process left of a file that was to take a segment's place.
        there.iter().filter(|path| is_unfinished(path)).for_each(|path| drop(fs::remove_file(path)));
        let mut found: Vec<(u64, Part, PathBuf)> = there
            .into_iter()
            .filter_map(|path| Part::of_file(&path).map(|(part, number)| (number, part, path)))
            .collect();
        found.sort_by_key(|(number, ..)| *number);
        let mut opened = Segments {
            directory: directory.to_owned(),
            settings,
            strands: Default::default(),
            bytes: 0,
            next: 1,
            unnamed: false,
        };
        for (number, part, path) in found {
            let (bytes, last) = whole_lines(&path)?;
            opened.next = opened.next.max(last.map_or(number, |last| last + 1));
            opened.bytes += bytes;
            opened.strands[part as usize].segments.push(Segment { path, bytes });
        }
        for strand in &mut opened.strands {
            if let Some(last) = strand.segments.last() {
                let file = OpenOptions::new().append(true).open(&last.path)?;
                file.set_len(last.bytes)?;
                // One of a version that kept everything in one place is not added to.
                let goes_on =
                    last.bytes < segment_size(settings).min(SHORT) && !is_of_first_version(&last.path);
                strand.open = goes_on.then_some(file);
                strand.trust = Trust::Shown;
            }
        }
        Ok(opened)
    }

    /// The number of the next line.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The files as they are now.
    pub(super) fn list(&self) -> Listed {
        self.strands.each_ref().map(|strand| strand.segments.clone())
    }

    /// Appends a line, which takes the next number. After an error it is not there. Before, whatever is
    /// too much with it is removed.
    pub(super) fn append(&mut self, part: Part, line: &[u8]) -> io::Result<()> {
        let size = line.len() as u64;
        self.make_room(size);
        let longest = segment_size(self.settings);
        let strand = &self.strands[part as usize];
        let fits = |last: &Segment| last.bytes == 0 || last.bytes + size <= longest;
        if strand.open.is_none() || !strand.segments.last().is_some_and(fits) {
            // What fails here was told when its own line was written, or nobody waited for it.
            let _ = self.keep(part);
            self.begin(part)?;
        }
        if self.strands[part as usize].trust == Trust::Torn {
            self.write_anew(part)?;
        }
        let strand = &mut self.strands[part as usize];
        let (Some(file), Some(last)) = (&mut strand.open, strand.segments.last_mut()) else {
            return Err(io::Error::other("no segment is open"));
        };
        if let Err(error) = file.write_all(line) {
            if file.set_len(last.bytes).is_err() {
                strand.trust = Trust::Torn;
            }
            return Err(error);
        }
        strand.unkept = true;
        last.bytes += size;
        self.bytes += size;
        self.next += 1;
        Ok(())
    }

    /// Has the disk keep what was appended.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let synced = Part::ALL.map(|part| self.sync_part(part));
        synced.into_iter().collect()
    }

    /// Has the disk keep what was appended to one part.
    pub(super) fn sync_part(&mut self, part: Part) -> io::Result<()> {
        self.sync_names()?;
        self.keep(part)
    }

    /// Has the disk keep the newest segment of a part.
    fn keep(&mut self, part: Part) -> io::Result<()> {
        let strand = &mut self.strands[part as usize];
        if !strand.unkept {
            return Ok(());
        }
        if strand.trust == Trust::Whole {
            match strand.open.as_ref().map_or(Ok(()), File::sync_data) {
                Ok(()) => strand.unkept = false,
                Err(_) => strand.trust = Trust::Shown,
            }
        }
        if strand.unkept { self.write_anew(part) } else { Ok(()) }
    }

    /// Puts a new file in the place of the newest segment of a part, with its lines as far as they are still
    /// shown. What was told to be on the disk is among them.
    fn write_anew(&mut self, part: Part) -> io::Result<()> {
        let strand = &mut self.strands[part as usize];
        let Some(last) = strand.segments.last_mut() else { return Ok(()) };
        let lines = shown_lines(last)?;
        strand.open = Some(write_and_move(&last.path, &lines)?);
        strand.trust = Trust::Shown;
        let length = lines.len() as u64;
        self.bytes = self.bytes - last.bytes + length;
        last.bytes = length;
        sync_directory(&self.directory)?;
        (strand.trust, strand.unkept) = (Trust::Whole, false);
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

    fn begin(&mut self, part: Part) -> io::Result<()> {
        let path = self.directory.join(format!("{:020}{}", self.next, part.suffix()));
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let strand = &mut self.strands[part as usize];
        strand.open = Some(file);
        (strand.trust, strand.unkept) = (Trust::Whole, false);
        strand.segments.push(Segment { path, bytes: 0 });
        self.unnamed = true;
        self.sync_names()
    }

    /// Removes the oldest segments until so many bytes more are not too much. Of the parts that have
    /// more than their share the one that has the most of it loses one; so none loses what is in its share.
    fn make_room(&mut self, more: u64) {
        while self.bytes + more > self.settings.keep_bytes {
            let worst = Part::ALL
                .into_iter()
                .filter(|part| self.strands[*part as usize].may_lose_one())
                .max_by_key(|part| self.strands[*part as usize].bytes() / part.quarters());
            if !worst.is_some_and(|part| self.remove_oldest(part)) {
                return;
            }
        }
    }

    /// Removes segments that are too old or too many, but none that is appended to; returns how many. `now`
    /// is in seconds since 1970; nothing when the clock is not to be believed, and then none is too old.
    pub(super) fn expire(&mut self, now: Option<u64>) -> usize {
        let count =
            |segments: &Segments| segments.strands.iter().map(|strand| strand.segments.len()).sum::<usize>();
        let before = count(self);
        self.make_room(0);
        let moment = now.map(|now| now.saturating_sub(self.settings.keep.as_secs()));
        for part in Part::ALL {
            let is_due = |strand: &Strand| {
                moment.is_some_and(|moment| strand.may_lose_one() && strand.is_from_before(moment))
            };
            while is_due(&self.strands[part as usize]) && self.remove_oldest(part) {}
        }
        before - count(self)
    }

    fn remove_oldest(&mut self, part: Part) -> bool {
        let segments = &mut self.strands[part as usize].segments;
        let oldest = &segments[0];
        if let Err(error) = fs::remove_file(&oldest.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %oldest.path.display(), "an old part of the audit stays");
            return false;
        }
        self.bytes -= oldest.bytes;
        segments.remove(0);
        true
    }
}

/// How long a segment is, at most.
pub(super) fn segment_size(settings: AuditSettings) -> u64 {
    SEGMENT.min(settings.keep_bytes / LEAST_SEGMENTS)
}

/// The lines of a segment with their ends, without those that a disk has damaged.
fn shown_lines(segment: &Segment) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(&segment.path)?;
    bytes.truncate(usize::try_from(segment.bytes).unwrap_or(usize::MAX));
    Ok(bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| is_entry(line))
        .collect::<Vec<_>>()
        .concat())
}

/// Whether a line is an entry, and not what a disk has left of one.
pub(super) fn is_entry(line: &[u8]) -> bool {
    number_of(line).is_some() && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// The number that a line begins with.
pub(super) fn number_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"number\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// Whether a file is of the version that kept everything in one place.
fn is_of_first_version(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.len() == 20 + ".jsonl".len())
}

/// How many bytes of a file are whole lines, and the number of the last one.
fn whole_lines(path: &Path) -> io::Result<(u64, Option<u64>)> {
    let (mut reader, mut line) = (BufReader::new(File::open(path)?), Vec::new());
    let (mut bytes, mut last) = (0, None);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 || line.last() != Some(&b'\n') {
            return Ok((bytes, last));
        }
        bytes += length as u64;
        last = number_of(&line).or(last);
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::reading::{Direction, Lines, search};
    use super::*;
    use crate::power_disk::{Cut, Dice, Fault};
    use crate::store::simulated::Place;

    const MIB: u64 = 1024 * 1024;

    fn settings(keep_bytes: u64) -> AuditSettings {
        AuditSettings { keep: Duration::from_secs(3600), keep_bytes, calls: false }
    }

    fn open(directory: &Path, keep_bytes: u64) -> Segments {
        Segments::open(directory, settings(keep_bytes)).expect("opened")
    }

    fn line(segments: &Segments, text: &str) -> Vec<u8> {
        format!("{{\"number\":{},\"text\":\"{text}\"}}\n", segments.next()).into_bytes()
    }

    fn append(segments: &mut Segments, part: Part, text: &str) {
        let line = line(segments, text);
        segments.append(part, &line).expect("written");
    }

    fn numbers(segments: &Segments, direction: Direction) -> Vec<u64> {
        let (mut lines, mut seen) = (Lines::of(segments.list(), direction), Vec::new());
        while let Some(line) = lines.next().expect("readable") {
            seen.extend(number_of(line.as_bytes()));
        }
        seen
    }

    /// What the directory holds, as the disk says.
    fn on_disk(directory: &Path) -> u64 {
        let files = fs::read_dir(directory).expect("there").flatten();
        files.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
    }

    #[test]
    fn numbers_go_through_all_parts_and_on_after_a_restart_and_a_torn_line_is_taken_away() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut segments = open(directory.path(), u64::MAX);
        for part in [Part::Acts, Part::Rest, Part::Calls, Part::Acts, Part::Rest] {
            append(&mut segments, part, "x");
        }
        let path = segments.list()[Part::Rest as usize][0].path.clone();
        drop(segments);
        let whole = fs::read(&path).expect("readable");
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"{\"number\":6,\"torn").expect("written");
        let mut segments = open(directory.path(), u64::MAX);
        assert_eq!((segments.next(), fs::read(&path).expect("readable")), (6, whole));
        append(&mut segments, Part::Calls, "y");
        assert_eq!(numbers(&segments, Direction::OldestFirst), [1, 2, 3, 4, 5, 6]);
        assert_eq!(numbers(&segments, Direction::NewestFirst), [6, 5, 4, 3, 2, 1]);
        let (found, page) = search(segments.list(), 1, 2, |_| true).expect("readable");
        let page: Vec<_> = page.iter().filter_map(|line| number_of(line.as_bytes())).collect();
        assert_eq!((found, page), (6, vec![5, 4]));
        assert_eq!(search(segments.list(), 0, 9, |line| line.contains("y")).expect("readable").0, 1);
    }

    #[test]
    fn files_of_the_version_that_kept_everything_in_one_place_are_read_and_not_added_to() {
        let directory = tempfile::tempdir().expect("a directory");
        let old = directory.path().join(format!("{:020}.jsonl", 4));
        fs::write(&old, "{\"number\":4}\n{\"number\":5}\n").expect("written");
        let mut segments = open(directory.path(), u64::MAX);
        append(&mut segments, Part::Rest, "x");
        append(&mut segments, Part::Acts, "x");
        assert_eq!(numbers(&segments, Direction::OldestFirst), [4, 5, 6, 7]);
        assert_eq!(segments.list()[Part::Acts as usize].len(), 2);
        assert_eq!(open(directory.path(), u64::MAX).next(), 8);
    }

    #[test]
    fn what_is_kept_is_bounded_by_bytes_at_every_moment_and_acts_keep_their_half() {
        let directory = tempfile::tempdir().expect("a directory");
        let keep = 2 * MIB;
        let mut segments = open(directory.path(), keep);
        let long = "x".repeat(4_000);
        // As many acts as their half holds, less a segment, then a flood of the others.
        let acts = (keep / 2 - segment_size(settings(keep))) / 4_100;
        for _ in 0..acts {
            append(&mut segments, Part::Acts, &long);
        }
        for part in [Part::Rest, Part::Calls] {
            for _ in 0..2 * keep / 4_000 {
                append(&mut segments, part, &long);
                assert!(on_disk(directory.path()) <= keep, "{}", on_disk(directory.path()));
            }
        }
        let seen = numbers(&segments, Direction::OldestFirst);
        assert_eq!(seen[..acts as usize], (1..=acts).collect::<Vec<_>>(), "no act was lost");
        // The flood of refusals came before that of calls, and has its quarter still.
        let rest: u64 = segments.list()[Part::Rest as usize].iter().map(|one| one.bytes).sum();
        assert!(rest >= keep / 4 - 2 * segment_size(settings(keep)), "{rest}");
        // Room that nobody else needs is used: more acts push out other things than acts.
        for _ in 0..keep / 8_000 {
            append(&mut segments, Part::Acts, &long);
        }
        assert!(on_disk(directory.path()) <= keep);
        assert_eq!(open(directory.path(), keep).next(), segments.next());
    }

    #[test]
    fn a_setting_that_was_lowered_is_kept_to_from_the_first_line_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut segments = open(directory.path(), 64 * MIB);
        let long = "x".repeat(MIB as usize);
        for _ in 0..9 {
            append(&mut segments, Part::Acts, &long);
        }
        drop(segments);
        let mut segments = open(directory.path(), 2 * MIB);
        assert!(segments.expire(None) > 0);
        append(&mut segments, Part::Rest, "x");
        assert!(on_disk(directory.path()) <= 2 * MIB, "{}", on_disk(directory.path()));
    }

    #[test]
    fn what_is_old_goes_only_by_a_clock_that_is_believed_and_not_by_a_time_that_was_wrong() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut segments = open(directory.path(), u64::MAX);
        let dated = |segments: &Segments, at: usize, seconds: u64| {
            let file = std::fs::File::open(&segments.list()[Part::Acts as usize][at].path).expect("there");
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("dated");
        };
        for line in ["a", "b", "c"] {
            append(&mut segments, Part::Acts, line);
            segments.begin(Part::Acts).expect("begun");
        }
        let now = 1_795_824_000;
        // The first was written by a clock of 1970, moments before the second.
        for (at, seconds) in [(0, 7), (1, now - 10), (2, now - 5)] {
            dated(&segments, at, seconds);
        }
        assert_eq!((segments.expire(None), segments.expire(Some(now))), (0, 0));
        assert_eq!(segments.expire(Some(now + 3_594)), 1, "an hour after the second was written");
        dated(&segments, 1, now + 100 * 365 * 86_400);
        assert_eq!(segments.expire(Some(now + 86_400)), 0, "whatever the clock was, nothing goes too early");
    }

    #[test]
    fn a_line_that_was_told_to_be_on_the_disk_is_there_whatever_failed_before_it() {
        for (seed, lasts, again) in
            (0..60).flat_map(|seed| [(seed, 1, false), (seed, 20, false), (seed, 1, true), (seed, 20, true)])
        {
            let (place, mut dice) = (Place::new(), Dice::new(seed));
            place.disk().luck = Dice::new(seed);
            let dir = place.data_dir();
            let directory = dir.path().join("audit");
            let mut segments = open(&directory, u64::MAX);
            append(&mut segments, Part::Acts, "first");
            segments.sync_part(Part::Acts).expect("synced");
            append(&mut segments, Part::Acts, "second");
            place.disk().plan(Some(Fault { after: 0, lasts, full: false }));
            assert_eq!(segments.sync_part(Part::Acts).is_ok(), lasts == 1, "a second try writes all anew");
            place.disk().plan(None);
            if again {
                segments = open(&directory, u64::MAX);
            }
            append(&mut segments, Part::Acts, "third");
            segments.sync_part(Part::Acts).expect("synced");
            place.disk().cut(Cut::any(&mut dice), &mut dice);
            let segments = open(&directory, u64::MAX);
            assert_eq!(
                numbers(&segments, Direction::OldestFirst),
                [1, 2, 3],
                "seed {seed}, {lasts}, {again}"
            );
        }
    }

    #[test]
    fn a_long_segment_of_an_earlier_process_is_not_gone_on_with() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut segments = open(directory.path(), u64::MAX);
        append(&mut segments, Part::Acts, &"x".repeat(70_000));
        append(&mut segments, Part::Rest, "x");
        drop(segments);
        fs::write(directory.path().join(".mcpvisor-x.tmp"), "cut short").expect("written");
        let mut segments = open(directory.path(), u64::MAX);
        for part in Part::ALL {
            append(&mut segments, part, "y");
        }
        segments.sync().expect("synced");
        assert_eq!(segments.list().map(|listed| listed.len()), [2, 1, 1]);
        assert_eq!(numbers(&segments, Direction::OldestFirst), [1, 2, 3, 4, 5]);
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 4, "nothing is left over");
    }

    #[test]
    fn a_line_that_a_disk_has_damaged_hides_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut segments = open(directory.path(), u64::MAX);
        for text in ["a", "b", "c"] {
            append(&mut segments, Part::Acts, text);
        }
        let path = segments.list()[Part::Acts as usize][0].path.clone();
        let mut bytes = fs::read(&path).expect("there");
        let length = bytes.len() / 3;
        bytes[length..2 * length - 1].fill(0xff);
        fs::write(&path, bytes).expect("written");
        assert_eq!(search(segments.list(), 0, 9, |line| line.contains("text")).expect("readable").0, 2);
        segments.strands[Part::Acts as usize].trust = Trust::Torn;
        append(&mut segments, Part::Acts, "d");
        assert_eq!(numbers(&segments, Direction::OldestFirst), [1, 3, 4], "written anew without it");
        assert_eq!(segments.list()[Part::Acts as usize][0].bytes, on_disk(directory.path()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Whatever is written in whatever order and however often it is opened anew: never more than is to be
        /// kept, numbers once each and in order, and a part loses nothing while it is within its share.
        #[test]
        fn shares_hold(
            written in prop::collection::vec((0usize..3, 1usize..9_000, prop::bool::weighted(0.02)), 1..150),
        ) {
            let directory = tempfile::tempdir().expect("a directory");
            let keep = MIB / 4;
            let mut segments = open(directory.path(), keep);
            let mut ever = [0u64; 3];
            for (part, length, reopen) in written {
                if reopen {
                    segments = open(directory.path(), keep);
                }
                append(&mut segments, Part::ALL[part], &"x".repeat(length));
                ever[part] += 1;
                prop_assert!(on_disk(directory.path()) <= keep);
                for (part, listed) in Part::ALL.into_iter().zip(segments.list()) {
                    let bytes: u64 = listed.iter().map(|one| one.bytes).sum();
                    let mut there = 0;
                    for segment in &listed {
                        let lines = fs::read(&segment.path).expect("readable");
                        there += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
                    }
                    // A segment is lost as a whole, and one may be longer than usual by a line.
                    let slack = 2 * (segment_size(settings(keep)) + 9_100);
                    prop_assert!(
                        there == ever[part as usize] || bytes + slack >= keep / 4 * part.quarters(),
                        "{part:?} has {there} of {} lines in {bytes} bytes", ever[part as usize]
                    );
                }
            }
            let seen = numbers(&segments, Direction::OldestFirst);
            prop_assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
