//! Hands libFuzzer the target that `FUZZ_TARGET` names. The targets are in the daemon's own crate
//! (`src/fuzzing.rs`), so that its tests run the same ones.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mcpvisor::fuzzing::TARGETS;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn chosen() -> fn(&[u8]) {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    found.unwrap_or_else(|| panic!("FUZZ_TARGET={wanted} is none of {names:?}")).1
}

fuzz_target!(|bytes: &[u8]| TARGET.get_or_init(chosen)(bytes));
