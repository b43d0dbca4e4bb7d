//! Who is calling and what they may do: the organization and its members, keys and what they are
//! limited to, rates. Keys are 256 random bits, kept as SHA-256 only. No IO; the time is given.

mod attempts;
mod census;
mod charter;
mod key;
mod lineage;
mod permissions;
mod rate;
mod ring;
mod standing;
mod table;
mod unread;

pub use attempts::Attempts;
pub use census::{ENDED_KEPT, MAX_KEYS, REVOKED_KEPT, share};
pub use charter::{Charter, DEFAULT_OWNER, DEFAULT_PLAN, Member, Organization, Plan, Role};
pub use key::{KeyRecord, KeyStatus, KeyWish, NewKey};
pub use lineage::Maker;
pub use permissions::{BadPermissions, Permissions};
pub use rate::RateReading;
pub use ring::{CallOfKey, KeyRing, KeyView, LOCAL_OPERATOR, Principal, Refused};
pub use unread::{HeldUnread, Unread};
