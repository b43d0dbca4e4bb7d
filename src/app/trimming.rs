//! Giving back the memory that many clients took and have left again: the allocator keeps it, up to some 350 MiB after
//! 10,000 streams.

use std::time::Duration;

use crate::process::{HeldMemory, give_back_memory};

/// Interval in which memory is looked at.
const LOOK: Duration = Duration::from_secs(4);
/// Least size that is given back, in bytes, and least part of what is resident: it costs page faults when it is wanted again.
const LEAST: i64 = 2 << 20;
const LEAST_PART: i64 = 10;

/// Decides when memory is given back. Two looks in a row must find it unused, because a load comes and goes.
///
/// What is resident beyond what is allocated is unused. What is allocated and was never touched is not resident, so that the
/// difference may be far below 0 with much of it unused: what counts is by how much it is above the least it has been.
#[derive(Debug, Default)]
struct Trimming {
    was_unused: bool,
    /// Least difference so far, or the one after memory was given back, in bytes; `None` before the first look.
    floor: Option<i64>,
}

impl Trimming {
    /// Takes over a look. Returns `true` if memory is to be given back now.
    fn look(&mut self, held: HeldMemory) -> bool {
        let difference = difference(held);
        let floor = self.floor.map_or(difference, |floor| floor.min(difference));
        self.floor = Some(floor);
        let least = LEAST.max(signed(held.resident) / LEAST_PART).max(floor / 4);
        let is_unused = difference - floor >= least;
        std::mem::replace(&mut self.was_unused, is_unused) && is_unused
    }

    /// Takes over what is resident after memory was given back.
    fn given_back(&mut self, held: HeldMemory) {
        *self = Trimming { was_unused: false, floor: Some(difference(held)) };
    }
}

fn difference(held: HeldMemory) -> i64 {
    signed(held.resident) - signed(held.allocated)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Gives back what is not used, for as long as it is polled.
pub(super) async fn give_back_unused() {
    let mut trimming = Trimming::default();
    loop {
        tokio::time::sleep(LOOK).await;
        // In threads of their own: both walk through what is free, and wait for who allocates. Where there is nothing to
        // look at now, for want of a descriptor perhaps, there may be something later.
        let Ok(Some(held)) = tokio::task::spawn_blocking(HeldMemory::own).await else { continue };
        if trimming.look(held) {
            let given = tokio::task::spawn_blocking(|| {
                give_back_memory();
                HeldMemory::own()
            });
            let Ok(Some(left)) = given.await else { continue };
            tracing::debug!(before = held.resident, after = left.resident, "memory was given back");
            trimming.given_back(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn held(resident: u64, allocated: u64) -> HeldMemory {
        HeldMemory { resident: resident * MIB, allocated: allocated * MIB }
    }

    /// Trimming that has seen the daemon at rest.
    fn rested(resident: u64, allocated: u64) -> Trimming {
        let mut trimming = Trimming::default();
        assert!(!trimming.look(held(resident, allocated)), "the first look is of what is usual");
        trimming
    }

    #[test]
    fn memory_is_given_back_once_two_looks_find_much_of_it_unused() {
        let mut trimming = rested(12, 10);
        assert!(!trimming.look(held(400, 390)), "in use");
        assert!(!trimming.look(held(400, 20)), "only now");
        assert!(!trimming.look(held(400, 390)), "in use again");
        assert!(!trimming.look(held(400, 20)));
        assert!(trimming.look(held(400, 20)));
    }

    #[test]
    fn what_is_allocated_and_was_never_touched_hides_nothing() {
        let mut trimming = rested(8, 34);
        assert!(!trimming.look(held(60, 88)), "in use");
        assert!(!trimming.look(held(60, 34)), "only now");
        assert!(trimming.look(held(60, 34)), "50 of it are unused");
    }

    #[test]
    fn small_amounts_are_kept() {
        let (mut of_few, mut of_many) = (rested(8, 7), rested(900, 890));
        for _ in 0..3 {
            assert!(!of_few.look(held(10, 8)), "less than is worth it");
            assert!(!of_many.look(held(990, 900)), "little of what there is");
        }
    }

    #[test]
    fn what_could_not_be_given_back_is_not_tried_for_ever() {
        let mut trimming = rested(12, 10);
        trimming.look(held(400, 20));
        assert!(trimming.look(held(400, 20)));
        trimming.given_back(held(200, 20));
        for _ in 0..5 {
            assert!(!trimming.look(held(210, 20)));
        }
        trimming.look(held(260, 20));
        assert!(trimming.look(held(260, 20)), "a new load has left");
        // Half of those who were there leave, then the others.
        let mut trimming = rested(12, 10);
        trimming.look(held(700, 350));
        assert!(trimming.look(held(700, 350)));
        trimming.given_back(held(400, 350));
        trimming.look(held(400, 20));
        assert!(trimming.look(held(400, 20)));
    }
}
