//! What the daemon under test writes, line by line.
//!
//! Threads read it, so that it is never held up while a test blocks or fails. Who asks for it reads first what
//! still is in the pipes: all that the daemon wrote before the question is in the answer.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{TEST_LOG, lock};
use crate::support::canaries::{self, Place};

/// So many lines are kept for the message of a failing test.
const KEPT_LINES: usize = 2000;
/// The same where each step of a call is a line.
const KEPT_LINES_OF_TRACE: usize = 200_000;
/// What is read of a stream at once: more than a pipe holds.
const AT_ONCE: usize = 1 << 20;

/// The last lines of all streams of a daemon, over its restarts, and the secrets that were seen where they must
/// not be.
#[derive(Default)]
pub(super) struct Output {
    kept: Mutex<Kept>,
    leaks: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Kept {
    lines: Vec<String>,
    streams: Vec<Stream>,
}

/// The end of a pipe that the daemon writes to.
struct Stream {
    name: &'static str,
    pipe: File,
    /// The line that has no end yet.
    begun: Vec<u8>,
    has_ended: bool,
}

impl Output {
    /// Reads a stream from now on, until it ends.
    pub(super) fn follow(self: &Arc<Self>, name: &'static str, from: impl Into<OwnedFd>) -> JoinHandle<()> {
        let pipe = File::from(from.into());
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("our own end of the pipe");
        let waits = pipe.try_clone().expect("a descriptor is free");
        let mut kept = lock(&self.kept);
        let own = kept.streams.len();
        kept.streams.push(Stream { name, pipe, begun: Vec::new(), has_ended: false });
        drop(kept);
        let output = Arc::clone(self);
        thread::spawn(move || {
            loop {
                // An interrupted wait is one that looks too early.
                let _ = poll(&mut [PollFd::new(waits.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
                if output.up_to_date().streams[own].has_ended {
                    return;
                }
            }
        })
    }

    /// All lines that are kept.
    pub(super) fn text(&self) -> String {
        self.up_to_date().lines.join("\n")
    }

    /// What is made of the lines that are kept.
    pub(super) fn of_lines<T>(&self, what: impl FnOnce(&[String]) -> T) -> T {
        what(&self.up_to_date().lines)
    }

    /// Adds a line that no daemon wrote.
    pub(super) fn mark(&self, line: &str) {
        self.up_to_date().lines.push(line.to_owned());
    }

    /// Forgets the lines so far.
    pub(super) fn clear(&self) {
        self.up_to_date().lines.clear();
    }

    /// The secrets that were seen and not yet taken.
    pub(super) fn take_leaks(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.leaks))
    }

    /// Adds secrets that were seen elsewhere.
    pub(super) fn add_leaks(&self, leaks: Vec<String>) {
        lock(&self.leaks).extend(leaks);
    }

    fn up_to_date(&self) -> MutexGuard<'_, Kept> {
        let mut kept = lock(&self.kept);
        let Kept { lines, streams } = &mut *kept;
        let most = if std::env::var_os(TEST_LOG).is_some() { KEPT_LINES_OF_TRACE } else { KEPT_LINES };
        for stream in streams.iter_mut().filter(|stream| !stream.has_ended) {
            stream.read(|name, line| {
                lock(&self.leaks).extend(canaries::leaks(Place::Log, line));
                if lines.len() >= most {
                    // The start is worth keeping: it says where the daemon listens.
                    lines.remove(KEPT_LINES / 4);
                }
                lines.push(format!("{name}: {}", String::from_utf8_lossy(line)));
            });
        }
        kept
    }
}

impl Stream {
    /// Reads what is there and tells each line that is whole; the last one too when the stream has ended.
    fn read(&mut self, mut line: impl FnMut(&str, &[u8])) {
        let mut some = vec![0; 64 << 10];
        for _ in 0..AT_ONCE / some.len() {
            match self.pipe.read(&mut some) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => {
                    self.has_ended = true;
                    if !self.begun.is_empty() {
                        line(self.name, &std::mem::take(&mut self.begun));
                    }
                    return;
                }
                Ok(count) => {
                    let mut rest = &some[..count];
                    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                        self.begun.extend_from_slice(&rest[..end]);
                        line(self.name, &self.begun);
                        self.begun.clear();
                        rest = &rest[end + 1..];
                    }
                    self.begun.extend_from_slice(rest);
                }
            }
        }
    }
}
