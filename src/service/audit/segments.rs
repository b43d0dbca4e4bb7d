//! The files of the audit: segments named after the number of their first line, the newest of which
//! is appended to. Blocks on the disk.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::log::AuditSettings;
use crate::store::disk::{self as fs, File, OpenOptions};

/// How long a segment may be, in bytes.
const SEGMENT: u64 = 4 * 1024 * 1024;

/// A file, and how many of its bytes are whole lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) lines: u64,
}

/// All files of an audit.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    settings: AuditSettings,
    /// The oldest first.
    segments: Vec<Segment>,
    open: Option<File>,
    /// The number of the next line.
    next: u64,
}

impl Segments {
    /// Opens or makes the directory. A line that was cut short by the end of an earlier run is taken
    /// away.
    pub(super) fn open(directory: &Path, settings: AuditSettings) -> io::Result<Segments> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut paths: Vec<PathBuf> = fs::read_dir(directory)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| first_number(path).is_some())
            .collect();
        paths.sort();
        let (mut segments, mut next) = (Vec::new(), 1);
        for path in paths {
            let (bytes, lines) = whole_lines(&path)?;
            next = first_number(&path).unwrap_or(next).max(next) + lines;
            segments.push(Segment { path, bytes, lines });
        }
        let mut opened = Segments { directory: directory.to_owned(), settings, segments, open: None, next };
        if let Some(last) = opened.segments.last() {
            let file = OpenOptions::new().append(true).open(&last.path)?;
            file.set_len(last.bytes)?;
            opened.open = Some(file);
        } else if let Err(error) = opened.begin()
            // On a full disk the first line tries again.
            && error.kind() != io::ErrorKind::StorageFull
        {
            return Err(error);
        }
        Ok(opened)
    }

    /// The number of the next line.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The files as they are now, the oldest first.
    pub(super) fn list(&self) -> Vec<Segment> {
        self.segments.clone()
    }

    /// Appends whole lines. After an error none of them is there.
    pub(super) fn append(&mut self, text: &[u8], lines: u64) -> io::Result<()> {
        if self.segments.last().is_none_or(|last| last.bytes >= SEGMENT) {
            self.begin()?;
        }
        let (Some(file), Some(last)) = (&mut self.open, self.segments.last_mut()) else {
            return Err(io::Error::other("no segment is open"));
        };
        if let Err(error) = file.write_all(text) {
            let _ = file.set_len(last.bytes);
            return Err(error);
        }
        last.bytes += text.len() as u64;
        last.lines += lines;
        self.next += lines;
        Ok(())
    }

    /// Has the disk keep what was appended.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn begin(&mut self) -> io::Result<()> {
        let path = self.directory.join(format!("{:020}.jsonl", self.next));
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        self.open = Some(file);
        self.segments.push(Segment { path, bytes: 0, lines: 0 });
        Ok(())
    }

    /// Removes segments that are too old or too many, but never the newest one; returns how many.
    pub(super) fn expire(&mut self) -> usize {
        let mut gone = 0;
        while self.segments.len() > 1 {
            let total: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
            let oldest = &self.segments[0];
            if total <= self.settings.keep_bytes && !is_older(&oldest.path, self.settings.keep) {
                break;
            }
            if let Err(error) = fs::remove_file(&oldest.path) {
                tracing::warn!(%error, path = %oldest.path.display(), "an old part of the audit stays");
                break;
            }
            self.segments.remove(0);
            gone += 1;
        }
        gone
    }
}

/// Lines of the segments for which `wanted` is true, newest first: how many there are, and those of a
/// page. Reads the files as they were when the list was taken.
pub(super) fn search(
    segments: &[Segment],
    skip: u64,
    take: u64,
    mut wanted: impl FnMut(&str) -> bool,
) -> io::Result<(u64, Vec<String>)> {
    let (mut found, mut page) = (0u64, Vec::new());
    for segment in segments.iter().rev() {
        let mut lines = match read(segment) {
            Ok(lines) => lines,
            // It has become too old in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        lines.retain(|line| wanted(line));
        for line in lines.into_iter().rev() {
            if found >= skip && (page.len() as u64) < take {
                page.push(line);
            }
            found += 1;
        }
    }
    Ok((found, page))
}

/// The whole lines of a segment, without their ends.
pub(super) fn read(segment: &Segment) -> io::Result<Vec<String>> {
    let file = io::Read::take(File::open(&segment.path)?, segment.bytes);
    BufReader::new(file).lines().collect()
}

fn first_number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
    (name.len() == 20).then(|| name.parse().ok())?
}

/// How many bytes and lines of a file are whole.
fn whole_lines(path: &Path) -> io::Result<(u64, u64)> {
    let (mut reader, mut line) = (BufReader::new(File::open(path)?), Vec::new());
    let (mut bytes, mut lines) = (0, 0);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 || line.last() != Some(&b'\n') {
            return Ok((bytes, lines));
        }
        bytes += length as u64;
        lines += 1;
    }
}

fn is_older(path: &Path, than: std::time::Duration) -> bool {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > than))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn settings(keep_bytes: u64) -> AuditSettings {
        AuditSettings { keep: Duration::from_secs(3600), keep_bytes, calls: false }
    }

    fn open(directory: &Path) -> Segments {
        Segments::open(directory, settings(u64::MAX)).expect("opened")
    }

    #[test]
    fn numbers_go_on_after_a_restart_and_a_torn_line_is_taken_away() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut segments = open(directory.path());
        segments.append(b"a\nb\n", 2).expect("written");
        let path = segments.list()[0].path.clone();
        drop(segments);
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"torn").expect("written");
        let mut segments = open(directory.path());
        assert_eq!(segments.next(), 3);
        segments.append(b"c\n", 1).expect("written");
        assert_eq!(fs::read(&path).expect("readable"), b"a\nb\nc\n");
        let (found, page) = search(&segments.list(), 1, 1, |_| true).expect("readable");
        assert_eq!((found, page), (3, vec!["b".to_owned()]));
        assert_eq!(search(&segments.list(), 0, 9, |line| line != "b").expect("readable").0, 2);
    }

    #[test]
    fn segments_are_rolled_and_the_oldest_go_when_there_is_too_much() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut segments = Segments::open(directory.path(), settings(2 * SEGMENT)).expect("opened");
        let line = [vec![b'x'; 1023], vec![b'\n']].concat();
        for _ in 0..4 * SEGMENT / 1024 + 1 {
            segments.append(&line, 1).expect("written");
        }
        assert_eq!(segments.list().len(), 5);
        assert_eq!(segments.expire(), 3);
        let left: u64 = segments.list().iter().map(|segment| segment.bytes).sum();
        assert!(left <= 2 * SEGMENT);
        assert_eq!(open(directory.path()).next(), segments.next());
    }
}
