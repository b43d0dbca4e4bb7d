//! Restrictions on a child from its first instruction on.
#![allow(unsafe_code)]

use std::io;

use nix::sys::stat::{Mode, umask};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::spawn::Command;

/// Holds the process that `command` will start, and whatever it starts itself, to three rules: it gains no privileges
/// by running set-user-id programs, its files are private to its user unless it says otherwise, and it leaves no core
/// dumps, which hold its memory and so its secrets.
///
/// `open_files` is the limit on its open files, if it differs from ours: many programs iterate over all descriptors
/// they may have. `brand` is the limit that marks it as ours.
pub(super) fn harden(command: &mut Command, open_files: Option<Rlimit>, brand: Option<Rlimit>) {
    let limits = [
        (Resource::Core, Some(Rlimit { current: Some(0), maximum: Some(0) })),
        (Resource::Nofile, open_files),
        (Resource::Rttime, brand),
    ];
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `prctl`, `umask`
    // and `setrlimit` are plain system calls; nothing here allocates, locks or panics.
    unsafe {
        command.before_exec(move || {
            nix::sys::prctl::set_no_new_privs().map_err(io::Error::from)?;
            umask(Mode::S_IRWXG | Mode::S_IRWXO);
            for (resource, limit) in limits {
                limit.map_or(Ok(()), |limit| setrlimit(resource, limit))?;
            }
            Ok(())
        });
    }
}
