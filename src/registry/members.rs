//! Members and plans that are made over the API beside those of the configuration file, and reloading of that
//! file. Permission is checked here, where one change comes after the other.

use std::sync::Arc;

use super::error::Error;
use super::keychange::{conflict, forbidden};
use super::owner_key;
use super::registry_store::{delete_member, delete_plan, put_key, put_member, put_plan};
use super::{Registry, now, stored};
use crate::access::{
    CreatedRecords, KeyRecord, Member, MemberRecord, NewKey, NewKeySpec, Plan, PlanRecord, Principal, Right,
    Role, Source, Tenancy,
};
use crate::clock;

/// Maximum number of members made over the API, even if the plan allows more.
const MAX_MEMBERS: usize = 1_000;
/// Maximum number of plans made over the API.
const MAX_PLANS: usize = 100;

/// Parameters of a member to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRequest {
    /// Id of the member; `None` to have one generated.
    pub id: Option<String>,
    /// Display name; the id by default.
    pub name: Option<String>,
    /// E-mail address; `None` for none.
    pub email: Option<String>,
    /// Role, which sets its rights.
    pub role: Role,
    /// Name of a plan of its own; `None` for the organization's.
    pub plan: Option<String>,
}

/// Requested change of a member; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberChange {
    /// New display name.
    pub name: Option<String>,
    /// New e-mail address; `Some(None)` removes it.
    pub email: Option<Option<String>>,
    /// New role, no higher than the caller's.
    pub role: Option<Role>,
    /// Name of a new plan of its own; `Some(None)` removes it.
    pub plan: Option<Option<Arc<str>>>,
}

/// Result of a member's removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Ids of the keys that this revokes, in ascending order.
    pub revoked: Vec<Arc<str>>,
    /// `true` if the removal would survive an end of the daemon. If not, that is still to come; it is in force all
    /// the same.
    pub durable: bool,
}

/// Result of reading the configuration file's members and plans again. They are in force.
#[derive(Debug)]
pub(crate) struct Reloaded {
    /// Ids of those who are no longer members.
    pub(crate) removed: Vec<Arc<str>>,
    /// Result of making sure that somebody may administer, for which a key is made if necessary.
    pub(crate) owner_key: Result<(), Error>,
}

impl Registry {
    /// Makes a member, if the caller may make one of that role and plan.
    pub fn add_member(&mut self, caller: &Principal, request: MemberRequest) -> Result<Arc<Member>, Error> {
        self.check_paid(request.id.as_deref())?;
        let (record, made) = self.member_more(caller, request, clock::now())?;
        self.ledger.commit(vec![put_member(&record).map_err(stored)?]).map_err(stored)?;
        self.govern(made);
        self.keys.tenancy().member(&record.id).cloned().ok_or(Error::MemberNotFound)
    }

    /// Makes a member and a key for it, both or neither.
    pub fn create_key_with_member(
        &mut self,
        caller: &Principal,
        request: MemberRequest,
        wish: NewKeySpec,
    ) -> Result<NewKey, Error> {
        self.check_paid(request.id.as_deref())?;
        let at = clock::now();
        let (record, made) = self.member_more(caller, request, at)?;
        let (tenancy, _) = self.file_tenancy.with(&made);
        let wish = NewKeySpec { member_id: record.id.clone(), ..wish };
        let mut key = self.key_to_be(caller, wish, &tenancy, at)?;
        key.batch.push(put_member(&record).map_err(stored)?);
        self.ledger.commit(key.batch).map_err(stored)?;
        self.govern(made);
        self.keys.put([key.made.record.clone()]);
        self.keys.forget(&key.outlived);
        Ok(key.made)
    }

    /// Returns a member that the caller may make, and all made over the API together with it.
    fn member_more(
        &self,
        caller: &Principal,
        request: MemberRequest,
        at: u64,
    ) -> Result<(MemberRecord, CreatedRecords), Error> {
        let (record, mut made) =
            (member_to_be(&self.keys.tenancy(), caller, request, at)?, self.made.clone());
        if made.members.len() >= MAX_MEMBERS {
            return Err(Error::LimitReached { resource: "team_members", limit: MAX_MEMBERS as u64 });
        }
        made.members.push(record.clone());
        Ok((record, made))
    }

