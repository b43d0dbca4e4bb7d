//! The signals that ask something of the daemon: SIGTERM, SIGINT and SIGQUIT to stop, SIGHUP to read its
//! files again, or to stop if it came because the terminal was closed. The first one that asks to stop
//! asks to do so in order, each further one to do so at once. What that means is not decided here.
//!
//! Whoever starts a program with a signal ignored has a reason. `nohup` has it outlive its terminal, so
//! SIGHUP never stops it then; it still has the files read again, since it is how that is asked for. A
//! shell without job control keeps SIGINT and SIGQUIT of its keyboard from what it starts in the
//! background: they stay ignored. SIGTERM is never ignored: nothing else asks to stop in order.

use std::fs::File;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The numbers of these signals on Linux.
const SIGXFSZ: i32 = 25;
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Let calls finish, within the drain deadline.
    Drain {
        /// The signal's name.
        signal: &'static str,
    },
    /// End now.
    Force {
        /// The signal's name.
        signal: &'static str,
    },
}

/// What the daemon is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To stop.
    Stop(Stop),
    /// To apply its servers files again.
    Reload,
}

/// Receives the signals of this process. While it lives, and after, they no longer end the
/// process by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    /// Nothing for one that was ignored at the start.
    interrupt: Option<Signal>,
    hangup: Signal,
    /// As `interrupt`.
    quit: Option<Signal>,
    /// A write beyond a limit on file sizes: held so that it is an error like a full disk, and not the
    /// end of the process.
    _too_large: Signal,
    /// How many asked to stop.
    received: u32,
    /// Whether there was a controlling terminal at the start whose end is to be that of the daemon.
    had_terminal: bool,
}

impl Signals {
    /// Starts receiving. Signals sent before are not seen. Needs a tokio runtime with I/O. `ignored` are
    /// the numbers of those that were ignored when the daemon was started.
    ///
    /// # Errors
    /// The operating system's, when a handler cannot be installed.
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

    /// Waits for the next signal. Cancel safe: a signal is not lost when the future is dropped.
    /// Signals of one kind that come faster than they are taken may count as one.
    pub async fn next(&mut self) -> Asked {
        let signal = tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            () = received(&mut self.interrupt) => "SIGINT",
            Some(()) = self.hangup.recv() => {
                if !self.had_terminal || has_terminal() {
                    return Asked::Reload;
                }
                "SIGHUP"
            }
            () = received(&mut self.quit) => "SIGQUIT",
        };
        let stop = Signals::meaning(self.received, signal);
        self.received = self.received.saturating_add(1);
        Asked::Stop(stop)
    }

    fn meaning(received_before: u32, signal: &'static str) -> Stop {
        if received_before == 0 { Stop::Drain { signal } } else { Stop::Force { signal } }
    }
}

/// Resolves when the signal comes; never, when it is none that is received.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        // A stream ends only with the runtime, and with it this future.
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether this process has a controlling terminal that is still there.
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

    async fn next(signals: &mut Signals) -> Asked {
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
        assert_eq!(next(&mut signals).await, Asked::Reload);
        send("TERM");
        assert_eq!(next(&mut signals).await, Asked::Stop(Stop::Drain { signal: "SIGTERM" }));
        send("INT");
        assert_eq!(next(&mut signals).await, Asked::Stop(Stop::Force { signal: "SIGINT" }));
        send("TERM");
        assert_eq!(next(&mut signals).await, Asked::Stop(Stop::Force { signal: "SIGTERM" }));
    }
}
