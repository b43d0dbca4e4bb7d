//! Who there is and what they are entitled to: the organization, its members, the plans. Comes from
//! the configuration, and from what was made over the API beside it (`made.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::limits::KeyLimits;

/// The member that owns the first key where the configuration names no members.
pub const DEFAULT_OWNER: &str = "user_owner";
/// The plan that an organization has unless it is given another one.
pub const DEFAULT_PLAN: &str = "team";

/// What a member may do; a key acts with the role of the member that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May look.
    Viewer,
    /// May call tools and read resources, and manage its own keys.
    Member,
    /// May also manage all keys and servers.
    Admin,
    /// May do everything.
    Owner,
}

impl Role {
    /// Every role, the least first, with its name in settings and in the API.
    pub const ALL: [(&'static str, Role); 4] =
        [("viewer", Role::Viewer), ("member", Role::Member), ("admin", Role::Admin), ("owner", Role::Owner)];

    /// The role's name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Member => "member",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
    }

    /// Whether the role may define servers, which is running programs as the daemon's user.
    pub fn may_administer(self) -> bool {
        self >= Role::Admin
    }

    /// Whether the role may call tools and read resources, and have keys of its own.
    pub fn may_invoke(self) -> bool {
        self >= Role::Member
    }
}

/// Where a member or a plan comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// It is there without anybody having said so.
    #[default]
    BuiltIn,
    /// The configuration file has it, so that only the file can change it.
    File,
    /// It was made over the API.
    Api,
}

impl Source {
    /// The source's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Source::BuiltIn => "built-in",
            Source::File => "file",
            Source::Api => "api",
        }
    }
}

/// What a plan entitles to. `None` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The plan's name.
    pub name: Arc<str>,
    /// Where it comes from.
    pub source: Source,
    /// Requests a second; also how many may come at once.
    pub requests_per_second: Option<u32>,
    /// Calls that reach a server in a calendar month, UTC.
    pub monthly_requests: Option<u64>,
    /// Servers.
    pub max_mcps: Option<u64>,
    /// Keys that are neither revoked nor expired.
    pub max_api_keys: Option<u64>,
    /// Members.
    pub max_members: Option<u64>,
}

impl Plan {
    /// A plan with a rate and nothing else limited.
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

    /// The plans that are there without being configured (contract, sections 4.4 and 7).
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
    /// `org_…`.
    pub id: Arc<str>,
    /// A name for people.
    pub name: String,
    /// A name for addresses.
    pub slug: String,
    /// What it is, if anybody said.
    pub description: Option<String>,
    /// What it is entitled to.
    pub plan: Arc<Plan>,
}

/// Somebody who owns keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `user_…`.
    pub id: Arc<str>,
    /// A name for people.
    pub name: String,
    /// Where to write to, if anybody said.
    pub email: Option<String>,
    /// What it may do.
    pub role: Role,
    /// A plan of its own, in place of the organization's.
    pub plan: Option<Arc<Plan>>,
    /// Where it comes from.
    pub source: Source,
    /// When it was made, seconds since 1970; `None` for one that is there since the beginning.
    pub created_at: Option<u64>,
}

/// The organization and its members. Ids are unique, and at least one member is an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charter {
    /// The organization.
    pub organization: Organization,
    /// Its members, in the order of the configuration; those made over the API come after.
    pub members: Vec<Arc<Member>>,
    /// The plans by name, also those that nobody has.
    pub plans: BTreeMap<Arc<str>, Arc<Plan>>,
    /// How much a key may that has no limits of its own.
    pub key_defaults: KeyLimits,
}

impl Default for Charter {
    /// The organization "Local" with one member, its owner.
    fn default() -> Charter {
        let plans = Plan::built_in();
        let plan = plans.get(DEFAULT_PLAN).cloned();
        let plan = plan.unwrap_or_else(|| Arc::new(Plan::with_rate(DEFAULT_PLAN, None)));
        Charter {
            organization: Organization {
                id: "org_local".into(),
                name: "Local".to_owned(),
                slug: "local".to_owned(),
                description: None,
                plan,
            },
            members: vec![Arc::new(Charter::default_owner())],
            plans,
            key_defaults: KeyLimits::default(),
        }
    }
}

impl Charter {
    /// The owner where the configuration names no members.
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

    /// The member of this id.
    pub fn member(&self, id: &str) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| *member.id == *id)
    }

    /// The first member that is an owner: who the first key is made for.
    pub fn owner(&self) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| member.role == Role::Owner)
    }

    /// What a member is entitled to: its own plan, or the organization's.
    pub fn plan_of<'a>(&'a self, member: &'a Member) -> &'a Arc<Plan> {
        member.plan.as_ref().unwrap_or(&self.organization.plan)
    }
}
