//! A server as the page's table has it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;

use super::windows::{Counts, Rates, Window};
use crate::gateway::{CRASH_LOOP, ServerLoad, ServerLoads, ServerView, on_the_wall};
use crate::http::core::timestamp::timestamp;

/// One server.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    name: &'a str,
    transport: &'static str,
    description: Option<&'a str>,
    is_active: bool,
    state: &'static str,
    phase: Option<&'static str>,
    since: String,
    cause: Option<String>,
    cause_code: Option<&'static str>,
    last_active: Option<String>,
    restarts: u64,
    failures: u32,
    crash_loop: bool,
    next_start_at: Option<String>,
    tools: usize,
    unapproved: usize,
    calls: u64,
    errors: u64,
    calls_per_second: f64,
    errors_per_second: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    in_flight: usize,
    queued: usize,
    breaker: &'static str,
    breaker_until: Option<String>,
    /// `null` while it is not known.
    rss_bytes: Option<u64>,
    cpu: Option<f64>,
    processes: Option<usize>,
    update: Option<UpdateOf>,
}

/// A changed definition on its way, beside the one that serves.
#[derive(Serialize)]
struct UpdateOf {
    state: &'static str,
    cause: Option<String>,
    next_start_at: Option<String>,
}

/// Returns the row of each server as JSON, with the rates of these windows.
pub(super) fn of(
    servers: &[ServerView],
    loads: Option<&ServerLoads>,
    windows: &mut HashMap<Arc<str>, Window>,
    now: Instant,
) -> Vec<(Arc<str>, Box<RawValue>)> {
    let told = |server: &ServerView| {
        let load = loads.and_then(|loads| loads.of.get(&server.id));
        let window = windows.entry(server.id.clone()).or_default();
        Some((server.id.clone(), serde_json::value::to_raw_value(&row(server, load, window, now)).ok()?))
    };
    servers.iter().filter_map(told).collect()
}

fn row<'a>(server: &'a ServerView, load: Option<&ServerLoad>, window: &mut Window, now: Instant) -> Row<'a> {
    let (status, traffic) = (&*server.status, &server.traffic);
    let cpu_time = load.map_or(0.0, |load| load.usage.cpu_time.as_secs_f64());
    let sums = Counts { calls: traffic.calls, errors: traffic.errors, cpu: cpu_time };
    let rates: Rates = window.rates(now, sums);
    let percentiles = load.and_then(|load| window.percentiles(now, &load.durations));
    let pins = server.pins.sums();
    Row {
        id: &server.id,
        name: &server.name,
        transport: server.definition.transport().name(),
        description: server.definition.description(),
        is_active: server.definition.is_active(),
        state: status.state.name(),
        phase: status.phase(),
        since: timestamp(status.since),
        cause: status.cause().or_else(|| server.definition.idle_reason().map(str::to_owned)),
        cause_code: status.cause_code(),
        last_active: traffic.last_active.map(timestamp),
        restarts: status.restarts,
        failures: status.failures,
        crash_loop: status.failures >= CRASH_LOOP,
        next_start_at: status.state.next_start().map(timestamp),
        tools: server.catalog.tools().len(),
        unapproved: pins.changed + pins.new,
        calls: traffic.calls,
        errors: traffic.errors,
        calls_per_second: rates.calls,
        errors_per_second: rates.errors,
        p50_ms: percentiles.map(|(median, _)| median),
        p99_ms: percentiles.map(|(_, slow)| slow),
        in_flight: server.in_flight,
        queued: server.queued,
        breaker: server.breaker.name(),
        breaker_until: server.breaker.until().map(|until| timestamp(on_the_wall(until))),
        // In steps that an eye tells apart, so that a server at rest is not sent again for a page of memory.
        rss_bytes: load.map(|load| load.usage.rss_bytes >> 17 << 17),
        cpu: load.map(|_| (rates.cpu * 100.0).round() / 100.0),
        processes: load.map(|load| load.usage.processes),
        update: status.update.as_ref().map(|update| UpdateOf {
            state: update.state.name(),
            cause: update.state.cause().map(ToString::to_string),
            next_start_at: update.state.next_start().map(timestamp),
        }),
    }
}
