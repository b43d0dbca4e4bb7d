//! Subjects of access tokens: callers that an authorization server vouches for, and that own no key. Each acts as a member
//! of its own, with the plan's limits; nothing of it is stored. Made when its first token comes, and forgotten when there is
//! no room and its last token has ended. The time is given.

use std::collections::HashMap;
use std::sync::Arc;

use super::accounts::{Accounts, keyless_record};
use super::origin::Origin;
use super::permissions::Permissions;
use super::principal::Principal;
use super::slot::{Entry, Slot, note};
use super::tenancy::Role;

/// Beginning of the id of every subject, which is that of its member and of what stands in place of its key.
pub const SUBJECT_PREFIX: &str = "oidc_";
/// Maximum number of subjects that are known at once.
pub const MAX_SUBJECTS: usize = 10_000;
/// Maximum number of different rights that the tokens of one subject give at once.
const MAX_RIGHTS: usize = 8;
/// Maximum number of rights of one subject that are told of: who gets tokens on demand could write without end.
const MAX_TOLD: usize = 64;

/// Rights that an access token gives to its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenGrant {
    /// Id of the subject, with [`SUBJECT_PREFIX`]: the same for all tokens of one issuer and subject.
    pub subject: Arc<str>,
    /// Name of the subject, for display.
    pub name: String,
    /// Role that the token acts with.
    pub role: Role,
    /// Name of the plan that holds for the subject; `None` for the organization's.
    pub plan: Option<Arc<str>>,
    /// MCPs and tools that the token may use.
    pub permissions: Permissions,
    /// Time from which the token is refused, in seconds since 1970.
    pub ends_at: u64,
}

/// Subject of a token that was let in.
#[derive(Debug)]
pub struct Admitted {
    /// Identity of the caller.
    pub principal: Principal,
    /// `true` if no token of this subject with these rights came before, as far as is known, for the first 64.
    pub is_new: bool,
}

/// Refusal of a further subject: as many as there may be have tokens that are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_SUBJECTS} subjects of access tokens are known, as many as there may be at once")]
pub struct TooManySubjects;

/// The subjects by id.
#[derive(Default)]
pub(super) struct Subjects {
    by_id: HashMap<Arc<str>, Subject>,
}

#[derive(Default)]
struct Subject {
    /// A slot for each of the different rights that its tokens have given.
    rights: Vec<Arc<Slot>>,
    /// Name of the plan that its latest token named.
    plan: Option<Arc<str>>,
    /// Time from which all its tokens are refused, in seconds since 1970.
    ends_at: u64,
    /// Number of different rights that were told of, those that came back after others included.
    told: usize,
}

impl Subjects {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn names(&self) -> Vec<(Arc<str>, String)> {
        let name = |subject: &Subject| Some(subject.rights.last()?.entry()?.record.name.clone());
        self.by_id.iter().map(|(id, subject)| (id.clone(), name(subject).unwrap_or_default())).collect()
    }

    /// Returns the principal of a token. Fails if its subject is not known and there is no room for another one.
    pub(super) fn admit(
        &mut self,
        grant: &TokenGrant,
        accounts: &Accounts,
        now: u64,
    ) -> Result<Admitted, TooManySubjects> {
        self.make_room(&grant.subject, now)?;
        let subject = self.by_id.entry(grant.subject.clone()).or_default();
        subject.ends_at = subject.ends_at.max(grant.ends_at);
        subject.plan.clone_from(&grant.plan);
        let (slot, entry, is_new) = subject.slot_of(grant, accounts);
        // An entry of a token always has an account.
        let account = entry.account.clone().ok_or(TooManySubjects)?;
        note(&slot.last_used, now);
        note(&account.last_active, now);
        let (hash, ends_at, session, origin) =
            (entry.record.hash, Some(grant.ends_at), None, Origin::default());
        let principal = Principal { slot, hash, ends_at, entry, account, session, origin };
        Ok(Admitted { principal, is_new })
    }

    fn make_room(&mut self, id: &str, now: u64) -> Result<(), TooManySubjects> {
        if self.by_id.len() < MAX_SUBJECTS || self.by_id.contains_key(id) {
            return Ok(());
        }
        self.by_id.retain(|_, subject| subject.ends_at > now || subject.is_in_use());
        if self.by_id.len() < MAX_SUBJECTS { Ok(()) } else { Err(TooManySubjects) }
    }

    /// Puts all subjects under other accounts: plans and default limits may have changed.
    pub(super) fn govern(&self, accounts: &Accounts) {
        for subject in self.by_id.values() {
            // All have what the first has: one rate, however many rights there are.
            let mut first: Option<Arc<Entry>> = None;
            for slot in &subject.rights {
                let Some(before) = slot.entry() else { continue };
                let Some(role) = role(&before) else { continue };
                let (record, plan) = (before.record.clone(), subject.plan.as_deref());
                let known = first.as_ref().unwrap_or(&before);
                let after = Arc::new(accounts.entry_of_token(record, role, plan, Some(known)));
                let now = if before.is_same(&after) { before } else { after };
                slot.set(Some(now.clone()));
                first.get_or_insert(now);
            }
        }
    }
}

impl Subject {
    /// Reports whether a principal has one of its slots.
    fn is_in_use(&self) -> bool {
        self.rights.iter().any(|slot| Arc::strong_count(slot) > 1)
    }

