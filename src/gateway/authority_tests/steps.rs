//! What happens in a history, one step after the other.

use proptest::prelude::*;

use crate::access::Role;
use crate::registry::Revoke;

/// Ids of the members that come and go.
pub(super) const NAMES: [&str; 3] = ["user_a", "user_b", "user_c"];

/// Step of a history. A key is named by the index of one of its texts.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Making of a key by another one, for its own member or one that comes and goes. The key expires after
    /// `expires_in` seconds; never if that is `None`.
    Make {
        by: usize,
        owner: Option<usize>,
        expires_in: Option<u64>,
    },
    /// Another text for a key; the previous one is accepted for `grace` seconds.
    Rotate {
        by: usize,
        of: usize,
        grace: u64,
    },
    /// Making of a member, and of a key for it.
    Join {
        by: usize,
        name: usize,
        role: Role,
    },
    /// Change of a member's role.
    Change {
        by: usize,
        name: usize,
        role: Role,
    },
    /// Removal of a member with its keys.
    Leave {
        by: usize,
        name: usize,
    },
    /// Change of the limits of the plan.
    Plan {
        by: usize,
        most: Counts,
    },
    Revoke {
        by: usize,
        of: usize,
        what: Revoke,
    },
    /// Limitation of a key to other servers than the one there is.
    Narrow(usize),
    Clock(u64),
    /// State of the disk: it takes nothing, or nothing but the reserve, or everything.
    Disk {
        full: bool,
        broken: bool,
    },
    Restart,
    Call(usize),
    Follow(usize),
    /// Start of a caller who does one thing after the other, as a question does.
    Ask(usize),
    /// Answer of the child to a call, which frees its place.
    Answer,
    Log,
}

/// Numbers of keys and members that exist or may exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) keys: u64,
    pub(super) members: u64,
}

/// Returns a strategy for one step.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let key = || 0usize..10;
    let name = || 0usize..NAMES.len();
    let role = || prop_oneof![Just(Role::Viewer), Just(Role::Member), Just(Role::Admin)];
    let what = prop_oneof![Just(Revoke::Key), Just(Revoke::Both), Just(Revoke::Descendants)];
    let most = (3u64..9, 2u64..6).prop_map(|(keys, members)| Counts { keys, members });
    let grace = prop_oneof![Just(0), 1u64..20];
    prop_oneof![
        4 => (key(), prop::option::of(name()), prop::option::of(1u64..20))
            .prop_map(|(by, owner, expires_in)| Step::Make { by, owner, expires_in }),
        4 => (key(), key(), what).prop_map(|(by, of, what)| Step::Revoke { by, of, what }),
        4 => (key(), key(), grace).prop_map(|(by, of, grace)| Step::Rotate { by, of, grace }),
        3 => (key(), name(), role()).prop_map(|(by, name, role)| Step::Join { by, name, role }),
        2 => (key(), name(), role()).prop_map(|(by, name, role)| Step::Change { by, name, role }),
        2 => (key(), name()).prop_map(|(by, name)| Step::Leave { by, name }),
        1 => (key(), most).prop_map(|(by, most)| Step::Plan { by, most }),
        1 => key().prop_map(Step::Narrow),
        2 => (1u64..15).prop_map(Step::Clock),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(full, broken)| Step::Disk { full, broken }),
        1 => Just(Step::Restart),
        6 => key().prop_map(Step::Call),
        3 => key().prop_map(Step::Follow),
        3 => key().prop_map(Step::Ask),
        4 => Just(Step::Answer),
        3 => Just(Step::Log),
    ]
}
