//! Signal state inherited from the process that started us. A mask and ignored signals outlive an exec, so `nohup`,
//! `trap '' TERM` and a careless parent reach into this process, and through it into every child.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Highest signal number on Linux.
const LAST_SIGNAL: i32 = 64;

/// Restores the default for the signals the daemon depends on, and returns the numbers of the others that were ignored
/// when it was started. Must be called before there is a second thread, because each thread has a mask of its own.
///
/// Afterwards no signal is blocked. SIGTERM ends the process until it is handled, and SIGCHLD is not ignored: otherwise
/// the kernel would reap our children and we would not learn their exit status.
pub fn take_signals() -> Vec<i32> {
    if let Err(error) = SigSet::all().thread_unblock() {
        tracing::warn!(%error, "signals that were blocked when the daemon was started stay blocked");
    }
    for wanted in [Signal::SIGTERM, Signal::SIGCHLD] {
        if is_ignored(wanted as i32) {
            // SAFETY: no handler is installed; the default of a signal cannot call into anything.
            let _ = unsafe { signal(wanted, SigHandler::SigDfl) };
        }
    }
    (1..=LAST_SIGNAL).filter(|number| is_ignored(*number)).collect()
}

fn is_ignored(number: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, `sigaction` only writes the present one to the place it is given,
    // which is ours and large enough; all zeroes are a valid one if it does not.
    let action = unsafe {
        if libc::sigaction(number, ptr::null(), action.as_mut_ptr()) != 0 {
            return false;
        }
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Gives the calling process the signal state that a program expects: nothing blocked, nothing ignored. For use between
/// fork and exec: plain system calls, nothing allocates or locks.
pub(super) fn reset_signals() -> io::Result<()> {
    for number in 1..=LAST_SIGNAL {
        // SAFETY: as above; it fails for the few numbers that have no disposition, which is no harm.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    SigSet::empty().thread_set_mask().map_err(io::Error::from)
}
