//! Usage reports: sums over a span of days, and a history of buckets. Pure but for the sums that are read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::aggregates::{UsageAggregates, UsageKey};
use super::calendar::{day_of, first_of_month, hour_of, monday, next_month, start_of_day};
use super::call_stats::CallStats;
use crate::store::StoreError;

/// Maximum length of a span, in days.
const MAX_DAYS: u32 = 366;
/// Maximum length of a span for a history of hours, in days.
const MAX_DAYS_OF_HOURS: u32 = 31;

/// Calendar period that contains the current time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Current day, UTC.
    Day,
    /// Current week, from Monday.
    Week,
    /// Current calendar month.
    Month,
}

/// Range of whole days, UTC, as numbers since 1970, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    first: u32,
    last: u32,
}

impl Span {
    /// Returns the whole period that `now`, in seconds since 1970, is in, including its days yet to come.
    pub fn of_period(period: Period, now: u64) -> Span {
        let today = day_of(now);
        match period {
            Period::Day => Span { first: today, last: today },
            Period::Week => Span { first: monday(today), last: monday(today).saturating_add(6) },
            Period::Month => {
                let first = first_of_month(today);
                Span { first, last: next_month(today).saturating_sub(1).max(first) }
            }
        }
    }

    /// Returns the days from that of `start` to that of `end`; `None` if there are more than 366, or if `end` comes
    /// first.
    pub fn between(start: u64, end: u64) -> Option<Span> {
        let span = Span { first: day_of(start), last: day_of(end) };
        (start <= end && span.last - span.first < MAX_DAYS).then_some(span)
    }

    /// Returns the first and the last second, since 1970.
    pub fn seconds(&self) -> (u64, u64) {
        (start_of_day(self.first), start_of_day(self.last) + 86_399)
    }

    fn days(&self) -> std::ops::RangeInclusive<u32> {
        self.first..=self.last
    }
}

/// Filter by keys and server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageOf {
    /// Ids of the keys to count; `None` for all.
    pub keys: Option<Vec<Arc<str>>>,
    /// Id of the server to count; `None` for all.
    pub server: Option<Arc<str>>,
    /// Name of the tool to count; `None` for all.
    pub tool: Option<Box<str>>,
}

impl UsageOf {
    pub(super) fn takes(&self, line: &UsageKey) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(&line.key))
            && self.server.as_ref().is_none_or(|server| *server == line.server)
            && self.tool.as_ref().is_none_or(|tool| *tool == line.tool)
    }
}

/// Sums over a span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of all calls that match.
    pub total: CallStats,
    /// Sums by server id, with the server's last name; the most called first.
    pub by_server: Vec<(Arc<str>, Option<Arc<str>>, CallStats)>,
    /// Sums by key id; the key with the most calls first.
    pub by_key: Vec<(Arc<str>, CallStats)>,
    /// Sums by server id and tool; the most called first.
    pub by_tool: Vec<(Arc<str>, Box<str>, CallStats)>,
    /// Sums by day, given as its first second since 1970; each day of the span has one.
    pub by_day: Vec<(u64, CallStats)>,
}

/// Length of the buckets of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// Buckets of one hour.
    Hour,
    /// Buckets of one UTC day.
    Day,
    /// Buckets of one calendar month.
    Month,
}

/// Parameters of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Days that the history covers.
    pub span: Span,
    /// Length of the buckets.
    pub granularity: Granularity,
    /// Filter by keys and server.
    pub of: UsageOf,
}

impl HistoryQuery {
    /// Reports whether the span is short enough for its granularity: at most 31 days for hours.
    pub fn is_short_enough(&self) -> bool {
        self.granularity != Granularity::Hour || self.span.last - self.span.first < MAX_DAYS_OF_HOURS
    }
}

/// One bucket of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// First second of the bucket, since 1970.
    pub start: u64,
    /// Last second of the bucket, since 1970.
    pub end: u64,
    /// Calls counted in the bucket.
    pub tally: CallStats,
}

