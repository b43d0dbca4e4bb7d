//! The daemon killed at a random moment while its configuration is written, again and again (F81).

use std::time::Duration;

use super::Report;
use crate::durability::killed_at_any_moment;

#[tokio::test]
async fn acknowledged_changes_outlive_kills_at_any_moment() {
    let mut report = Report::of("durability");
    let rounds = report.count(20, 200);
    let seen = killed_at_any_moment(rounds).await;
    let mut starts = seen.starts;
    starts.sort();
    let median = starts.get(starts.len() / 2).copied().unwrap_or_default();
    let longest = starts.last().copied().unwrap_or_default();
    report.note("changes that were acknowledged", seen.acknowledged);
    report.note("changes under way at a kill that were made all the same", seen.made_unasked);
    report.note("starts that found changes only in the journal", seen.replayed);
    report.row("kills", format!("{} starts", starts.len()), "every one opens", starts.len() == rounds);
    let lost = format!("{} {:?}", seen.lost.len(), seen.lost);
    report.row("acknowledged changes lost", lost, "0", seen.lost.is_empty());
    report.row("stores moved to quarantine", seen.quarantined, "0", seen.quarantined == 0);
    let took = format!("median {median:?}, longest {longest:?}");
    report.row("from exec to listening", took, "30 s at most", longest < Duration::from_secs(30));
    report.end();
}
