//! Changes to existing keys: other settings, another text. Also the warnings about a key that allows less than its
//! settings suggest.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::keys::KeyView;
use super::{CreateKeyError, Error, Gateway};
use crate::access::{Announced, KeyChange, KeyRecord, KeyStatus, LimitsChange, NewKey, Principal};
use crate::clock;
use crate::{registry, unix_time};

/// Maximum time that the previous text of a key may be accepted beside the new one.
const MAX_GRACE: Duration = Duration::from_secs(7 * 86_400);

/// Requested change of a key; `None` leaves a field as it is. See [`KeyChange`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangeRequest {
    /// New display name.
    pub name: Option<String>,
    /// New description; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// New time of expiry; `Some(None)` removes it.
    pub expires_at: Option<Option<SystemTime>>,
    /// New permissions, in the form of [`crate::access::Permissions::read`].
    pub permissions: Option<Value>,
    /// New limits, each by itself.
    pub limits: LimitsChange,
}

impl Gateway {
    /// Changes a key that the caller may see, from its very next request on. It may be narrowed freely, and widened
    /// as far as the caller's own key goes. Durable when it returns.
    pub async fn change_key(
        &self,
        caller: &Principal,
        id: &str,
        request: ChangeRequest,
    ) -> Result<KeyView, CreateKeyError> {
        let id = self.seen_key(caller, id)?.record.id;
        let permissions = request.permissions.as_ref();
        let permissions = permissions.map(|asked| self.permissions_to_be(caller, Some(asked))).transpose()?;
        let ChangeRequest { name, description, limits, .. } = request;
        let expires_at = request.expires_at.map(|end| end.map(unix_time::seconds));
        if expires_at.flatten().is_some_and(|end| end <= clock::now()) {
            let reason = "Must be a future date; to end the key now, revoke it".to_owned();
            return Err(registry::Error::Unacceptable { field: "expires_at", reason }.into());
        }
        let change = KeyChange { name, description, expires_at, permissions, limits };
        self.0.registry.amend_key(caller, &id, change).await?;
        Ok(self.key(caller, &id).await?)
    }

    /// Gives a key that the caller may see another text, which is only in the answer. The previous text is refused
    /// at once, or after `grace`. Durable when it returns.
    pub async fn rotate_key(&self, caller: &Principal, id: &str, grace: Duration) -> Result<NewKey, Error> {
        if grace > MAX_GRACE {
            let reason = "must be at most 168h, which is seven days".to_owned();
            return Err(registry::Error::Unacceptable { field: "grace", reason }.into());
        }
        let id = self.seen_key(caller, id)?.record.id;
        Ok(self.0.registry.rotate_key(caller, &id, grace.as_secs()).await?)
    }

    /// Returns warnings about a key that allows less than its settings suggest, one sentence each: patterns that
    /// match nothing, limits above those of others, an owner that may not call, an expired key.
    pub fn doubts_about(&self, record: &KeyRecord) -> Vec<String> {
        let list = self.0.registry.list();
        let catalogs: Vec<_> = list
            .entries()
            .iter()
            .map(|entry| {
                let handle = self.0.supervisor.directory().get(&entry.id);
                (entry, handle.map(|handle| handle.catalog()).filter(|catalog| catalog.is_loaded()))
            })
            .collect();
        let announced: Vec<Announced<'_>> = catalogs
            .iter()
            .map(|(entry, catalog)| Announced {
                id: &entry.id,
                name: &entry.name,
                tools: catalog
                    .as_ref()
                    .map(|catalog| catalog.tools().iter().map(|tool| &*tool.name).collect()),
            })
            .collect();
        let mut doubts = record.permissions.doubts(&announced);
        let tenancy = self.0.keys.tenancy();
        let Some(owner) = tenancy.member(&record.member_id) else { return doubts };
        let plan = tenancy.plan_of(owner);
        let mut above = |what: &str, own: Option<u64>, limit: Option<u64>, whose: &str| {
            if let (Some(own), Some(limit)) = (own, limit)
                && own > limit
            {
                doubts.push(format!("limits.{what} is {own}, and {whose} allows {limit}"));
            }
        };
        let (limits, whose) = (&record.limits, format!("the plan '{}' of its member", plan.name));
        let rate = limits.requests_per_second.map(|rate| u64::from(rate.get()));
        above("requests_per_second", rate, plan.requests_per_second.map(u64::from), &whose);
        above("monthly_requests", limits.monthly_requests, plan.monthly_requests, &whose);
        let at_once = limits.calls_at_once.map(|calls| calls as u64);
        let most = u64::try_from(self.0.settings.calls_per_key).ok();
        above("calls_at_once", at_once, most, "the setting limits.calls_per_key");
        if !owner.role.may_invoke() {
            doubts.push(format!("its member '{}' is a viewer: the key may call no tool", owner.id));
        }
        if self.0.keys.key(&record.id, clock::now()).is_some_and(|key| key.status == KeyStatus::Expired) {
            doubts.push("the key has expired: nothing that it allows is in force".to_owned());
        }
        doubts
    }

    /// Returns the monthly limit of a key: its own, or the default for keys; `None` if there is none or no such key.
    pub fn monthly_limit_of_key(&self, id: &str) -> Option<u64> {
        let limits = self.0.keys.key(id, clock::now())?.record.limits;
        limits.or(self.0.keys.tenancy().key_defaults).monthly_requests
    }
}

/// Returns the number of calls a key may have under way: its own limit, and never more than the setting.
pub(super) fn calls_at_once(caller: &Principal, most: usize) -> usize {
    caller.limits().calls_at_once.map_or(most, |own| own.min(most))
}
