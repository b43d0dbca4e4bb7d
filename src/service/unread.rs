//! What answers that nobody reads may hold in memory: for a key, for a member, and altogether.

use super::{Error, Gateway, Principal};
use crate::access::{HeldUnread, Unread};

/// How much of the memory for unread answers one member may hold, over all its keys: so that one of them
/// does not keep the others from being answered.
const SHARE_OF_MEMBER: usize = 4;

/// How many bytes of answers may wait to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadLimits {
    /// Of one key.
    pub per_key: usize,
    /// Altogether.
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
}

/// An answer that waits to be read: counts until it is dropped.
#[derive(Debug)]
pub struct Owed {
    _all: HeldUnread,
    _caller: Option<(HeldUnread, HeldUnread)>,
}

/// Which limit was reached, as the setting's name, and what it is.
type Reached = (&'static str, usize);

const PER_KEY: &str = "limits.unread_per_key";
const ALL: &str = "limits.unread";
const OF_MEMBER: &str = "a member's quarter of limits.unread";

impl Gateway {
    /// Refuses a call while so much waits that its answer may find no room: from half of a limit on. The
    /// other half is for what is under way by then.
    pub(super) fn check_unread(&self, caller: &Principal) -> Result<(), Error> {
        let limits = &self.0.settings.unread;
        let half_full = |unread: &Unread, limit: usize| unread.bytes() >= limit.div_ceil(2);
        let reached = [
            (half_full(caller.unread(), limits.per_key), (PER_KEY, limits.per_key)),
            (half_full(caller.unread_of_member(), limits.of_member()), (OF_MEMBER, limits.of_member())),
            (half_full(&self.0.unread, limits.all), (ALL, limits.all)),
        ];
        match reached.into_iter().find(|(is_full, _)| *is_full) {
            None => Ok(()),
            Some((_, (setting, limit))) => Err(Error::Unread { setting, limit, carried_out: false }),
        }
    }

    /// Counts an answer of so many bytes until it is read, or says that there is no room for it.
    /// `carried_out` says whether what it answers was an act that cannot be asked for again.
    pub fn owe(&self, caller: Option<&Principal>, bytes: usize, carried_out: bool) -> Result<Owed, Error> {
        let held = self.hold(caller, bytes);
        held.map_err(|(setting, limit)| Error::Unread { setting, limit, carried_out })
    }

    fn hold(&self, caller: Option<&Principal>, bytes: usize) -> Result<Owed, Reached> {
        let limits = &self.0.settings.unread;
        let of_caller = |caller: &Principal| {
            let key = caller.unread().hold(bytes, limits.per_key).ok_or((PER_KEY, limits.per_key))?;
            let member = caller.unread_of_member().hold(bytes, limits.of_member());
            Ok((key, member.ok_or((OF_MEMBER, limits.of_member()))?))
        };
        let caller = caller.map(of_caller).transpose()?;
        let all = self.0.unread.hold(bytes, limits.all).ok_or((ALL, limits.all))?;
        Ok(Owed { _all: all, _caller: caller })
    }
}
