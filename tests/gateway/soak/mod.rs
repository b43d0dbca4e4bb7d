//! Long runs, in two sizes: short with every other test, where only gross faults count, and long by
//! `make soak`, where every promise of `docs/supervision.md` is held to its number.
//!
//! `SOAK=long` asks for the long ones; `SOAK_COUNT` and `SOAK_SECONDS` say how long.

mod authority;
mod broken;
mod budgets;
mod clients;
mod cycles;
mod durability;
mod edit;
mod hangups;
mod idle;
mod ids;
mod kills;
mod limits;
mod mixed;
mod powercut;
mod queries;
mod slow;
mod unread;
mod usage;

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::support::gateway::Gateway;
use crate::support::processes::zombies_of;
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

/// What one scenario measured, and whether it kept its promises.
struct Report {
    scenario: &'static str,
    long: bool,
    broken: Vec<String>,
}

impl Report {
    fn of(scenario: &'static str) -> Report {
        let long = std::env::var("SOAK").is_ok_and(|size| size == "long");
        let size = if long { "long" } else { "short" };
        eprintln!(
            "| scenario | what | measured | promised |\n|---|---|---|---|\n| {scenario} | size | {size} | |"
        );
        Report { scenario, long, broken: Vec::new() }
    }

    /// How many rounds to go.
    fn count(&self, short: usize, long: usize) -> usize {
        setting("SOAK_COUNT").filter(|_| self.long).unwrap_or(if self.long { long } else { short })
    }

    /// For how long to go on.
    fn length(&self, short: u64, long: u64) -> Duration {
        let seconds = setting("SOAK_SECONDS").filter(|_| self.long);
        Duration::from_secs(seconds.unwrap_or(if self.long { long } else { short }))
    }

    /// Notes a measurement for its own sake.
    fn note(&self, what: &str, measured: impl Display) {
        eprintln!("| {} | {what} | {measured} | |", self.scenario);
    }

    /// Notes a measurement and whether it is as promised, whatever the size.
    fn row(&mut self, what: &str, measured: impl Display, promised: &str, kept: bool) {
        let verdict = if kept { "" } else { " **BROKEN**" };
        eprintln!("| {} | {what} | {measured} | {promised}{verdict} |", self.scenario);
        if !kept {
            self.broken.push(format!("{what}: {measured}, promised {promised}"));
        }
    }

    /// The same for what only a long run shows, or a machine with nothing else to do.
    fn long_row(&mut self, what: &str, measured: impl Display, promised: &str, kept: bool) {
        if self.long {
            self.row(what, measured, promised, kept);
        } else {
            eprintln!("| {} | {what} | {measured} | {promised}, in the long run |", self.scenario);
        }
    }

    fn end(self) {
        assert!(self.broken.is_empty(), "{}: {:#?}", self.scenario, self.broken);
    }
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is to be a whole number, not {text:?}")))
}

/// Waits until the daemon is at rest, and says what it uses then.
async fn at_rest(gateway: &Gateway, like: Option<Usage>) -> Usage {
    let pid = gateway.pid();
    wait_until("no zombies", DEADLINE, || async { zombies_of(pid).is_empty().then_some(()) }).await;
    let end = tokio::time::Instant::now() + Duration::from_secs(15);
    loop {
        // Threads for blocking work go by themselves after a while, connections when they are idle.
        let now = Usage::of(pid);
        let calm = like.is_none_or(|like| now.files <= like.files && now.threads <= like.threads);
        if calm || tokio::time::Instant::now() > end {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Compares what the daemon uses with what it used before.
fn compare(report: &mut Report, before: Usage, after: Usage) {
    let files = format!("{} → {}", before.files, after.files);
    report.row("file descriptors", files, "± 2", after.files.abs_diff(before.files) <= 2);
    let threads = format!("{} → {}", before.threads, after.threads);
    report.row("threads", threads, "no more than 2 more", after.threads <= before.threads + 2);
    let memory = format!("{} → {} KiB", before.resident, after.resident);
    let kept = after.resident * 100 <= before.resident * 105;
    report.long_row("resident memory", memory, "+ 5 % at most", kept);
}

/// How often the daemon said that something of a tree could not be ended.
fn orphans(gateway: &Gateway) -> usize {
    gateway.output().matches("could not be ended").count()
}
