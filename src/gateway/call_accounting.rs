//! The work done for a call because of its caller, without transport: for the bench, which measures the share of it
//! in a call's cost. A call goes through these same functions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Error;
use crate::access::{KeyRing, RateReading};
use crate::clock;
use crate::store::Store;
use crate::telemetry::metrics::OK;
use crate::usage::{Quotas, Retention, UsageBuffer, UsageBuffers, UsageSample, hour_of, start};

/// Maximum number of calls under way per key in the bench; the exact number does not matter.
const CALLS_PER_KEY: usize = 1_000;

/// Keys, limits and usage without a gateway.
pub struct CallAccounting {
    keys: KeyRing,
    quotas: Quotas,
    book: Arc<UsageBuffer>,
}

impl CallAccounting {
    /// Creates the state for these keys. Must be called within a runtime.
    pub async fn new(keys: KeyRing, store: Arc<dyn Store>) -> Result<CallAccounting, Error> {
        let books = UsageBuffers::default();
        let (usage, _) = start(store, books.clone(), keys.clone(), Retention::default(), None)?;
        let quotas = Quotas::load(keys.clone(), usage).await?;
        let book = Arc::<UsageBuffer>::default();
        books.insert("mcp_toll".into(), ("toll".into(), book.clone()));
        Ok(CallAccounting { keys, quotas, book })
    }

    /// Admits a call and counts it when it has ended. `None` if it is not admitted, or has no rate limit.
    pub async fn admit_and_record(&self, token: &str, tool: &str) -> Option<RateReading> {
        let started = Instant::now();
        let caller = self.keys.authenticate(token, clock::now()).ok()?;
        let reading = caller.take_request()?;
        let _under_way = caller.begin_call(CALLS_PER_KEY)?;
        self.quotas.take(&caller).await.ok()?;
        let took = started.elapsed();
        self.count(caller.key_id(), tool, took);
        Some(reading)
    }

    fn count(&self, key: &Arc<str>, tool: &str, took: Duration) {
        let line = UsageSample { key, tool, outcome: OK, took, bytes: (32, 64) };
        self.book.enter(hour_of(clock::now()), line);
    }
}
