//! Identity and rights of callers: the organization and its members, keys and their permissions, rate
//! limits. Keys are 256 random bits, stored as SHA-256 only. No IO; the time is given.

mod accounts;
mod attempts;
mod authority;
mod census;
mod charter;
mod doubts;
mod key;
mod limits;
mod lineage;
mod made;
mod permissions;
mod rate;
mod ring;
mod standing;
mod table;
mod unread;

pub use attempts::Attempts;
pub use authority::{check_grant, check_limits};
pub use census::{ENDED_KEPT, MAX_KEYS, REVOKED_KEPT, share};
pub use charter::{Charter, DEFAULT_OWNER, DEFAULT_PLAN, Member, Organization, Plan, Role, Source};
pub use doubts::Announced;
pub use key::{KeyChange, KeyRecord, KeyStatus, KeyWish, NewKey, Replaced};
pub use limits::{KeyLimits, LimitsChange, MAX_CALLS_AT_ONCE, MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND};
pub use lineage::Maker;
pub use made::{Made, MemberRecord, PlanRecord};
pub use permissions::{BadPermissions, Permissions};
pub use rate::RateReading;
pub use ring::{CallOfKey, KeyRing, KeyView, LOCAL_OPERATOR, Principal, Refused, administers};
pub use unread::{HeldUnread, Unread, fair_share};