/// Sums up the calls of a span that `of` selects.
pub(super) fn usage(sums: &UsageAggregates, span: Span, of: &UsageOf) -> Result<Usage, StoreError> {
    let mut summing = Summing::default();
    for day in span.days() {
        summing.day(start_of_day(day));
        let lines = sums.day(day)?;
        lines.iter().filter(|(line, _)| of.takes(line)).for_each(|(line, tally)| summing.add(line, tally));
    }
    Ok(summing.usage(sums))
}

/// Sums that are being made.
#[derive(Default)]
pub(super) struct Summing {
    usage: Usage,
    servers: HashMap<Arc<str>, CallStats>,
    keys: HashMap<Arc<str>, CallStats>,
    tools: HashMap<(Arc<str>, Box<str>), CallStats>,
}

impl Summing {
    /// Begins a day, given as its first second, unless that is the last one that was begun.
    pub(super) fn day(&mut self, start: u64) {
        if self.usage.by_day.last().is_none_or(|(last, _)| *last != start) {
            self.usage.by_day.push((start, CallStats::default()));
        }
    }

    /// Adds calls of the last day that was begun.
    pub(super) fn add(&mut self, line: &UsageKey, tally: &CallStats) {
        self.usage.total.add(tally);
        if let Some((_, of_day)) = self.usage.by_day.last_mut() {
            of_day.add(tally);
        }
        self.servers.entry(line.server.clone()).or_default().add(tally);
        self.keys.entry(line.key.clone()).or_default().add(tally);
        self.tools.entry((line.server.clone(), line.tool.clone())).or_default().add(tally);
    }

    /// Returns the sums, the most called first.
    pub(super) fn usage(self, sums: &UsageAggregates) -> Usage {
        let Summing { mut usage, servers, keys, tools } = self;
        usage.by_server =
            servers.into_iter().map(|(id, tally)| (id.clone(), sums.name(&id), tally)).collect();
        usage.by_server.sort_by(|a, b| b.2.calls().cmp(&a.2.calls()).then_with(|| a.0.cmp(&b.0)));
        usage.by_key = keys.into_iter().collect();
        usage.by_key.sort_by(|a, b| b.1.calls().cmp(&a.1.calls()).then_with(|| a.0.cmp(&b.0)));
        usage.by_tool = tools.into_iter().map(|((server, tool), tally)| (server, tool, tally)).collect();
        let place = |one: &(Arc<str>, Box<str>, CallStats)| (one.0.clone(), one.1.clone());
        usage.by_tool.sort_by(|a, b| b.2.calls().cmp(&a.2.calls()).then_with(|| place(a).cmp(&place(b))));
        usage
    }
}

/// Returns a history, newest bucket first: each bucket that begins up to `now`, including those without calls.
pub(super) fn history(
    sums: &UsageAggregates,
    query: &HistoryQuery,
    now: u64,
) -> Result<Vec<Bucket>, StoreError> {
    let mut buckets: BTreeMap<u64, Bucket> = BTreeMap::new();
    let mut put = |start: u64, length: u64, tallies: Vec<(UsageKey, CallStats)>| {
        let end = start + length.saturating_sub(1);
        let bucket = buckets.entry(start).or_insert(Bucket { start, end, tally: CallStats::default() });
        tallies
            .iter()
            .filter(|(line, _)| query.of.takes(line))
            .for_each(|(_, tally)| bucket.tally.add(tally));
    };
    for day in query.span.days().filter(|day| start_of_day(*day) <= now) {
        let start = start_of_day(day);
        match query.granularity {
            Granularity::Hour => {
                let first = hour_of(start);
                for hour in (first..first + 24).filter(|hour| u64::from(*hour) * 3600 <= now) {
                    put(u64::from(hour) * 3600, 3600, sums.hour(hour)?);
                }
            }
            Granularity::Day => put(start, 86_400, sums.day(day)?),
            Granularity::Month => {
                let (first, next) = (start_of_day(first_of_month(day)), start_of_day(next_month(day)));
                put(first, next.saturating_sub(first), sums.day(day)?);
            }
        }
    }
    Ok(buckets.into_values().rev().collect())
}

