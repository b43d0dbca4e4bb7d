//! The files of the audit: segments named after the number of their first line. There are three parts, each with its
//! own segments and its own share of the space, so that none displaces another. Line numbers run through all of
//! them. Blocks on the disk.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::part::Part;
use super::settings::AuditSettings;
use super::shares::{Authors, Gone};
use super::strand::{Segment, Strand, remove_unfinished, sync_directory};
use crate::store::disk as fs;

/// Maximum length of a segment, in bytes.
const SEGMENT: u64 = 4 * 1024 * 1024;
/// Minimum number of segments that the kept size is divided into: limits the size of a segment.
const MIN_SEGMENTS: u64 = 32;

/// Files of each part at one time, the oldest first.
pub(super) type Listed = [Vec<Segment>; Part::ALL.len()];

/// All files of an audit.
#[derive(Debug)]
pub(super) struct Segments {
    settings: AuditSettings,
    strands: [Strand; Part::ALL.len()],
    /// Number of the next line.
    next: u64,
    /// Lines removed for lack of space since the last report.
    gone: Gone,
}

impl Segments {
    /// Opens the directory, or makes it. Removes a line that the end of an earlier run cut short.
    pub(super) fn open(directory: &Path, settings: AuditSettings) -> io::Result<Segments> {
        if !directory.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            directory.parent().map_or(Ok(()), sync_directory)?;
        }
        let there: Vec<PathBuf> =
            fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        remove_unfinished(&there);
        let mut found: Vec<(u64, Part, PathBuf)> = there
            .into_iter()
            .filter_map(|path| Part::of_file(&path).map(|(part, number)| (number, part, path)))
            .collect();
        found.sort_by_key(|(number, ..)| *number);
        let newest = found.last().map_or(1, |(number, ..)| *number);
        let authors = Arc::<Authors>::default();
        let mut opened = Segments {
            settings,
            strands: Part::ALL.map(|part| Strand::new(part, directory, &authors, segment_size(settings))),
            next: newest,
            gone: Gone::default(),
        };
        for part in Part::ALL {
            let own = found.iter().filter(|(_, of, _)| *of == part).map(|(.., path)| path.clone());
            let last = opened.strands[part as usize].take_in(own.collect())?;
            opened.next = opened.next.max(last.map_or(1, |last| last + 1));
        }
        Ok(opened)
    }

    /// Returns the number of the next line.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Returns the files as they are now.
    pub(super) fn list(&self) -> Listed {
        self.strands.each_ref().map(Strand::list)
    }

    /// Returns the total length of all files, in bytes.
    fn bytes(&self) -> u64 {
        self.strands.iter().map(Strand::bytes).sum()
    }

    /// Appends a line, which takes the next number, after it has removed lines to make room. After an error the line
    /// is not in the file.
    pub(super) fn append(&mut self, part: Part, line: &[u8]) -> io::Result<()> {
        self.make_room(line.len() as u64);
        self.strands[part as usize].append(self.next, line)?;
        self.next += 1;
        Ok(())
    }

    /// Syncs what was appended to all parts.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let synced = self.strands.each_mut().map(Strand::sync);
        synced.into_iter().collect()
    }

    /// Syncs what was appended to one part.
    pub(super) fn sync_part(&mut self, part: Part) -> io::Result<()> {
        self.strands[part as usize].sync()
    }

    /// Returns the lines removed for lack of space since the last call; `None` if there are none.
    pub(super) fn take_gone(&mut self) -> Option<Gone> {
        self.gone.any().then(|| std::mem::take(&mut self.gone))
    }

    /// Removes lines until `more` bytes fit. Each time the part that exceeds its share the most loses some, so none
    /// loses what is within its share.
    fn make_room(&mut self, more: u64) {
        while self.bytes() + more > self.settings.keep_bytes {
            let worst = Part::ALL
                .into_iter()
                .filter(|part| self.strands[*part as usize].may_lose_one())
                .max_by_key(|part| self.strands[*part as usize].bytes() / part.quarters());
            let Some(part) = worst else { return };
            let strand = &mut self.strands[part as usize];
            let before = strand.bytes();
            let thinned = strand.thin(segment_size(self.settings), &mut self.gone);
            if let Err(error) = &thinned {
                tracing::warn!(%error, "the audit cannot be thinned: its oldest lines go, whosever they are");
            }
            // The size limit holds even if thinning fails.
            let is_less = thinned.is_ok() && strand.bytes() < before;
            if !is_less && !strand.remove_oldest(&mut self.gone) {
                return;
            }
        }
    }

    /// Removes segments that are too old, and lines that are too many, but none from a segment that is appended to.
    /// Returns the number of segments removed. `now` is in seconds since 1970; `None` if the clock is not known to
    /// be right, and then no segment counts as too old.
    pub(super) fn expire(&mut self, now: Option<u64>) -> usize {
        let count = |segments: &Segments| segments.strands.iter().map(Strand::count).sum::<usize>();
        let before = count(self);
        self.make_room(0);
        let moment = now.map(|now| now.saturating_sub(self.settings.keep.as_secs()));
        for strand in &mut self.strands {
            let is_due = |strand: &Strand| {
                moment.is_some_and(|moment| strand.may_lose_one() && strand.is_from_before(moment))
            };
            // Removal by age is expected, and not reported.
            while is_due(strand) && strand.remove_oldest(&mut Gone::default()) {}
        }
        before - count(self)
    }
}

/// Returns the maximum length of a segment, in bytes.
pub(super) fn segment_size(settings: AuditSettings) -> u64 {
    SEGMENT.min(settings.keep_bytes / MIN_SEGMENTS)
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
