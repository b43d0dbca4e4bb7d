//! What a server's children write beside messages: kept in a ring of bounded size, at a bounded rate,
//! for everybody who wants to read it. Free text of a stranger: lines are capped and made printable.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::text::{is_invisible, is_presentation};

/// The most bytes of text that are kept.
const RING_BYTES: usize = 64 * 1024;
/// How many lines a second are kept, and how many at once after a quiet time.
const RATE: u32 = 50;
const BURST: u32 = 200;
/// Of how many children the first lines are kept, and how many of each stream.
const HEADS: usize = 8;
const FIRST_LINES: usize = 20;
/// How many of the last lines of a child are told when it has ended.
const LAST_LINES: usize = 20;
/// How much of a first line is kept, in bytes.
const FIRST_LINE_BYTES: usize = 1024;
/// How often at most it is said how many lines were left out.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What programs complain.
    Stderr,
    /// What should have been a message and was none.
    Stdout,
    /// What it reported by `notifications/message`, its level first.
    Log,
    /// What the gateway has to say about the others.
    Gateway,
}

impl Stream {
    /// The stream's name, as in the API.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stderr => "stderr",
            Stream::Stdout => "stdout",
            Stream::Log => "log",
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

/// What one child has written beside messages, as far as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Its first lines on stderr.
    head: Vec<String>,
    /// Its last lines on stderr, newest last.
    pub last: Vec<String>,
    /// How many of the last lines are among the first ones.
    shared: usize,
    /// Its first lines on stdout that were no messages.
    pub stdout: Vec<String>,
}

impl Words {
    /// The first lines on stderr, as far as they are not among the last ones.
    pub fn first(&self) -> &[String] {
        &self.head[..self.head.len() - self.shared]
    }

