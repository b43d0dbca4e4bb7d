//! What a server's children write beside messages: kept in a ring of bounded size, at a bounded rate,
//! for everybody who wants to read it. Free text of a stranger: lines are capped and made printable.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::text::{is_invisible, is_presentation};

/// The most bytes of text that are kept.
const RING_BYTES: usize = 64 * 1024;
/// How many lines a second are kept, and how many at once after a quiet time.
const RATE: u32 = 50;
const BURST: u32 = 200;
/// How often at most it is said how many lines were left out.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What programs complain.
    Stderr,
    /// What should have been a message and was none.
    Stdout,
    /// What the gateway has to say about the others.
    Gateway,
}

impl Stream {
    /// The stream's name, as in the API.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stderr => "stderr",
            Stream::Stdout => "stdout",
            Stream::Gateway => "mcpvisor",
        }
    }
}

/// One line of a server's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Counts up from 1 over the server's lines that were kept; no two have the same.
    pub number: u64,
    /// When it was read.
    pub at: SystemTime,
    /// Which child wrote it.
    pub incarnation: u64,
    /// Where it came from.
    pub stream: Stream,
    /// The line, printable, without its end.
    pub text: String,
}

/// The last lines of a server's log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServerLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ring: Mutex<Ring>,
    /// The number of the newest line.
    newest: watch::Sender<u64>,
}

impl Default for ServerLog {
    fn default() -> Self {
        let ring = Mutex::new(Ring::new(Instant::now()));
        ServerLog(Arc::new(Inner { ring, newest: watch::Sender::new(0) }))
    }
}

