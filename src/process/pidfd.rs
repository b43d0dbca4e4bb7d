//! A handle on a process that stays correct when its pid is recycled.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;

/// Opens a handle; fails with [`io::ErrorKind::NotFound`] if the process is gone.
pub(super) fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK).map_err(|error| match error {
        rustix::io::Errno::SRCH => io::ErrorKind::NotFound.into(),
        other => other.into(),
    })
}

/// Sends a signal; reports whether there still was a process to get it.
pub(super) fn send(pidfd: &OwnedFd, signal: Signal) -> bool {
    rustix::process::Signal::from_named_raw(signal as i32)
        .is_some_and(|signal| rustix::process::pidfd_send_signal(pidfd, signal).is_ok())
}

/// Waits until all these processes have ended, at most `limit` in total.
pub(super) fn await_end(handles: &[OwnedFd], limit: Duration) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let deadline = Instant::now() + limit;
    for handle in handles {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else { return };
        let _ = poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&left));
    }
}

/// A process whose end can be awaited.
pub(super) struct ProcessWatch(AsyncFd<OwnedFd>);

impl ProcessWatch {
    /// Watches a process; must be called inside a runtime. Fails as [`open`] does.
    pub(super) fn open(pid: i32) -> io::Result<ProcessWatch> {
        ProcessWatch::over(open(pid)?)
    }

    /// Watches the process of a handle; must be called inside a runtime.
    pub(super) fn over(pidfd: OwnedFd) -> io::Result<ProcessWatch> {
        // SAFETY: an `OwnedFd` is a valid, open descriptor and gives the same one at every call;
        // it is moved in here and nobody else can close it before the `AsyncFd` is dropped.
        let watched = unsafe { AsyncFd::register(pidfd) };
        watched.map(ProcessWatch).map_err(io::Error::from)
    }

    /// Waits until the process has ended. Does not reap it.
    pub(super) async fn ended(&self) {
        // An error can only mean that the runtime is going away; nothing runs after that.
        let _ = self.0.readable().await;
    }
}
