//! Counts of the calls of one server since they were last taken. A call adds to them; a thread takes them once a
//! second. Counting costs one short lock, two lookups, and no allocation for a key and tool counted before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use foldhash::{HashMap, HashMapExt};

use super::call_stats::CallStats;
use crate::activity::{Called, ServerTag};
use crate::telemetry::metrics::ServerMetrics;
use crate::unix_time;

/// Maximum number of tools counted separately per key; further ones count as [`OTHER`]. A caller may name any tool
/// while a server has yet to announce its own.
const MAX_TOOLS: usize = 1_000;
/// Name that the calls of further tools are counted under.
const OTHER: &str = "(other)";

/// Counts of one server's calls.
#[derive(Debug, Default)]
pub(crate) struct UsageBuffer {
    server: Arc<ServerTag>,
    state: Mutex<BufferState>,
    /// Time of the last call in milliseconds since 1970; 0 if there was none.
    last_active_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct BufferState {
    /// Metrics that are told of each call of a tool once, when it is taken; `None` for a server without any.
    metrics: Option<ServerMetrics>,
    minute: u32,
    lines: HashMap<Arc<str>, HashMap<Box<str>, Line>>,
    /// Counts of past minutes, and counts that could not be added to the sums: by minute, key and tool.
    closed: HashMap<(u32, Arc<str>, Box<str>), CallStats>,
}

/// Calls of one key to one tool, and what activity calls that tool.
#[derive(Debug)]
struct Line {
    called: Arc<Called>,
    tally: CallStats,
}

/// Calls of one key to one tool in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    /// Minute as its number since 1970, UTC.
    pub(super) minute: u32,
    pub(super) key: Arc<str>,
    pub(super) tool: Box<str>,
    pub(super) tally: CallStats,
}

/// One call, as it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UsageSample<'a> {
    /// Id of the key that called.
    pub(crate) key: &'a Arc<str>,
    /// Name of the tool, or of the method for other calls.
    pub(crate) tool: &'a str,
    /// Outcome label, as in the metrics.
    pub(crate) outcome: &'static str,
    /// Duration of the call.
    pub(crate) took: Duration,
    /// Bytes of arguments and of the result.
    pub(crate) bytes: (usize, usize),
}

impl UsageBuffer {
    /// Creates the counts of this server, which are all zero.
    pub(crate) fn new(server: ServerTag) -> UsageBuffer {
        UsageBuffer { server: Arc::new(server), ..UsageBuffer::default() }
    }

    /// Returns the server.
    pub(super) fn server(&self) -> &Arc<ServerTag> {
        &self.server
    }

    /// Has these metrics told of what is counted, too, by tool.
    pub(super) fn tell(&self, metrics: ServerMetrics) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).metrics = Some(metrics);
    }

    /// Counts a call that ended in this minute, and returns what was called.
    pub(crate) fn enter(&self, minute: u32, sample: UsageSample<'_>) -> Arc<Called> {
        let mut pages = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.minute != minute {
            let old = pages.take();
            old.into_iter().for_each(|counted| pages.close(counted));
            pages.minute = minute;
        }
        // Most calls are of a tool that was called before.
        if let Some(line) = pages.lines.get_mut(sample.key).and_then(|tools| tools.get_mut(sample.tool)) {
            line.tally.record(sample.outcome, sample.took, sample.bytes);
            return line.called.clone();
        }
        if !pages.lines.contains_key(sample.key) {
            pages.lines.insert(sample.key.clone(), HashMap::new());
        }
        let called = Arc::new(Called::new(self.server.clone(), sample.tool));
        let Some(tools) = pages.lines.get_mut(sample.key) else { return called };
        let counted_as = if tools.len() < MAX_TOOLS { sample.tool } else { OTHER };
        let line = tools.entry(counted_as.into());
        let line = line.or_insert_with(|| Line { called: called.clone(), tally: CallStats::default() });
        line.tally.record(sample.outcome, sample.took, sample.bytes);
        called
    }

    /// Records that a call ended at this time, in milliseconds since 1970.
    pub(super) fn active_at(&self, now_ms: u64) {
        if self.last_active_ms.load(Ordering::Relaxed) < now_ms {
            self.last_active_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
    }

    /// Returns the time of the last call; `None` if there was none.
    pub(super) fn last_active(&self) -> Option<SystemTime> {
        let last = self.last_active_ms.load(Ordering::Relaxed);
        (last > 0).then(|| unix_time::from_millis(last))
    }

    /// Reports whether nothing was counted since the last [`UsageBuffer::take`].
    pub(super) fn is_empty(&self) -> bool {
        let pages = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        pages.closed.is_empty()
            && pages.lines.values().flat_map(HashMap::values).all(|line| line.tally.is_empty())
    }

    /// Takes out all counts since the last call.
    pub(super) fn take(&self) -> Vec<Counted> {
        let mut pages = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = std::mem::take(&mut pages.closed).into_iter();
        let closed = closed.map(|((minute, key, tool), tally)| Counted { minute, key, tool, tally });
        closed.chain(pages.take()).collect()
    }

    /// Puts back counts that were taken and could not be added to the sums.
    pub(super) fn give_back(&self, counted: Counted) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).close(counted);
    }
}

