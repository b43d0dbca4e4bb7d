//! Refresh of a running child's catalog: listens for change notifications and reads the lists again, at most once a
//! second, one reading at a time. Also tells the child what clients want to hear of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::call::{Call, Link, Outcome};
use super::catalog::CatalogSlot;
use super::interest::{Interests, Wishes};
use super::listing::reload_catalog;
use super::pending::Limits;
use super::probe::Activity;
use super::report::{Context, HandshakeOutcome};
use super::request::{HandshakeError, ask};
use super::teller::Teller;
use crate::jsonrpc::push_string;
use crate::mcp::{Era, HandshakeInfo, method};

/// Shortest time between two readings of the lists.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// Shortest time before the second reading of the lists of a child that was quiet: changes of several lists come one soon
/// after the other, and clients wait to be told of each.
const SECOND_LOOK: Duration = Duration::from_millis(100);
/// Time without a change after which a child counts as quiet.
const QUIET: Duration = Duration::from_secs(5);
/// Time after which a list is asked for again that a remote server did not give, for being asked too often or for a moment's
/// fault; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// Longest time before that.
const LAST_RETRY: Duration = Duration::from_secs(3600);
/// Lifetime of a listen request, which has no natural end.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Time that a child may take to hear what clients want.
const TELL_LIMIT: Duration = Duration::from_secs(10);

/// Publishes what an upstream has announced, and tells of the lists that the one before it had otherwise: those of the
/// first are told where they take a place. Returns the task beside its calls, which must be aborted with it.
pub(super) fn introduce(
    context: &Context,
    (link, introduced): (&Link, &HandshakeOutcome),
    changed: Arc<ListChanges>,
    activity: Arc<Activity>,
    session: watch::Receiver<u64>,
) -> impl Future<Output = ()> + Send + use<> {
    let before = context.catalog.load();
    context.catalog.publish(introduced.catalog.clone());
    let (notices, incarnation) = (context.notices.clone(), context.incarnation);
    for list in introduced.catalog.differs_from(&before).filter(|_| before.is_loaded()) {
        notices.send(incarnation, list.into(), None);
    }
    keep_company(Company {
        link: link.clone(),
        facts: introduced.facts.clone(),
        changed,
        catalog: context.catalog.clone(),
        tell: Box::new(move |list| notices.send(incarnation, list.into(), None)),
        interests: context.interests.clone(),
        activity,
        teller: context.teller(),
        session,
    })
}

