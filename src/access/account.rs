//! Account of a member: what all its keys share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::rate::Bucket;
use super::tenancy::{Member, Plan};
use super::unread::Unread;

/// State that all keys of a member share. When the member changes, its bucket and its history stay the
/// same.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) member: Arc<Member>,
    /// The member's own plan, or the organization's.
    pub(super) plan: Arc<Plan>,
    pub(super) bucket: Option<Arc<Bucket>>,
    /// Time of the last use of any key of the member, in seconds since 1970; 0 for never.
    pub(super) last_active: Arc<AtomicU64>,
    pub(super) unread: Arc<Unread>,
}