    /// Changes a member that was made over the API.
    pub fn change_member(
        &mut self,
        caller: &Principal,
        id: &str,
        change: &MemberChange,
    ) -> Result<Arc<Member>, Error> {
        let (at, tenancy, mut made) = (clock::now(), self.keys.tenancy(), self.made.clone());
        let member = member_made(&tenancy, caller, id)?;
        let role = change.role.unwrap_or(member.role);
        if role > caller.role() {
            return Err(too_high());
        }
        if let Some(plan) = &change.plan {
            check_plan(&tenancy, caller, plan.as_deref())?;
        }
        let record = made.members.iter_mut().find(|record| *record.id == *id).ok_or(Error::MemberNotFound)?;
        record.name = change.name.clone().unwrap_or_else(|| record.name.clone());
        record.email = change.email.clone().unwrap_or_else(|| record.email.clone());
        record.plan = change.plan.clone().unwrap_or_else(|| record.plan.clone());
        record.role = role;
        let op = put_member(record).map_err(stored)?;
        self.check_administered(&made, at)?;
        self.ledger.commit(vec![op]).map_err(stored)?;
        self.govern(made);
        self.keys.tenancy().member(id).cloned().ok_or(Error::MemberNotFound)
    }

    /// Removes a member and revokes its keys; they stay revoked for a member of the same name that is made
    /// later. In force on return, whether or not it could be stored, as a revocation is.
    pub fn remove_member(&mut self, caller: &Principal, id: &str) -> Result<Removal, Error> {
        let (at, tenancy, mut made) = (clock::now(), self.keys.tenancy(), self.made.clone());
        member_made(&tenancy, caller, id)?;
        made.members.retain(|record| *record.id != *id);
        self.check_administered(&made, at)?;
        let own = self.keys.keys(at).into_iter().map(|key| key.record);
        let mut own: Vec<KeyRecord> =
            own.filter(|key| *key.member_id == *id && key.revoked_at.is_none()).collect();
        own.iter_mut().for_each(|key| key.revoked_at = Some(at));
        let mut batch = vec![delete_member(id)];
        for key in &own {
            batch.push(put_key(key).map_err(stored)?);
        }
        self.keys.put(own.clone());
        self.govern(made);
        let durable = self.store_or_owe(batch, |owed| owed.add_member(id, at));
        let mut revoked: Vec<Arc<str>> = own.into_iter().map(|key| key.id).collect();
        revoked.sort();
        Ok(Removal { revoked, durable })
    }

    /// Makes a plan, or replaces one that is not in the configuration file. Only an owner may.
    pub fn put_plan(&mut self, caller: &Principal, plan: PlanRecord) -> Result<Arc<Plan>, Error> {
        let (tenancy, mut made) = (self.owned_tenancy(caller)?, self.made.clone());
        changeable_plan(&tenancy, &plan.name)?;
        made.plans.retain(|known| known.name != plan.name);
        if made.plans.len() >= MAX_PLANS {
            return Err(Error::LimitReached { resource: "plans", limit: MAX_PLANS as u64 });
        }
        let (name, op) = (plan.name.clone(), put_plan(&plan).map_err(stored)?);
        made.plans.push(plan);
        self.ledger.commit(vec![op]).map_err(stored)?;
        self.govern(made);
        self.keys.tenancy().plans.get(&name).cloned().ok_or(Error::PlanNotFound)
    }

    /// Removes a plan that was made over the API. A built-in plan of that name gets its built-in values back.
    pub fn remove_plan(&mut self, caller: &Principal, name: &str) -> Result<(), Error> {
        let (tenancy, mut made) = (self.owned_tenancy(caller)?, self.made.clone());
        changeable_plan(&tenancy, name)?;
        if !made.plans.iter().any(|plan| *plan.name == *name) {
            return Err(match tenancy.plans.contains_key(name) {
                true => conflict(format!("The plan '{name}' is built in")),
                false => Error::PlanNotFound,
            });
        }
        let has = |plan: &Arc<Plan>| *plan.name == *name;
        let member = tenancy.members.iter().find(|member| member.plan.as_ref().is_some_and(has));
        if let Some(member) = member.filter(|_| !Plan::built_in().contains_key(name)) {
            return Err(conflict(format!(
                "The member '{}' has the plan '{name}'; give it another one first",
                member.id
            )));
        }
        made.plans.retain(|plan| *plan.name != *name);
        self.ledger.commit(vec![delete_plan(name)]).map_err(stored)?;
        self.govern(made);
        Ok(())
    }

    /// Adopts the organization, members and plans of the configuration file as they are now, which needs no
    /// disk. If nobody could administer any more, a key is made for the first owner, as at a start.
    pub(crate) fn reload_tenancy(&mut self, tenancy: Tenancy) -> Reloaded {
        let before = self.keys.tenancy();
        self.file_tenancy = tenancy;
        self.govern(self.made.clone());
        let after = self.keys.tenancy();
        let ids = before.members.iter().map(|member| member.id.clone());
        let removed = ids.filter(|id| after.member(id).is_none()).collect();
        let owner_key =
            owner_key::make_if_none(&mut self.ledger, &self.confinement.data_dir, &self.keys, now());
        let owner_key = owner_key.map_err(|error| Error::Internal { reason: error.to_string() });
        Reloaded { removed, owner_key }
    }

