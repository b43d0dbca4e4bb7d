//! What is done for a call because of its caller, without transport: for the bench, which measures the share of it in
//! a call's cost. A call goes through these same functions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accounting::Accounting;
use super::buffer::{UsageBuffer, UsageSample};
use super::calendar::minute_of;
use super::error::Error;
use super::retention::Retention;
use crate::access::{KeyRing, RateReading};
use crate::clock;
use crate::store::Store;
use crate::telemetry::metrics::OK;

/// Maximum number of calls under way per key in the bench; the exact number does not matter.
const CALLS_PER_KEY: usize = 1_000;

/// Keys, limits and usage without a gateway.
pub struct CallAccounting {
    keys: KeyRing,
    accounting: Accounting,
    buffer: Arc<UsageBuffer>,
}

impl CallAccounting {
    /// Creates the state for these keys. Must be called within a runtime.
    pub async fn new(keys: KeyRing, store: Arc<dyn Store>) -> Result<CallAccounting, Error> {
        let accounting = Accounting::open(store, keys.clone(), Retention::default(), None).await?;
        let buffer = accounting.buffer(&"mcp_bench".into(), &"bench".into());
        Ok(CallAccounting { keys, accounting, buffer })
    }

    /// Admits a call and counts it when it has ended. `None` if it is not admitted, or has no rate limit.
    pub async fn admit_and_record(&self, token: &str, tool: &str) -> Option<RateReading> {
        let started = Instant::now();
        let caller = self.keys.authenticate(token, clock::now()).ok()?;
        let reading = caller.take_request()?;
        let _under_way = caller.begin_call(CALLS_PER_KEY)?;
        self.accounting.take(&caller).await.ok()?;
        self.count(caller.key_id(), tool, started.elapsed());
        Some(reading)
    }

    fn count(&self, key: &Arc<str>, tool: &str, took: Duration) {
        let sample = UsageSample { key, tool, outcome: OK, took, bytes: (32, 64) };
        self.buffer.enter(minute_of(clock::now()), sample);
    }
}
