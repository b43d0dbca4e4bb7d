//! Which child a caller's requests go to: the server's, or the one of its session or principal.

use std::sync::Arc;

use super::dispatch::pool_ended;
use super::standing::present;
use super::{Error, Gateway, Principal, ServerEntry};
use crate::access::ClientSession;
use crate::mcp::Era;
use crate::supervisor::{EraChoice, Isolation, PoolKey, PoolRefused, ServerHandle, Supervisor};
use crate::upstream::Notification;

impl Gateway {
    /// Returns the handle that a caller's requests to a server go to. For a shared server this is one comparison more than
    /// the server's own handle.
    pub(super) fn handle_for(
        &self,
        entry: &ServerEntry,
        caller: &Principal,
    ) -> Result<Arc<ServerHandle>, Error> {
        let shared = self.handle(entry)?;
        match key(&shared, entry, caller) {
            None => Ok(shared),
            Some(key) => self.pool(&shared, entry, key, caller),
        }
    }

    /// Returns the handle whose lists a caller is shown: the one of its pool if that has listed anything, else the server's,
    /// which knows what the last child had. A pool is made only where nothing else can say anything.
    pub(super) fn handle_of_lists(
        &self,
        entry: &ServerEntry,
        caller: &Principal,
    ) -> Result<Arc<ServerHandle>, Error> {
        Ok(self.handles(entry, caller)?.0)
    }

    /// Returns the same handle, and `true` if it is the one that all callers of the server share and the caller's requests
    /// go to.
    pub(super) fn handles(
        &self,
        entry: &ServerEntry,
        caller: &Principal,
    ) -> Result<(Arc<ServerHandle>, bool), Error> {
        let shared = self.handle(entry)?;
        let Some(key) = key(&shared, entry, caller) else { return Ok((shared, true)) };
        let known = shared.known_pool(&key).filter(|pool| pool.catalog().is_loaded());
        let of_lists = match known {
            Some(pool) => pool,
            None if entry.definition.secrets().is_empty() || shared.catalog().is_loaded() => shared,
            None => self.pool(&shared, entry, key, caller)?,
        };
        Ok((of_lists, false))
    }

    fn pool(
        &self,
        shared: &Arc<ServerHandle>,
        entry: &ServerEntry,
        key: PoolKey,
        caller: &Principal,
    ) -> Result<Arc<ServerHandle>, Error> {
        let lacks = |name: &&String| !self.0.secrets.has(&caller.member().id, name);
        if let Some(secret) = entry.definition.secrets().iter().find(lacks) {
            return Err(Error::SecretMissing { name: entry.name.to_string(), secret: secret.clone() });
        }
        // Asked under the lock that the end takes as well: nothing is made for a session or a key that is over.
        let is_over = || match (&key, caller.session()) {
            (PoolKey::Session(_), Some(session)) if session.is_over_for_more() => true,
            _ => present(caller).is_err(),
        };
        let policy = entry.definition.policy();
        let member = Some(&caller.member().id).filter(|_| key != PoolKey::Legacy);
        let made = self.0.supervisor.pool(shared, (&key, member), policy, is_over);
        made.map_err(|refused| match refused {
            PoolRefused::Full { limit } => Error::TooManyPools { name: entry.name.to_string(), limit },
            PoolRefused::Over => pool_ended(&entry.name),
        })
    }

    /// Ends what runs for members that there are not any more.
    pub(super) fn end_pools_of<'a>(&self, gone: impl Fn(&str) -> bool + 'a) {
        self.0.supervisor.end_pools(|_, member| member.is_some_and(|member| gone(member)));
    }

    /// Returns the scope of a session of an MCP client, whose number no other session of this run has.
    pub fn client_scope(&self, number: u64) -> ClientScope {
        ClientScope {
            session: Arc::new(ClientSession::new(number)),
            supervisor: Some(self.0.supervisor.clone()),
        }
    }
}

/// Returns who shares a child of a server, by the definition in force.
fn isolation(shared: &ServerHandle, entry: &ServerEntry) -> Isolation {
    shared.setting(&entry.definition, |policy| policy.isolation)
}

/// Reports whether some callers of a server have a child of their own.
pub(super) fn has_pools(shared: &ServerHandle, entry: &ServerEntry) -> bool {
    isolation(shared, entry) != Isolation::Shared || is_matched(shared, entry)
}

/// Reports whether clients of each era have a child that is spoken to in theirs.
fn is_matched(shared: &ServerHandle, entry: &ServerEntry) -> bool {
    shared.setting(&entry.definition, |policy| policy.era) == EraChoice::Matched
}

/// Returns the owner of the pool that a caller's requests go to; `None` if they go to the child that all share.
fn key(shared: &ServerHandle, entry: &ServerEntry, caller: &Principal) -> Option<PoolKey> {
    match (isolation(shared, entry), caller.session()) {
        (Isolation::Shared, None) => None,
        (Isolation::Shared, Some(_)) => {
            // A server that was opened in the legacy era has no other. One of which that is not known yet is believed to
            // have both: a session that moved to another child later would lose what it had there.
            let is_of_two = is_matched(shared, entry) && shared.learnt() != Some(Era::Legacy);
            is_of_two.then_some(PoolKey::Legacy)
        }
        (Isolation::PerSession, Some(session)) => Some(PoolKey::Session(session.number())),
        _ => Some(PoolKey::Principal(caller.member().id.clone())),
    }
}

/// Reports whether what a child announced concerns a caller: everybody, or the caller's session or principal.
pub(super) fn concerns(caller: &Principal, notice: &Notification) -> bool {
    match &notice.owner {
        None => true,
        Some(PoolKey::Session(number)) => caller.session().is_some_and(|session| session.number() == *number),
        Some(PoolKey::Principal(member)) => caller.member().id == *member,
        Some(PoolKey::Legacy) => caller.session().is_some(),
    }
}

/// Scope of a session of an MCP client: what the gateway runs for it alone ends with it, or when this is dropped.
pub struct ClientScope {
    session: Arc<ClientSession>,
    /// Supervisor of what has to end; `None` in tests that have none.
    supervisor: Option<Supervisor>,
}

impl ClientScope {
    /// Returns the principal as it calls in the session.
    pub fn caller(&self, principal: &Principal) -> Principal {
        principal.in_session(&self.session)
    }

    /// Ends the session's children, without waiting for them. Does nothing the second time.
    pub fn end(&self) {
        if self.session.end()
            && let Some(supervisor) = &self.supervisor
        {
            let own = PoolKey::Session(self.session.number());
            supervisor.end_pools(|key, _| *key == own);
        }
    }
}

impl Drop for ClientScope {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
impl Default for ClientScope {
    fn default() -> ClientScope {
        ClientScope { session: Arc::new(ClientSession::new(0)), supervisor: None }
    }
}
