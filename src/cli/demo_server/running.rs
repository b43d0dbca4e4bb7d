//! Table of the running slow calls: limits their number and tells them to stop.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Most slow calls that may run at once.
pub(super) const MAX_SLOW: usize = 64;

/// Decision on the start of a slow call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    Yes,
    SameId,
    TooMany,
}

/// Slow calls that run, and the means to stop them.
#[derive(Default)]
pub(super) struct Running {
    calls: Mutex<Calls>,
    bell: Condvar,
}

#[derive(Default)]
struct Calls {
    /// Ids as JSON text; the value is `true` if the call was cancelled.
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

    /// Cancels a call. An unknown id is ignored.
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

    /// Waits until `due` and returns `true`; returns `false` as soon as the call is to stop.
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
