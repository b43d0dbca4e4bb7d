//! A write beyond a limit on file sizes. The only file here that changes what a signal does.

#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, Signal, signal};

/// From here on such a write is an error, like one to a full disk, and not the end of the process.
/// For the time before the daemon handles signals, which replaces this; what is started until then
/// inherits it.
pub fn hold_too_large() {
    // SAFETY: no handler runs; to ignore a signal cannot call into anything.
    if let Err(error) = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) } {
        tracing::warn!(%error, "a limit on file sizes would end the process");
    }
}
