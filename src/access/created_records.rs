//! Members and plans made over the API: their stored form, and the way they join those of the
//! configuration. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tenancy::{Member, Plan, Role, Source, Tenancy};

/// A member as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Id of the form `user_…`.
    pub id: Arc<str>,
    /// Name of the member, for display.
    pub name: String,
    /// Email address; `None` if none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Role that the member's keys act with.
    pub role: Role,
    /// Name of its own plan; `None` for the organization's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Arc<str>>,
    /// Time of its creation, in seconds since 1970.
    pub created_at: u64,
}

/// A plan as it is stored. `None` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// Name of the plan, by which members refer to it.
    pub name: Arc<str>,
    /// Stored value of [`Plan::requests_per_second`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Stored value of [`Plan::monthly_requests`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_requests: Option<u64>,
    /// Stored value of [`Plan::max_mcps`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_mcps: Option<u64>,
    /// Stored value of [`Plan::max_api_keys`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_api_keys: Option<u64>,
    /// Stored value of [`Plan::max_members`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_members: Option<u64>,
}

/// All members and plans that were made over the API.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreatedRecords {
    /// Members in the order in which they were made.
    pub members: Vec<MemberRecord>,
    /// Plans as they are stored.
    pub plans: Vec<PlanRecord>,
}

impl Tenancy {
    /// Returns this tenancy, which comes from the configuration, together with what was made over the API.
    /// The file wins: a member or plan that it defines stays as it says. A member whose plan no longer
    /// exists has the organization's. Also returns a sentence for each part that is not in force for these
    /// reasons.
    #[must_use]
    pub fn with(&self, made: &CreatedRecords) -> (Tenancy, Vec<String>) {
        let (mut tenancy, mut overruled) = (self.clone(), Vec::new());
        for plan in &made.plans {
            if self.plans.get(&plan.name).is_some_and(|known| known.source == Source::File) {
                overruled.push(format!("the plan '{}' is as the configuration file says", plan.name));
                continue;
            }
            tenancy.plans.insert(plan.name.clone(), Arc::new(plan.clone().into()));
        }
        if let Some(plan) = tenancy.plans.get(&tenancy.organization.plan.name) {
            tenancy.organization.plan = plan.clone();
        }
        for member in &mut tenancy.members {
            if let Some(plan) = member.plan.as_ref().and_then(|plan| tenancy.plans.get(&plan.name)) {
                *member = Arc::new(Member { plan: Some(plan.clone()), ..Member::clone(member) });
            }
        }
        for record in &made.members {
            if self.member(&record.id).is_some() {
                overruled.push(format!("the member '{}' is as the configuration file says", record.id));
                continue;
            }
            let plan = record.plan.as_ref().map(|name| tenancy.plans.get(name).cloned().ok_or(name));
            let plan = plan.transpose().unwrap_or_else(|name| {
                let id = &record.id;
                overruled.push(format!(
                    "the plan '{name}' of the member '{id}' is no more; it has the organization's"
                ));
                None
            });
            tenancy.members.push(Arc::new(Member {
                id: record.id.clone(),
                name: record.name.clone(),
                email: record.email.clone(),
                role: record.role,
                plan,
                source: Source::Api,
                created_at: Some(record.created_at),
            }));
        }
        (tenancy, overruled)
    }
}

impl From<PlanRecord> for Plan {
    fn from(record: PlanRecord) -> Plan {
        let PlanRecord { name, requests_per_second, monthly_requests, max_mcps, max_api_keys, max_members } =
            record;
        let source = Source::Api;
        Plan { name, source, requests_per_second, monthly_requests, max_mcps, max_api_keys, max_members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, plan: Option<&str>) -> MemberRecord {
        MemberRecord {
            id: id.into(),
            name: id.to_owned(),
            email: None,
            role: Role::Member,
            plan: plan.map(Into::into),
            created_at: 5,
        }
    }

    fn plan(name: &str, requests_per_second: u32) -> PlanRecord {
        PlanRecord {
            name: name.into(),
            requests_per_second: Some(requests_per_second),
            monthly_requests: None,
            max_mcps: None,
            max_api_keys: None,
            max_members: None,
        }
    }

    #[test]
    fn the_file_wins_and_what_is_overruled_is_said() {
        let mut file = Tenancy::default();
        let fixed = Plan { source: Source::File, ..Plan::with_rate("gold", Some(7)) };
        file.plans.insert("gold".into(), Arc::new(fixed));
        let made = CreatedRecords {
            members: vec![
                member("user_owner", None),
                member("user_a", Some("gold")),
                member("user_b", Some("gone")),
            ],
            plans: vec![plan("gold", 9), plan("team", 3)],
        };
        let (tenancy, overruled) = file.with(&made);
        assert_eq!(overruled.len(), 3, "{overruled:?}");
        assert_eq!(tenancy.member("user_owner").map(|owner| owner.role), Some(Role::Owner));
        let rate = |id: &str| tenancy.member(id).map(|member| tenancy.plan_of(member).requests_per_second);
        assert_eq!(rate("user_a"), Some(Some(7)));
        assert_eq!(rate("user_b"), Some(Some(3)), "a plan that is no more is the organization's");
        assert_eq!(rate("user_owner"), Some(Some(3)), "a plan that is built in can be made anew");
    }
}