    /// All lines on stderr that are kept, oldest first.
    pub fn stderr(&self) -> impl Iterator<Item = &str> {
        self.first().iter().chain(&self.last).map(String::as_str)
    }
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
    pub fn tail(&self, count: usize) -> Vec<Arc<LogLine>> {
        let ring = self.ring();
        ring.lines.iter().skip(ring.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// At most `count` of the lines after the one with this number, oldest first, and how many
    /// there were between that are not kept any more.
    pub fn after(&self, number: u64, count: usize) -> (u64, Vec<Arc<LogLine>>) {
        let ring = self.ring();
        let oldest = ring.lines.front().map_or(ring.last + 1, |line| line.number);
        let lost = oldest.saturating_sub(number.saturating_add(1));
        // Where a thousand read on, looking at every line for each of them would cost more than the rest.
        let first = ring.lines.partition_point(|line| line.number <= number);
        (lost, ring.lines.range(first..).take(count).cloned().collect())
    }

    /// Follows the number of the newest line; 0 before the first.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// What one child has written beside messages.
    pub fn words_of(&self, incarnation: u64) -> Words {
        let ring = self.ring();
        let head = ring.heads.iter().find(|head| head.incarnation == incarnation);
        let counts = |number: u64| head.is_none_or(|head| !head.of_probe.contains(&number));
        let own = |line: &&Arc<LogLine>| {
            line.incarnation == incarnation && line.stream == Stream::Stderr && counts(line.number)
        };
        let mut last: Vec<&Arc<LogLine>> = ring.lines.iter().rev().filter(own).take(LAST_LINES).collect();
        last.reverse();
        let head_lines = head.map(|head| head.stderr.as_slice()).unwrap_or_default();
        let lines: Vec<_> = head_lines.iter().filter(|(number, _)| counts(*number)).collect();
        let oldest = last.first().map_or(u64::MAX, |line| line.number);
        Words {
            shared: lines.iter().filter(|entry| entry.0 >= oldest).count(),
            head: lines.iter().map(|entry| entry.1.clone()).collect(),
            last: last.into_iter().map(|line| line.text.clone()).collect(),
            stdout: head.map(|head| head.stdout.clone()).unwrap_or_default(),
        }
    }

    /// Has what one child has complained of our probe so far say nothing about it; says whether it has.
    pub(super) fn pass_over_probe(&self, incarnation: u64) -> bool {
        let mut ring = self.ring();
        let last = ring.last;
        let own = |line: &&Arc<LogLine>| line.incarnation == incarnation && line.stream == Stream::Stderr;
        let first =
            ring.lines.iter().filter(own).find(|line| is_of_probe(&line.text)).map(|line| line.number);
        let head = ring.heads.iter_mut().find(|head| head.incarnation == incarnation);
        if let (Some(head), Some(first)) = (head, first) {
            head.of_probe = first..=last;
        }
        first.is_some()
    }

    /// Adds a line, for tests of those who read.
    #[cfg(test)]
    pub(crate) fn say(&self, text: &str) {
        self.push(1, Stream::Stderr, text);
    }

    /// Whether a further line would be one too many now. Then it is counted as left out: whoever would have to
    /// make it first need not.
    pub(super) fn refuses(&self) -> bool {
        let mut ring = self.ring();
        let refuses = !ring.budget.has_any(Instant::now());
        ring.left_out += u64::from(refuses);
        refuses
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

/// The first lines of a child, which say more about a failed start than the last ones.
#[derive(Debug)]
struct Head {
    incarnation: u64,
    stderr: Vec<(u64, String)>,
    stdout: Vec<String>,
    /// The numbers of the lines in which it complained of our probe.
    of_probe: RangeInclusive<u64>,
}

impl Head {
    fn new(incarnation: u64) -> Head {
        // Numbers begin at 1.
        Head { incarnation, stderr: Vec::new(), stdout: Vec::new(), of_probe: 0..=0 }
    }
}

/// Whether a line is likely to be about a request that the server does not know: what the SDKs of Python
/// write, over many lines (mcp 1.x: "Failed to validate request: 31 validation errors").
fn is_of_probe(line: &str) -> bool {
    line.contains("server/discover") || line.contains("validation error")
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<Arc<LogLine>>,
    /// Of the last few children.
    heads: VecDeque<Head>,
    bytes: usize,
    last: u64,
    budget: Budget,
    left_out: u64,
    noted: Instant,
}

impl Ring {
    fn new(now: Instant) -> Ring {
        let budget = Budget { lines: f64::from(BURST), since: now };
        let (lines, heads) = (VecDeque::new(), VecDeque::new());
        Ring { lines, heads, bytes: 0, last: 0, budget, left_out: 0, noted: now }
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
        self.keep_first(incarnation, stream, text);
        true
    }

    fn keep_first(&mut self, incarnation: u64, stream: Stream, text: &str) {
        if !self.heads.iter().any(|head| head.incarnation == incarnation) {
            if self.heads.len() == HEADS {
                self.heads.pop_front();
            }
            self.heads.push_back(Head::new(incarnation));
        }
        let Some(head) = self.heads.iter_mut().find(|head| head.incarnation == incarnation) else { return };
        let kept = text.floor_char_boundary(FIRST_LINE_BYTES);
        match stream {
            Stream::Stderr if head.stderr.len() < FIRST_LINES => {
                head.stderr.push((self.last, text[..kept].to_owned()));
            }
            Stream::Stdout if head.stdout.len() < FIRST_LINES => head.stdout.push(text[..kept].to_owned()),
            Stream::Stderr | Stream::Stdout | Stream::Log | Stream::Gateway => {}
        }
    }

    fn push(&mut self, incarnation: u64, stream: Stream, text: String) {
        self.last += 1;
        let line = LogLine { number: self.last, at: SystemTime::now(), incarnation, stream, text };
        self.bytes += cost(&line);
        self.lines.push_back(Arc::new(line));
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
    fn has_any(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.since).as_secs_f64() * f64::from(RATE);
        self.lines = (self.lines + earned).min(f64::from(BURST));
        self.since = now;
        self.lines >= 1.0
    }

    fn spend(&mut self, now: Instant) -> bool {
        let may = self.has_any(now);
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
        assert!(ring.lines.iter().map(|line| cost(line)).sum::<usize>() <= RING_BYTES);
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
        assert!(log.words_of(0).last.is_empty(), "the first child's lines have made room");
        assert_eq!(log.words_of(1).last.len(), LAST_LINES);
        assert_eq!(log.words_of(0).first().len(), FIRST_LINES, "but for its first ones");
    }

    #[test]
    fn first_and_last_lines_of_a_child_do_not_overlap() {
        let log = ServerLog::default();
        let lines = |from: usize, to: usize| (from..to).map(|n| format!("line {n}")).collect::<Vec<_>>();
        for line in lines(0, 5) {
            log.push(1, Stream::Stderr, &line);
        }
        let words = log.words_of(1);
        assert_eq!((words.first(), &words.last), (&[][..], &lines(0, 5)));
        for line in lines(5, 100) {
            log.push(1, Stream::Stderr, &line);
        }
        assert!(log.push(1, Stream::Stdout, "no message") && log.push(2, Stream::Stderr, "another child"));
        let words = log.words_of(1);
        assert_eq!((words.first().to_vec(), &words.last), (lines(0, 20), &lines(80, 100)));
        assert_eq!(words.stderr().count(), 40);
        assert_eq!(words.stdout, ["no message"]);
        for line in lines(0, 25) {
            log.push(3, Stream::Stderr, &line);
        }
        let words = log.words_of(3);
        assert_eq!((words.first().to_vec(), words.last), (lines(0, 5), lines(5, 25)));
    }

    #[test]
    fn complaints_of_the_probe_are_no_reason_for_anything() {
        let log = ServerLog::default();
        for line in ["starting", "Failed to validate request: 31 validation errors", "  field required"] {
            log.push(1, Stream::Stderr, line);
        }
        assert!(!log.pass_over_probe(2) && log.pass_over_probe(1));
        assert!(log.push(1, Stream::Stderr, "no key"));
        assert_eq!(log.words_of(1).last, ["starting", "no key"]);
        assert_eq!(log.tail(9).len(), 4, "they are shown all the same");
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
