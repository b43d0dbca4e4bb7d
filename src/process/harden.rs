//! What a child is held to from its first instruction on.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::process::Command;

use super::dispositions::reset_signals;

/// Holds the process that `command` will start, and whatever it starts itself, to three rules: it
/// gains no privileges by running set-user-id programs, its files are its user's alone unless it
/// says otherwise, and it leaves no core dumps, which hold its memory and so its secrets. Its signals
/// are as a program expects them, whatever was done to ours.
pub(super) fn harden(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `prctl`, `umask`,
    // `setrlimit` and those for signals are plain system calls; nothing here allocates, locks or panics.
    unsafe {
        command.pre_exec(|| {
            reset_signals()?;
            nix::sys::prctl::set_no_new_privs().map_err(io::Error::from)?;
            umask(Mode::S_IRWXG | Mode::S_IRWXO);
            setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(io::Error::from)
        });
    }
}

/// Has the process that `command` will start move into a control group, by the group's open
/// `cgroup.procs`, before it does anything else.
pub(super) fn join(command: &mut Command, procs: io::Result<File>) -> io::Result<()> {
    let procs = procs?;
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `write` is a plain
    // system call on an open descriptor that the closure owns; nothing here allocates or locks.
    unsafe {
        command.pre_exec(move || match nix::libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) {
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    Ok(())
}
