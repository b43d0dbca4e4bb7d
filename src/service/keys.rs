//! Keys and the organization as callers may see and change them: whose keys, how wide, how many.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::members::MemberRequest;
use super::standing::{present, while_accepted};
use super::usage::{Bucket, HistoryQuery, Period, Span, Usage, UsageOf};
use super::{Error, Gateway, Registry, seconds_since_1970, unix_seconds};
use crate::access::{
    self, BadPermissions, KeyLimits, KeyRecord, KeyStatus, KeyWish, Member, NewKey, Permissions, Plan,
    Principal, Role,
};
use crate::nearest::closest;

/// A key that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRequest {
    /// A name for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// From when on it is to be refused.
    pub expires_at: Option<SystemTime>,
    /// What it is to be limited to, in the form of [`Permissions::read`].
    pub permissions: Option<Value>,
    /// The member that is to own it; the caller's own by default.
    pub owner: Option<String>,
    /// A member that is to be made along and own it.
    pub member: Option<MemberRequest>,
    /// How much it is to be able to.
    pub limits: KeyLimits,
}

/// Why a key is not made.
#[derive(Debug, Clone)]
pub enum NoKey {
    /// The permissions cannot be read.
    Permissions(BadPermissions),
    /// Everything else.
    Error(Error),
}

impl From<Error> for NoKey {
    fn from(error: Error) -> NoKey {
        NoKey::Error(error)
    }
}

/// What of a key is to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoke {
    /// The key.
    Key,
    /// The key, the keys that it has made, and those that these have made.
    Both,
    /// Only what it has made.
    Descendants,
}

/// What came of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The id that was asked for.
    pub id: Arc<str>,
    /// That key as it is now; `None` where it is not kept any more.
    pub key: Option<access::KeyView>,
    /// The keys that are revoked by this, in the order of their ids.
    pub revoked: Vec<Arc<str>>,
    /// Whether it outlives an end of the daemon. If not, that is still to come; it is in force all the same.
    pub durable: bool,
}

/// A key as it is now, for showing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// What is stored of it.
    pub record: KeyRecord,
    /// What becomes of it when it is presented.
    pub status: KeyStatus,
    /// When it was last presented, seconds since 1970.
    pub last_used: Option<u64>,
    /// Its calls altogether.
    pub total_requests: u64,
    /// Its calls of the current UTC day.
    pub requests_today: u64,
}

impl KeyView {
    fn of(key: access::KeyView, totals: &HashMap<Arc<str>, (u64, u64)>) -> KeyView {
        let access::KeyView { record, status, last_used } = key;
        let (total_requests, requests_today) = totals.get(&record.id).copied().unwrap_or_default();
        KeyView { record, status, last_used, total_requests, requests_today }
    }
}

/// The organization, for showing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationView {
    /// `org_…`.
    pub id: Arc<str>,
    /// A name for people.
    pub name: String,
    /// A name for addresses.
    pub slug: String,
    /// What it is.
    pub description: Option<String>,
    /// What it is entitled to.
    pub plan: Arc<Plan>,
    /// When this installation began.
    pub created_at: SystemTime,
    /// How many servers there are.
    pub mcps: u64,
    /// How many keys are accepted now.
    pub api_keys: u64,
    /// How many members there are.
    pub team_members: u64,
}

/// A member, for showing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// The member.
    pub member: Arc<Member>,
    /// Seconds since 1970.
    pub joined_at: u64,
    /// When one of its keys was last used, seconds since 1970.
    pub last_active: Option<u64>,
}

impl Gateway {
    /// The keys that a caller may see: its member's own, or all, newest first, ties by id.
    pub async fn keys(&self, caller: &Principal) -> Result<Vec<KeyView>, Error> {
        require(caller, Role::Member)?;
        let totals = while_accepted(caller, self.0.usage.key_totals()).await??;
        let keys = self.0.keys.keys(unix_seconds()).into_iter();
        let mut keys: Vec<KeyView> = keys.map(|key| KeyView::of(key, &totals)).collect();
        keys.retain(|key| may_see(caller, &key.record));
        keys.sort_by(|a, b| {
            b.record.created_at.cmp(&a.record.created_at).then_with(|| a.record.id.cmp(&b.record.id))
        });
        Ok(keys)
    }

    /// The key of this id.
    pub async fn key(&self, caller: &Principal, id: &str) -> Result<KeyView, Error> {
        let key = self.seen_key(caller, id)?;
        Ok(KeyView::of(key, &while_accepted(caller, self.0.usage.key_totals()).await??))
    }

