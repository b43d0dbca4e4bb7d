//! The brand: a mark that a process keeps when it has left its group, its session and its environment.
//! It is a limit that descendants inherit, and of which a program that does not look for it knows
//! nothing: the soft limit on the time that a process under a real-time policy may run without a pause.
//! Its value says which installation the process is of and which child it comes from, and is thousands
//! of years, so that it limits nobody.

use rustix::process::{Resource, Rlimit, getrlimit};

use super::proc_fs;

/// Set in every brand: no limit that means something is so high.
const BRANDED: u64 = 1 << 62;
/// How many bits count the children.
const CHILD_BITS: u32 = 20;
/// How many bits tell the installation.
const INSTANCE_BITS: u32 = 40;

/// The brands of one installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Brands(u64);

impl Brands {
    /// Those of an instance: the same for each daemon that runs it.
    pub(super) fn of(instance: &str) -> Brands {
        // FNV-1a: the same in every version of this program, which the library's own hashes are not.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = instance.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        Brands(BRANDED | (hash >> (64 - INSTANCE_BITS)) << CHILD_BITS)
    }

    /// The brand of the child of this number. It comes back after a million children; the tree that had
    /// it is long gone.
    fn of_child(self, number: u64) -> u64 {
        self.0 | number & ((1 << CHILD_BITS) - 1)
    }

    /// Whether a limit is a brand of any installation.
    pub(super) fn is_of_any(limit: u64) -> bool {
        limit >> (INSTANCE_BITS + CHILD_BITS) == BRANDED >> (INSTANCE_BITS + CHILD_BITS)
    }

    /// Whether a limit is a brand of this installation.
    pub(super) fn has(self, limit: u64) -> bool {
        limit >> CHILD_BITS == self.0 >> CHILD_BITS
    }

    /// The brand of the child of this number, as the limit that it is to be given; `None` when the system would
    /// not have it.
    pub(super) fn limit_of(self, number: u64) -> Option<Rlimit> {
        let wanted = self.of_child(number);
        let maximum = getrlimit(Resource::Rttime).maximum;
        let fits = maximum.is_none_or(|maximum| maximum >= wanted);
        fits.then_some(Rlimit { current: Some(wanted), maximum })
    }

    /// Whether a process carries a brand of this installation.
    pub(super) fn is_on(self, pid: i32) -> bool {
        brand_of(pid).is_some_and(|limit| self.has(limit))
    }
}

/// The limit that serves as brand; `None` when the process is gone or has none.
pub(super) fn brand_of(pid: i32) -> Option<u64> {
    proc_fs::limit(pid, "Max realtime timeout")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_brand_tells_its_installation_and_its_child(one in ".{1,40}", other in ".{1,40}", child: u32, next: u32) {
            let (own, foreign) = (Brands::of(&one), Brands::of(&other));
            prop_assert!(own.has(own.of_child(child.into())));
            prop_assert!(own == foreign || !foreign.has(own.of_child(child.into())));
            let alike = child % (1 << CHILD_BITS) == next % (1 << CHILD_BITS);
            prop_assert_eq!(own.of_child(child.into()) == own.of_child(next.into()), alike);
            prop_assert!(own.of_child(child.into()) > 1 << 61, "it limits nobody");
        }

        #[test]
        fn no_limit_that_means_something_is_a_brand(instance in ".{1,40}", microseconds in 0u64..1 << 60) {
            prop_assert!(!Brands::of(&instance).has(microseconds));
            prop_assert!(!Brands::of(&instance).has(u64::MAX));
            prop_assert!(!Brands::is_of_any(microseconds) && !Brands::is_of_any(u64::MAX));
            prop_assert!(Brands::is_of_any(Brands::of(&instance).of_child(microseconds)));
        }
    }
}
