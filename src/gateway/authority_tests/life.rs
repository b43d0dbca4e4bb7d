//! One run of the daemon in a history: the registry, and a server with one place whose child the test answers for.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, json};
use tokio::task::JoinSet;

use super::steps::Counts;
use crate::access::{KeyRing, Member, Plan, Role, Tenancy};
use crate::pins::PinBook;
use crate::registry::tests::{FailingStore, settings};
use crate::registry::{Registry, ServerEntry};
use crate::store::DurableStore;
use crate::supervisor::{Policy, ServerHandle};
use crate::upstream::{CallsOfATest, Link};

/// Numbers of keys, the owner's among them, and of members that the plan allows at first.
pub(super) const MAX_COUNTS: Counts = Counts { keys: 6, members: 4 };
/// Name of the organization's plan.
pub(super) const PLAN: &str = "p";

/// One run of the daemon, from its start to its end.
pub(super) struct Life {
    pub(super) registry: Registry,
    pub(super) ring: KeyRing,
    pub(super) handle: Arc<ServerHandle>,
    pub(super) entry: Arc<ServerEntry>,
    pub(super) calls: CallsOfATest,
    pub(super) tasks: JoinSet<()>,
}

fn tenancy() -> Tenancy {
    let mut tenancy = Tenancy::default();
    let (keys, members) = (Some(MAX_COUNTS.keys), Some(MAX_COUNTS.members));
    let plan = Plan { max_api_keys: keys, max_members: members, ..Plan::with_rate(PLAN, None) };
    tenancy.organization.plan = Arc::new(plan);
    tenancy.members.push(Arc::new(Member {
        id: "user_admin".into(),
        role: Role::Admin,
        ..Tenancy::default_owner()
    }));
    tenancy
}

impl Life {
    /// Begins a run on a directory and its store. A start that needs room on the disk gets it.
    pub(super) fn begin(dir: &Path, store: &Arc<FailingStore>) -> Life {
        let ring = KeyRing::new(tenancy());
        // A store that a full disk has closed is opened anew.
        store.reads_fail.store(false, Ordering::SeqCst);
        let durable = DurableStore::bare(store.clone());
        let opened = Registry::open(durable, settings(dir), &ring, &PinBook::default()).or_else(|_| {
            // No key administers any more, and none can be made: somebody makes room.
            store.apply_fails.store(false, Ordering::SeqCst);
            Registry::open(DurableStore::bare(store.clone()), settings(dir), &ring, &PinBook::default())
        });
        let mut registry = opened.expect("opens");
        if registry.list().by_name("s").is_none() {
            registry.add("s", Map::from_iter([("command".to_owned(), json!("x"))])).expect("added");
        }
        let entry = registry.list().entries()[0].clone();
        let (link, calls) = Link::to_a_test(1, 64);
        let policy = Policy {
            max_in_flight: 1,
            queue: 64,
            queue_age: Duration::from_secs(9_999),
            ..Policy::default()
        };
        let handle = ServerHandle::of_a_test(&entry.id, &policy, link);
        Life { registry, ring, handle, entry, calls, tasks: JoinSet::new() }
    }
}
