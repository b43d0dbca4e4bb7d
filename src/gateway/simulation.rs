//! Simulation of registry, store, usage, quota, audit and start-up under one seed. Random numbers decide what
//! is done to them, what the disk and the clock do to them, and when the process ends. The outcome is compared
//! with a model that knows only what was acknowledged.
//!
//! `SIMULATION_SEED` runs one seed alone, as a failure prints it; `SIMULATION_RUNS` sets the number of seeds.
//! `SIMULATION_CLOCK=steady` leaves the clock alone; `SIMULATION_CLOCK=wild` also starts with a clock that is
//! wrong by days or years.

mod model;
mod world;

use self::world::{Clock, World};
use crate::clock;

/// Number of steps in a run: enough for a few dozen ends of the process, few enough to be read.
const STEPS: u64 = 500;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is to be a whole number, not {text:?}")))
}

#[test]
fn nothing_acknowledged_is_lost_whatever_disk_clock_and_process_do() {
    let named = std::env::var("SIMULATION_CLOCK").unwrap_or_default();
    let clock = match named.as_str() {
        "steady" => Clock::Steady,
        "" => Clock::Set,
        "wild" => Clock::Wild,
        other => panic!("SIMULATION_CLOCK is \"steady\", \"wild\" or not there, and not {other:?}"),
    };
    let alone = setting("SIMULATION_SEED");
    let runs = if alone.is_some() { 1 } else { setting("SIMULATION_RUNS").unwrap_or(8) };
    let mut seen = model::Seen::default();
    for run in 0..runs {
        let seed = alone.unwrap_or(run + 1);
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, clock);
            (0..STEPS).for_each(|_| world.step());
            world.end()
        });
        clock::simulated::end();
        match result {
            Ok(of_run) => seen.add(&of_run),
            Err(panic) => {
                eprintln!(
                    "again: SIMULATION_CLOCK={named} SIMULATION_SEED={seed} cargo test --locked --lib simulation -- --nocapture"
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{runs} seeds, {} steps: {seen:?}", runs * STEPS);
    // A simulation in which nothing happens proves nothing.
    if alone.is_none() {
        assert!(seen.changes > 100 && seen.kills > 10 && seen.cuts > 10 && seen.faults > 100, "{seen:?}");
    }
}
