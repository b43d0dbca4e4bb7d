//! What is counted of calls, opened as a whole: the thread that writes usage, the buffers it takes from, and the quotas.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::buffer::UsageBuffer;
use super::error::Error;
use super::meter::Meter;
use super::quota::Quotas;
use super::retention::Retention;
use super::traffic::Traffic;
use super::writer::{self, UsageBuffers, UsageHandle};
use crate::access::{KeyRing, Principal};
use crate::activity::{Activity, ServerTag};
use crate::store::Store;
use crate::telemetry::metrics::ServerMetrics;

/// Usage and quotas of a running daemon.
pub struct Accounting {
    usage: UsageHandle,
    buffers: UsageBuffers,
    quotas: Quotas,
    /// Traffic of each server before this start.
    before: HashMap<Arc<str>, Traffic>,
    activity: Activity,
}

impl Accounting {
    /// Starts the thread `usage` and loads the quotas of this month. `backups` is the data directory of a store that
    /// is on a disk; `None` for another.
    pub async fn open(
        store: Arc<dyn Store>,
        keys: KeyRing,
        retention: Retention,
        backups: Option<PathBuf>,
    ) -> Result<Accounting, Error> {
        let buffers = UsageBuffers::default();
        let (usage, before) = writer::start(store, buffers.clone(), keys.clone(), retention, backups)?;
        let quotas = Quotas::load(keys, usage.clone()).await?;
        Ok(Accounting { usage, buffers, quotas, before, activity: Activity::default() })
    }

    /// Notes each call in this ring as well; none is without.
    pub fn noting(self, activity: Activity) -> Accounting {
        Accounting { activity, ..self }
    }

    /// Returns the ring that calls are noted in.
    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Returns the handle to the thread, for what was counted.
    pub(crate) fn usage(&self) -> &UsageHandle {
        &self.usage
    }

    /// Takes one call from the quotas of the caller's key and plan, or from neither.
    pub(crate) async fn take(&self, caller: &Principal) -> Result<(), Error> {
        self.quotas.take(caller).await
    }

    /// Gives back a call that was not made.
    pub(crate) fn give_back(&self, caller: &Principal) {
        self.quotas.give_back(caller);
    }

    /// Makes the counters of a server's calls, beginning with its traffic before this start.
    pub(crate) fn meter(&self, id: &Arc<str>, name: &Arc<str>, metrics: ServerMetrics) -> Meter {
        let buffer = self.buffer(id, name);
        buffer.tell(metrics.clone());
        Meter::new(metrics, buffer, self.activity.clone(), self.before(id))
    }

    /// Makes the buffer that the calls of a server are counted in.
    pub(super) fn buffer(&self, id: &Arc<str>, name: &Arc<str>) -> Arc<UsageBuffer> {
        let server = ServerTag { id: Some(id.clone()), name: name.clone() };
        let buffer = Arc::new(UsageBuffer::new(server));
        self.buffers.insert(id.clone(), (name.clone(), buffer.clone()));
        buffer
    }

    /// Returns the traffic of a server before this start.
    pub(crate) fn before(&self, id: &str) -> Traffic {
        self.before.get(id).copied().unwrap_or_default()
    }

    /// Writes what is left of this month's quotas and everything that was counted, and ends the thread. A second call
    /// does nothing.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.quotas.close().await {
            tracing::warn!(%error, "what is left of this month's calls could not be written down");
        }
        self.usage.close().await;
    }
}
