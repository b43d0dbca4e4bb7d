//! Files that the process that started us left open.
#![allow(unsafe_code)]

use std::io;

/// Keeps every file that is open now from our children: they get stdin, stdout and stderr and nothing else. The files
/// we open ourselves are closed on exec anyway; inherited ones may not be.
pub(super) fn close_on_exec() -> io::Result<()> {
    use nix::libc;
    // SAFETY: `close_range` with CLOSE_RANGE_CLOEXEC only sets a flag on our own descriptors; it
    // closes none and touches no memory.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
