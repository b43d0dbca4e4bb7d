//! Refresh of a running child's catalog: listens for change notifications and reads the lists again, at most once a
//! second, one reading at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::call::{Call, Link, Outcome};
use super::catalog::CatalogSlot;
use super::listing::reload_catalog;
use super::pending::Limits;
use super::probe::Activity;
use super::request::HandshakeError;
use super::teller::Teller;
use crate::mcp::{Era, HandshakeInfo, method};

/// Shortest time between two readings of the lists.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// Lifetime of a listen request, which has no natural end.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Refreshes the catalog as long as the child runs, each time that `changed` is notified; the task must be aborted with
/// the child.
pub(super) async fn keep_fresh(
    link: Link,
    facts: HandshakeInfo,
    changed: Arc<Notify>,
    catalog: Arc<CatalogSlot>,
    activity: Arc<Activity>,
    teller: Teller,
) {
    let listening = listen(&link, &facts, &activity);
    let refreshing = async {
        loop {
            // Any number of announced changes needs one reading.
            changed.notified().await;
            match reload_catalog(&link, &facts, &catalog.load(), &teller).await {
                Ok(fresh) => catalog.publish(Arc::new(fresh)),
                Err(HandshakeError::Gone) => return,
                Err(HandshakeError::Refused(reason)) => {
                    teller.warn(&format!("the changed lists could not be read: {reason}"));
                }
                Err(HandshakeError::TimedOut { phase, .. }) => {
                    teller.warn(&format!(
                        "the changed lists could not be read: {phase} was not answered in time"
                    ));
                }
            }
            tokio::time::sleep(DEBOUNCE).await;
        }
    };
    tokio::join!(listening, refreshing);
}

const LISTS: [(&str, &str); 3] =
    [("tools", "toolsListChanged"), ("resources", "resourcesListChanged"), ("prompts", "promptsListChanged")];

/// Reports whether a notification of this name says that a list has changed.
pub(super) fn is_list_change(name: &str) -> bool {
    matches!(name, method::TOOLS_CHANGED | method::RESOURCES_CHANGED | method::PROMPTS_CHANGED)
}

/// Keeps a stream of notifications open: a modern child announces changes only on one (spec 2026-07-28,
/// basic/patterns/subscriptions). If the child ends the stream, it is opened again.
async fn listen(link: &Link, facts: &HandshakeInfo, activity: &Activity) {
    let filter: Vec<String> = LISTS
        .iter()
        .filter(|(capability, _)| facts.capabilities[capability]["listChanged"] == true)
        .map(|(_, flag)| format!("\"{flag}\":true"))
        .collect();
    if link.era() == Era::Legacy || filter.is_empty() {
        return;
    }
    let members = Bytes::from(format!("\"notifications\":{{{}}}", filter.join(",")));
    loop {
        let now = Instant::now();
        let limits = Limits { first: now + FOR_EVER, idle: FOR_EVER, hard: now + FOR_EVER };
        activity.set_listening(true);
        let ended = link.call(Call::new(method::LISTEN, members.clone()), limits).await;
        activity.set_listening(false);
        match ended {
            Outcome::Result(_) => tokio::time::sleep(DEBOUNCE).await,
            Outcome::Error(_)
            | Outcome::Unusable(_)
            | Outcome::TooLong { .. }
            | Outcome::TimedOut { .. }
            | Outcome::Gone { .. } => {
                return;
            }
        }
    }
}
