//! Usage: every call counted once, by key, server, tool and outcome, with its duration and its bytes; never
//! arguments or results. A call is counted in memory. Once a second a thread takes the counts and writes them as
//! absolute values, so that writing twice does no harm. A killed daemon loses at most the counts of one second and
//! one write; a stopped one loses nothing.

mod accounting;
mod aggregates;
#[cfg(feature = "bench")]
mod bench;
mod buffer;
mod calendar;
mod call_line;
mod call_stats;
mod error;
mod meter;
mod quota;
mod ranges;
mod report;
mod retention;
mod traffic;
mod writer;

pub use self::accounting::Accounting;
pub(crate) use self::aggregates::backup_of;
#[cfg(feature = "bench")]
pub use self::bench::CallAccounting;
#[cfg(test)]
pub(crate) use self::buffer::{UsageBuffer, UsageSample};
#[cfg(test)]
pub(crate) use self::calendar::{day_of, first_of_month, minute_of};
pub use self::call_stats::CallStats;
pub use self::error::{Error, QuotaOf};
pub(crate) use self::meter::{Meter, Reach, note, unix_ms};
#[cfg(test)]
pub(crate) use self::quota::Quotas;
pub use self::ranges::{GroupSum, GroupedBy, Grouping, RangeQuery, RangeSums, Resolution};
pub use self::report::{Bucket, Granularity, HistoryQuery, Period, Span, Usage, UsageOf};
pub use self::retention::Retention;
pub use self::traffic::Traffic;
#[cfg(test)]
pub(crate) use self::writer::UsageBuffers;
#[cfg(test)]
pub(crate) use self::writer::by_hand;
