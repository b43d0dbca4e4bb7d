//! The metrics as text. Writing them takes long with thousands of servers, so it is done on a blocking thread, one
//! at a time, and callers that ask meanwhile get the same text.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::Gateway;
use crate::clock;
use crate::supervisor::{ServerHandle, Usage};

/// Receiver of the text that is being written; `None` until it is complete.
type Written = watch::Receiver<Option<Bytes>>;

/// Latest rendering of the metrics, if there was one.
#[derive(Default)]
pub(super) struct Scrape(Mutex<Option<Written>>);

impl Scrape {
    /// Joins the rendering under way, or else starts one with `begin`, which gets the sender for the text.
    fn join(&self, begin: impl FnOnce(watch::Sender<Option<Bytes>>)) -> Written {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A finished rendering is out of date; one that was given up has no sender.
        let under_way = |written: &&mut Written| written.borrow().is_none() && written.has_changed().is_ok();
        if let Some(written) = current.as_mut().filter(under_way) {
            return written.clone();
        }
        let (sender, written) = watch::channel(None);
        *current = Some(written.clone());
        begin(sender);
        written
    }
}

impl Gateway {
    /// Returns all metrics in the Prometheus text format. No call waits for it.
    pub async fn render_metrics(&self) -> Bytes {
        let mut written = self.0.scrape.join(|sender| {
            let gateway = self.clone();
            tokio::task::spawn_blocking(move || {
                // The receivers may have been dropped.
                let _ = sender.send(Some(gateway.write_metrics().into()));
            });
        });
        match written.wait_for(Option::is_some).await {
            Ok(text) => text.clone().unwrap_or_default(),
            // The task panicked, which is logged where that happens.
            Err(_) => Bytes::new(),
        }
    }

    /// Updates and renders all metrics. Blocks.
    fn write_metrics(&self) -> String {
        let list = self.0.registry.list();
        let inner = &self.0;
        for entry in list.entries() {
            if let (Ok(handle), Ok(meter)) = (self.handle(entry), self.meter(entry)) {
                let pins = inner.pins.counts(handle.id(), &handle.catalog());
                meter.tell(&handle, usage_of(&handle), pins);
            }
        }
        let trouble = inner.registry.trouble();
        inner.metrics.set_store_degraded(trouble.is_some());
        inner.metrics.set_store_from_backup(trouble.is_some_and(|trouble| trouble.from_backup));
        inner.metrics.set_flush_age(inner.accounting.usage().flush_age());
        inner.metrics.set_audit_lost(inner.audit.lost());
        inner.metrics.set_audit_unrecorded(inner.audit.unrecorded());
        inner.metrics.set_clock_in_doubt(clock::doubt().is_some());
        if let Some(tracer) = &inner.tracer {
            let (exported, dropped) = tracer.spans();
            inner.metrics.set_spans(exported, dropped);
        }
        inner.metrics.render()
    }
}

/// Measures the resource usage of a server's process trees. Blocks.
pub(super) fn usage_of(handle: &Arc<ServerHandle>) -> Usage {
    let mut sum = Usage::default();
    handle.trees().iter().for_each(|tree| sum += tree.usage());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_while_it_is_written_gets_the_same_and_who_asks_later_another() {
        let scrape = Scrape::default();
        let (mut senders, mut begun) = (Vec::new(), 0);
        let mut join = |senders: &mut Vec<watch::Sender<Option<Bytes>>>| {
            scrape.join(|sender| {
                begun += 1;
                senders.push(sender);
            })
        };
        let mut together = [join(&mut senders), join(&mut senders), join(&mut senders)];
        assert_eq!(senders.len(), 1, "one writes for all");
        senders[0].send(Some(Bytes::from_static(b"one"))).expect("somebody waits");
        for written in &mut together {
            assert_eq!(*written.wait_for(Option::is_some).await.expect("written"), Some(Bytes::from("one")));
        }
        let later = join(&mut senders);
        assert_eq!(senders.len(), 2);
        senders.pop();
        assert!(later.has_changed().is_err(), "given up");
        join(&mut senders);
        assert_eq!((senders.len(), begun), (2, 3), "and begun anew");
    }
}
