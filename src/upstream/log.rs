//! The log of a server's children besides messages: a ring of bounded size, filled at a bounded rate, for any number of
//! readers. The text is untrusted: lines are capped and made printable.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::notices::PoolKey;
use crate::clock;
use crate::text::misleads;

/// Size of the ring in bytes, with [`cost`] for each line.
const RING_BYTES: usize = 64 * 1024;
/// Lines kept per second; `BURST` is the maximum at once after a quiet time.
const RATE: u32 = 50;
const BURST: u32 = 200;
/// Number of children whose first lines are kept; `FIRST_LINES` is the number per stream.
const HEADS: usize = 8;
const FIRST_LINES: usize = 20;
/// Number of last lines of a child that are reported when it has ended.
const LAST_LINES: usize = 20;
/// Length a first line is cut to, in bytes.
const FIRST_LINE_BYTES: usize = 1024;
/// Shortest time between two notes about lines left out.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Source of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The child's stderr.
    Stderr,
    /// A line on stdout that is not a message.
    Stdout,
    /// A `notifications/message` of the child, its level first.
    Log,
    /// A remark of the gateway about the child.
    Gateway,
}

impl Stream {
    /// Returns the name of the stream, as in the API.
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
    /// Number of the line, counted from 1 over the server's kept lines; unique.
    pub number: u64,
    /// Time the line was read.
    pub at: SystemTime,
    /// Number of the run that wrote it.
    pub incarnation: u64,
    /// Pool of the child that wrote it, in words (`session 7`); `None` for a child that all share.
    pub pool: Option<Arc<str>>,
    /// Stream the line was read from.
    pub stream: Stream,
    /// Text of the line, printable, without its line end.
    pub text: String,
}

/// Kept lines of one child besides its messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// First lines on stderr, at most 20.
    head: Vec<String>,
    /// Last lines on stderr, at most 20, newest last.
    pub last: Vec<String>,
    /// Number of lines that are in both `head` and `last`.
    shared: usize,
    /// First lines on stdout that were not messages, at most 20.
    pub stdout: Vec<String>,
}

impl Words {
    /// Returns the first lines on stderr that are not among the last ones.
    pub fn first(&self) -> &[String] {
        &self.head[..self.head.len() - self.shared]
    }

    /// Returns all kept lines on stderr, oldest first.
    pub fn stderr(&self) -> impl Iterator<Item = &str> {
        self.first().iter().chain(&self.last).map(String::as_str)
    }
}

/// The last lines of a server's log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServerLog {
    inner: Arc<Inner>,
    /// Pool of the children that write here; `None` for those that all share.
    pool: Option<Arc<str>>,
}

#[derive(Debug)]
struct Inner {
    ring: Mutex<Ring>,
    /// Number of the newest line; 0 before the first.
    newest: watch::Sender<u64>,
}

impl Default for ServerLog {
    fn default() -> Self {
        let ring = Mutex::new(Ring::new(Instant::now()));
        ServerLog { inner: Arc::new(Inner { ring, newest: watch::Sender::new(0) }), pool: None }
    }
}