    pub(super) fn seen_key(&self, caller: &Principal, id: &str) -> Result<access::KeyView, Error> {
        require(caller, Role::Member)?;
        let key = self.0.keys.key(id, unix_seconds()).ok_or(Error::KeyNotFound)?;
        if may_see(caller, &key.record) { Ok(key) } else { Err(not_yours()) }
    }

    /// Makes a key that allows nothing that the caller's own does not. Durable when it returns; its
    /// text is in the answer and nowhere else.
    pub async fn create_key(&self, caller: &Principal, request: KeyRequest) -> Result<NewKey, NoKey> {
        require(caller, Role::Member)?;
        let member = match &request.member {
            Some(new) => self.new_owner(caller, new.clone())?,
            None => self.owner_to_be(caller, request.owner.as_deref())?,
        };
        let permissions = self.permissions_to_be(caller, request.permissions.as_ref())?;
        let wish = KeyWish {
            name: request.name,
            description: request.description,
            member_id: member.id.clone(),
            expires_at: request.expires_at.map(seconds_since_1970),
            permissions,
            limits: request.limits,
        };
        // Whether the caller may have it is decided where it is made.
        let Some(new) = request.member else { return Ok(self.0.registry.create_key(caller, wish).await?) };
        let make =
            |registry: &mut Registry, caller: &Principal| registry.create_key_with_member(caller, new, wish);
        Ok(self.0.registry.govern(caller, make).await?)
    }

    fn owner_to_be(&self, caller: &Principal, owner: Option<&str>) -> Result<Arc<Member>, Error> {
        let id = owner.unwrap_or(&caller.member().id);
        if *id != *caller.member().id && !caller.role().may_administer() {
            let reason = "Your role does not allow keys for others".to_owned();
            return Err(Error::Forbidden { reason });
        }
        let reason = || format!("there is no member '{id}'");
        let member = self.0.keys.charter().member(id).cloned();
        member.ok_or_else(|| Error::Unacceptable { field: "owner_id", reason: reason() })
    }

    /// Permissions by ids, of ones that may name servers.
    pub(super) fn permissions_to_be(
        &self,
        caller: &Principal,
        asked: Option<&Value>,
    ) -> Result<Permissions, NoKey> {
        let Some(asked) = asked else { return Ok(Permissions::default()) };
        let mut unknown = None;
        let permissions = Permissions::read(asked, &mut |id| match self.0.registry.server(id) {
            Some(server) => server.id.clone(),
            None => {
                unknown.get_or_insert_with(|| id.to_owned());
                id.into()
            }
        });
        let permissions = permissions.map_err(NoKey::Permissions)?;
        match unknown {
            None => Ok(permissions),
            Some(id) => {
                let list = self.0.registry.list();
                let seen = list.entries().iter().filter(|entry| caller.permissions().allow_mcp(&entry.id));
                let near = closest(&id, seen.map(|entry| &*entry.name));
                let near = near.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
                let reason = format!("there is no MCP '{id}'{near}");
                Err(Error::Unacceptable { field: "permissions", reason }.into())
            }
        }
    }

    /// Revokes a key, what it has made, or both; revoked again they stay as they were. In force when it
    /// returns, and durable unless the answer says that it is not yet.
    pub async fn revoke_key(&self, caller: &Principal, id: &str, what: Revoke) -> Result<Revocation, Error> {
        require(caller, Role::Member)?;
        self.0.registry.revoke_key(caller, id, what).await
    }

    /// Calls of the current month that count for the organization's plan.
    pub async fn requests_this_month(&self, _: &Principal) -> Result<u64, Error> {
        let month = Span::of_period(Period::Month, unix_seconds());
        Ok(self.0.usage.usage(month, UsageOf::default()).await?.total.calls())
    }

    /// Sums over a span: of everything for those who administer, else of the caller's own member.
    pub async fn usage(&self, caller: &Principal, span: Span, of: UsageOf) -> Result<Usage, Error> {
        while_accepted(caller, self.0.usage.usage(span, self.of_caller(caller, of))).await?
    }

    /// A history, newest bucket first; whose as for [`Gateway::usage`].
    pub async fn usage_history(&self, caller: &Principal, query: HistoryQuery) -> Result<Vec<Bucket>, Error> {
        let of = self.of_caller(caller, query.of);
        while_accepted(caller, self.0.usage.history(HistoryQuery { of, ..query })).await?
    }

