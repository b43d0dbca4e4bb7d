//! The stop, stage by stage. Each call asks how far it is, so that is one load; who waits for a stage is woken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::{Error, Gateway};

/// Time that acts may still take at the end, when all they wait for is a client that sends its body slowly.
const LAST_ACTS: Duration = Duration::from_secs(1);

/// Stage of a stop; a later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Calls are accepted.
    Serving,
    /// No call is accepted any more; those under way have their time.
    Draining,
    /// That time is over: whatever does not end by itself must report that and end.
    Drained,
}

/// Stage of one gateway.
pub(super) struct Stop {
    stage: watch::Sender<Stage>,
    /// The same as a stage after [`Stage::Serving`], for calls. Written by [`Stop::advance`] only.
    is_begun: AtomicBool,
}

impl Stop {
    /// Creates the stage of a gateway that serves.
    pub(super) fn new() -> Stop {
        Stop { stage: watch::Sender::new(Stage::Serving), is_begun: AtomicBool::new(false) }
    }

    /// Goes on to a stage. A stop never goes back: an earlier stage changes nothing.
    pub(super) fn advance(&self, to: Stage) {
        self.is_begun.fetch_or(to > Stage::Serving, Ordering::Relaxed);
        self.stage.send_if_modified(|stage| {
            let is_later = to > *stage;
            *stage = to.max(*stage);
            is_later
        });
    }

    /// Reports whether no call is accepted any more. One load, no lock.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Relaxed)
    }

    /// Returns a receiver that follows the stage.
    pub(super) fn subscribe(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Waits for a stage, or a later one.
    pub(super) async fn reached(&self, stage: Stage) {
        // The sender lives as long as `self`.
        let _ = self.subscribe().wait_for(|now| *now >= stage).await;
    }
}

impl Gateway {
    /// Begins the stop: from here on no call is accepted.
    pub fn begin_stop(&self) {
        self.0.stop.advance(Stage::Draining);
    }

    /// Ends the drain: whatever is still under way and does not end by itself must report that and end.
    pub fn end_drain(&self) {
        self.0.stop.advance(Stage::Drained);
    }

    /// Waits until the calls under way have had their time.
    pub async fn drained(&self) {
        self.0.stop.reached(Stage::Drained).await;
    }

    /// Reports whether the daemon is stopping.
    pub fn is_stopping(&self) -> bool {
        self.0.stop.is_begun()
    }

    /// Ends all servers, then the registry. Calls in flight may take up to `drain`.
    pub async fn stop(&self, drain: Duration) -> Result<(), Error> {
        self.begin_stop();
        self.0.keeper.keep().await;
        self.0.supervisor.shutdown(drain).await;
        self.0.accounting.close().await;
        // Once the registry has ended, so has every act that had begun; then its line can be written.
        let closed = self.0.registry.close().await;
        if tokio::time::timeout(LAST_ACTS, self.0.acts.settled()).await.is_err() {
            tracing::warn!(
                acts = self.0.acts.under_way(),
                "acts are still under way; they do nothing any more"
            );
        }
        self.0.audit.close().await;
        if let Some(tracer) = &self.0.tracer {
            tracer.close().await;
        }
        Ok(closed?)
    }

    /// Waits until the registry has ended without having been asked to: the daemon cannot go on.
    pub async fn failed(&self) {
        self.0.registry.ended().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_goes_on_and_never_back() {
        let stop = Stop::new();
        assert!(!stop.is_begun());
        stop.advance(Stage::Draining);
        assert!(stop.is_begun());
        stop.reached(Stage::Draining).await;
        stop.advance(Stage::Drained);
        stop.advance(Stage::Draining);
        stop.reached(Stage::Drained).await;
        assert_eq!(*stop.subscribe().borrow(), Stage::Drained);
    }
}
