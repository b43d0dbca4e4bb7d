//! What this server saw and did, for the `stats` tool: the tests' view into the child.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// So many notifications are kept with their text; the rest is only counted.
const KEPT: usize = 4096;

#[derive(Default)]
struct Counts {
    executions: u64,
    lists: u64,
    /// How often it was asked which era it speaks.
    probes: u64,
    max_in_flight: usize,
    next_ticket: u64,
    /// Calls that are still to be answered: ticket → id.
    in_flight: HashMap<u64, String>,
    cancelled: Vec<Value>,
    notifications: Vec<Value>,
    notification_count: u64,
    client: Value,
}

/// Shared by all threads.
#[derive(Default)]
pub(crate) struct Stats(Mutex<Counts>);

impl Stats {
    pub(crate) fn executed(&self) {
        self.lock().executions += 1;
    }

    /// Notes that `server/discover` came.
    pub(crate) fn probed(&self) {
        self.lock().probes += 1;
    }

    /// Notes that the tools were asked for.
    pub(crate) fn listed(&self) {
        self.lock().lists += 1;
    }

    /// Notes a call that will be answered later; the ticket names it.
    pub(crate) fn begin(&self, id: &str) -> u64 {
        let mut counts = self.lock();
        let ticket = counts.next_ticket;
        counts.next_ticket += 1;
        counts.in_flight.insert(ticket, id.to_owned());
        counts.max_in_flight = counts.max_in_flight.max(counts.in_flight.len());
        ticket
    }

    /// Whether the call was neither answered nor cancelled.
    pub(crate) fn is_open(&self, ticket: u64) -> bool {
        self.lock().in_flight.contains_key(&ticket)
    }

    /// Ends a call; false when it had ended before, by a cancellation.
    pub(crate) fn finish(&self, ticket: u64) -> bool {
        self.lock().in_flight.remove(&ticket).is_some()
    }

    /// Notes a cancellation and ends the calls of this id, unless `keep` says to go on with them.
    pub(crate) fn cancelled(&self, id: &RawValue, keep: bool) {
        let mut counts = self.lock();
        counts.cancelled.push(serde_json::from_str(id.get()).unwrap_or_default());
        if !keep {
            counts.in_flight.retain(|_, open| open != id.get());
        }
    }

    pub(crate) fn notified(&self, method: &str, params: Option<&RawValue>) {
        let mut counts = self.lock();
        counts.notification_count += 1;
        if counts.notifications.len() < KEPT {
            let params: Value =
                params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
            counts.notifications.push(json!({"method": method, "params": params}));
        }
    }

    pub(crate) fn introduced(&self, params: Option<&RawValue>) {
        self.lock().client = params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    }

    pub(crate) fn report(&self) -> Value {
        let counts = self.lock();
        json!({
            "executions": counts.executions,
            "lists": counts.lists,
            "probes": counts.probes,
            "in_flight": counts.in_flight.len(),
            "max_in_flight": counts.max_in_flight,
            "cancelled": counts.cancelled,
            "notifications": counts.notifications,
            "notification_count": counts.notification_count,
            "client": counts.client,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
