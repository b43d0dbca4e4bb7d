//! The clocks of a test, in place of the machine's: one set for each thread.

use std::cell::Cell;
use std::time::Duration;

use super::Known;

thread_local! {
    /// Seconds since 1970 by the wall clock; 0 for the machine's.
    static WALL: Cell<u64> = const { Cell::new(0) };
    /// Seconds by the steady clock, which nobody sets; of a simulation only.
    static STEADY: Cell<u64> = const { Cell::new(0) };
    /// Knowledge of a simulated process about its clock; `None` outside of a simulation.
    static KNOWN: Cell<Option<&'static Known>> = const { Cell::new(None) };
    /// The same, kept from one simulation to the next. One for each thread that simulates, never freed.
    static OF_THREAD: &'static Known = Box::leak(Box::new(Known::nothing()));
}

/// Sets the wall clock of this thread, in seconds since 1970.
pub(crate) fn set_wall(seconds: u64) {
    WALL.set(seconds);
}

/// Returns the wall clock of this thread, in seconds since 1970; 0 if it is the machine's.
pub(crate) fn wall() -> u64 {
    WALL.get()
}

/// Makes this thread a process of its own, with its own wall clock and its own steady clock.
pub(crate) fn begin(seconds: u64) {
    WALL.set(seconds);
    KNOWN.set(Some(OF_THREAD.with(|known| *known)));
}

/// Gives this thread the machine's clocks again.
pub(crate) fn end() {
    WALL.set(0);
    KNOWN.set(None);
}

/// Lets time pass by both clocks.
pub(crate) fn pass(seconds: u64) {
    WALL.set(WALL.get() + seconds);
    STEADY.set(STEADY.get() + seconds);
}

/// Returns the steady clock of a simulation on this thread; `None` if there is none.
pub(super) fn steady() -> Option<Duration> {
    known().map(|_| Duration::from_secs(STEADY.get()))
}

/// Returns what a simulation on this thread knows of its clock; `None` if there is none.
pub(super) fn known() -> Option<&'static Known> {
    KNOWN.get()
}
