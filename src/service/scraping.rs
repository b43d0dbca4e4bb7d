//! The metrics as text. With thousands of servers that takes a while, so it is done beside the runtime,
//! once at a time, and whoever asks meanwhile gets the same text.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Gateway, clock};
use crate::supervisor::{ServerHandle, Usage};

/// The text that is being written, as soon as it is there.
type Written = watch::Receiver<Option<Bytes>>;

/// The writing that is under way, if one is.
#[derive(Default)]
pub(super) struct Scrape(Mutex<Option<Written>>);

impl Scrape {
    /// What is being written by now, or else by `begin`, which is given where to put it.
    fn join(&self, begin: impl FnOnce(watch::Sender<Option<Bytes>>)) -> Written {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is over is not what is asked for now; one that was given up has no sender.
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
    /// All metrics in the Prometheus text format. No call waits for it.
    pub async fn render_metrics(&self) -> Bytes {
        let mut written = self.0.scrape.join(|sender| {
            let gateway = self.clone();
            tokio::task::spawn_blocking(move || {
                // Those who asked may be gone.
                let _ = sender.send(Some(gateway.write_metrics().into()));
            });
        });
        match written.wait_for(Option::is_some).await {
            Ok(text) => text.clone().unwrap_or_default(),
            // It panicked, which is logged where that happens.
            Err(_) => Bytes::new(),
        }
    }

    /// Blocks.
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
        inner.metrics.set_flush_age(inner.usage.flush_age());
        inner.metrics.set_audit_lost(inner.audit.lost());
        inner.metrics.set_audit_unrecorded(inner.audit.unrecorded());
        inner.metrics.set_clock_in_doubt(clock::doubt().is_some());
        inner.metrics.render()
    }
}

/// Looks at what the trees of a server use. Blocks.
pub(super) fn usage_of(handle: &Arc<ServerHandle>) -> Usage {
    let mut sum = Usage::default();
    handle.trees().iter().for_each(|tree| sum += tree.usage());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_while_it_is_being_written_gets_the_same_and_who_asks_later_another() {
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
