//! The members and plans as callers may see and change them.

use std::sync::Arc;

use serde_json::json;

use super::keys::MemberView;
use super::standing::require;
use super::{AuditEntry, Error, Gateway, Outcome};
use crate::access::{Member, Plan, PlanRecord, Principal, Right, Tenancy};
use crate::clock;
use crate::registry::{self, MemberChange, MemberRequest, Registry, Reloaded, Removal, member_to_be};

/// Snapshot of a plan, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanView {
    /// The plan with its limits.
    pub plan: Arc<Plan>,
    /// `true` if it is the organization's.
    pub is_of_organization: bool,
    /// Number of members that have it as their own plan.
    pub members: usize,
}

impl Gateway {
    /// Returns the member of this id.
    pub fn member(&self, caller: &Principal, id: &str) -> Result<MemberView, Error> {
        let mut members = self.members(caller);
        members.retain(|seen| *seen.member.id == *id);
        Ok(members.pop().ok_or(registry::Error::MemberNotFound)?)
    }

    /// Makes a member with a role no higher than the caller's. Durable when it returns.
    pub async fn add_member(&self, caller: &Principal, request: MemberRequest) -> Result<MemberView, Error> {
        require(caller, Right::Administer)?;
        let make = |registry: &mut Registry, caller: &Principal| registry.add_member(caller, request);
        let made = self.0.registry.govern(caller, make).await?;
        self.member(caller, &made.id)
    }

    /// Changes a member that was made over the API, from the very next request of its keys on. Durable when it
    /// returns.
    pub async fn change_member(
        &self,
        caller: &Principal,
        id: &str,
        change: MemberChange,
    ) -> Result<MemberView, Error> {
        require(caller, Right::Administer)?;
        let named = id.to_owned();
        let make = move |registry: &mut Registry, caller: &Principal| {
            registry.change_member(caller, &named, &change)
        };
        self.0.registry.govern(caller, make).await?;
        self.member(caller, id)
    }

    /// Removes a member that was made over the API and revokes its keys. In force when it returns, and durable
    /// unless the answer says that it is not yet.
    pub async fn remove_member(&self, caller: &Principal, id: &str) -> Result<Removal, Error> {
        require(caller, Right::Administer)?;
        let named = id.to_owned();
        let make = move |registry: &mut Registry, caller: &Principal| registry.remove_member(caller, &named);
        let removal = self.0.registry.govern(caller, make).await?;
        self.forget_members(&[id.into()]).await;
        Ok(removal)
    }

    /// Returns all plans, by name.
    pub fn plans(&self, _: &Principal) -> Vec<PlanView> {
        let tenancy = self.0.keys.tenancy();
        let own = |plan: &Arc<Plan>| {
            let has = |member: &&Arc<Member>| member.plan.as_ref().is_some_and(|own| own.name == plan.name);
            tenancy.members.iter().filter(has).count()
        };
        let seen = tenancy.plans.values().map(|plan| PlanView {
            plan: plan.clone(),
            is_of_organization: plan.name == tenancy.organization.plan.name,
            members: own(plan),
        });
        seen.collect()
    }

    /// Returns the plan of this name.
    pub fn plan(&self, caller: &Principal, name: &str) -> Result<PlanView, Error> {
        let found = self.plans(caller).into_iter().find(|seen| *seen.plan.name == *name);
        Ok(found.ok_or(registry::Error::PlanNotFound)?)
    }

    /// Makes or replaces a plan that is not in the configuration file; for owners. In force for the very next
    /// request of its members. Durable when it returns.
    pub async fn put_plan(&self, caller: &Principal, plan: PlanRecord) -> Result<PlanView, Error> {
        let make = move |registry: &mut Registry, caller: &Principal| registry.put_plan(caller, plan);
        let put = self.0.registry.govern(caller, make).await?;
        self.plan(caller, &put.name)
    }

    /// Removes a plan that was made over the API and that no member has; for owners. Durable when it returns.
    pub async fn remove_plan(&self, caller: &Principal, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        let make = move |registry: &mut Registry, caller: &Principal| registry.remove_plan(caller, &name);
        Ok(self.0.registry.govern(caller, make).await?)
    }

    /// Applies the organization, members and plans of the configuration file. Servers, and keys that the change does
    /// not concern, are not affected. The change is in force, and recorded, even if this ends with an error because
    /// no key could be made for somebody to administer.
    pub async fn reload_tenancy(&self, tenancy: Tenancy) -> Result<(), Error> {
        let Reloaded { removed, owner_key } = self.0.registry.reload_tenancy(tenancy).await?;
        self.forget_members(&removed).await;
        let entry = AuditEntry::of_daemon("members.apply", "configuration file", Outcome::Done);
        let details = (!removed.is_empty()).then(|| ("removed_members".to_owned(), json!(removed)));
        // A line that cannot be written is logged where that happens.
        let _ = self.0.audit.record(entry.with(details.into_iter().collect())).await;
        Ok(owner_key?)
    }

    /// Returns the member that a request for a key makes with it, as it is going to be.
    pub(super) fn new_owner(&self, caller: &Principal, request: MemberRequest) -> Result<Arc<Member>, Error> {
        let tenancy = self.0.keys.tenancy();
        let record = member_to_be(&tenancy, caller, request, clock::now())?;
        let plan = record.plan.as_ref().and_then(|name| tenancy.plans.get(name).cloned());
        let made =
            Member { id: record.id, name: record.name, role: record.role, plan, ..Tenancy::default_owner() };
        Ok(Arc::new(made))
    }
}
