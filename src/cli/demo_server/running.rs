//! The slow calls that run: how many there may be, and how they are told to stop.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// So many slow calls may run at once.
pub(super) const MAX_SLOW: usize = 64;

/// Whether a slow call may begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    Yes,
    SameId,
    TooMany,
}

/// The slow calls that run, and the means to stop them.
#[derive(Default)]
pub(super) struct Running {
    calls: Mutex<Calls>,
    bell: Condvar,
}

#[derive(Default)]
struct Calls {
    /// Id as JSON text → whether it was cancelled.
    cancelled: HashMap<String, bool>,
    closed: bool,
}

impl Running {
    pub(super) fn begin(&self, id: &Value) -> Begun {
        let mut calls = self.lock();
        if calls.cancelled.contains_key(&id.to_string()) {
            return Begun::SameId;
        }
        if calls.cancelled.len() >= MAX_SLOW {
            return Begun::TooMany;
        }
        calls.cancelled.insert(id.to_string(), false);
        Begun::Yes
    }

    pub(super) fn end(&self, id: &Value) {
        self.lock().cancelled.remove(&id.to_string());
    }

    pub(super) fn count(&self) -> usize {
        self.lock().cancelled.len()
    }

    /// Cancels a call; an unknown id is nothing to complain about.
    pub(super) fn cancel(&self, id: &Value) {
        if let Some(cancelled) = self.lock().cancelled.get_mut(&id.to_string()) {
            *cancelled = true;
        }
        self.bell.notify_all();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_all();
    }

    /// Waits; false as soon as the call is to stop.
    pub(super) fn wait_until(&self, id: &Value, due: Instant) -> bool {
        let key = id.to_string();
        let mut calls = self.lock();
        loop {
            if calls.closed || calls.cancelled.get(&key).copied().unwrap_or(true) {
                return false;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return true;
            }
            calls = self.bell.wait_timeout(calls, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
