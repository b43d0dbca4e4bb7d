//! Reader of the files of an audit, line by line. Blocks on the disk.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::error::Error;
use super::line::number_of;
use super::part::Part;
use super::segments::Listed;
use super::strand::Segment;
use crate::store::disk::File;

/// Number of bytes read at once from a segment when reading from its beginning.
const BLOCK: u64 = 64 * 1024;

/// Order in which lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    OldestFirst,
    NewestFirst,
}

/// Reader of all lines in the order of their numbers, without line ends, of the files as they were when they were
/// listed. It skips segments that have expired in the meantime. Per part it holds one block in memory, or one
/// segment when reading newest first. No file stays open between two lines, so a slow reader holds no descriptor and
/// keeps no removed file on the disk.
#[derive(Debug)]
pub(super) struct Lines {
    strands: [LinesOf; Part::ALL.len()],
    direction: Direction,
}

impl Lines {
    pub(super) fn of(listed: Listed, direction: Direction) -> Lines {
        Lines { strands: listed.map(|segments| LinesOf::begin(segments, direction)), direction }
    }

    /// Returns the next line; `None` after the last one.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        for strand in &mut self.strands {
            strand.fill(self.direction)?;
        }
        let heads = self.strands.iter_mut().filter(|strand| strand.head.is_some());
        let number = |strand: &&mut LinesOf| strand.head.as_ref().map(|(number, _)| *number);
        let next = match self.direction {
            Direction::OldestFirst => heads.min_by_key(number),
            Direction::NewestFirst => heads.max_by_key(number),
        };
        Ok(next.and_then(|strand| strand.head.take()).map(|(_, line)| line))
    }
}

/// Lines of one part, in order.
#[derive(Debug)]
struct LinesOf {
    /// Segments that are not read to their end, the next one first.
    segments: VecDeque<Segment>,
    /// Number of bytes of the first segment that were read.
    read: u64,
    lines: std::vec::IntoIter<String>,
    /// Next line and its number; `None` until [`LinesOf::fill`] has found it, and at the end.
    head: Option<(u64, String)>,
    /// Number of the last line that had one.
    last: Option<u64>,
    /// Set once a segment turns out to have been thinned since it was listed: its lines may now be in a file that
    /// was read before.
    was_thinned: bool,
}

impl LinesOf {
    fn begin(segments: Vec<Segment>, direction: Direction) -> LinesOf {
        let segments = match direction {
            Direction::OldestFirst => segments.into(),
            Direction::NewestFirst => segments.into_iter().rev().collect(),
        };
        LinesOf {
            segments,
            read: 0,
            lines: Vec::new().into_iter(),
            head: None,
            last: None,
            was_thinned: false,
        }
    }

    /// Finds the next line, unless it is there already.
    fn fill(&mut self, direction: Direction) -> io::Result<()> {
        while self.head.is_none() {
            if let Some(line) = self.lines.next() {
                let number = number_of(line.as_bytes());
                if self.was_thinned && number.is_some_and(|number| self.had(number, direction)) {
                    continue;
                }
                self.last = number.or(self.last);
                self.head = Some((number.unwrap_or_default(), line));
                return Ok(());
            }
            let Some(segment) = self.segments.front() else { return Ok(()) };
            let most = match direction {
                Direction::OldestFirst => BLOCK,
                Direction::NewestFirst => u64::MAX,
            };
            let Block { bytes, mut lines, is_whole } = read(segment, self.read, most)?;
            self.read += bytes;
            self.was_thinned |= is_whole;
            if is_whole || bytes == 0 || self.read >= segment.bytes {
                self.segments.pop_front();
                self.read = 0;
            }
            if direction == Direction::NewestFirst {
                lines.reverse();
            }
            self.lines = lines.into_iter();
        }
        Ok(())
    }

    /// Reports whether a line with this number was already returned; a thinned file contains it, too.
    fn had(&self, number: u64, direction: Direction) -> bool {
        self.last.is_some_and(|last| match direction {
            Direction::OldestFirst => number <= last,
            Direction::NewestFirst => number >= last,
        })
    }
}

/// Result of one read of a segment.
#[derive(Default)]
struct Block {
    bytes: u64,
    lines: Vec<String>,
    /// `true` if the segment was read to its end, from its beginning.
    is_whole: bool,
}

/// Reads a segment from an offset on, until `most` bytes of lines are read. Reads all of it if it was thinned since
/// it was listed, and nothing if it has been removed.
fn read(segment: &Segment, from: u64, most: u64) -> io::Result<Block> {
    let mut place = segment.now();
    loop {
        let opened = File::open(&place.path);
        let now = segment.now();
        if !std::ptr::eq(now, place) {
            // The segment was thinned meanwhile: another file may have been opened than the one that was listed.
            place = now;
            continue;
        }
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Block::default()),
            opened => opened?,
        };
        let is_whole = !std::ptr::eq(place, segment);
        let (from, end, most) = if is_whole { (0, u64::MAX, u64::MAX) } else { (from, segment.bytes, most) };
        let (bytes, lines) = lines_of(file, from, end, most)?;
        return Ok(Block { bytes, lines, is_whole });
    }
}

/// Reads the lines of a file between two offsets, without line ends, until they have at least `most` bytes. Returns
/// the number of bytes read and the lines. A line that disk damage has made invalid UTF-8 is returned as an empty
/// one.
fn lines_of(mut file: File, from: u64, end: u64, most: u64) -> io::Result<(u64, Vec<String>)> {
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file.take(end.saturating_sub(from)));
    let (mut bytes, mut lines) = (0, Vec::new());
    while bytes < most {
        let mut line = Vec::new();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            break;
        }
        bytes += length;
        if line.ends_with(b"\n") {
            line.pop();
        }
        lines.push(String::from_utf8(line).unwrap_or_default());
    }
    Ok((bytes, lines))
}

/// Returns the number of lines for which `wanted` is true, and one page of them, newest first.
pub(super) fn search(
    listed: Listed,
    skip: u64,
    take: u64,
    mut wanted: impl FnMut(&str) -> bool,
) -> io::Result<(u64, Vec<String>)> {
    let (mut found, mut page) = (0u64, Vec::new());
    let mut lines = Lines::of(listed, Direction::NewestFirst);
    while let Some(line) = lines.next()? {
        if wanted(&line) {
            if found >= skip && (page.len() as u64) < take {
                page.push(line);
            }
            found += 1;
        }
    }
    Ok((found, page))
}

/// Reads on a thread that may block.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Internal {
        reason: format!("the audit cannot be read: {error}"),
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}