impl ServerLog {
    /// Returns the same log for the children of a pool, whose lines are marked with it.
    pub fn of_pool(&self, pool: &PoolKey) -> ServerLog {
        ServerLog { inner: self.inner.clone(), pool: Some(pool.to_string().into()) }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.inner.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the newest `count` lines, newest last.
    pub fn tail(&self, count: usize) -> Vec<Arc<LogLine>> {
        let ring = self.ring();
        ring.lines.iter().skip(ring.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// Returns at most `count` of the lines after the given number, oldest first, and the number of lines in between
    /// that are no longer kept.
    pub fn after(&self, number: u64, count: usize) -> (u64, Vec<Arc<LogLine>>) {
        let ring = self.ring();
        let oldest = ring.lines.front().map_or(ring.last + 1, |line| line.number);
        let lost = oldest.saturating_sub(number.saturating_add(1));
        // With a thousand readers, scanning every line for each of them would cost more than the rest.
        let first = ring.lines.partition_point(|line| line.number <= number);
        (lost, ring.lines.range(first..).take(count).cloned().collect())
    }

    /// Subscribes to the number of the newest line; 0 before the first.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.newest.subscribe()
    }

    /// Returns the kept lines of one child besides its messages.
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

    /// Ignores a child's complaints about our probe so far in [`ServerLog::words_of`]; reports whether there were any.
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

    /// Adds a line, for tests of readers.
    #[cfg(test)]
    pub(crate) fn say(&self, text: &str) {
        self.push(1, Stream::Stderr, text);
    }

    /// Reports whether a further line would exceed the rate now. If so, it is counted as left out, and the caller need
    /// not format it.
    pub(super) fn refuses(&self) -> bool {
        let mut ring = self.ring();
        let refuses = !ring.budget.has_any(Instant::now());
        ring.left_out += u64::from(refuses);
        refuses
    }

    /// Keeps a line unless the rate is exceeded; reports whether it did.
    pub(super) fn push(&self, incarnation: u64, stream: Stream, text: &str) -> bool {
        let mut ring = self.ring();
        let kept = ring.offer(Writer { incarnation, pool: self.pool.as_ref() }, stream, text, Instant::now());
        let last = ring.last;
        drop(ring);
        if kept {
            self.inner.newest.send_replace(last);
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
    /// Numbers of the lines in which the child complained about our probe; `0..=0` if there are none.
    of_probe: RangeInclusive<u64>,
}

impl Head {
    fn new(incarnation: u64) -> Head {
        // Numbers begin at 1.
        Head { incarnation, stderr: Vec::new(), stdout: Vec::new(), of_probe: 0..=0 }
    }
}

/// Reports whether a line is likely to be about a request that the server does not know: the Python SDKs write this
/// over many lines (mcp 1.x: "Failed to validate request: 31 validation errors").
fn is_of_probe(line: &str) -> bool {
    line.contains("server/discover") || line.contains("validation error")
}

/// Child that a line is of.
#[derive(Clone, Copy)]
struct Writer<'a> {
    incarnation: u64,
    pool: Option<&'a Arc<str>>,
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<Arc<LogLine>>,
    /// First lines of the last [`HEADS`] children.
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

    fn offer(&mut self, writer: Writer<'_>, stream: Stream, text: &str, now: Instant) -> bool {
        if !self.budget.spend(now) {
            self.left_out += 1;
            return false;
        }
        if self.left_out > 0 && now.duration_since(self.noted) >= NOTE_EVERY {
            let note = format!("{} lines left out: more than {RATE} a second", self.left_out);
            self.push(Writer { pool: None, ..writer }, Stream::Gateway, note);
            (self.left_out, self.noted) = (0, now);
        }
        self.push(writer, stream, text.to_owned());
        self.keep_first(writer.incarnation, stream, text);
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

    fn push(&mut self, writer: Writer<'_>, stream: Stream, text: String) {
        self.last += 1;
        let line = LogLine {
            number: self.last,
            at: clock::wall_clock(),
            incarnation: writer.incarnation,
            pool: writer.pool.cloned(),
            stream,
            text,
        };
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

/// Returns the size of a line in the ring, with a fixed part so that short lines count, too.
fn cost(line: &LogLine) -> usize {
    line.text.len() + size_of::<LogLine>()
}

/// Number of lines that may be kept now: [`RATE`] a second, [`BURST`] at most. Pure.
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

/// Makes a line printable: removes colours, keeps only the last version of a line that overwrites itself, and escapes
/// everything else that could mislead a reader or a terminal.
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

/// Removes terminal colour and cursor sequences (`ESC [ … letter`) from a text.
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
            assert!(ring.offer(
                Writer { incarnation: 1, pool: None },
                Stream::Stderr,
                &format!("{n:>100}"),
                now
            ));
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
        let of_pool = log.of_pool(&PoolKey::Session(7));
        assert!(
            log.push(1, Stream::Stdout, "no message") && of_pool.push(2, Stream::Stderr, "another child")
        );
        let pools: Vec<Option<Arc<str>>> = log.tail(2).iter().map(|line| line.pool.clone()).collect();
        assert_eq!(pools, [None, Some("session 7".into())]);
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
            kept += u64::from(ring.offer(Writer { incarnation: 1, pool: None }, Stream::Stderr, "x", now));
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
