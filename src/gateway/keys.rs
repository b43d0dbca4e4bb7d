//! The keys and the organization as callers may see and change them: ownership, permissions and number of keys.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::standing::{require, while_accepted};
use super::{Error, Gateway};
use crate::access::{
    self, AccessError, BadPermissions, KeyLimits, KeyRecord, KeyStatus, Member, NewKey, NewKeySpec,
    Permissions, Plan, Principal, Right,
};
use crate::clock;
use crate::nearest::closest;
use crate::registry::{self, MemberRequest, Registry, Revocation, Revoke};
use crate::unix_time;
use crate::usage::{Bucket, HistoryQuery, Period, RangeQuery, RangeSums, Span, Usage, UsageOf};

/// Parameters of a key to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRequest {
    /// Display name, chosen by the caller.
    pub name: String,
    /// Purpose of the key.
    pub description: Option<String>,
    /// Time from which the key is refused; `None` for no expiry.
    pub expires_at: Option<SystemTime>,
    /// Permissions to limit it to, in the form of [`Permissions::read`]; `None` for the default ones.
    pub permissions: Option<Value>,
    /// Id of the member that is to own it; the caller's own by default.
    pub owner: Option<String>,
    /// Member that is to be made with the key and to own it.
    pub member: Option<MemberRequest>,
    /// Limits of rate, calls at once and calls a month.
    pub limits: KeyLimits,
}

/// Reason that a key is not made or changed.
#[derive(Debug, Clone)]
pub enum CreateKeyError {
    /// The permissions cannot be read.
    Permissions(BadPermissions),
    /// Any other error, such as a missing right.
    Error(Error),
}

impl From<registry::Error> for CreateKeyError {
    fn from(error: registry::Error) -> CreateKeyError {
        CreateKeyError::Error(error.into())
    }
}

impl From<Error> for CreateKeyError {
    fn from(error: Error) -> CreateKeyError {
        CreateKeyError::Error(error)
    }
}

/// Snapshot of a key, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// Stored record of the key.
    pub record: KeyRecord,
    /// Result of presenting the key now.
    pub status: KeyStatus,
    /// Time when it was last presented, in seconds since 1970; `None` if it never was.
    pub last_used: Option<u64>,
    /// Number of all its calls.
    pub total_requests: u64,
    /// Number of its calls on the current UTC day.
    pub requests_today: u64,
}

impl KeyView {
    fn of(key: access::KeyView, totals: &HashMap<Arc<str>, (u64, u64)>) -> KeyView {
        let access::KeyView { record, status, last_used } = key;
        let (total_requests, requests_today) = totals.get(&record.id).copied().unwrap_or_default();
        KeyView { record, status, last_used, total_requests, requests_today }
    }
}

/// Snapshot of the organization, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationView {
    /// Id, of the form `org_…`.
    pub id: Arc<str>,
    /// Display name, from the configuration file.
    pub name: String,
    /// Name for use in addresses.
    pub slug: String,
    /// Description for people; `None` if the configuration has none.
    pub description: Option<String>,
    /// Plan whose limits apply to it.
    pub plan: Arc<Plan>,
    /// Time of the first start of this installation.
    pub created_at: SystemTime,
    /// Number of servers in the registry.
    pub mcps: u64,
    /// Number of keys that are accepted now.
    pub api_keys: u64,
    /// Number of members of all roles.
    pub team_members: u64,
}

/// Snapshot of a member, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// The member with its role and plan.
    pub member: Arc<Member>,
    /// Time when it was made, in seconds since 1970; that of the installation for members of the configuration.
    pub joined_at: u64,
    /// Time when one of its keys was last used, in seconds since 1970; `None` if none was.
    pub last_active: Option<u64>,
}

impl Gateway {
    /// Returns the keys that a caller may see: its member's own, or all; newest first, ties by id.
    pub async fn keys(&self, caller: &Principal) -> Result<Vec<KeyView>, Error> {
        require(caller, Right::Member)?;
        let totals = while_accepted(caller, self.0.accounting.usage().key_totals()).await??;
        let keys = self.0.keys.keys(clock::now()).into_iter();
        let mut keys: Vec<KeyView> = keys.map(|key| KeyView::of(key, &totals)).collect();
        keys.retain(|key| caller.may_see(&key.record));
        keys.sort_by(|a, b| {
            b.record.created_at.cmp(&a.record.created_at).then_with(|| a.record.id.cmp(&b.record.id))
        });
        Ok(keys)
    }

