//! Signals that the daemon acts on: SIGTERM, SIGINT and SIGQUIT stop it. SIGHUP makes it read its files again,
//! or stops it if the terminal was closed. The first signal to stop asks for an orderly stop, each further one
//! for an immediate stop. The caller decides what these mean.
//!
//! A parent that starts a program with a signal ignored has a reason, which the daemon respects. `nohup` makes
//! a program outlive its terminal, so SIGHUP never stops the daemon then; it still reloads the files, since
//! there is no other way to ask for that. A shell without job control ignores SIGINT and SIGQUIT for its
//! background jobs, so that the keyboard does not stop them: they stay ignored. SIGTERM is never ignored, since
//! no other signal asks for an orderly stop.

use std::fs::File;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Numbers of these signals on Linux.
const SIGXFSZ: i32 = 25;
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;

/// Kind of stop that a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Let calls finish, within the drain deadline.
    Drain {
        /// Name of the signal, such as `SIGTERM`.
        signal: &'static str,
    },
    /// End at once.
    Force {
        /// Name of the signal, such as `SIGTERM`.
        signal: &'static str,
    },
}

/// Action that a signal asks the daemon for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonRequest {
    /// Stop, in order or at once.
    Stop(Stop),
    /// Read the configuration again and apply the servers files.
    Reload,
}

/// Receiver of the signals of this process. Once it was installed, they no longer end the process by
/// themselves, not even after it was dropped.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    /// `None` if SIGINT was ignored at the start.
    interrupt: Option<Signal>,
    hangup: Signal,
    /// `None` if SIGQUIT was ignored at the start.
    quit: Option<Signal>,
    /// SIGXFSZ, for a write beyond a limit on file sizes. Held so that such a write is an error like a full
    /// disk, and does not end the process.
    _too_large: Signal,
    /// Number of signals to stop received so far.
    received: u32,
    /// `true` if the process had a controlling terminal at the start, and its end is to end the daemon.
    had_terminal: bool,
}

impl Signals {
    /// Starts receiving. Signals sent earlier are not seen. Needs a tokio runtime with I/O. `ignored` holds the
    /// numbers of the signals that were ignored when the daemon was started.
    ///
    /// # Errors
    /// The operating system's error, if a handler cannot be installed.
    pub fn install(ignored: &[i32]) -> io::Result<Signals> {
        let unless_ignored = |number: i32| {
            let wanted = !ignored.contains(&number);
            wanted.then(|| signal(SignalKind::from_raw(number))).transpose()
        };
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: unless_ignored(SIGINT)?,
            hangup: signal(SignalKind::hangup())?,
            quit: unless_ignored(SIGQUIT)?,
            _too_large: signal(SignalKind::from_raw(SIGXFSZ))?,
            received: 0,
            had_terminal: !ignored.contains(&SIGHUP) && has_terminal(),
        })
    }

    /// Waits for the next signal. Cancel safe: a signal is not lost when the future is dropped. Several signals
    /// of one kind may count as one if they arrive faster than they are taken.
    pub async fn next(&mut self) -> DaemonRequest {
        let signal = tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            () = received(&mut self.interrupt) => "SIGINT",
            Some(()) = self.hangup.recv() => {
                if !self.had_terminal || has_terminal() {
                    return DaemonRequest::Reload;
                }
                "SIGHUP"
            }
            () = received(&mut self.quit) => "SIGQUIT",
        };
        let stop = Signals::meaning(self.received, signal);
        self.received = self.received.saturating_add(1);
        DaemonRequest::Stop(stop)
    }

    fn meaning(received_before: u32, signal: &'static str) -> Stop {
        if received_before == 0 { Stop::Drain { signal } } else { Stop::Force { signal } }
    }
}

/// Resolves when the signal arrives; never, if the signal is not received at all.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        // A stream ends only with the runtime, and with it this future.
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Reports whether this process has a controlling terminal that is still open.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Duration;

    fn send(signal: &str) {
        let sent =
            Command::new("sh").args(["-c", &format!("kill -{signal} $PPID")]).status().expect("sh runs");
        assert!(sent.success());
    }

    async fn next(signals: &mut Signals) -> DaemonRequest {
        tokio::time::timeout(Duration::from_secs(10), signals.next()).await.expect("a signal in time")
    }

    // One test, since a signal reaches every listener of the process.
    #[tokio::test]
    async fn the_first_signal_drains_and_every_further_one_forces() {
        let mut signals = Signals::install(&[]).expect("installed");
        tokio::select! {
            biased;
            stop = signals.next() => panic!("{stop:?} out of nothing"),
            () = std::future::ready(()) => {}
        }
        send("HUP");
        assert_eq!(next(&mut signals).await, DaemonRequest::Reload);
        send("TERM");
        assert_eq!(next(&mut signals).await, DaemonRequest::Stop(Stop::Drain { signal: "SIGTERM" }));
        send("INT");
        assert_eq!(next(&mut signals).await, DaemonRequest::Stop(Stop::Force { signal: "SIGINT" }));
        send("TERM");
        assert_eq!(next(&mut signals).await, DaemonRequest::Stop(Stop::Force { signal: "SIGTERM" }));
    }
}
