//! What servers use and how long their calls take, for whoever looks at them again and again: measured once for all who
//! look, since it reads much of `/proc`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Gateway, scraping};
use crate::supervisor::Usage;

/// Least time between two measurements.
const EVERY: Duration = Duration::from_secs(2);

/// Load of one server.
#[derive(Debug, Clone)]
pub struct ServerLoad {
    /// Resources that its process trees use.
    pub usage: Usage,
    /// Number of calls that took no longer than so many seconds, rising; since the daemon started.
    pub durations: Vec<(f64, u64)>,
}

/// Loads of all servers by their ids, and when they were measured.
#[derive(Debug, Clone)]
pub struct ServerLoads {
    /// Time of the measurement.
    pub at: Instant,
    /// Loads by the ids of servers.
    pub of: HashMap<Arc<str>, ServerLoad>,
}

/// Latest measurement; `begun` is when the latest one began.
#[derive(Default)]
pub(super) struct Measured {
    latest: Mutex<(Option<Instant>, Option<Arc<ServerLoads>>)>,
}

impl Measured {
    /// Reports whether a new measurement is due, which whoever asks then makes.
    fn is_due(&self, now: Instant) -> bool {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let due = latest.0.is_none_or(|begun| now.duration_since(begun) >= EVERY);
        if due {
            latest.0 = Some(now);
        }
        due
    }

    fn put(&self, loads: ServerLoads) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(Arc::new(loads));
    }

    fn get(&self) -> Option<Arc<ServerLoads>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

impl Gateway {
    /// Returns the loads of all servers, a few seconds old at most while somebody asks; `None` before the first. What the
    /// caller may not see of them is for who shows them to leave out.
    pub async fn loads(&self) -> Option<Arc<ServerLoads>> {
        if self.0.measured.is_due(Instant::now()) {
            let gateway = self.clone();
            // A measurement that panicked is logged there, and the earlier one stands.
            let _ = tokio::task::spawn_blocking(move || gateway.0.measured.put(gateway.measure())).await;
        }
        self.0.measured.get()
    }

    /// Measures all servers. Blocks.
    fn measure(&self) -> ServerLoads {
        let list = self.0.registry.list();
        let of = list.entries().iter().filter_map(|entry| {
            let (handle, meter) = (self.handle(entry).ok()?, self.meter(entry).ok()?);
            let durations = meter.calls.metrics().durations();
            Some((entry.id.clone(), ServerLoad { usage: scraping::usage_of(&handle), durations }))
        });
        ServerLoads { of: of.collect(), at: Instant::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_those_who_look_measures_for_all() {
        let (measured, now) = (Measured::default(), Instant::now());
        assert!(measured.is_due(now) && !measured.is_due(now));
        assert!(!measured.is_due(now + EVERY / 2) && measured.is_due(now + EVERY));
        assert!(measured.get().is_none());
        measured.put(ServerLoads { at: now, of: HashMap::new() });
        assert!(measured.get().is_some_and(|loads| loads.of.is_empty()));
    }
}
