//! How the files that the daemon may have open are shared between connections and everything else.

use crate::http::{Settings, places_within};
use crate::process;
use crate::service::ServerList;

/// For the store, the audit, the listeners, the runtime and files that are read for a moment.
const OWN: u64 = 128;
/// For a child: three pipes, its process, and what is open while it is started.
const PER_CHILD: u64 = 6;
/// Servers that are made later have their children, too.
const SPARE_CHILDREN: u64 = 32;

/// The settings with as many connections as there can be without taking the children's descriptors.
pub(super) fn fitted(settings: &Settings, servers: &ServerList) -> Settings {
    let children: u64 =
        servers.entries().iter().map(|entry| entry.definition.policy().replicas.max as u64).sum();
    let others = OWN + PER_CHILD * (children + SPARE_CHILDREN);
    let (limit, wanted) = (process::open_files(), settings.places());
    let places = places_within(limit, others, wanted);
    let mut fitted = settings.clone();
    if places != wanted {
        tracing::warn!(
            open_files = limit,
            kept = others,
            servers = servers.entries().len(),
            connections = places.all,
            waiting = places.waiting,
            "http.max_connections is lowered from {} to {}: too few files may be open. Raise the limit \
             (LimitNOFILE of systemd, ulimit -Hn), or set it lower",
            wanted.all,
            places.all
        );
        fitted.set_places(places);
    }
    fitted
}
