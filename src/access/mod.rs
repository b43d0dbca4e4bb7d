//! Identity and rights of callers: the organization and its members, keys and their permissions, rate
//! limits. Keys are 256 random bits, stored as SHA-256 only. No IO; the time is given.

mod accounts;
mod attempts;
mod authority;
mod census;
mod created_records;
mod doubts;
mod key;
mod limits;
mod lineage;
mod permissions;
mod rate;
mod rights;
mod ring;
mod standing;
mod table;
mod tenancy;
mod unread;

pub use attempts::Attempts;
pub use authority::{check_grant, check_limits};
pub use census::{ENDED_KEPT, MAX_KEYS, REVOKED_KEPT, share};
pub use created_records::{CreatedRecords, MemberRecord, PlanRecord};
pub use doubts::Announced;
pub use key::{KeyChange, KeyRecord, KeyStatus, NewKey, NewKeySpec, Replaced};
pub use limits::{KeyLimits, LimitsChange, MAX_CALLS_AT_ONCE, MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND};
pub use lineage::Maker;
pub use permissions::{BadPermissions, Permissions};
pub use rate::RateReading;
pub use rights::{AccessError, Right};
pub use ring::{CallOfKey, CredentialError, KeyRing, KeyView, LOCAL_OPERATOR, Principal, administers};
pub use tenancy::{DEFAULT_OWNER, DEFAULT_PLAN, Member, Organization, Plan, Role, Source, Tenancy};
pub use unread::{HeldUnread, Unread, fair_share};
