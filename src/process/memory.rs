//! Memory of the daemon's own process, and giving back what the allocator keeps of it. The only file here that calls into
//! the allocator.

#![allow(unsafe_code)]

use std::fs;

/// Memory that the process holds beside what is mapped from files, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldMemory {
    /// Resident.
    pub resident: u64,
    /// Allocated by the program at this moment.
    pub allocated: u64,
}

impl HeldMemory {
    /// Reads those of the daemon itself; `None` if `/proc` is not to be read, or the allocator does not tell.
    pub fn own() -> Option<HeldMemory> {
        let text = fs::read_to_string("/proc/self/status").ok()?;
        let anonymous = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        let kibibytes: u64 = anonymous.split_ascii_whitespace().next()?.parse().ok()?;
        Some(HeldMemory { resident: kibibytes * 1024, allocated: allocated()? })
    }
}

#[cfg(target_env = "gnu")]
fn allocated() -> Option<u64> {
    // SAFETY: it takes no argument and locks what it reads itself (mallinfo(3): thread-safe since glibc 2.27).
    let info = unsafe { nix::libc::mallinfo2() };
    u64::try_from(info.uordblks.saturating_add(info.hblkhd)).ok()
}

#[cfg(not(target_env = "gnu"))]
fn allocated() -> Option<u64> {
    None
}

/// Gives back to the kernel the pages that the allocator keeps for later. Takes about a millisecond for 10 MiB, while threads
/// that allocate may wait.
#[cfg(target_env = "gnu")]
pub fn give_back_memory() {
    // SAFETY: it changes no allocated memory, and locks what it works on itself (malloc_trim(3)).
    unsafe { nix::libc::malloc_trim(0) };
}

/// Does nothing with this allocator.
#[cfg(not(target_env = "gnu"))]
pub fn give_back_memory() {}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_seen() {
        let before = HeldMemory::own().unwrap();
        let large: Vec<u8> = vec![1; 64 << 20];
        let now = HeldMemory::own().unwrap();
        // Other tests run beside this one.
        assert!(now.allocated >= before.allocated + (32 << 20), "{before:?} {now:?} {}", large.len());
        assert!(now.resident >= 64 << 20, "{now:?}");
        give_back_memory();
        assert!(large.iter().all(|byte| *byte == 1));
    }
}