    /// Puts the members and plans of the file together with `made` in force on the key ring.
    pub(super) fn govern(&mut self, made: CreatedRecords) {
        let (tenancy, overruled) = self.file_tenancy.with(&made);
        self.made = made;
        for reason in overruled {
            tracing::warn!("{reason}");
        }
        self.keys.govern(tenancy);
    }

    /// Returns the stored members and plans that were made over the API, without members whose removal is owed.
    pub(super) fn stored_made(&self) -> Result<CreatedRecords, Error> {
        let mut made = self.ledger.made().map_err(stored)?;
        self.owed.take_away(&mut made);
        Ok(made)
    }

    fn owned_tenancy(&self, caller: &Principal) -> Result<Arc<Tenancy>, Error> {
        match caller.role() {
            Role::Owner => Ok(self.keys.tenancy()),
            _ => Err(forbidden("Only an owner may change plans")),
        }
    }

    /// Returns an error if nobody who may administer would be left.
    fn check_administered(&self, made: &CreatedRecords, at: u64) -> Result<(), Error> {
        let ((after, _), before) = (self.file_tenancy.with(made), self.keys.tenancy());
        let somebody = |tenancy: &Tenancy| self.keys.is_administered(tenancy, at);
        match after.owner().is_none() || (somebody(&before) && !somebody(&after)) {
            true => Err(forbidden("Cannot take away the only member whose key may administer")),
            false => Ok(()),
        }
    }
}

/// Returns the member that a request makes, if the caller may make it.
pub(crate) fn member_to_be(
    tenancy: &Tenancy,
    caller: &Principal,
    request: MemberRequest,
    at: u64,
) -> Result<MemberRecord, Error> {
    caller.require(Right::Administer)?;
    if request.role > caller.role() {
        return Err(too_high());
    }
    if request.plan.is_some() {
        check_plan(tenancy, caller, request.plan.as_deref())?;
    }
    let id: Arc<str> = match request.id {
        Some(id) if tenancy.member(&id).is_some() => {
            return Err(conflict(format!("There is a member '{id}' already")));
        }
        Some(id) => id.into(),
        None => format!("user_{}", uuid::Uuid::now_v7().simple()).into(),
    };
    match tenancy.organization.plan.max_members {
        Some(limit) if tenancy.members.len() as u64 >= limit => {
            return Err(Error::LimitReached { resource: "team_members", limit });
        }
        _ => {}
    }
    let name = request.name.unwrap_or_else(|| id.to_string());
    let plan = request.plan.map(Into::into);
    Ok(MemberRecord { id, name, email: request.email, role: request.role, plan, created_at: at })
}

/// Returns a member that was made over the API and that the caller may change.
fn member_made<'a>(tenancy: &'a Tenancy, caller: &Principal, id: &str) -> Result<&'a Arc<Member>, Error> {
    caller.require(Right::Administer)?;
    let member = tenancy.member(id).ok_or(Error::MemberNotFound)?;
    if member.source != Source::Api {
        let how = match member.source {
            Source::File => "is in the configuration file: change it there, and send the daemon SIGHUP",
            _ => "is there because the configuration file names no members: name them there",
        };
        return Err(conflict(format!("The member '{id}' {how}")));
    }
    if member.role > caller.role() {
        return Err(forbidden("The member's role is higher than yours"));
    }
    Ok(member)
}

/// Checks that the caller is an owner and that the plan exists: a plan sets how much a member may cost, which
/// is for owners to decide.
fn check_plan(tenancy: &Tenancy, caller: &Principal, plan: Option<&str>) -> Result<(), Error> {
    if caller.role() != Role::Owner {
        return Err(forbidden("Only an owner may give a member a plan of its own"));
    }
    match plan {
        Some(name) if !tenancy.plans.contains_key(name) => {
            let names: Vec<&str> = tenancy.plans.keys().map(|name| &**name).collect();
            let reason = format!("there is no plan '{name}'; there are {}", names.join(", "));
            Err(Error::Unacceptable { field: "plan", reason })
        }
        _ => Ok(()),
    }
}

fn changeable_plan(tenancy: &Tenancy, name: &str) -> Result<(), Error> {
    match tenancy.plans.get(name) {
        Some(plan) if plan.source == Source::File => Err(conflict(format!(
            "The plan '{name}' is in the configuration file: change it there, and send the daemon SIGHUP"
        ))),
        _ => Ok(()),
    }
}

fn too_high() -> Error {
    forbidden("A member cannot have a higher role than whoever makes it one")
}
