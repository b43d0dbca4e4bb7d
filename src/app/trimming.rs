//! Giving back the memory that many clients took and have left again: the allocator keeps it, up to some 350 MiB after
//! 10,000 streams.

use std::time::Duration;

use crate::process::{HeldMemory, give_back_memory};

/// Interval in which memory is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Least size that is given back, in bytes: it costs page faults when it is wanted again.
const LEAST: u64 = 32 << 20;

/// Decides when memory is given back. Two looks in a row must find it unused, because a load comes and goes.
#[derive(Debug, Default)]
struct Trimming {
    was_idle: bool,
    /// Unused memory after the last time, in bytes: what could not be given back then.
    left: u64,
}

impl Trimming {
    /// Takes over a look. Returns `true` if memory is to be given back now.
    fn look(&mut self, held: HeldMemory) -> bool {
        let idle = held.resident.saturating_sub(held.allocated);
        let is_idle = idle >= self.left + LEAST.max(self.left / 4) && idle >= held.allocated / 2;
        std::mem::replace(&mut self.was_idle, is_idle) && is_idle
    }

    /// Takes over what is resident after memory was given back.
    fn given_back(&mut self, held: HeldMemory) {
        *self = Trimming { was_idle: false, left: held.resident.saturating_sub(held.allocated) };
    }
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

    #[test]
    fn memory_is_given_back_once_two_looks_find_much_of_it_unused() {
        let mut trimming = Trimming::default();
        assert!(!trimming.look(held(400, 390)), "in use");
        assert!(!trimming.look(held(400, 20)), "only now");
        assert!(!trimming.look(held(400, 390)), "in use again");
        assert!(!trimming.look(held(400, 20)));
        assert!(trimming.look(held(400, 20)));
    }

    #[test]
    fn small_amounts_are_kept() {
        let mut trimming = Trimming::default();
        for _ in 0..3 {
            assert!(!trimming.look(held(40, 10)), "less than is worth it");
            assert!(!trimming.look(held(1_000, 900)), "little of what is used");
        }
    }

    #[test]
    fn what_could_not_be_given_back_is_not_tried_for_ever() {
        let mut trimming = Trimming::default();
        trimming.look(held(400, 20));
        assert!(trimming.look(held(400, 20)));
        trimming.given_back(held(200, 20));
        for _ in 0..5 {
            assert!(!trimming.look(held(210, 20)));
        }
        trimming.look(held(260, 20));
        assert!(trimming.look(held(260, 20)), "a new load has left");
        // Half of those who were there leave, then the others.
        let mut trimming = Trimming::default();
        trimming.look(held(700, 350));
        assert!(trimming.look(held(700, 350)));
        trimming.given_back(held(400, 350));
        trimming.look(held(400, 20));
        assert!(trimming.look(held(400, 20)));
    }
}
