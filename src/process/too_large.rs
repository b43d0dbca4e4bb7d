//! Handling of a write beyond a limit on file sizes. The only file here that changes what a signal does.

#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, Signal, signal};

/// Makes such a write an error, like one to a full disk, instead of ending the process. For the time before the daemon
/// handles signals, which replaces this; processes started until then inherit it.
pub fn hold_too_large() {
    // SAFETY: no handler runs; to ignore a signal cannot call into anything.
    if let Err(error) = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) } {
        tracing::warn!(%error, "a limit on file sizes would end the process");
    }
}
