//! Identity and rights of callers: the organization and its members, keys and their permissions, rate
//! limits. Keys are 256 random bits, stored as SHA-256 only. No IO; the time is given.

mod account;
mod accounts;
mod attempts;
mod authority;
mod census;
mod client_session;
mod created_records;
mod doubts;
mod key;
mod limits;
mod lineage;
mod origin;
mod permissions;
mod principal;
mod rate;
mod rights;
mod ring;
mod slot;
mod standing;
mod subjects;
mod table;
mod tenancy;
mod unread;

pub use attempts::Attempts;
pub use authority::{check_grant, check_limits};
pub use census::{ENDED_KEPT, MAX_KEYS, REVOKED_KEPT, share};
pub use client_session::ClientSession;
pub use created_records::{CreatedRecords, MemberRecord, PlanRecord};
pub use doubts::Announced;
pub use key::{CredentialError, KeyChange, KeyRecord, KeyStatus, Maker, NewKey, NewKeySpec, Replaced};
pub use limits::{KeyLimits, LimitsChange, MAX_CALLS_AT_ONCE, MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND};
pub use origin::{DialectName, Origin, RequestId};
pub use permissions::{BadPermissions, Pattern, Permissions};
pub use principal::{CallOfKey, CallerTag, LOCAL_OPERATOR, Principal};
pub use rate::RateReading;
pub use rights::{AccessError, Present, Right};
pub use ring::{KeyRing, KeyView, administers};
pub use subjects::{Admitted, MAX_SUBJECTS, SUBJECT_PREFIX, TokenGrant, TooManySubjects};
pub use tenancy::{DEFAULT_OWNER, DEFAULT_PLAN, Member, Organization, Plan, Role, Source, Tenancy};
pub use unread::{HeldUnread, Unread, fair_share};
