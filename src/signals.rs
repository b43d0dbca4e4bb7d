//! The signals that ask the daemon to stop: SIGTERM, SIGINT, SIGQUIT, SIGHUP. The first one asks to stop in
//! order, each further one to stop at once. What stopping means is not decided here.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// Receives the stop signals of this process. While it lives, and after, they no longer end the
/// process by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    quit: Signal,
    received: u32,
}

impl Signals {
    /// Starts receiving. Signals sent before are not seen. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// The operating system's, when a handler cannot be installed.
    pub fn install() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            received: 0,
        })
    }

    /// Waits for the next signal. Cancel safe: a signal is not lost when the future is dropped.
    /// Signals of one kind that come faster than they are taken may count as one.
    pub async fn next(&mut self) -> Stop {
        let signal = tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            // The terminal was closed: an unhandled SIGHUP would end us without ending the children.
            Some(()) = self.hangup.recv() => "SIGHUP",
            Some(()) = self.quit.recv() => "SIGQUIT",
            // Both streams end only with the runtime, and with it this future.
            else => std::future::pending().await,
        };
        let stop = Signals::meaning(self.received, signal);
        self.received = self.received.saturating_add(1);
        stop
    }

    fn meaning(received_before: u32, signal: &'static str) -> Stop {
        if received_before == 0 { Stop::Drain { signal } } else { Stop::Force { signal } }
    }
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

    async fn next(signals: &mut Signals) -> Stop {
        tokio::time::timeout(Duration::from_secs(10), signals.next()).await.expect("a signal in time")
    }

    // One test, since a signal reaches every listener of the process.
    #[tokio::test]
    async fn the_first_signal_drains_and_every_further_one_forces() {
        let mut signals = Signals::install().expect("installed");
        tokio::select! {
            biased;
            stop = signals.next() => panic!("{stop:?} out of nothing"),
            () = std::future::ready(()) => {}
        }
        send("TERM");
        assert_eq!(next(&mut signals).await, Stop::Drain { signal: "SIGTERM" });
        send("INT");
        assert_eq!(next(&mut signals).await, Stop::Force { signal: "SIGINT" });
        send("TERM");
        assert_eq!(next(&mut signals).await, Stop::Force { signal: "SIGTERM" });
    }
}