    /// Returns the key of this id if the caller may see it.
    pub async fn key(&self, caller: &Principal, id: &str) -> Result<KeyView, Error> {
        let key = self.seen_key(caller, id)?;
        Ok(KeyView::of(key, &while_accepted(caller, self.0.accounting.usage().key_totals()).await??))
    }

    pub(super) fn seen_key(&self, caller: &Principal, id: &str) -> Result<access::KeyView, Error> {
        require(caller, Right::Member)?;
        let key = self.0.keys.key(id, clock::now()).ok_or(registry::Error::KeyNotFound)?;
        caller.require_sight(&key.record)?;
        Ok(key)
    }

    /// Makes a key that allows nothing that the caller's own does not. Durable when it returns; the text of the key
    /// is only in the answer.
    pub async fn create_key(
        &self,
        caller: &Principal,
        request: KeyRequest,
    ) -> Result<NewKey, CreateKeyError> {
        require(caller, Right::Member)?;
        let member = match &request.member {
            Some(new) => self.new_owner(caller, new.clone())?,
            None => self.owner_to_be(caller, request.owner.as_deref())?,
        };
        let permissions = self.permissions_to_be(caller, request.permissions.as_ref())?;
        let wish = NewKeySpec {
            name: request.name,
            description: request.description,
            member_id: member.id.clone(),
            expires_at: request.expires_at.map(unix_time::seconds),
            permissions,
            limits: request.limits,
        };
        // The rights of the caller are checked where the key is made.
        let Some(new) = request.member else { return Ok(self.0.registry.create_key(caller, wish).await?) };
        let make =
            |registry: &mut Registry, caller: &Principal| registry.create_key_with_member(caller, new, wish);
        Ok(self.0.registry.govern(caller, make).await?)
    }

    fn owner_to_be(&self, caller: &Principal, owner: Option<&str>) -> Result<Arc<Member>, Error> {
        let id = owner.unwrap_or(&caller.member().id);
        if *id != *caller.member().id && !caller.role().may_administer() {
            return Err(AccessError::forbidden("Your role does not allow keys for others").into());
        }
        let reason = || format!("there is no member '{id}'");
        let member = self.0.keys.tenancy().member(id).cloned();
        let unknown = || registry::Error::Unacceptable { field: "owner_id", reason: reason() };
        Ok(member.ok_or_else(unknown)?)
    }

    /// Reads permissions and replaces names of servers by their ids.
    pub(super) fn permissions_to_be(
        &self,
        caller: &Principal,
        asked: Option<&Value>,
    ) -> Result<Permissions, CreateKeyError> {
        let Some(asked) = asked else { return Ok(Permissions::default()) };
        let mut unknown = None;
        let permissions = Permissions::read(asked, &mut |id| match self.0.registry.server(id) {
            Some(server) => server.id.clone(),
            None => {
                unknown.get_or_insert_with(|| id.to_owned());
                id.into()
            }
        });
        let permissions = permissions.map_err(CreateKeyError::Permissions)?;
        match unknown {
            None => Ok(permissions),
            Some(id) => {
                let list = self.0.registry.list();
                let seen = list.entries().iter().filter(|entry| caller.permissions().allow_mcp(&entry.id));
                let near = closest(&id, seen.map(|entry| &*entry.name));
                let near = near.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
                let reason = format!("there is no MCP '{id}'{near}");
                Err(registry::Error::Unacceptable { field: "permissions", reason }.into())
            }
        }
    }

    /// Revokes a key, the keys that it has made, or both; keys that are revoked already stay as they are. In force
    /// when it returns, and durable unless the answer says that it is not yet.
    pub async fn revoke_key(&self, caller: &Principal, id: &str, what: Revoke) -> Result<Revocation, Error> {
        require(caller, Right::Member)?;
        Ok(self.0.registry.revoke_key(caller, id, what).await?)
    }

    /// Returns the number of calls of the current month that count for the organization's plan.
    pub async fn requests_this_month(&self, _: &Principal) -> Result<u64, Error> {
        let month = Span::of_period(Period::Month, clock::now());
        Ok(self.0.accounting.usage().usage(month, UsageOf::default()).await?.total.calls())
    }

