//! Identity of a caller, and what it may take: requests, calls, answers that are not read yet. Whether it is still
//! accepted is in `standing.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::account::Account;
use super::client_session::ClientSession;
use super::key::Hash;
use super::limits::KeyLimits;
use super::origin::Origin;
use super::permissions::Permissions;
use super::rate::{RateReading, take_both};
use super::slot::{Entry, Slot};
use super::tenancy::{Member, Plan, Role};
use super::unread::Unread;

/// Id of the operator of this machine, who needs no key for `/api`.
pub const LOCAL_OPERATOR: &str = "local";

/// Identity of a caller: a key and the member that owns it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {
    pub(super) slot: Arc<Slot>,
    /// Hash of the text that was presented.
    pub(super) hash: Hash,
    /// Time from which that text is refused, in seconds since 1970, as known when it was presented; `None`
    /// if never.
    pub(super) ends_at: Option<u64>,
    /// The entry at the time the key was presented; see [`Principal::again`].
    pub(super) entry: Arc<Entry>,
    pub(super) account: Arc<Account>,
    /// Session of an MCP client that it calls in; `None` for every other caller.
    pub(super) session: Option<Arc<ClientSession>>,
    /// Where the request came from that it calls in.
    pub(super) origin: Origin,
}

impl Principal {
    /// Returns the key's id (`key_…`).
    pub fn key_id(&self) -> &Arc<str> {
        &self.entry.record.id
    }

    /// Returns the member that owns the key.
    pub fn member(&self) -> &Member {
        &self.account.member
    }

    /// Returns the principal as it calls in a session of an MCP client.
    pub fn in_session(&self, session: &Arc<ClientSession>) -> Principal {
        Principal { session: Some(session.clone()), ..self.clone() }
    }

    /// Returns the principal as it calls in a request that came from there.
    pub fn from_origin(self, origin: Origin) -> Principal {
        Principal { origin, ..self }
    }

    /// Returns where the request came from that it calls in.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns what is to be said of the caller later, when its key may be another one or none.
    pub fn tag(&self) -> CallerTag {
        CallerTag(self.entry.clone())
    }

    /// Returns the session of an MCP client that it calls in; `None` for every other caller.
    pub fn session(&self) -> Option<&Arc<ClientSession>> {
        self.session.as_ref()
    }

    /// Returns the role that the key acts with.
    pub fn role(&self) -> Role {
        self.account.member.role
    }

    /// Returns the MCPs and tools that the key may use.
    pub fn permissions(&self) -> &Permissions {
        &self.entry.record.permissions
    }

    /// Reports whether this is the daemon's own user, who could do without it whatever the daemon may do
    /// for it.
    pub fn is_local_operator(&self) -> bool {
        **self.key_id() == *LOCAL_OPERATOR
    }

    /// Returns the plan that holds for the member.
    pub fn plan(&self) -> &Plan {
        &self.account.plan
    }

    /// Returns the limits in force for the key: its own, or the default for keys.
    pub fn limits(&self) -> &KeyLimits {
        &self.entry.limits
    }

    /// Takes a request from the key's budget and the member's, or from neither; returns the reading of the
    /// tighter one. `None` if neither has a limit.
    pub fn take_request(&self) -> Option<RateReading> {
        let (own, shared) = (self.entry.bucket.as_deref(), self.account.bucket.as_deref());
        if own.is_none() && shared.is_none() {
            return None;
        }
        take_both(own, shared, Instant::now())
    }

    /// Returns the counter of unread answers to this key.
    pub fn unread(&self) -> &Unread {
        &self.slot.unread
    }

    /// Returns the counter of unread answers to all keys of the member.
    pub fn unread_of_member(&self) -> &Unread {
        &self.account.unread
    }

    /// Begins a call, which ends when the guard is dropped; `None` if the key has `at_most` calls under way
    /// already.
    pub fn begin_call(&self, at_most: usize) -> Option<CallOfKey<'_>> {
        let slot = &self.slot;
        // Counted first and undone if refused, so that no two calls can take the last place.
        if slot.calls.fetch_add(1, Ordering::Relaxed) >= at_most {
            slot.calls.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(CallOfKey(slot))
    }
}

/// The key and the member that called, as they were then. Cheap to make and to clone: the entries of a key are shared.
#[derive(Debug, Clone)]
pub struct CallerTag(Arc<Entry>);

impl CallerTag {
    /// Reports whether this says the same of the same caller, made of the same entry.
    pub fn is_same(&self, other: &CallerTag) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Reports whether this is what is said of a caller as it is: the key unchanged since.
    pub fn is_of(&self, caller: &Principal) -> bool {
        Arc::ptr_eq(&self.0, &caller.entry)
    }

    /// Returns the key's id.
    pub fn key_id(&self) -> &Arc<str> {
        &self.0.record.id
    }

    /// Returns the key's name.
    pub fn key_name(&self) -> &str {
        &self.0.record.name
    }

    /// Returns the id of the member that owns the key.
    pub fn member_id(&self) -> &Arc<str> {
        &self.0.record.member_id
    }
}

/// Guard of a key's call under way.
#[derive(Debug)]
pub struct CallOfKey<'a>(&'a Slot);

impl Drop for CallOfKey<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