/// What the tasks beside a running child's calls work with.
struct Company {
    /// Link to the child, in its era.
    link: Link,
    facts: HandshakeInfo,
    /// Lists that the child says have changed.
    changed: Arc<ListChanges>,
    catalog: Arc<CatalogSlot>,
    /// Called with the name of each list's notification after the changed list can be read from `catalog`.
    tell: Box<dyn Fn(&'static str) + Send + Sync>,
    interests: Arc<Interests>,
    activity: Arc<Activity>,
    teller: Teller,
    /// Number of the session that the server knows the gateway by: a new one has heard nothing of what is wanted.
    session: watch::Receiver<u64>,
}

/// Refreshes the catalog as long as the child runs, each time that a change is announced, and tells it what clients want;
/// the task must be aborted with the child.
async fn keep_company(company: Company) {
    let Company { link, facts, changed, catalog, tell, interests, activity, teller, session } = company;
    let listening = async {
        match link.era() {
            Era::Modern => listen(&link, &facts, &activity, &interests).await,
            Era::Legacy => satisfy(&link, &facts, &interests, &teller, session).await,
        }
    };
    let refreshing = async {
        let mut retry = FIRST_RETRY;
        loop {
            // Any number of announced changes needs one reading.
            let began = Instant::now();
            let announced = match link.is_remote() && !catalog.load().is_complete() {
                true => {
                    let wait = retry;
                    retry = (retry * 2).min(LAST_RETRY);
                    tokio::time::timeout(wait, changed.next()).await.unwrap_or_default()
                }
                false => {
                    retry = FIRST_RETRY;
                    changed.next().await
                }
            };
            let was_quiet = began.elapsed() >= QUIET;
            let before = catalog.load();
            match reload_catalog(&link, &facts, &before, &teller).await {
                Ok(fresh) => {
                    let differing: Vec<_> = fresh.differs_from(&before).collect();
                    catalog.publish(Arc::new(fresh));
                    // Only now: who reads the list because of it must find the change in it. What was announced and is the
                    // same all the same is told, too.
                    let told = CHANGES.iter().copied();
                    told.filter(|list| announced.contains(list) || differing.contains(list)).for_each(&tell);
                }
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
            tokio::time::sleep(if was_quiet { SECOND_LOOK } else { DEBOUNCE }).await;
        }
    };
    tokio::join!(listening, refreshing);
}

const LISTS: [(&str, &str); 3] =
    [("tools", "toolsListChanged"), ("resources", "resourcesListChanged"), ("prompts", "promptsListChanged")];

/// Notifications that a list has changed.
const CHANGES: [&str; 3] = [method::TOOLS_CHANGED, method::RESOURCES_CHANGED, method::PROMPTS_CHANGED];

/// Lists that a child says have changed, for whoever reads them again.
#[derive(Debug, Default)]
pub(super) struct ListChanges {
    /// One bit for each of [`CHANGES`].
    announced: AtomicUsize,
    notify: Notify,
}

impl ListChanges {
    /// Notes a notification; returns `false` for one that says nothing of a list.
    pub(super) fn announce(&self, name: &str) -> bool {
        let Some(list) = CHANGES.iter().position(|known| *known == name) else { return false };
        self.announced.fetch_or(1 << list, Ordering::Relaxed);
        self.notify.notify_one();
        true
    }

    /// Has the lists read again, because they may have changed.
    pub(super) fn suspect(&self) {
        self.notify.notify_one();
    }

    /// Waits until a list may have changed, and returns the notifications since the last time.
    pub(super) async fn next(&self) -> Vec<&'static str> {
        self.notify.notified().await;
        let announced = self.announced.swap(0, Ordering::Relaxed);
        CHANGES
            .iter()
            .enumerate()
            .filter(|(list, _)| announced & (1 << list) != 0)
            .map(|(_, name)| *name)
            .collect()
    }
}

/// Returns the filter of the stream to open, without braces: every list that may change, and the wanted resources if the
/// child has updates of them. Empty if the child would have nothing to tell.
fn filter_of(facts: &HandshakeInfo, wanted: &Wishes) -> String {
    let lists = LISTS.iter().filter(|(list, _)| facts.capabilities[list]["listChanged"] == true);
    let mut filter: Vec<String> = lists.map(|(_, flag)| format!("\"{flag}\":true")).collect();
    if facts.capabilities["resources"]["subscribe"] == true && !wanted.resources.is_empty() {
        filter.push(format!("\"resourceSubscriptions\":{}", serde_json::json!(*wanted.resources)));
    }
    filter.join(",")
}

/// Keeps a stream of notifications open: a modern child announces changes only on one (spec 2026-07-28,
/// basic/patterns/subscriptions). If the child ends the stream, it is opened again; if something else is wanted, the next
/// one is opened before this one is ended.
async fn listen(link: &Link, facts: &HandshakeInfo, activity: &Activity, interests: &Interests) {
    let mut wanted = interests.wanted();
    let mut open = None;
    loop {
        let now_wanted = wanted.borrow_and_update().clone();
        let filter = filter_of(facts, &now_wanted);
        let before = open.take();
        if !filter.is_empty() {
            let now = Instant::now();
            let limits = Limits { first: now + FOR_EVER, idle: FOR_EVER, hard: now + FOR_EVER };
            let members = Bytes::from(format!("\"notifications\":{{{filter}}}"));
            open = Some(link.call(Call::new(method::LISTEN, members), limits));
        }
        drop(before);
        activity.set_listening(open.is_some());
        interests.told(now_wanted.version);
        let ended = async {
            match open.as_mut() {
                Some(open) => open.await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = ended => ended,
            changed = until_other(&mut wanted, facts, &filter, interests) => match changed {
                true => continue,
                false => return,
            },
        };
        open = None;
        activity.set_listening(false);
        match ended {
            Outcome::Result(_) => tokio::time::sleep(DEBOUNCE).await,
            Outcome::Error(_)
            | Outcome::Unusable(_)
            | Outcome::TooLong { .. }
            | Outcome::TimedOut { .. }
            | Outcome::Refused(_)
            | Outcome::Gone { .. } => break,
        }
    }
    // Nothing more is told, and nobody is to wait for it.
    loop {
        let now_wanted = wanted.borrow_and_update().version;
        interests.told(now_wanted);
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until the wishes lead to another filter. Returns `false` if there will be none any more.
async fn until_other(
    wanted: &mut watch::Receiver<Wishes>,
    facts: &HandshakeInfo,
    filter: &str,
    interests: &Interests,
) -> bool {
    while wanted.changed().await.is_ok() {
        let now = wanted.borrow_and_update().clone();
        if filter_of(facts, &now) != filter {
            wanted.mark_changed();
            return true;
        }
        interests.told(now.version);
    }
    false
}

/// Tells a legacy child what is wanted, by one request for each resource and one for the level of log messages.
async fn satisfy(
    link: &Link,
    facts: &HandshakeInfo,
    interests: &Interests,
    teller: &Teller,
    mut session: watch::Receiver<u64>,
) {
    let has_updates = facts.capabilities["resources"]["subscribe"] == true;
    let has_logs = facts.capabilities.get("logging").is_some();
    let mut wanted = interests.wanted();
    let (mut followed, mut level) = (BTreeSet::new(), None);
    loop {
        let now = wanted.borrow_and_update().clone();
        if has_updates {
            let next: BTreeSet<Arc<str>> = now.resources.iter().cloned().collect();
            for uri in next.difference(&followed) {
                tell(link, method::SUBSCRIBE, "uri", uri, teller).await;
            }
            for uri in followed.difference(&next) {
                tell(link, method::UNSUBSCRIBE, "uri", uri, teller).await;
            }
            followed = next;
        }
        if let Some(wish) = now.level.filter(|wish| has_logs && level != Some(*wish)) {
            tell(link, method::SET_LEVEL, "level", wish.name(), teller).await;
            level = Some(wish);
        }
        interests.told(now.version);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() {
                return;
            },
            Ok(()) = session.changed() => (followed, level) = (BTreeSet::new(), None),
        }
    }
}

/// Makes a request with one member. What comes of it is noted only if it fails: a server that announces what it cannot
/// do is no reason to stop here.
async fn tell(link: &Link, method: &'static str, member: &str, value: &str, teller: &Teller) {
    let mut members = format!("\"{member}\":").into_bytes();
    push_string(&mut members, value);
    let failed = match ask(link, method, members.into(), Instant::now() + TELL_LIMIT).await {
        Ok(Ok(_)) | Err(HandshakeError::Gone) => return,
        Ok(Err(error)) => format!("error {}: {}", error.code, error.message),
        Err(HandshakeError::Refused(reason)) => reason,
        Err(HandshakeError::TimedOut { .. }) => "it was not answered in time".to_owned(),
    };
    teller.warn(&format!("{method} failed: {failed}"));
}