    /// Returns the slot of a token's rights with its entry, and whether it was made for it.
    fn slot_of(&mut self, grant: &TokenGrant, accounts: &Accounts) -> (Arc<Slot>, Arc<Entry>, bool) {
        let fits = |entry: &Entry| {
            let record = &entry.record;
            role(entry) == Some(grant.role)
                && record.name == grant.name
                && record.permissions == grant.permissions
        };
        let known =
            self.rights.iter().find_map(|slot| Some((slot.clone(), slot.entry().filter(|it| fits(it))?)));
        if let Some((slot, entry)) = known {
            return (slot, entry, false);
        }
        // What its tokens have taken, whatever their rights, stays taken.
        let before = self.rights.first().and_then(|slot| slot.entry());
        let (id, name) = (grant.subject.clone(), grant.name.clone());
        let record = keyless_record(id.clone(), id, name, grant.permissions.clone());
        let plan = grant.plan.as_deref();
        let entry = Arc::new(accounts.entry_of_token(record, grant.role, plan, before.as_deref()));
        // So does what they have under way and unread.
        let first = self.rights.first();
        let slot = Arc::new(first.map_or_else(Slot::default, |first| first.beside()));
        slot.set(Some(entry.clone()));
        if self.rights.len() >= MAX_RIGHTS {
            let unused = self.rights.iter().position(|slot| Arc::strong_count(slot) == 1);
            self.rights.remove(unused.unwrap_or_default());
        }
        self.rights.push(slot.clone());
        self.told += 1;
        (slot, entry, self.told <= MAX_TOLD)
    }
}

fn role(entry: &Entry) -> Option<Role> {
    entry.account.as_ref().map(|account| account.member.role)
}

#[cfg(test)]
mod tests {
    use super::super::{CredentialError, KeyLimits, KeyRing, Plan, Tenancy};
    use super::*;
    use std::num::NonZeroU32;

    fn grant(subject: &str, role: Role, ends_at: u64) -> TokenGrant {
        let (subject, permissions) = (format!("{SUBJECT_PREFIX}{subject}").into(), Permissions::default());
        TokenGrant { subject, name: "Ann".to_owned(), role, plan: None, permissions, ends_at }
    }

    fn admit(ring: &KeyRing, grant: &TokenGrant) -> Principal {
        ring.admit(grant, 5).expect("room").principal
    }

    #[test]
    fn each_token_of_a_subject_ends_at_its_own_time() {
        let ring = KeyRing::default();
        let first = admit(&ring, &grant("a", Role::Member, 10));
        let second = admit(&ring, &grant("a", Role::Member, 20));
        assert_eq!(first.key_id(), second.key_id());
        assert!(!first.is_unchanged(), "the clock has to be asked");
        assert_eq!(first.again(10).err(), Some(CredentialError::Expired));
        assert_eq!(second.again(10).expect("valid").ends_at(), Some(20));
        assert_eq!((first.expires_at(), second.expires_at()), (Some(10), Some(20)));
    }

    #[test]
    fn tokens_with_other_rights_share_what_their_subject_may_take() {
        let mut tenancy = Tenancy::default();
        tenancy.organization.plan = Arc::new(Plan::with_rate("two", Some(2)));
        let ring = KeyRing::new(tenancy);
        let (member, admin) = (grant("a", Role::Member, 10), grant("a", Role::Admin, 10));
        let refused = |grant| admit(&ring, grant).take_request().expect("limited").refused.is_some();
        assert_eq!((refused(&member), refused(&admin), refused(&member)), (false, false, true));
        assert!(!refused(&grant("b", Role::Member, 10)), "another subject has its own");
        assert_eq!(admit(&ring, &admin).role(), Role::Admin);
        assert_eq!(admit(&ring, &member).role(), Role::Member);
    }

    #[tokio::test]
    async fn another_plan_holds_at_once_and_wakes_who_waits() {
        let ring = KeyRing::default();
        let caller = admit(&ring, &grant("a", Role::Member, 10));
        let changed = caller.changed();
        let limits = KeyLimits { requests_per_second: NonZeroU32::new(7), ..KeyLimits::default() };
        ring.govern(Tenancy { key_defaults: limits, ..Tenancy::default() });
        changed.await;
        let now = caller.again(5).expect("valid");
        assert_eq!((now.limits(), now.ends_at()), (&limits, Some(10)));
    }

    #[test]
    fn there_is_room_for_so_many_and_ended_ones_make_room() {
        let ring = KeyRing::default();
        let held = admit(&ring, &grant("held", Role::Member, 1));
        for number in 1..MAX_SUBJECTS {
            admit(&ring, &grant(&number.to_string(), Role::Member, 10));
        }
        let further = grant("further", Role::Member, 99);
        assert_eq!(ring.admit(&further, 9).err(), Some(TooManySubjects));
        assert!(ring.admit(&grant("1", Role::Member, 10), 9).is_ok(), "who is known is let in");
        assert!(ring.admit(&further, 10).is_ok());
        assert_eq!(ring.subject_names().len(), 2, "the new one, and the one that somebody has");
        drop(held);
    }

    #[test]
    fn the_rights_of_a_subject_are_bounded() {
        let ring = KeyRing::default();
        for number in 0..3 * MAX_RIGHTS {
            let named = TokenGrant { name: number.to_string(), ..grant("a", Role::Member, 10) };
            let admitted = ring.admit(&named, 5).expect("room");
            assert!(admitted.is_new && admitted.principal.again(5).is_ok());
            assert_eq!(admitted.principal.member().name, named.name);
        }
        assert!(ring.subjects().by_id.values().all(|subject| subject.rights.len() == MAX_RIGHTS));
    }
}
