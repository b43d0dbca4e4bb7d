//! The audit as lines of JSON, oldest first, in pieces: each is read when it is asked for.

use std::io;

use bytes::Bytes;

use super::log::{AuditQuery, off_the_runtime};
use super::reading::{Direction, Lines};
use super::segments::{Listed, is_entry};
use crate::service::Error;

/// How long a piece is at least, unless it is the last one, in bytes; longer by less than a line.
const PIECE: usize = 64 * 1024;
/// After so many bytes of lines that are not asked for it is seen to whether anybody still waits.
const LOOKED_AT: usize = 1024 * 1024;

/// A part of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Piece {
    /// Whole lines. The last one of the last piece says how many came before, so that what was cut on its way
    /// does not look whole.
    pub(in crate::service) bytes: Bytes,
    /// Whether it is the last one.
    pub(in crate::service) is_last: bool,
}

/// An export that is not read to its end.
#[derive(Debug)]
pub(in crate::service) struct Export {
    lines: Lines,
    query: AuditQuery,
    /// How many lines were taken.
    entries: u64,
    /// How many lines were left out because a disk has damaged them.
    damaged: u64,
    /// How many pieces were read, for tests.
    #[cfg(test)]
    pub(in crate::service) pieces: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Export {
    /// The entries that are asked for, of the files as they were when they were listed.
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

    /// The next piece, and the export after it. Given up between two stretches of lines when dropped. Nothing
    /// is left after the last one.
    pub(in crate::service) async fn next(mut self) -> Result<(Export, Piece), Error> {
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

    /// Appends lines until there is a piece or enough was looked at. Says whether they were the last ones.
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

    /// The last line: how many came before, and how many there would be if a disk had kept them.
    fn end(&self) -> String {
        let damaged = if self.damaged > 0 { format!(",\"damaged\":{}", self.damaged) } else { String::new() };
        format!("{{\"end\":true,\"entries\":{}{damaged}}}\n", self.entries)
    }

    /// All that is left of it, for tests.
    #[cfg(test)]
    pub(in crate::service) async fn whole(mut self) -> Result<String, Error> {
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
