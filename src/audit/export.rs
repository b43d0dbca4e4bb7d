//! The audit as lines of JSON, oldest first, in pieces that are read on demand.

use std::io;

use bytes::Bytes;

use super::error::Error;
use super::line::is_entry;
use super::query::AuditQuery;
use super::reading::{Direction, Lines, off_the_runtime};
use super::segments::Listed;

/// Minimum length of a piece other than the last one, in bytes; a piece exceeds it by less than one line.
const PIECE: usize = 64 * 1024;
/// Number of bytes of lines read, matching or not, after which a read pauses to check whether the caller still
/// waits.
const LOOKED_AT: usize = 1024 * 1024;

/// Part of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Whole lines. The last line of the last piece has the number of lines before it, so that a truncated export
    /// does not look complete.
    pub(crate) bytes: Bytes,
    /// `true` for the last piece.
    pub(crate) is_last: bool,
}

/// State of an export that is not read to its end.
#[derive(Debug)]
pub(crate) struct Export {
    lines: Lines,
    query: AuditQuery,
    /// Number of lines exported.
    entries: u64,
    /// Number of lines left out because a disk has damaged them.
    damaged: u64,
    /// Number of pieces read, for tests.
    #[cfg(test)]
    pub(crate) pieces: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Export {
    /// Creates an export of the entries that match, from the files as they were when they were listed.
    pub(super) fn of(listed: Listed, query: AuditQuery) -> Export {
        Export {
            lines: Lines::of(listed, Direction::OldestFirst),
            query,
            entries: 0,
            damaged: 0,
            #[cfg(test)]
            pieces: std::sync::Arc::default(),
        }
    }

    /// Reads the next piece, and returns it with the export to go on with. Stops between two reads when dropped.
    /// After the last piece nothing is left.
    pub(crate) async fn next(mut self) -> Result<(Export, Piece), Error> {
        let mut text = Vec::new();
        loop {
            let (export, so_far, is_last) = off_the_runtime(move || {
                let is_last = self.read(&mut text)?;
                Ok((self, text, is_last))
            })
            .await?;
            (self, text) = (export, so_far);
            if is_last || text.len() >= PIECE {
                #[cfg(test)]
                self.pieces.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                return Ok((self, Piece { bytes: text.into(), is_last }));
            }
        }
    }

    /// Appends lines until there is a piece or [`LOOKED_AT`] is reached. Returns whether they were the last ones.
    fn read(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        let mut looked_at = 0;
        while text.len() < PIECE && looked_at < LOOKED_AT {
            let Some(line) = self.lines.next()? else {
                text.extend_from_slice(self.end().as_bytes());
                return Ok(true);
            };
            looked_at += line.len();
            if !is_entry(line.as_bytes()) {
                self.damaged += 1;
            } else if self.query.takes(&line) {
                text.extend_from_slice(line.as_bytes());
                text.push(b'\n');
                self.entries += 1;
            }
        }
        Ok(false)
    }

    /// Returns the last line: the number of exported lines and, if any, the number of damaged ones.
    fn end(&self) -> String {
        let damaged = if self.damaged > 0 { format!(",\"damaged\":{}", self.damaged) } else { String::new() };
        format!("{{\"end\":true,\"entries\":{}{damaged}}}\n", self.entries)
    }

    /// Returns the whole rest, for tests.
    #[cfg(test)]
    pub(crate) async fn whole(mut self) -> Result<String, Error> {
        let mut text = String::new();
        loop {
            let (export, piece) = self.next().await?;
            self = export;
            text.push_str(&String::from_utf8_lossy(&piece.bytes));
            if piece.is_last {
                return Ok(text);
            }
        }
    }
}
