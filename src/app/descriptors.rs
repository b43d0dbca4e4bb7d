//! Divides the limit on open files between connections and everything else.

use crate::http::{Settings, places_within};
use crate::process;
use crate::registry::ServerList;

/// File descriptors for the connections of the Unix socket, and for the store, the audit, the listeners, the runtime and
/// files read briefly.
const OWN: u64 = 256 + 64;
/// File descriptors of a child: three pipes, its process, and those open while it is started.
const PER_CHILD: u64 = 6;
/// Number of children for which descriptors are kept free, for servers that are defined later.
const SPARE_CHILDREN: u64 = 32;

/// Returns the settings with as many connections as the limit allows without using the children's descriptors.
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
