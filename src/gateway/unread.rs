//! The memory that unread answers may hold: for a key, for a member, and altogether.

use super::{Error, Gateway, Principal};
use crate::access::{HeldUnread, Unread, fair_share};

/// Divisor of the memory for unread answers that gives the share of one member, over all its keys: so that one
/// member does not keep the others from being answered.
const SHARE_OF_MEMBER: usize = 4;

/// Maximum number of bytes of answers that may wait to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadLimits {
    /// Limit for one key, in bytes.
    pub per_key: usize,
    /// Limit for all together, in bytes.
    pub all: usize,
}

impl Default for UnreadLimits {
    fn default() -> UnreadLimits {
        UnreadLimits { per_key: 64 << 20, all: 512 << 20 }
    }
}

impl UnreadLimits {
    fn of_member(&self) -> usize {
        self.per_key.max(self.all / SHARE_OF_MEMBER)
    }

    /// Returns the limits of a key, of its member and of all, given the bytes that the member and all hold. A limit
    /// shrinks the more is taken of what it shares with others, so that a caller that holds nothing can be answered.
    fn limits(&self, of_member: usize, all: usize) -> [Limit; 3] {
        let member = fair_share(self.of_member(), self.all, all);
        let key = fair_share(self.per_key, self.of_member(), of_member);
        let name = |is_less: bool, full: &'static str, left: &'static str| if is_less { left } else { full };
        [
            (name(key < self.per_key, PER_KEY, LEFT_BY_KEYS), key),
            (name(member < self.of_member(), OF_MEMBER, LEFT_BY_MEMBERS), member),
            (ALL, self.all),
        ]
    }
}

/// Guard of an answer that waits to be read: counts until it is dropped.
#[derive(Debug)]
pub struct UnreadAnswer {
    _all: HeldUnread,
    _caller: Option<(HeldUnread, HeldUnread)>,
}

/// Name of a limit, as its setting if it has one, and its bytes.
type Limit = (&'static str, usize);

const PER_KEY: &str = "limits.unread_per_key";
const ALL: &str = "limits.unread";
const OF_MEMBER: &str = "a member's quarter of limits.unread";
const LEFT_BY_KEYS: &str = "what the member's other answers leave of limits.unread_per_key";
const LEFT_BY_MEMBERS: &str = "what others leave of a member's quarter of limits.unread";

impl Gateway {
    /// Refuses a call while so much waits that its answer may find no room: from half of the key's limit on. The
    /// other half is for the calls that it has under way by then. A member that holds nothing is admitted while
    /// anything is free.
    pub(super) fn check_unread(&self, caller: &Principal) -> Result<(), Error> {
        let all = self.0.unread.bytes();
        if all == 0 {
            return Ok(());
        }
        let (key, member) = (caller.unread().bytes(), caller.unread_of_member().bytes());
        let [of_key, of_member, of_all] = self.0.settings.unread.limits(member, all);
        let reached = [
            (key >= of_key.1.div_ceil(2), of_key),
            (member >= of_member.1, of_member),
            (all >= of_all.1, of_all),
        ];
        match reached.into_iter().find(|(is_full, _)| *is_full) {
            None => Ok(()),
            Some((_, (setting, limit))) => Err(Error::Unread { setting, limit, carried_out: false }),
        }
    }

    /// Counts an answer of `bytes` bytes until it is read; fails if there is no room for it. `carried_out` is `true`
    /// if the answer is that of an act, which cannot be repeated.
    pub fn owe(
        &self,
        caller: Option<&Principal>,
        bytes: usize,
        carried_out: bool,
    ) -> Result<UnreadAnswer, Error> {
        let held = self.hold(caller, bytes);
        held.map_err(|(setting, limit)| Error::Unread { setting, limit, carried_out })
    }

    fn hold(&self, caller: Option<&Principal>, bytes: usize) -> Result<UnreadAnswer, Limit> {
        let held = |unread: &Unread| unread.bytes().saturating_add(bytes);
        let of_caller = |caller: &Principal| {
            let member = caller.unread_of_member();
            let [of_key, of_member, _] = self.0.settings.unread.limits(held(member), held(&self.0.unread));
            let key = caller.unread().hold(bytes, of_key.1).ok_or(of_key)?;
            Ok((key, member.hold(bytes, of_member.1).ok_or(of_member)?))
        };
        let caller = caller.map(of_caller).transpose()?;
        let limit = self.0.settings.unread.all;
        let all = self.0.unread.hold(bytes, limit).ok_or((ALL, limit))?;
        Ok(UnreadAnswer { _all: all, _caller: caller })
    }
}
