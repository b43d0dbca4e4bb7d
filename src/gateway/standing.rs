//! The check that a caller is still accepted when its request is about to be carried out. A caller that waits (for a
//! place, a child, a model, a line of a log) is woken when a key is changed, and its wait ends when its key expires.
//! A request carried out at once was authenticated just before and costs one comparison.

use std::future::Future;
use std::time::Duration;

use super::{Error, Principal, ServerEntry, check_permitted};
use crate::access::{Present, Right};
use crate::clock;
use crate::unix_time;

/// Interval of looks at the clock, which may be set while a caller waits for its key to expire.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Returns the caller as it is now, or the reason that it is not accepted any more.
pub(super) fn present(caller: &Principal) -> Result<Present<'_>, Error> {
    Ok(caller.present(clock::now)?)
}

/// Refuses a caller that lacks a right now, or whose key has ended since it was presented.
pub(super) fn require(caller: &Principal, right: Right) -> Result<(), Error> {
    Ok(present(caller)?.require(right)?)
}

/// Refuses a caller that may not administer.
pub(super) fn administers(caller: &Principal) -> Result<(), Error> {
    Ok(caller.require(Right::Administer)?)
}

/// Refuses a caller that may not call, or not this tool of a server that it may see; `tool` is `None` for what is no tool.
pub(super) fn check_invokes(
    caller: &Principal,
    entry: &ServerEntry,
    tool: Option<&str>,
) -> Result<(), Error> {
    caller.require(Right::Member)?;
    match tool {
        Some(tool) if !caller.permissions().allow_tool(&entry.id, tool) => {
            Err(Error::ToolNotPermitted { tool: tool.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Waits until a caller may not go on: its key has ended, or no longer allows the request.
pub(super) async fn refused(caller: &Principal, may: impl Fn(&Principal) -> Result<(), Error>) -> Error {
    loop {
        // Taken before the check, so that no change is missed between the two.
        let changed = caller.changed();
        let now_is = match present(caller).and_then(|caller| may(&caller).map(|()| caller)) {
            Ok(caller) => caller,
            Err(error) => return error,
        };
        match now_is.ends_at() {
            None => changed.await,
            Some(end) => {
                let left = unix_time::from_seconds(end).duration_since(clock::wall_clock());
                let left = left.unwrap_or_default().min(LOOK_AGAIN);
                let _ = tokio::time::timeout(left, changed).await;
            }
        }
    }
}

/// Does `work`, which may take long, for as long as the caller's key is accepted.
pub async fn while_accepted<T>(caller: &Principal, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::select! {
        biased;
        error = refused(caller, |_| Ok(())) => Err(error),
        done = work => Ok(done),
    }
}

/// Caller of a server, and the rights it needs for the call.
pub(super) struct Asker<'a> {
    pub(super) caller: &'a Principal,
    pub(super) entry: &'a ServerEntry,
    /// Name of the tool; `None` for a resource.
    pub(super) tool: Option<&'a str>,
}

impl Asker<'_> {
    /// Refuses a caller that has lost the right. Costs no lookup as long as the key is unchanged.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.caller.is_unchanged() {
            return Ok(());
        }
        self.may(&*present(self.caller)?)
    }

    /// Waits until the caller loses the right.
    pub(super) async fn refused(&self) -> Error {
        refused(self.caller, |caller| self.may(caller)).await
    }

    fn may(&self, caller: &Principal) -> Result<(), Error> {
        check_permitted(caller, self.entry)?;
        check_invokes(caller, self.entry, self.tool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{AccessError, KeyRecord, KeyRing, NewKey, NewKeySpec, Permissions};
    use crate::clock::simulated::set_wall as set_clock;

    fn key(expires_at: Option<u64>) -> (KeyRing, NewKey, Principal) {
        let wish = NewKeySpec {
            limits: crate::access::KeyLimits::default(),
            name: "k".to_owned(),
            description: None,
            member_id: "user_owner".into(),
            expires_at,
            permissions: Permissions::default(),
        };
        let (ring, made) = (KeyRing::default(), NewKey::generate(wish, 0).expect("random bytes"));
        ring.put([made.record.clone()]);
        let caller = ring.authenticate(&made.text, 1).expect("good");
        (ring, made, caller)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_at_once_that_the_key_was_revoked() {
        let (ring, made, caller) = key(None);
        let waiting =
            tokio::spawn(async move { while_accepted(&caller, std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        ring.put([KeyRecord { name: "renamed".to_owned(), ..made.record.clone() }]);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "another name changes nothing");
        ring.put([KeyRecord { revoked_at: Some(1), ..made.record }]);
        assert!(matches!(waiting.await, Ok(Err(Error::Access(AccessError::KeyRevoked)))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_when_the_key_expires_also_by_a_clock_that_was_set() {
        set_clock(1_000);
        let (_ring, _, caller) = key(Some(1_000 + 86_400));
        let begun = tokio::time::Instant::now();
        let waiting = refused(&caller, |_| Ok(()));
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut waiting).await.is_err());
        set_clock(1_000 + 86_400);
        assert!(matches!(waiting.await, Error::Access(AccessError::KeyExpired)));
        assert!(begun.elapsed() <= Duration::from_secs(60) + LOOK_AGAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_in_time_is_done() {
        set_clock(5);
        let (_ring, _, caller) = key(Some(10));
        assert!(matches!(while_accepted(&caller, async { 7 }).await, Ok(7)));
        set_clock(10);
        assert!(matches!(
            while_accepted(&caller, async { 7 }).await,
            Err(Error::Access(AccessError::KeyExpired))
        ));
    }
}
