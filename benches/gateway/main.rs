//! The whole path of a call, client to server and back, next to its baselines in the same run.
//!
//! * `gateway`: the release daemon as it is shipped, `POST /v1/mcp/invoke` with a key.
//! * `pipe`: the least program that still does it right: HTTP in, one JSON-RPC frame to the same
//!   child, the reply out. No actors, no keys, no limits, one thread.
//! * `beside`: another build of the daemon, if one is named.
//! * `constant`: the same HTTP stack with a constant answer, no child at all.
//! * `modern`, `aggregate`, when asked for: the daemon as an MCP client of 2026-07-28 calls it, at the endpoint of
//!   one server, and at that of all of 100 servers with 2,000 tools.
//! * `unrecorded`, `watched`, when asked for: the daemon without its record of single calls, and with a page of the dashboard open.
//! * `remote`, `remote-mcp`, `remote-legacy`, when asked for: the daemon before a remote server, called in `/v1` and by a
//!   modern client, and before one of the legacy era. Their baseline is `proxy`, a bare reverse proxy.
//!
//! Each is a process of its own, so CPU time and memory are read per process. One load generator
//! drives all of them by turns, checks every answer to its last byte and fails the run on a wrong one. The method
//! and how to read the table: `docs/performance.md`.

mod bars;
mod call_accounting;
mod constant;
mod echo_child;
mod load;
mod options;
mod page;
mod pipe;
mod process;
mod proxy;
mod remote_echo;
mod report;
mod upstream;
mod variant;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use load::Load;
use options::{Mode, Options};
use process::Usage;
use report::{Level, Round};
use variant::Running;

/// Between a first try and a server that is up; starting is not what is measured.
const READY_WITHIN: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.mode() {
        Mode::EchoChild => echo_child::run(options.tools, options.answer),
        Mode::BaselineConstant => single_threaded().and_then(|runtime| runtime.block_on(constant::serve())),
        Mode::BaselinePipe => single_threaded().and_then(|runtime| runtime.block_on(pipe::serve())),
        Mode::BaselineProxy(upstream) => {
            single_threaded().and_then(|runtime| runtime.block_on(proxy::serve(upstream)))
        }
        Mode::RemoteEcho(modern) => {
            single_threaded().and_then(|runtime| runtime.block_on(remote_echo::serve(modern)))
        }
        Mode::Measure => single_threaded().and_then(|runtime| runtime.block_on(measure(&options))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn single_threaded() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")
}

/// Starts the variants, drives every level, prints the table.
async fn measure(options: &Options) -> Result<()> {
    let mut running = Vec::new();
    for kind in options.variants() {
        running.push(Running::start(kind, options).with_context(|| format!("starting {}", kind.name()))?);
    }
    for variant in &running {
        load::wait_until_ready(variant.target(), READY_WITHIN)
            .await
            .with_context(|| variant.complain("it gave no right answer"))?;
    }
    report::print_setting(options);
    let begun = Instant::now();
    let mut levels = Vec::new();
    for in_flight in &options.levels {
        let level = measure_level(options, &running, *in_flight).await?;
        report::progress(&level);
        levels.push(level);
    }
    match options.json {
        true => report::print_json(&levels),
        false => {
            report::print_table(&levels, options.markdown);
            report::print_call_accounting(&levels);
        }
    }
    let bars = bars::print(&levels);
    for variant in running {
        variant.check_watched(begun.elapsed())?;
        variant.stop()?;
    }
    if options.bars {
        ensure!(
            bars.measured > 0,
            "no bar was measured: that takes 64 in flight, and proxy with a remote variant, or gateway with unrecorded or watched"
        );
        ensure!(bars.broken == 0, "{} of {} bars do not hold", bars.broken, bars.measured);
    }
    Ok(())
}

/// One level: rounds in which every variant has its turn, so that what else the machine does
/// meets all of them alike and ratios can be taken within a round.
async fn measure_level(options: &Options, running: &[Running], in_flight: usize) -> Result<Level> {
    let mut level = Level::new(in_flight, running.iter().map(Running::kind));
    let booth = call_accounting::AccountingRun::new().await?;
    for _ in 0..options.rounds() {
        level.add_call_accounting(booth.measure().await?);
        for (turn, variant) in running.iter().enumerate() {
            let round = measure_turn(options, variant, in_flight)
                .await
                .with_context(|| format!("{} with {in_flight} in flight", variant.kind().name()))?;
            level.add(turn, round);
        }
    }
    for (turn, variant) in running.iter().enumerate() {
        level.set_memory(turn, process::memory(variant.pids())?);
    }
    Ok(level)
}

async fn measure_turn(options: &Options, variant: &Running, in_flight: usize) -> Result<Round> {
    let load = Load::start(variant.target(), in_flight, options.warm_up(), options.window()).await?;
    tokio::time::sleep_until(load.measured_from()).await;
    let own = [std::process::id()];
    let before = (Usage::of(variant.pids())?, Usage::of(&own)?);
    tokio::time::sleep_until(load.measured_until()).await;
    let cpu = Usage::of(variant.pids())?.since(&before.0);
    let client_cpu = Usage::of(&own)?.since(&before.1);
    let answers = load.finish().await.with_context(|| variant.complain("answers are wrong or missing"))?;
    Ok(Round { answers, window: options.window(), cpu, client_cpu })
}
