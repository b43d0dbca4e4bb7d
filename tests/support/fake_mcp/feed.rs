//! What is sent without being asked for: announcements, floods and storms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::output::Output;
use crate::timer::Timer;
use crate::wire;

/// Who is told what.
#[derive(Default)]
pub(crate) struct Feed {
    pub(crate) legacy: AtomicBool,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    /// The open `subscriptions/listen` by their ids, raw JSON, each with its filter.
    listens: BTreeMap<String, Value>,
    /// Resources that the legacy session follows.
    followed: BTreeSet<String>,
    level: Option<String>,
}

impl Feed {
    /// Adds a `tools/list_changed` for each listener: one for the legacy session, one for each
    /// `subscriptions/listen`.
    pub(crate) fn tools_changed(&self, output: &Output, batch: &mut Vec<u8>) {
        self.changed("tools", output, batch);
    }

    /// The same for any list.
    pub(crate) fn changed(&self, list: &str, output: &Output, batch: &mut Vec<u8>) {
        let method = format!("notifications/{list}/list_changed");
        if self.legacy.load(Ordering::Relaxed) {
            output.frame(batch, &wire::notification(&method, "{}"));
        }
        for (id, wanted) in &self.parts().listens {
            if wanted[format!("{list}ListChanged")] == true {
                output.frame(batch, &wire::notification(&method, &subscription(id, "")));
            }
        }
    }

    /// Tells who follows a resource that it was updated.
    pub(crate) fn updated(&self, uri: &str, output: &Output, batch: &mut Vec<u8>) {
        const METHOD: &str = "notifications/resources/updated";
        let parts = self.parts();
        if parts.followed.contains(uri) {
            output.frame(batch, &wire::notification(METHOD, &json!({"uri": uri}).to_string()));
        }
        for (id, wanted) in &parts.listens {
            let uris = wanted["resourceSubscriptions"].as_array();
            if uris.is_some_and(|uris| uris.iter().any(|wanted| wanted == uri)) {
                let more = format!(r#","uri":{}"#, wire::quoted(uri));
                output.frame(batch, &wire::notification(METHOD, &subscription(id, &more)));
            }
        }
    }

    pub(crate) fn listen(&self, id: &str, filter: &str) {
        let filter = serde_json::from_str(filter).unwrap_or_default();
        self.parts().listens.insert(id.to_owned(), filter);
    }

    pub(crate) fn unlisten(&self, id: &str) {
        self.parts().listens.remove(id);
    }

    pub(crate) fn follow(&self, uri: &str, on: bool) {
        let mut parts = self.parts();
        match on {
            true => parts.followed.insert(uri.to_owned()),
            false => parts.followed.remove(uri),
        };
    }

    pub(crate) fn set_level(&self, level: &str) {
        self.parts().level = Some(level.to_owned());
    }

    /// The resources that are followed in either way, and the level.
    pub(crate) fn report(&self) -> Value {
        let parts = self.parts();
        let listened = parts.listens.values().filter_map(|wanted| wanted["resourceSubscriptions"].as_array());
        let listened = listened.flatten().filter_map(Value::as_str).map(str::to_owned);
        let followed: BTreeSet<String> = parts.followed.iter().cloned().chain(listened).collect();
        json!({"followed": followed, "level": parts.level})
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
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
