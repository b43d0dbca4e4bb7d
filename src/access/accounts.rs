//! Owners of the keys as they are now: the organization, and the state that all keys of a member share.
//! Rebuilt when the organization, a member or a plan changes; usage counts continue.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use super::account::Account;
use super::key::KeyRecord;
use super::limits::KeyLimits;
use super::origin::Origin;
use super::permissions::Permissions;
use super::principal::{LOCAL_OPERATOR, Principal};
use super::rate::Bucket;
use super::slot::{Entry, Slot};
use super::tenancy::{Member, Role, Source, Tenancy};

/// Id of callers without a key where `/api` is open to everybody.
const ANYBODY: &str = "anybody";

/// Accounts of all members; see the module documentation.
pub(super) struct Accounts {
    pub(super) tenancy: Arc<Tenancy>,
    by_member: HashMap<Arc<str>, Arc<Account>>,
    pub(super) operator: Principal,
    pub(super) anybody: Principal,
}

impl Accounts {
    /// Makes the accounts of an organization. The usage of a member that has an account in `before` continues.
    pub(super) fn new(tenancy: Arc<Tenancy>, before: Option<&Accounts>) -> Accounts {
        let account = |member: &Arc<Member>| {
            let known = before.and_then(|before| before.by_member.get(&member.id));
            account(&tenancy, member.clone(), known)
        };
        let by_member = tenancy.members.iter().map(|member| (member.id.clone(), account(member))).collect();
        let slot = |of: fn(&Accounts) -> &Principal| before.map(|before| of(before).slot.clone());
        let operator = keyless(&tenancy, LOCAL_OPERATOR, "this machine's operator", slot(|it| &it.operator));
        let anybody = keyless(&tenancy, ANYBODY, "anybody", slot(|it| &it.anybody));
        Accounts { tenancy, by_member, operator, anybody }
    }

    pub(super) fn get(&self, member: &str) -> Option<&Arc<Account>> {
        self.by_member.get(member)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_member.keys()
    }

    /// Makes the entry of a key under these accounts. A key with an entry `before` keeps what was taken
    /// from its bucket.
    pub(super) fn entry(&self, record: KeyRecord, before: Option<&Entry>) -> Entry {
        let limits = record.limits.or(self.tenancy.key_defaults);
        let known = before.and_then(|before| before.bucket.as_ref());
        let bucket = bucket(limits.requests_per_second, known, Instant::now());
        let account = self.by_member.get(&record.member_id).cloned();
        Entry { record, account, limits, bucket, by_token: false }
    }

    /// Makes the entry of access tokens with these rights, under the plan of this name or the organization's. Their
    /// subject is a member in all but the list of members. What it has taken by an entry `before` stays taken.
    pub(super) fn entry_of_token(
        &self,
        record: KeyRecord,
        role: Role,
        plan: Option<&str>,
        before: Option<&Entry>,
    ) -> Entry {
        let member = Member {
            id: record.id.clone(),
            name: record.name.clone(),
            role,
            plan: plan.and_then(|name| self.tenancy.plans.get(name).cloned()),
            source: Source::Token,
            ..Tenancy::default_owner()
        };
        let known = before.and_then(|before| before.account.as_ref());
        let account = account(&self.tenancy, Arc::new(member), known);
        let limits = record.limits.or(self.tenancy.key_defaults);
        let known = before.and_then(|before| before.bucket.as_ref());
        let bucket = bucket(limits.requests_per_second, known, Instant::now());
        Entry { record, account: Some(account), limits, bucket, by_token: true }
    }
}

/// Returns the account of a member: the known one if nothing has changed, or a new one that goes on with its counts.
fn account(tenancy: &Tenancy, member: Arc<Member>, known: Option<&Arc<Account>>) -> Arc<Account> {
    let plan = tenancy.plan_of(&member).clone();
    if let Some(known) = known.filter(|known| known.member == member && known.plan == plan) {
        return known.clone();
    }
    let rate = plan.requests_per_second.and_then(NonZeroU32::new);
    let bucket = bucket(rate, known.and_then(|known| known.bucket.as_ref()), Instant::now());
    let last_active = known.map(|known| known.last_active.clone()).unwrap_or_default();
    let unread = known.map(|known| known.unread.clone()).unwrap_or_default();
    Arc::new(Account { member, plan, bucket, last_active, unread })
}

/// Returns the record of a caller that has no key.
pub(super) fn keyless_record(
    id: Arc<str>,
    member_id: Arc<str>,
    name: String,
    permissions: Permissions,
) -> KeyRecord {
    KeyRecord {
        id,
        member_id,
        name,
        description: None,
        prefix: String::new(),
        hash: [0; 32],
        created_at: 0,
        expires_at: None,
        revoked_at: None,
        permissions,
        created_by: None,
        limits: KeyLimits::default(),
        replaced: None,
    }
}

/// Returns a bucket of this rate: the known one, or a new one that is as empty; `None` without a rate.
fn bucket(rate: Option<NonZeroU32>, known: Option<&Arc<Bucket>>, now: Instant) -> Option<Arc<Bucket>> {
    let rate = rate?;
    Some(match known {
        Some(known) if known.limit() == rate => known.clone(),
        Some(known) => Arc::new(known.resized(rate, now)),
        None => Arc::new(Bucket::new(rate, now)),
    })
}

/// Makes a principal without a key: the first owner, without limits.
fn keyless(tenancy: &Tenancy, id: &str, name: &str, slot: Option<Arc<Slot>>) -> Principal {
    let member = tenancy.owner().cloned().unwrap_or_else(|| Arc::new(Tenancy::default_owner()));
    let plan = tenancy.plan_of(&member).clone();
    let record = keyless_record(id.into(), member.id.clone(), name.to_owned(), Permissions::default());
    let (last_active, unread) = (Arc::default(), Arc::default());
    let account = Arc::new(Account { member, plan, bucket: None, last_active, unread });
    let (limits, slot) = (KeyLimits::default(), slot.unwrap_or_default());
    let entry =
        Arc::new(Entry { record, account: Some(account.clone()), limits, bucket: None, by_token: false });
    slot.set(Some(entry.clone()));
    let (hash, origin) = (entry.record.hash, Origin::default());
    Principal { slot, hash, ends_at: None, entry, account, session: None, origin }
}
