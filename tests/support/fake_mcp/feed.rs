//! What is sent without being asked for: announcements, floods and storms.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::output::Output;
use crate::timer::Timer;
use crate::wire;

/// Who is told that the tools have changed.
#[derive(Default)]
pub(crate) struct Feed {
    pub(crate) legacy: AtomicBool,
    listens: Mutex<Vec<String>>,
}

impl Feed {
    /// Adds a `tools/list_changed` for each listener: one for the legacy session, one for each
    /// `subscriptions/listen`.
    pub(crate) fn tools_changed(&self, output: &Output, batch: &mut Vec<u8>) {
        const METHOD: &str = "notifications/tools/list_changed";
        if self.legacy.load(Ordering::Relaxed) {
            output.frame(batch, &wire::notification(METHOD, "{}"));
        }
        for id in self.listens().iter() {
            output.frame(batch, &wire::notification(METHOD, &subscription(id, "")));
        }
    }

    /// The ids of the open `subscriptions/listen`.
    pub(crate) fn listens(&self) -> MutexGuard<'_, Vec<String>> {
        self.listens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parameters of a notification that belongs to a `subscriptions/listen`.
pub(crate) fn subscription(id: &str, more: &str) -> String {
    format!(r#"{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}{more}}}"#)
}

/// Sends so many notifications as fast as they can be written.
pub(crate) fn flood_notifications(output: &Output, count: usize) {
    let mut batch = Vec::new();
    for number in 0..count {
        let params = format!(r#"{{"level":"info","data":"notification {number}"}}"#);
        output.frame(&mut batch, &wire::notification("notifications/message", &params));
        if batch.len() >= 64 * 1024 {
            output.send(&mut batch);
        }
    }
    output.send(&mut batch);
}

/// Announces changed tools every millisecond, for ever.
pub(crate) fn storm(timer: Arc<Timer>, feed: Arc<Feed>, output: Arc<Output>) {
    let (again, next) = (Arc::clone(&timer), Arc::clone(&output));
    timer.after(Duration::from_millis(1), move |batch| {
        feed.tools_changed(&output, batch);
        storm(again, feed, next);
    });
}
