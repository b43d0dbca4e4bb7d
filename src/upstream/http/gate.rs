//! Whether a server takes calls, and how many are under way: each call is a task of its own, and ends
//! with the server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The gate of one server. Open until it is closed, then let those out that are in.
#[derive(Default)]
pub(super) struct Gate {
    inside: Mutex<Inside>,
    is_cut: AtomicBool,
    cut: Notify,
    empty: Notify,
}

#[derive(Default)]
struct Inside {
    calls: usize,
    is_closed: bool,
}

/// A call that is in. Dropped, it is out.
pub(super) struct Place(Arc<Gate>);

/// Closes a gate when dropped, and ends the calls that are in.
pub(super) struct Shutting(pub(super) Arc<Gate>);

impl Gate {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call in; `None` once the gate is closed.
    pub(super) fn enter(self: &Arc<Gate>) -> Option<Place> {
        let mut inside = self.inside();
        if inside.is_closed {
            return None;
        }
        inside.calls += 1;
        Some(Place(self.clone()))
    }

    /// Lets no further calls in.
    pub(super) fn close(&self) {
        self.inside().is_closed = true;
    }

    /// Waits until no call is in. One task may wait at a time.
    pub(super) async fn emptied(&self) {
        while self.inside().calls > 0 {
            self.empty.notified().await;
        }
    }
}

impl Place {
    /// Waits until the calls that are in have to end. Cancel safe.
    pub(super) async fn cut(&self) {
        let cut = self.0.cut.notified();
        // What was told before that is seen here, and what is told after it wakes.
        if !self.0.is_cut.load(Ordering::Acquire) {
            cut.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.0.inside();
        inside.calls -= 1;
        if inside.calls == 0 && inside.is_closed {
            self.0.empty.notify_one();
        }
    }
}

impl Drop for Shutting {
    fn drop(&mut self) {
        self.0.close();
        self.0.is_cut.store(true, Ordering::Release);
        self.0.cut.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_in_end_with_the_gate_and_none_come_in_afterwards() {
        let gate = Arc::new(Gate::default());
        let (one, other) = (gate.enter().expect("open"), gate.enter().expect("open"));
        let shutting = Shutting(gate.clone());
        shutting.0.close();
        assert!(gate.enter().is_none());
        let soon = Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, gate.emptied()).await.is_err(), "two are in");
        drop(one);
        let waiting = tokio::spawn(async move { other.cut().await });
        assert!(tokio::time::timeout(soon, gate.emptied()).await.is_err(), "one is in");
        drop(shutting);
        waiting.await.expect("it is told");
        tokio::time::timeout(soon, gate.emptied()).await.expect("nobody is in");
    }
}