impl CallStats {
    /// Returns the mean duration of a call; `None` without calls.
    pub fn mean_latency(&self) -> Option<Duration> {
        let calls = u32::try_from(self.calls()).unwrap_or(u32::MAX);
        (calls > 0).then(|| self.latency() / calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::usage::buffer::Counted;

    fn some() -> UsageAggregates {
        let mut sums = UsageAggregates::load(Arc::new(MemoryStore::default())).expect("memory");
        for (hour, key, server, tool) in [(48, "k1", "s1", "a"), (49, "k1", "s2", "a"), (73, "k2", "s1", "b")]
        {
            let mut tally = CallStats::default();
            tally.record("ok", Duration::from_millis(4), (1, 1));
            let counted = Counted { minute: hour * 60, key: key.into(), tool: tool.into(), tally };
            sums.add(&server.into(), &format!("name of {server}").into(), &counted).expect("memory");
        }
        sums
    }

    #[test]
    fn every_way_to_sum_up_says_the_same_altogether() {
        let (sums, span) = (some(), Span { first: 1, last: 3 });
        let usage = usage(&sums, span, &UsageOf::default()).expect("memory");
        assert_eq!(usage.total.calls(), 3);
        let of = |tallies: Vec<&CallStats>| tallies.iter().map(|tally| tally.calls()).collect::<Vec<_>>();
        assert_eq!(of(usage.by_day.iter().map(|(_, tally)| tally).collect()), [0, 2, 1]);
        assert_eq!(of(usage.by_server.iter().map(|(_, _, tally)| tally).collect()), [2, 1]);
        assert_eq!(of(usage.by_key.iter().map(|(_, tally)| tally).collect()), [2, 1]);
        assert_eq!(of(usage.by_tool.iter().map(|(_, _, tally)| tally).collect()), [1, 1, 1]);
        assert_eq!(usage.by_server[0].1.as_deref(), Some("name of s1"));
        let own = UsageOf { keys: Some(vec!["k2".into()]), ..UsageOf::default() };
        assert_eq!(super::usage(&sums, span, &own).expect("memory").total.calls(), 1);
    }

    #[test]
    fn a_history_has_a_bucket_for_each_time_up_to_now() {
        let (sums, span, now) = (some(), Span { first: 2, last: 5 }, 73 * 3600 + 5);
        let ask = |granularity| {
            let query = HistoryQuery { span, granularity, of: UsageOf::default() };
            let buckets = history(&sums, &query, now).expect("memory");
            buckets.iter().map(|bucket| bucket.tally.calls()).collect::<Vec<_>>()
        };
        assert_eq!(ask(Granularity::Day), [1, 2]);
        assert_eq!(ask(Granularity::Hour).len(), 26);
        assert_eq!(ask(Granularity::Hour).iter().sum::<u64>(), 3);
        assert_eq!(ask(Granularity::Month), [3]);
    }

    #[test]
    fn at_the_edges_of_the_calendar_spans_and_histories_have_an_answer() {
        let last = 253_402_300_799;
        let moments =
            [0, 1, 86_399, 86_400, last - 86_400, last, last + 1, u64::from(u32::MAX) * 86_400, u64::MAX];
        for now in moments {
            let periods =
                [Period::Day, Period::Week, Period::Month].map(|period| Span::of_period(period, now));
            let custom = moments.iter().filter_map(|end| Span::between(now, *end));
            for span in periods.into_iter().chain(custom) {
                let (start, end) = span.seconds();
                assert!(start <= end, "{now}: {span:?}");
                for granularity in [Granularity::Hour, Granularity::Day, Granularity::Month] {
                    let query = HistoryQuery { span, granularity, of: UsageOf::default() };
                    if query.is_short_enough() {
                        assert!(history(&some(), &query, last).is_ok());
                    }
                }
            }
        }
    }

    #[test]
    fn spans_are_bounded() {
        assert!(Span::between(0, 365 * 86_400).is_some());
        assert!(Span::between(0, 366 * 86_400).is_none() && Span::between(10, 9).is_none());
    }
}
