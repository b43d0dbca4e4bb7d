//! What the turns add up to, and the table.

use std::time::Duration;

use serde_json::json;

use crate::load::Answers;
use crate::options::{Kind, Options};
use crate::process::Memory;

/// One variant's turn in one round.
pub(crate) struct Round {
    pub(crate) answers: Answers,
    pub(crate) window: Duration,
    /// CPU time of the variant's own process within the window.
    pub(crate) cpu: Duration,
    /// CPU time of the load generator within the window.
    pub(crate) client_cpu: Duration,
}

/// All turns of one variant at one level.
struct Series {
    kind: Kind,
    /// Answers a second, one value per round.
    rates: Vec<f64>,
    /// CPU time for a call in microseconds, one value per round.
    costs: Vec<f64>,
    calls: usize,
    cpu: Duration,
    client_cpu: Duration,
    latencies: Vec<u32>,
    memory: Memory,
}

/// All rounds with so many calls in flight.
pub(crate) struct Level {
    in_flight: usize,
    series: Vec<Series>,
    /// CPU time for one call's keys, limits and usage, one value per round.
    tolls: Vec<f64>,
}

impl Level {
    pub(crate) fn new(in_flight: usize, kinds: impl Iterator<Item = Kind>) -> Level {
        let series = kinds
            .map(|kind| Series {
                kind,
                rates: Vec::new(),
                costs: Vec::new(),
                calls: 0,
                cpu: Duration::ZERO,
                client_cpu: Duration::ZERO,
                latencies: Vec::new(),
                memory: Memory::default(),
            })
            .collect();
        Level { in_flight, series, tolls: Vec::new() }
    }

    pub(crate) fn add(&mut self, turn: usize, mut round: Round) {
        let Some(series) = self.series.get_mut(turn) else { return };
        let calls = round.answers.latencies.len();
        series.rates.push(calls as f64 / round.window.as_secs_f64());
        series.costs.push(round.cpu.as_secs_f64() * 1e6 / calls as f64);
        series.calls += calls;
        series.cpu += round.cpu;
        series.client_cpu += round.client_cpu;
        series.latencies.append(&mut round.answers.latencies);
    }

    pub(crate) fn add_call_accounting(&mut self, toll: Duration) {
        self.tolls.push(toll.as_secs_f64() * 1e6);
    }

    pub(crate) fn set_memory(&mut self, turn: usize, memory: Memory) {
        if let Some(series) = self.series.get_mut(turn) {
            series.memory = memory;
        }
    }

