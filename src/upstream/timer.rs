//! A single timer for a task that awaits many things at once.

use std::pin::Pin;
use std::time::Instant;

use tokio::time::Sleep;

/// A timer that is moved only when its time changes.
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
}

impl Timer {
    /// Returns a timer that is not set.
    pub(super) fn new() -> Timer {
        Timer { sleep: None, at: None }
    }

    /// Sets the timer to `at`, or clears it if `at` is `None`.
    pub(super) fn set(&mut self, at: Option<Instant>) {
        if at == self.at {
            return;
        }
        self.at = at;
        if let Some(at) = at {
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(at.into()),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at.into()))),
            }
        }
    }

    /// Waits until the set time has come; never returns while none is set.
    pub(super) async fn rung(&mut self) {
        match (&mut self.sleep, self.at) {
            (Some(sleep), Some(_)) => {
                sleep.as_mut().await;
                self.at = None;
            }
            _ => std::future::pending().await,
        }
    }
}