impl ServerLog {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest `count` lines, newest last.
    pub fn tail(&self, count: usize) -> Vec<LogLine> {
        let ring = self.ring();
        ring.lines.iter().skip(ring.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// At most `count` of the lines after the one with this number, oldest first, and how many
    /// there were between that are not kept any more.
    pub fn after(&self, number: u64, count: usize) -> (u64, Vec<LogLine>) {
        let ring = self.ring();
        let oldest = ring.lines.front().map_or(ring.last + 1, |line| line.number);
        let lost = oldest.saturating_sub(number.saturating_add(1));
        let later = ring.lines.iter().filter(|line| line.number > number).take(count);
        (lost, later.cloned().collect())
    }

    /// Follows the number of the newest line; 0 before the first.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// The newest `count` lines that one child wrote on stderr, newest last.
    pub(super) fn last_of(&self, incarnation: u64, count: usize) -> Vec<String> {
        let ring = self.ring();
        let own = |line: &&LogLine| line.incarnation == incarnation && line.stream == Stream::Stderr;
        let mut lines: Vec<String> =
            ring.lines.iter().rev().filter(own).take(count).map(|line| line.text.clone()).collect();
        lines.reverse();
        lines
    }

    /// Adds a line, for tests of those who read.
    #[cfg(test)]
    pub(crate) fn say(&self, text: &str) {
        self.push(1, Stream::Stderr, text);
    }

    /// Keeps a line, unless there are too many; says whether it did.
    pub(super) fn push(&self, incarnation: u64, stream: Stream, text: &str) -> bool {
        let mut ring = self.ring();
        let kept = ring.offer(incarnation, stream, text, Instant::now());
        let last = ring.last;
        drop(ring);
        if kept {
            self.0.newest.send_replace(last);
        }
        kept
    }
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
    last: u64,
    budget: Budget,
    left_out: u64,
    noted: Instant,
}

impl Ring {
    fn new(now: Instant) -> Ring {
        let budget = Budget { lines: f64::from(BURST), since: now };
        Ring { lines: VecDeque::new(), bytes: 0, last: 0, budget, left_out: 0, noted: now }
    }

    fn offer(&mut self, incarnation: u64, stream: Stream, text: &str, now: Instant) -> bool {
        if !self.budget.spend(now) {
            self.left_out += 1;
            return false;
        }
        if self.left_out > 0 && now.duration_since(self.noted) >= NOTE_EVERY {
            let note = format!("{} lines left out: more than {RATE} a second", self.left_out);
            self.push(incarnation, Stream::Gateway, note);
            (self.left_out, self.noted) = (0, now);
        }
        self.push(incarnation, stream, text.to_owned());
        true
    }

    fn push(&mut self, incarnation: u64, stream: Stream, text: String) {
        self.last += 1;
        let line = LogLine { number: self.last, at: SystemTime::now(), incarnation, stream, text };
        self.bytes += cost(&line);
        self.lines.push_back(line);
        while self.bytes > RING_BYTES {
            match self.lines.pop_front() {
                Some(oldest) => self.bytes -= cost(&oldest),
                None => break,
            }
        }
    }
}

/// What a line takes of the ring: short lines cost, too.
fn cost(line: &LogLine) -> usize {
    line.text.len() + size_of::<LogLine>()
}

/// How many lines may be kept now: [`RATE`] a second, [`BURST`] at most. Pure.
#[derive(Debug)]
struct Budget {
    lines: f64,
    since: Instant,
}

impl Budget {
    fn spend(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.since).as_secs_f64() * f64::from(RATE);
        self.lines = (self.lines + earned).min(f64::from(BURST));
        self.since = now;
        let may = self.lines >= 1.0;
        self.lines -= f64::from(u8::from(may));
        may
    }
}

/// Makes a line printable: colours are taken out, of what overwrites itself only the last version
/// is kept, and whatever else could fool a reader's eye or terminal is shown as an escape.
pub(super) fn printable(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let text = text.trim_end();
    let text = without_colours(text.rsplit('\r').next().unwrap_or(text));
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\t' && misleads(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    let kept = out.trim_end().len();
    out.truncate(kept);
    out
}

/// Characters that are not seen, or change the direction of what is.
fn misleads(c: char) -> bool {
    is_invisible(c) && !is_presentation(c)
}

/// Takes terminal colour and cursor sequences (`ESC [ … letter`) out of a text.
fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' || chars.clone().next() != Some('[') {
            out.push(c);
        } else {
            chars.next();
            chars.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_are_taken_out_and_tricks_are_shown() {
        assert_eq!(printable(b"\x1b[1;31mred\x1b[0m text\r"), "red text");
        assert_eq!(printable(b"bell\x07 \x1b]0;title"), "bell\\u{7} \\u{1b}]0;title");
        assert_eq!(printable("a\u{202e}b\u{200b}\tc".as_bytes()), "a\\u{202e}b\\u{200b}\tc");
        assert_eq!(printable(b"10 %\r50 %\r100 %"), "100 %");
        assert_eq!(printable(b"\x1b[2K"), "");
    }

    #[test]
    fn the_ring_keeps_the_newest_within_its_size() {
        let start = Instant::now();
        let mut ring = Ring::new(start);
        for n in 0..10_000u32 {
            let now = start + Duration::from_millis(u64::from(n) * 20);
            assert!(ring.offer(1, Stream::Stderr, &format!("{n:>100}"), now));
        }
        assert!(ring.lines.iter().map(cost).sum::<usize>() <= RING_BYTES);
        assert!(ring.lines.back().is_some_and(|line| line.text.ends_with("9999") && line.number == 10_000));
    }

    #[test]
    fn lines_are_told_apart_by_child_and_the_first_child_s_have_made_room() {
        let log = ServerLog::default();
        for n in 0..200 {
            assert!(log.push(n / 100, Stream::Stderr, &format!("{n:>1000}")));
        }
        assert_eq!(log.tail(2).len(), 2);
        assert!(log.tail(usize::MAX).last().is_some_and(|line| line.text.ends_with("199")));
        assert!(log.last_of(0, 5).is_empty(), "the first child's lines have made room");
        assert_eq!(log.last_of(1, 5).len(), 5);
    }

    #[test]
    fn a_flood_is_cut_to_its_rate_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut ring = Ring::new(start);
        let mut kept = 0;
        for ms in 0..10_000u64 {
            let now = start + Duration::from_millis(ms);
            kept += u64::from(ring.offer(1, Stream::Stderr, "x", now));
        }
        let allowed = u64::from(BURST) + 10 * u64::from(RATE);
        assert!((allowed - 2..=allowed + 1).contains(&kept), "{kept}");
        let notes: Vec<_> = ring.lines.iter().filter(|line| line.stream == Stream::Gateway).collect();
        assert!((1..=10).contains(&notes.len()), "at most one a second");
        assert!(notes.iter().all(|note| note.text.contains("lines left out")));
    }

    #[test]
    fn a_reader_sees_what_came_after_a_line_and_how_much_it_missed() {
        let log = ServerLog::default();
        assert_eq!(log.after(0, 10), (0, vec![]));
        for n in 1..=5 {
            assert!(log.push(1, Stream::Stderr, &format!("line {n}")));
        }
        let (lost, lines) = log.after(3, 10);
        assert_eq!((lost, lines.iter().map(|line| line.number).collect::<Vec<_>>()), (0, vec![4, 5]));
        assert_eq!(log.after(5, 10), (0, vec![]));
        let long = "x".repeat(RING_BYTES / 4);
        (0..8).for_each(|_| assert!(log.push(1, Stream::Stderr, &long)));
        let (lost, lines) = log.after(5, 1);
        assert_eq!((lost + 6, lines.len()), (lines[0].number, 1));
        assert!(lost > 0);
    }

    proptest! {
        #[test]
        fn lines_are_printable_whatever_comes(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let line = printable(&bytes);
            prop_assert!(line.chars().all(|c| c == '\t' || !misleads(c)));
        }
    }
}