    /// What keys, limits and usage cost a call, and their share of the daemon's CPU time for it; none
    /// without the daemon.
    fn toll(&self) -> Option<String> {
        let series = self.series.iter().find(|series| series.kind == Kind::Gateway)?;
        let whole = series.cpu.as_secs_f64() * 1e6 / series.calls as f64;
        let toll = median(&mut self.tolls.clone());
        let (level, share) = (self.in_flight, 100.0 * toll / whole);
        Some(format!("{level} in flight: {toll:.2} of {whole:.1} µs, {share:.1} %"))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn pair(&self, kind: Kind, base: Kind) -> Option<(&Series, &Series)> {
        let of = |kind| self.series.iter().find(|series| series.kind == kind);
        Some((of(kind)?, of(base)?))
    }

    /// The CPU time for a call of one variant against that of another, of each round; none without both.
    pub(crate) fn cpu_ratios(&self, kind: Kind, base: Kind) -> Option<Vec<f64>> {
        let (series, base) = self.pair(kind, base)?;
        Some(series.costs.iter().zip(&base.costs).map(|(cost, base)| cost / base).collect())
    }

    /// The rate of one variant against that of another, of each round; none without both.
    pub(crate) fn rate_ratios(&self, kind: Kind, base: Kind) -> Option<Vec<f64>> {
        let (series, base) = self.pair(kind, base)?;
        Some(series.rates.iter().zip(&base.rates).map(|(rate, base)| rate / base).collect())
    }

    fn against(&self, kind: Kind, base: Kind) -> Option<String> {
        let mut ratios = self.cpu_ratios(kind, base)?;
        let (kind, base) = (kind.name(), base.name());
        Some(format!("{} in flight: {kind} against {base}: {}", self.in_flight, spread(&mut ratios)))
    }

    fn rows(&self) -> impl Iterator<Item = [String; COLUMNS.len()]> {
        self.series.iter().map(|series| {
            let ratios = self.rate_ratios(series.kind, series.kind.baseline());
            let ratio = ratios.map_or("-".to_owned(), |mut ratios| spread(&mut ratios));
            let mut latencies = series.latencies.clone();
            latencies.sort_unstable();
            let per_call = |cpu: Duration| format!("{:.1}", cpu.as_secs_f64() * 1e6 / series.calls as f64);
            [
                self.in_flight.to_string(),
                series.kind.name().to_owned(),
                format!("{:.0}", median(&mut series.rates.clone())),
                ratio,
                per_call(series.cpu),
                per_call(series.client_cpu),
                microseconds(percentile(&latencies, 0.50)),
                microseconds(percentile(&latencies, 0.99)),
                mebibytes(series.memory.resident),
                mebibytes(series.memory.peak),
            ]
        })
    }
}

const COLUMNS: [&str; 10] = [
    "in flight",
    "variant",
    "calls/s",
    "of baseline (least-most)",
    "CPU µs/call",
    "client µs",
    "p50 µs",
    "p99 µs",
    "RSS MiB",
    "peak MiB",
];

/// The middle value, or the mean of the two; sorts what it is given.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|below| values.get(below)).copied().unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

/// The middle value, the least and the most.
fn spread(values: &mut [f64]) -> String {
    let middle = median(values);
    let (least, most) = (values.first().copied(), values.last().copied());
    format!("{middle:.2} ({:.2}-{:.2})", least.unwrap_or(middle), most.unwrap_or(middle))
}

/// The smallest value that at least `share` of the sorted values do not exceed.
fn percentile(sorted: &[u32], share: f64) -> Option<u32> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn microseconds(nanoseconds: Option<u32>) -> String {
    nanoseconds.map_or("-".to_owned(), |value| format!("{:.0}", f64::from(value) / 1e3))
}

fn mebibytes(kibibytes: u32) -> String {
    format!("{:.1}", f64::from(kibibytes) / 1024.0)
}

/// What of the daemon's CPU time for a call is for who makes it.
pub(crate) fn print_call_accounting(levels: &[Level]) {
    let tolls: Vec<String> = levels.iter().filter_map(Level::toll).collect();
    if !tolls.is_empty() {
        println!("authentication, limits and usage, of the gateway's CPU for a call:");
        tolls.iter().for_each(|toll| println!("  {toll}"));
    }
    const PAIRS: [(Kind, Kind); 9] = [
        (Kind::Gateway, Kind::Beside),
        (Kind::Gateway, Kind::Unrecorded),
        (Kind::Watched, Kind::Gateway),
        (Kind::Modern, Kind::Gateway),
        (Kind::Aggregate, Kind::Gateway),
        (Kind::Remote, Kind::Proxy),
        (Kind::RemoteMcp, Kind::Proxy),
        (Kind::RemoteLegacy, Kind::Proxy),
        (Kind::Remote, Kind::RemoteBeside),
    ];
    let all = levels.iter().flat_map(|level| PAIRS.map(|(kind, base)| level.against(kind, base)));
    let against: Vec<String> = all.flatten().collect();
    if !against.is_empty() {
        println!("CPU for a call against another's in the same round (least-most):");
        against.iter().for_each(|ratio| println!("  {ratio}"));
    }
}

/// What the numbers depend on and a reader cannot see in them.
pub(crate) fn print_setting(options: &Options) {
    let processor = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("model name")).map(str::to_owned))
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{cores} cores ({}), load before {}; {} rounds of {:?} after {:?} of warm-up",
        processor.trim_start_matches([' ', '\t', ':']),
        load.split(' ').next().unwrap_or_default(),
        options.rounds(),
        options.window(),
        options.warm_up(),
    );
}

/// A line of JSON for each variant at each level: calls a second and CPU time for a call (µs) of each round, latencies (µs) over all
/// of them, memory (KiB) at the end. `benches/table.py` reads it.
pub(crate) fn print_json(levels: &[Level]) {
    for level in levels {
        for series in &level.series {
            let mut latencies = series.latencies.clone();
            latencies.sort_unstable();
            let at = |share| percentile(&latencies, share).map(|nanoseconds| f64::from(nanoseconds) / 1e3);
            let line = json!({
                "variant": series.kind.name(),
                "in_flight": level.in_flight,
                "calls": series.calls,
                "calls_per_second": series.rates,
                "cpu_us": series.costs,
                "p50_us": at(0.50),
                "p99_us": at(0.99),
                "rss_kib": series.memory.resident,
                "peak_kib": series.memory.peak,
            });
            println!("{line}");
        }
    }
}

/// One line as soon as a level is done, so that a long run shows life.
pub(crate) fn progress(level: &Level) {
    let calls: usize = level.series.iter().map(|series| series.calls).sum();
    eprintln!("{} in flight: {calls} calls measured, every answer right", level.in_flight);
}

pub(crate) fn print_table(levels: &[Level], markdown: bool) {
    let rows: Vec<_> = levels.iter().flat_map(Level::rows).collect();
    let widths: Vec<usize> = COLUMNS
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(title.chars().count())
        })
        .collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        if markdown { format!("| {} |", padded.join(" | ")) } else { padded.join("  ") }
    };
    println!("{}", line(&COLUMNS.map(str::to_owned)));
    if markdown {
        let rule: Vec<String> = widths.iter().map(|width| format!("{}:", "-".repeat(width - 1))).collect();
        println!("{}", line(&rule));
    }
    for row in &rows {
        println!("{}", line(row));
    }
}
