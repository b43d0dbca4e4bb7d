//! What the handles of all servers have in common: whom a handle asks for a child, and whom it tells of changed
//! lists. The directory makes it, each handle holds it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::process::Secret;
use crate::upstream::http::{AddressRules, LoginStore, Scope};
use crate::upstream::{CatalogChanges, NoticesOfAll};

/// Callback that asks for a server, or one of its pools, that has no child because nothing asked for it.
pub(super) type Demand = Box<dyn Fn(FleetId) + Send + Sync>;

/// Finder of what a member has stored: its id and the name of the secret give the value, or `None` if there is none.
pub type Secrets = Box<dyn Fn(&str, &str) -> Option<Secret> + Send + Sync>;

/// Id of the replicas of a server that all callers share, or of one of its pools.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FleetId {
    pub(super) server: Arc<str>,
    /// Number of the pool, never used twice; `None` for what all share.
    pub(super) pool: Option<u64>,
}

impl FleetId {
    /// Returns the id of what all callers of a server share.
    pub(super) fn shared(server: &Arc<str>) -> FleetId {
        FleetId { server: server.clone(), pool: None }
    }
}

/// Settings of the addresses that remote servers may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemoteSettings {
    /// Addresses of servers that were defined through an API; `None` for all where only this machine can reach the API, and
    /// public ones otherwise.
    pub api_addresses: Option<Scope>,
    /// Permission of link-local addresses for servers of a file.
    pub allow_link_local: bool,
}

impl RemoteSettings {
    /// Returns the rules of a daemon that listens on these addresses.
    pub fn rules(&self, own: Vec<SocketAddr>) -> RemoteRules {
        let is_open = own.iter().any(|address| !address.ip().to_canonical().is_loopback());
        let usual = || if is_open { Scope::Public } else { Scope::Any };
        RemoteRules {
            api: self.api_addresses.clone().unwrap_or_else(usual),
            allow_link_local: self.allow_link_local,
            own: own.into(),
        }
    }
}

/// Which addresses remote servers may have.
#[derive(Debug, Clone)]
pub struct RemoteRules {
    /// Addresses of servers that were defined through an API.
    pub api: Scope,
    /// Permission of link-local addresses for servers of a file.
    pub allow_link_local: bool,
    /// Addresses that this daemon listens on.
    pub own: Arc<[SocketAddr]>,
}

impl RemoteRules {
    /// Returns the rules for a server, by where it was defined.
    fn of(&self, is_of_api: bool) -> AddressRules {
        match is_of_api {
            true => AddressRules { scope: self.api.clone(), allow_link_local: false, own: self.own.clone() },
            false => AddressRules {
                scope: Scope::Any,
                allow_link_local: self.allow_link_local,
                own: self.own.clone(),
            },
        }
    }
}

/// State shared by all handles.
#[derive(Default)]
pub(super) struct SharedHooks {
    remotes: OnceLock<RemoteRules>,
    logins: OnceLock<Arc<dyn LoginStore>>,
    demand: OnceLock<Demand>,
    secrets: OnceLock<Secrets>,
    /// Number of the last pool of any server; 0 before the first.
    pools: AtomicU64,
    /// Told when any server's lists have changed.
    pub(super) catalogs_changed: Arc<CatalogChanges>,
    /// Channel of what all servers announce.
    pub(super) notices: NoticesOfAll,
}

impl SharedHooks {
    /// Sets the callback that asks for servers that rest; only the first call counts.
    pub(super) fn on_demand(&self, demand: Demand) {
        let _ = self.demand.set(demand);
    }

    pub(super) fn demand(&self, fleet: FleetId) {
        if let Some(demand) = self.demand.get() {
            demand(fleet);
        }
    }

    /// Sets the finder of what members have stored; only the first call counts.
    pub(super) fn find_secrets_by(&self, secrets: Secrets) {
        let _ = self.secrets.set(secrets);
    }

    /// Returns what a member has stored under a name; `None` if that is nothing.
    pub(super) fn secret(&self, member: &str, name: &str) -> Option<Secret> {
        self.secrets.get()?(member, name)
    }

    /// Sets the store of logins; only the first call counts.
    pub(super) fn keep_logins_in(&self, store: Arc<dyn LoginStore>) {
        let _ = self.logins.set(store);
    }

    /// Returns the store of logins; `None` if there is none.
    pub(super) fn login_store(&self) -> Option<Arc<dyn LoginStore>> {
        self.logins.get().cloned()
    }

    /// Sets which addresses remote servers may have; only the first call counts.
    pub(super) fn set_remote_rules(&self, rules: RemoteRules) {
        let _ = self.remotes.set(rules);
    }

    /// Returns which addresses a server may have; public ones only, until that was set.
    pub(super) fn address_rules(&self, is_of_api: bool) -> Arc<AddressRules> {
        let strict = || RemoteRules { api: Scope::Public, allow_link_local: false, own: Arc::new([]) };
        Arc::new(self.remotes.get_or_init(strict).of(is_of_api))
    }

    /// Returns the number for a pool that is made now.
    pub(super) fn next_pool(&self) -> u64 {
        self.pools.fetch_add(1, Ordering::Relaxed) + 1
    }
}
