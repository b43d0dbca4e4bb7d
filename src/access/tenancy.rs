//! The organization, its members and the plans: who exists and what each is entitled to. Comes from the
//! configuration, and from what was made over the API beside it (`made.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::limits::KeyLimits;

/// Id of the member that owns the first key if the configuration names no members.
pub const DEFAULT_OWNER: &str = "user_owner";
/// Name of the plan that an organization has unless it is given another.
pub const DEFAULT_PLAN: &str = "team";

/// Role of a member, which sets its rights; a key acts with the role of the member that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May look, but neither call tools nor read resources.
    Viewer,
    /// May also call tools and read resources, and manage its own keys.
    Member,
    /// May also manage all keys and servers.
    Admin,
    /// May do everything; at least one member is an owner.
    Owner,
}

impl Role {
    /// Every role, the least powerful first, with its name in settings and in the API.
    pub const ALL: [(&'static str, Role); 4] =
        [("viewer", Role::Viewer), ("member", Role::Member), ("admin", Role::Admin), ("owner", Role::Owner)];

    /// Returns the role's name in settings and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Member => "member",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
    }

    /// Reports whether the role may define servers, which means running programs as the daemon's user.
    pub fn may_administer(self) -> bool {
        self >= Role::Admin
    }

    /// Reports whether the role may call tools and read resources, and have keys of its own.
    pub fn may_invoke(self) -> bool {
        self >= Role::Member
    }
}

/// Origin of a member or a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// It is built in; nobody configured it.
    #[default]
    BuiltIn,
    /// It is in the configuration file, so only the file can change it.
    File,
    /// It was made over the API.
    Api,
    /// It is the subject of an access token, and in no list of members.
    Token,
}

impl Source {
    /// Returns the source's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Source::BuiltIn => "built-in",
            Source::File => "file",
            Source::Api => "api",
            Source::Token => "token",
        }
    }
}

/// Limits that a plan sets. `None` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Name of the plan, unique among the plans.
    pub name: Arc<str>,
    /// Origin of the plan.
    pub source: Source,
    /// Maximum number of requests a second; also the number that may come at once.
    pub requests_per_second: Option<u32>,
    /// Maximum number of calls that reach a server in a calendar month, UTC.
    pub monthly_requests: Option<u64>,
    /// Maximum number of servers.
    pub max_mcps: Option<u64>,
    /// Maximum number of keys that are neither revoked nor expired.
    pub max_api_keys: Option<u64>,
    /// Maximum number of members.
    pub max_members: Option<u64>,
}

impl Plan {
    /// Makes a plan with a rate and no other limits.
    pub fn with_rate(name: &str, requests_per_second: Option<u32>) -> Plan {
        Plan {
            name: name.into(),
            source: Source::BuiltIn,
            requests_per_second,
            monthly_requests: None,
            max_mcps: None,
            max_api_keys: None,
            max_members: None,
        }
    }

    /// Returns the plans that exist without being configured (`docs/http-api.md`, P3.2).
    pub fn built_in() -> BTreeMap<Arc<str>, Arc<Plan>> {
        [("free", Some(10)), ("pro", Some(100)), (DEFAULT_PLAN, Some(1_000)), ("unlimited", None)]
            .into_iter()
            .map(|(name, rate)| (name.into(), Arc::new(Plan::with_rate(name, rate))))
            .collect()
    }
}

/// The one organization of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Id of the form `org_…`.
    pub id: Arc<str>,
    /// Name of the organization, for display.
    pub name: String,
    /// Name for use in addresses.
    pub slug: String,
    /// Description; `None` if none was given.
    pub description: Option<String>,
    /// Plan of the organization and of members without one of their own.
    pub plan: Arc<Plan>,
}

/// A member of the organization, who may own keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Id of the form `user_…`.
    pub id: Arc<str>,
    /// Name of the member, for display.
    pub name: String,
    /// Email address; `None` if none was given.
    pub email: Option<String>,
    /// Role that the member's keys act with.
    pub role: Role,
    /// Plan of its own, in place of the organization's; `None` if it has none.
    pub plan: Option<Arc<Plan>>,
    /// Origin of the member.
    pub source: Source,
    /// Time of its creation, in seconds since 1970; `None` if it was not made over the API.
    pub created_at: Option<u64>,
}

/// The organization and its members. Ids are unique, and at least one member is an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenancy {
    /// The one organization of the installation.
    pub organization: Organization,
    /// The members in the order of the configuration, then those made over the API.
    pub members: Vec<Arc<Member>>,
    /// The plans by name, including those that nobody has.
    pub plans: BTreeMap<Arc<str>, Arc<Plan>>,
    /// Limits of a key that sets none of its own.
    pub key_defaults: KeyLimits,
}

impl Default for Tenancy {
    /// Returns the organization "Local" with one member, its owner.
    fn default() -> Tenancy {
        let plans = Plan::built_in();
        let plan = plans.get(DEFAULT_PLAN).cloned();
        let plan = plan.unwrap_or_else(|| Arc::new(Plan::with_rate(DEFAULT_PLAN, None)));
        Tenancy {
            organization: Organization {
                id: "org_local".into(),
                name: "Local".to_owned(),
                slug: "local".to_owned(),
                description: None,
                plan,
            },
            members: vec![Arc::new(Tenancy::default_owner())],
            plans,
            key_defaults: KeyLimits::default(),
        }
    }
}

impl Tenancy {
    /// Returns the owner that exists if the configuration names no members.
    pub fn default_owner() -> Member {
        Member {
            id: DEFAULT_OWNER.into(),
            name: "Owner".to_owned(),
            email: None,
            role: Role::Owner,
            plan: None,
            source: Source::BuiltIn,
            created_at: None,
        }
    }

    /// Returns the member with this id; `None` if there is none.
    pub fn member(&self, id: &str) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| *member.id == *id)
    }

    /// Returns the first member that is an owner, for whom the first key is made; `None` if there is none.
    pub fn owner(&self) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| member.role == Role::Owner)
    }

    /// Returns the plan that holds for a member: its own, or the organization's.
    pub fn plan_of<'a>(&'a self, member: &'a Member) -> &'a Arc<Plan> {
        member.plan.as_ref().unwrap_or(&self.organization.plan)
    }
}
