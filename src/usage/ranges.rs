//! Sums over a range of time that need not be whole days, across keys, servers and tools, and by steps. A range is widened
//! to the sums that are kept of its beginning: of minutes for three hours, of hours and of days for as long as the
//! configuration says. Pure but for the sums that are read.

use std::collections::HashMap;
use std::sync::Arc;

use super::aggregates::{UsageAggregates, UsageKey};
use super::calendar::{day_of, start_of_day};
use super::call_stats::CallStats;
use super::report::{Summing, Usage, UsageOf};
use super::retention::{MINUTES_KEPT, Retention};
use crate::store::StoreError;

/// Most groups of an answer.
const MAX_GROUPS: usize = 10_000;

/// Length of the sums that an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day, UTC.
    Day,
}

impl Resolution {
    /// Returns its name, as the API has it.
    pub fn name(self) -> &'static str {
        match self {
            Resolution::Minute => "minute",
            Resolution::Hour => "hour",
            Resolution::Day => "day",
        }
    }

    fn seconds(self) -> u64 {
        match self {
            Resolution::Minute => 60,
            Resolution::Hour => 3600,
            Resolution::Day => 86_400,
        }
    }

    /// Returns the finest that is kept of a moment.
    fn kept(at: u64, now: u64, retention: Retention) -> Resolution {
        let age = now.saturating_sub(at);
        match age {
            _ if age < u64::from(MINUTES_KEPT) * 60 => Resolution::Minute,
            _ if age < u64::from(retention.hours) * 86_400 => Resolution::Hour,
            _ => Resolution::Day,
        }
    }
}

/// What calls are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupedBy {
    /// The key that was used.
    Key,
    /// The server that was called.
    Server,
    /// The tool that was called.
    Tool,
}

/// How calls are grouped; without any of it they are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grouping {
    /// What they are grouped by, across each other.
    pub by: Vec<GroupedBy>,
    /// Length of the steps of time that they are grouped by as well, in seconds; whole minutes.
    pub step: Option<u64>,
}

/// Range to sum up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeQuery {
    /// First second, since 1970.
    pub since: u64,
    /// Last second, since 1970.
    pub until: u64,
    /// Resolution to take at least.
    pub coarsest: Resolution,
    /// How calls are grouped.
    pub grouping: Grouping,
    /// Filter.
    pub of: UsageOf,
}

/// Calls of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSum {
    /// First second of the step, since 1970; `None` without steps.
    pub start: Option<u64>,
    /// Id of the key; `None` if calls are not grouped by it.
    pub key: Option<Arc<str>>,
    /// Id of the server and its last name; `None` if calls are not grouped by it.
    pub server: Option<(Arc<str>, Option<Arc<str>>)>,
    /// Name of the tool; `None` if calls are not grouped by it.
    pub tool: Option<Box<str>>,
    /// The calls.
    pub tally: CallStats,
}

/// Sums over a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSums {
    /// First second that is counted: the one asked for, or earlier.
    pub since: u64,
    /// Last second that is counted: the one asked for, or later.
    pub until: u64,
    /// Length of the sums that this is made of.
    pub resolution: Resolution,
    /// Length of the steps in seconds, which is not shorter than the resolution; `None` without steps.
    pub step: Option<u64>,
    /// All calls.
    pub usage: Usage,
    /// `true` if calls were to be grouped.
    pub is_grouped: bool,
    /// Calls by group: by steps, in each the most called first.
    pub groups: Vec<GroupSum>,
    /// Number of groups beyond 10,000, which are left out.
    pub left_out: usize,
}

type Place = (u64, Option<Arc<str>>, Option<Arc<str>>, Option<Box<str>>);

/// Sums up a range.
pub(super) fn sums(
    sums: &UsageAggregates,
    query: &RangeQuery,
    now: u64,
    retention: Retention,
) -> Result<RangeSums, StoreError> {
    let resolution = Resolution::kept(query.since, now, retention).max(query.coarsest);
    let unit = resolution.seconds();
    let (first, last) = (query.since / unit, query.until / unit);
    let step = query.grouping.step.map(|step| step.max(unit).next_multiple_of(unit));
    let is_grouped = !query.grouping.by.is_empty() || step.is_some();
    let (mut summing, mut groups) = (Summing::default(), HashMap::<Place, CallStats>::new());
    // Nothing is counted in the future, however far it is asked about.
    for number in first..=last.min(now.max(query.since) / unit) {
        let start = number * unit;
        summing.day(start_of_day(day_of(start)));
        for (line, tally) in read(sums, resolution, number)?.iter().filter(|(line, _)| query.of.takes(line)) {
            summing.add(line, tally);
            if is_grouped {
                groups.entry(place(&query.grouping, step, start, line)).or_default().add(tally);
            }
        }
    }
    let (groups, left_out) = sorted(sums, groups, step.is_some());
    Ok(RangeSums {
        since: first * unit,
        until: last * unit + (unit - 1),
        resolution,
        step,
        usage: summing.usage(sums),
        is_grouped,
        groups,
        left_out,
    })
}

fn read(
    sums: &UsageAggregates,
    resolution: Resolution,
    number: u64,
) -> Result<Vec<(UsageKey, CallStats)>, StoreError> {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    match resolution {
        Resolution::Minute => sums.minute(number),
        Resolution::Hour => sums.hour(number),
        Resolution::Day => sums.day(number),
    }
}

fn place(grouping: &Grouping, step: Option<u64>, start: u64, line: &UsageKey) -> Place {
    let has = |by| grouping.by.contains(&by);
    (
        step.map_or(0, |step| start - start % step),
        has(GroupedBy::Key).then(|| line.key.clone()),
        has(GroupedBy::Server).then(|| line.server.clone()),
        has(GroupedBy::Tool).then(|| line.tool.clone()),
    )
}

/// Puts groups into their order, and leaves out those beyond [`MAX_GROUPS`].
fn sorted(
    sums: &UsageAggregates,
    groups: HashMap<Place, CallStats>,
    has_steps: bool,
) -> (Vec<GroupSum>, usize) {
    let mut groups: Vec<(Place, CallStats)> = groups.into_iter().collect();
    groups.sort_by(|(a, of_a), (b, of_b)| {
        a.0.cmp(&b.0).then_with(|| of_b.calls().cmp(&of_a.calls())).then_with(|| a.cmp(b))
    });
    let left_out = groups.len().saturating_sub(MAX_GROUPS);
    groups.truncate(MAX_GROUPS);
    let shown = groups.into_iter().map(|((start, key, server, tool), tally)| GroupSum {
        start: has_steps.then_some(start),
        key,
        server: server.map(|id| {
            let name = sums.name(&id);
            (id, name)
        }),
        tool,
        tally,
    });
    (shown.collect(), left_out)
}

#[cfg(test)]
#[path = "ranges_tests.rs"]
mod tests;
