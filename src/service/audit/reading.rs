//! Reads the files of an audit, line by line. Blocks on the disk.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::segments::{Listed, Part, Segment, number_of};
use crate::store::disk::File;

/// How much of a segment is read at once from its beginning, in bytes.
const BLOCK: u64 = 64 * 1024;

/// In which order lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    OldestFirst,
    NewestFirst,
}

/// All lines in the order of their numbers, without their ends, of the files as they were when the list was
/// taken. Segments that have become too old in the meantime are passed over. Of each part one block is in
/// memory at a time, of what is read from the newest on one segment. No file stays open between two lines:
/// whoever reads slowly takes no descriptor and keeps no file that is to go.
#[derive(Debug)]
pub(super) struct Lines {
    strands: [LinesOf; Part::ALL.len()],
    direction: Direction,
}

impl Lines {
    pub(super) fn of(listed: Listed, direction: Direction) -> Lines {
        Lines { strands: listed.map(|segments| LinesOf::begin(segments, direction)), direction }
    }

    /// The next line; `None` after the last one.
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

/// The lines of one part, one after the other.
#[derive(Debug)]
struct LinesOf {
    /// Those that are not read to their end, the next one first.
    segments: VecDeque<Segment>,
    /// How many bytes of the first of them were read.
    read: u64,
    lines: std::vec::IntoIter<String>,
    /// The next line and its number, once it was looked for.
    head: Option<(u64, String)>,
    /// The number of the last line that had one.
    last: Option<u64>,
    /// A segment was thinned since it was listed: lines may have gone into a file that was read before.
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

    /// Looks for the next line, unless it is there.
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

    /// Whether a line with this number was given already: a file that was thinned has it, too.
    fn had(&self, number: u64, direction: Direction) -> bool {
        self.last.is_some_and(|last| match direction {
            Direction::OldestFirst => number <= last,
            Direction::NewestFirst => number >= last,
        })
    }
}

/// What was read of a segment.
#[derive(Default)]
struct Block {
    bytes: u64,
    lines: Vec<String>,
    /// It was read to its end, from its beginning.
    is_whole: bool,
}

/// What there is of a segment from a place on, until there are so many bytes of lines; all of it where it was
/// thinned since it was listed, and nothing where it has become too old.
fn read(segment: &Segment, from: u64, most: u64) -> io::Result<Block> {
    let mut place = segment.now();
    loop {
        let opened = File::open(&place.path);
        let now = segment.now();
        if !std::ptr::eq(now, place) {
            // It was thinned in this moment: another file may have been opened than the one that was listed.
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

/// The lines of a file from a place on to another one, without their ends, until there are so many bytes of them;
/// and how many there are. A line that a disk has damaged so that it is no text is an empty one.
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

/// Lines for which `wanted` is true, newest first: how many there are, and those of a page.
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