    /// Returns the sums over a span: of everything for those who administer, else of the caller's own member.
    pub async fn usage(&self, caller: &Principal, span: Span, of: UsageOf) -> Result<Usage, Error> {
        Ok(while_accepted(caller, self.0.accounting.usage().usage(span, self.of_caller(caller, of)))
            .await??)
    }

    /// Returns the sums over a range, of the same keys as [`Gateway::usage`].
    pub async fn usage_of_range(&self, caller: &Principal, query: RangeQuery) -> Result<RangeSums, Error> {
        let of = self.of_caller(caller, query.of);
        Ok(while_accepted(caller, self.0.accounting.usage().sums(RangeQuery { of, ..query })).await??)
    }

    /// Returns a history, newest bucket first, of the same keys as [`Gateway::usage`].
    pub async fn usage_history(&self, caller: &Principal, query: HistoryQuery) -> Result<Vec<Bucket>, Error> {
        let of = self.of_caller(caller, query.of);
        Ok(while_accepted(caller, self.0.accounting.usage().history(HistoryQuery { of, ..query })).await??)
    }

    /// Returns the usage of a key that the caller may see.
    pub async fn usage_of_key(&self, caller: &Principal, id: &str, span: Span) -> Result<Usage, Error> {
        let key = match self.seen_key(caller, id) {
            Ok(key) => Ok(key.record.id),
            // Usage is kept longer than the key itself.
            Err(error @ Error::Registry(registry::Error::KeyNotFound)) if caller.role().may_administer() => {
                Err(error)
            }
            Err(error) => return Err(error),
        };
        let keys = Some(vec![key.clone().unwrap_or_else(|_| id.into())]);
        let of = UsageOf { keys, ..UsageOf::default() };
        let usage = while_accepted(caller, self.0.accounting.usage().usage(span, of)).await??;
        if usage.total.calls() > 0 { Ok(usage) } else { key.map(|_| usage) }
    }

    /// Narrows a filter to the keys that the caller may see.
    fn of_caller(&self, caller: &Principal, of: UsageOf) -> UsageOf {
        if caller.role().may_administer() {
            return of;
        }
        let own = self.0.keys.keys(clock::now()).into_iter().map(|key| key.record);
        let own = own.filter(|key| key.member_id == caller.member().id).map(|key| key.id);
        let own = own.chain(caller.has_token().then(|| caller.key_id().clone()));
        let keys = own.filter(|id| of.keys.as_ref().is_none_or(|asked| asked.contains(id)));
        UsageOf { keys: Some(keys.collect()), ..of }
    }

    /// Returns the names of all keys, and of the subjects of access tokens that are known now, by id.
    pub fn key_names(&self) -> HashMap<Arc<str>, String> {
        let keys = self.0.keys.keys(clock::now()).into_iter();
        keys.map(|key| (key.record.id, key.record.name)).chain(self.0.keys.subject_names()).collect()
    }

    /// Returns the monthly limit of the plan that a caller's calls count for; `None` for no limit.
    pub fn monthly_limit(&self, caller: &Principal) -> Option<u64> {
        caller.plan().monthly_requests
    }

    /// Returns the id of the server of this id or name, even if the caller may not use it: for filters. An unknown
    /// name is returned as it is.
    pub fn server_id(&self, id_or_name: &str) -> Arc<str> {
        self.0.registry.server(id_or_name).map_or_else(|| id_or_name.into(), |server| server.id.clone())
    }

    /// Returns the organization with its current counts.
    pub fn organization(&self, _: &Principal) -> OrganizationView {
        let tenancy = self.0.keys.tenancy();
        let organization = tenancy.organization.clone();
        OrganizationView {
            id: organization.id,
            name: organization.name,
            slug: organization.slug,
            description: organization.description,
            plan: organization.plan,
            created_at: self.0.registry.created_at(),
            mcps: self.0.registry.list().entries().len() as u64,
            api_keys: self.0.keys.active(clock::now()) as u64,
            team_members: tenancy.members.len() as u64,
        }
    }

    /// Returns the organization's members: in the order of the configuration, then those made over the API.
    pub fn members(&self, _: &Principal) -> Vec<MemberView> {
        let began = unix_time::seconds(self.0.registry.created_at());
        let tenancy = self.0.keys.tenancy();
        let seen = tenancy.members.iter().map(|member| MemberView {
            member: member.clone(),
            joined_at: member.created_at.unwrap_or(began),
            last_active: self.0.keys.last_active(&member.id),
        });
        seen.collect()
    }
}