    /// The usage of a key that the caller may see.
    pub async fn usage_of_key(&self, caller: &Principal, id: &str, span: Span) -> Result<Usage, Error> {
        let key = match self.seen_key(caller, id) {
            Ok(key) => Ok(key.record.id),
            // What a key has done is kept longer than the key.
            Err(Error::KeyNotFound) if caller.role().may_administer() => Err(Error::KeyNotFound),
            Err(error) => return Err(error),
        };
        let of = UsageOf { keys: Some(vec![key.clone().unwrap_or_else(|_| id.into())]), server: None };
        let usage = while_accepted(caller, self.0.usage.usage(span, of)).await??;
        if usage.total.calls() > 0 { Ok(usage) } else { key.map(|_| usage) }
    }

    /// Narrows what is asked for to what the caller may see.
    fn of_caller(&self, caller: &Principal, of: UsageOf) -> UsageOf {
        if caller.role().may_administer() {
            return of;
        }
        let own = self.0.keys.keys(unix_seconds()).into_iter().map(|key| key.record);
        let own = own.filter(|key| key.member_id == caller.member().id).map(|key| key.id);
        let keys = own.filter(|id| of.keys.as_ref().is_none_or(|asked| asked.contains(id)));
        UsageOf { keys: Some(keys.collect()), ..of }
    }

    /// The names of keys, and the plan's number of calls a month for the caller.
    pub fn key_names(&self) -> HashMap<Arc<str>, String> {
        let keys = self.0.keys.keys(unix_seconds()).into_iter();
        keys.map(|key| (key.record.id, key.record.name)).collect()
    }

    /// How many calls a month the plan has that a caller's calls count for.
    pub fn monthly_limit(&self, caller: &Principal) -> Option<u64> {
        caller.plan().monthly_requests
    }

    /// The id of the server of this id or name, also of one that the caller may not use: for filters.
    pub fn server_id(&self, id_or_name: &str) -> Arc<str> {
        self.0.registry.server(id_or_name).map_or_else(|| id_or_name.into(), |server| server.id.clone())
    }

    /// The organization.
    pub fn organization(&self, _: &Principal) -> OrganizationView {
        let charter = self.0.keys.charter();
        let organization = charter.organization.clone();
        OrganizationView {
            id: organization.id,
            name: organization.name,
            slug: organization.slug,
            description: organization.description,
            plan: organization.plan,
            created_at: self.0.registry.created_at(),
            mcps: self.0.registry.list().entries().len() as u64,
            api_keys: self.0.keys.active(unix_seconds()) as u64,
            team_members: charter.members.len() as u64,
        }
    }

    /// The organization's members: in the order of the configuration, then those made over the API.
    pub fn members(&self, _: &Principal) -> Vec<MemberView> {
        let began = seconds_since_1970(self.0.registry.created_at());
        let charter = self.0.keys.charter();
        let seen = charter.members.iter().map(|member| MemberView {
            member: member.clone(),
            joined_at: member.created_at.unwrap_or(began),
            last_active: self.0.keys.last_active(&member.id),
        });
        seen.collect()
    }
}

pub(super) fn may_see(caller: &Principal, key: &KeyRecord) -> bool {
    caller.role().may_administer() || key.member_id == caller.member().id
}

pub(super) fn not_yours() -> Error {
    Error::Forbidden { reason: "This API key belongs to another member".to_owned() }
}

/// Refuses who may not administer.
pub(super) fn require_admin(caller: &Principal) -> Result<(), Error> {
    require(caller, Role::Admin)
}

/// Refuses who may not define servers, which is running programs as the daemon's user: a key that is
/// limited to some servers or tools would be so no more.
pub(super) fn require_operator(caller: &Principal) -> Result<(), Error> {
    require_admin(caller)?;
    if caller.permissions().are_unlimited() {
        return Ok(());
    }
    let reason = "A key that is limited to some MCPs or tools may not define servers".to_owned();
    Err(Error::Forbidden { reason })
}

/// Refuses who may not have keys.
pub(super) fn require_member(caller: &Principal) -> Result<(), Error> {
    require(caller, Role::Member)
}

/// Refuses whose role does not let it call tools.
pub(super) fn check_role_invokes(caller: &Principal) -> Result<(), Error> {
    require(caller, Role::Member)
}

/// Refuses who has a lesser role, and whose key has ended since it was presented.
pub(super) fn require(caller: &Principal, role: Role) -> Result<(), Error> {
    if present(caller)?.role() >= role {
        return Ok(());
    }
    Err(Error::Forbidden { reason: "Your role does not allow this action".to_owned() })
}
