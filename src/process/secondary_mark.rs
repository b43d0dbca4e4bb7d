//! The brand: a mark that a process keeps after it has left its group, its session and its environment. It is a limit
//! that descendants inherit, and that a program does not notice unless it looks for it: the soft limit on the time that
//! a process under a real-time policy may run without a pause. Its value encodes the installation and the child a
//! process comes from, and amounts to thousands of years, so that it limits nobody.

use rustix::process::{Resource, Rlimit, getrlimit};

use super::proc_fs;

/// Bit set in every brand: no meaningful limit is so high.
const BRANDED: u64 = 1 << 62;
/// Number of bits for the child's number.
const CHILD_BITS: u32 = 20;
/// Number of bits for the installation.
const INSTANCE_BITS: u32 = 40;

/// All brands of one installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SecondaryMarks(u64);

impl SecondaryMarks {
    /// Returns the brands of an instance: the same for each daemon that runs it.
    pub(super) fn of(instance: &str) -> SecondaryMarks {
        // FNV-1a: the same in every version of this program, unlike the standard library's hashes.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = instance.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        SecondaryMarks(BRANDED | (hash >> (64 - INSTANCE_BITS)) << CHILD_BITS)
    }

    /// Returns the brand of the child with this number. It repeats after a million children; by then the earlier tree
    /// is long gone.
    fn of_child(self, number: u64) -> u64 {
        self.0 | number & ((1 << CHILD_BITS) - 1)
    }

    /// Reports whether a limit is a brand of any installation.
    pub(super) fn is_of_any(limit: u64) -> bool {
        limit >> (INSTANCE_BITS + CHILD_BITS) == BRANDED >> (INSTANCE_BITS + CHILD_BITS)
    }

    /// Reports whether a limit is a brand of this installation.
    pub(super) fn has(self, limit: u64) -> bool {
        limit >> CHILD_BITS == self.0 >> CHILD_BITS
    }

    /// Returns the brand of the child with this number, as the limit to set; `None` if the hard limit is below it.
    pub(super) fn limit_of(self, number: u64) -> Option<Rlimit> {
        let wanted = self.of_child(number);
        let maximum = getrlimit(Resource::Rttime).maximum;
        let fits = maximum.is_none_or(|maximum| maximum >= wanted);
        fits.then_some(Rlimit { current: Some(wanted), maximum })
    }

    /// Reports whether a process carries a brand of this installation.
    pub(super) fn is_on(self, pid: i32) -> bool {
        secondary_mark_of(pid).is_some_and(|limit| self.has(limit))
    }
}

/// Returns the limit that serves as brand; `None` if the process is gone or has none.
pub(super) fn secondary_mark_of(pid: i32) -> Option<u64> {
    proc_fs::limit(pid, "Max realtime timeout")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_brand_tells_its_installation_and_its_child(one in ".{1,40}", other in ".{1,40}", child: u32, next: u32) {
            let (own, foreign) = (SecondaryMarks::of(&one), SecondaryMarks::of(&other));
            prop_assert!(own.has(own.of_child(child.into())));
            prop_assert!(own == foreign || !foreign.has(own.of_child(child.into())));
            let alike = child % (1 << CHILD_BITS) == next % (1 << CHILD_BITS);
            prop_assert_eq!(own.of_child(child.into()) == own.of_child(next.into()), alike);
            prop_assert!(own.of_child(child.into()) > 1 << 61, "it limits nobody");
        }

        #[test]
        fn no_limit_that_means_something_is_a_brand(instance in ".{1,40}", microseconds in 0u64..1 << 60) {
            prop_assert!(!SecondaryMarks::of(&instance).has(microseconds));
            prop_assert!(!SecondaryMarks::of(&instance).has(u64::MAX));
            prop_assert!(!SecondaryMarks::is_of_any(microseconds) && !SecondaryMarks::is_of_any(u64::MAX));
            prop_assert!(SecondaryMarks::is_of_any(SecondaryMarks::of(&instance).of_child(microseconds)));
        }
    }
}