impl BufferState {
    fn close(&mut self, counted: Counted) {
        let Counted { minute, key, tool, tally } = counted;
        self.closed.entry((minute, key, tool)).or_default().add(&tally);
    }

    fn take(&mut self) -> Vec<Counted> {
        let minute = self.minute;
        let mut counted = Vec::new();
        // Tools without a call since the last time are dropped, so that the map stays small.
        for (key, tools) in &mut self.lines {
            tools.retain(|_, line| !line.tally.is_empty());
            let taken = tools.iter_mut().map(|(tool, line)| Counted {
                minute,
                key: key.clone(),
                tool: tool.clone(),
                tally: std::mem::take(&mut line.tally),
            });
            counted.extend(taken);
        }
        self.lines.retain(|_, tools| !tools.is_empty());
        if let Some(metrics) = &self.metrics {
            for Counted { tool, tally, .. } in &counted {
                metrics.count_tool(tool, tally.calls(), tally.errors(), tally.latency());
            }
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(book: &UsageBuffer, minute: u32, key: &Arc<str>, tool: &str) -> Arc<Called> {
        let took = Duration::from_millis(1);
        book.enter(minute, UsageSample { key, tool, outcome: "ok", took, bytes: (1, 2) })
    }

    fn told_twice(taken: &[Counted]) -> impl Iterator<Item = Counted> {
        taken.iter().chain(taken).cloned()
    }

    #[test]
    fn everything_is_taken_exactly_once_and_minutes_are_kept_apart() {
        let (book, key) = (UsageBuffer::default(), Arc::<str>::from("key_1"));
        enter(&book, 7, &key, "a");
        enter(&book, 7, &key, "a");
        enter(&book, 8, &key, "a");
        let mut taken = book.take();
        taken.sort_by_key(|counted| counted.minute);
        let told: Vec<_> = taken.iter().map(|one| (one.minute, &*one.tool, one.tally.calls())).collect();
        assert_eq!(told, [(7, "a", 2), (8, "a", 1)]);
        assert!(book.take().is_empty() && book.is_empty());
        enter(&book, 8, &key, "a");
        for counted in told_twice(&taken) {
            book.give_back(counted);
        }
        assert!(!book.is_empty());
        let calls: u64 = book.take().iter().map(|one| one.tally.calls()).sum();
        assert_eq!(calls, 7, "what was given back twice, and the new one");
        enter(&book, 8, &key, "a");
        assert_eq!(book.take().len(), 1);
    }

    #[test]
    fn names_that_strangers_make_up_do_not_fill_it() {
        let (book, key) = (UsageBuffer::default(), Arc::<str>::from("key_1"));
        let server = Arc::<ServerTag>::default();
        for number in 0..2 * MAX_TOOLS {
            let tool = format!("tool{number}");
            assert_eq!(*enter(&book, 1, &key, &tool), Called::new(server.clone(), &tool), "by its own name");
        }
        let taken = book.take();
        assert_eq!(taken.len(), MAX_TOOLS + 1);
        let calls: u64 = taken.iter().map(|counted| counted.tally.calls()).sum();
        assert_eq!(calls, 2 * MAX_TOOLS as u64, "none is lost");
    }
}
