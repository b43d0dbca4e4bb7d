//! Rights that acts take, and the error of who lacks them. Asked of the principal as it was accepted, or as it is
//! now; the time is given.

use std::ops::Deref;

use super::key::CredentialError;
use super::key::KeyRecord;
use super::principal::Principal;
use super::tenancy::Role;
use crate::facts::{ErrorFacts, Fault, Retry};

/// Right that an act takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Having keys and calling tools, which all but viewers may.
    Member,
    /// Administering: the keys and members of others, logs, the audit.
    Administer,
    /// Defining servers, which means running programs as the daemon's user. Not for a key that is limited to some
    /// servers or tools: this would free it from its limitation.
    DefineServers,
    /// Reading all that is configured as it was written, secrets in definitions included: a backup, an export. For owners,
    /// and not for a limited key either.
    ReadAll,
}

/// Error of a principal that may not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The principal lacks the right.
    #[error("{reason}")]
    Forbidden {
        /// Right that is missing, as a sentence.
        reason: String,
    },
    /// The key was revoked after it was presented, or its member was removed.
    #[error("The API key was revoked")]
    KeyRevoked,
    /// The key expired after it was presented.
    #[error("The API key has expired")]
    KeyExpired,
}

impl AccessError {
    /// Creates the error of a missing right; `reason` is a sentence.
    pub fn forbidden(reason: impl Into<String>) -> AccessError {
        AccessError::Forbidden { reason: reason.into() }
    }

    /// Returns the facts about the error: its name, the party at fault, and the safety of a repetition.
    pub fn facts(&self) -> ErrorFacts {
        match self {
            AccessError::Forbidden { .. } => ErrorFacts::new("forbidden", Fault::Caller, Retry::Pointless),
            AccessError::KeyRevoked => ErrorFacts::new("key_revoked", Fault::Caller, Retry::Pointless),
            AccessError::KeyExpired => ErrorFacts::new("key_expired", Fault::Caller, Retry::Pointless),
        }
    }
}

impl From<CredentialError> for AccessError {
    fn from(refused: CredentialError) -> AccessError {
        match refused {
            CredentialError::Expired => AccessError::KeyExpired,
            CredentialError::Revoked | CredentialError::Unknown => AccessError::KeyRevoked,
        }
    }
}

/// Principal as it is now. See [`Principal::present`].
pub enum Present<'a> {
    /// It is as it was.
    Unchanged(&'a Principal),
    /// Its key, its member or the plan has changed. Boxed, because it is rare and each call keeps a place for it.
    Changed(Box<Principal>),
}

impl Deref for Present<'_> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        match self {
            Present::Unchanged(principal) => principal,
            Present::Changed(principal) => principal,
        }
    }
}

impl Principal {
    /// Returns the principal as it is now, or the reason that it is not accepted any more. The time, in seconds since
    /// 1970, is asked only if that can make a difference.
    pub fn present(&self, now: impl FnOnce() -> u64) -> Result<Present<'_>, AccessError> {
        if self.is_unchanged() {
            return Ok(Present::Unchanged(self));
        }
        Ok(Present::Changed(Box::new(self.again(now())?)))
    }

    /// Refuses a principal that lacks a right.
    pub fn require(&self, right: Right) -> Result<(), AccessError> {
        let role = match right {
            Right::Member => Role::Member,
            Right::Administer | Right::DefineServers => Role::Admin,
            Right::ReadAll => Role::Owner,
        };
        if self.role() < role {
            return Err(AccessError::forbidden("Your role does not allow this action"));
        }
        let limited = match right {
            Right::Member | Right::Administer => return Ok(()),
            Right::DefineServers => "A key that is limited to some MCPs or tools may not define servers",
            Right::ReadAll => "A key that is limited to some MCPs or tools may not make backups or exports",
        };
        if !self.permissions().are_unlimited() {
            return Err(AccessError::forbidden(limited));
        }
        Ok(())
    }

    /// Refuses a principal that may not see a key: one of another member, unless it may administer.
    pub fn require_sight(&self, key: &KeyRecord) -> Result<(), AccessError> {
        match self.may_see(key) {
            true => Ok(()),
            false => Err(AccessError::forbidden("This API key belongs to another member")),
        }
    }

    /// Reports whether a principal may see and change a key, as far as its rights go.
    pub fn may_see(&self, key: &KeyRecord) -> bool {
        self.role().may_administer() || key.member_id == self.member().id
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KeyLimits, KeyRing, Member, NewKey, NewKeySpec, Permissions, Tenancy};
    use super::*;
    use std::sync::Arc;

    /// Returns a principal of a role, whose key has these permissions.
    fn principal(role: Role, permissions: Permissions) -> Principal {
        let member = Member { id: "user_a".into(), role, ..Tenancy::default_owner() };
        let mut tenancy = Tenancy::default();
        tenancy.members.push(Arc::new(member));
        let wish = NewKeySpec {
            name: "k".to_owned(),
            description: None,
            member_id: "user_a".into(),
            expires_at: None,
            permissions,
            limits: KeyLimits::default(),
        };
        let made = NewKey::generate(wish, 0).expect("random bytes");
        let ring = KeyRing::new(tenancy);
        ring.put([made.record.clone()]);
        ring.authenticate(&made.text, 1).expect("accepted")
    }

    #[test]
    fn a_right_is_refused_by_role_and_servers_also_by_a_limited_key() {
        use Right::{Administer, DefineServers, Member, ReadAll};
        let limited: Permissions = serde_json::json!({"mcps": ["mcp_a"]}).try_into().expect("good");
        let unlimited = Permissions::default();
        for (role, permissions, rights) in [
            (Role::Viewer, &unlimited, &[][..]),
            (Role::Member, &unlimited, &[Member][..]),
            (Role::Admin, &limited, &[Member, Administer][..]),
            (Role::Admin, &unlimited, &[Member, Administer, DefineServers][..]),
            (Role::Owner, &limited, &[Member, Administer][..]),
            (Role::Owner, &unlimited, &[Member, Administer, DefineServers, ReadAll][..]),
        ] {
            let principal = principal(role, permissions.clone());
            for right in [Member, Administer, DefineServers, ReadAll] {
                assert_eq!(principal.require(right).is_ok(), rights.contains(&right), "{role:?} {right:?}");
            }
        }
    }
}
