//! Whether who asked for something is still accepted when it is about to be done. Whoever waits (for a
//! place, a child, a model, a line of a log) is woken when a key is changed, and ends by itself when it
//! expires; what is done at once was authenticated a moment ago and costs one comparison.

use std::borrow::Cow;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Error, Principal, Refused, ServerEntry, check_permitted, clock, seconds_since_1970};

/// The clock may be set while somebody waits for a key to expire: it is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What a caller needs to be allowed for something.
pub(super) type May = fn(&Principal) -> Result<(), Error>;

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::Expired => Error::KeyExpired,
            Refused::Revoked | Refused::Unknown => Error::KeyRevoked,
        }
    }
}

/// The time of day.
fn now() -> SystemTime {
    #[cfg(test)]
    if let Some(now) = tests::CLOCK.get() {
        return now;
    }
    SystemTime::now()
}

/// The time of day in seconds since 1970, never before a time that was believed: what has ended has ended.
pub(super) fn moment() -> u64 {
    clock::not_before(seconds_since_1970(now()))
}

/// The same where the clock was believed for a while: for what is deleted.
pub(super) fn settled() -> Option<u64> {
    #[cfg(test)]
    if let Some(now) = tests::CLOCK.get() {
        return Some(seconds_since_1970(now));
    }
    clock::settled()
}

/// Who a caller is at this moment, or why it is not accepted any more.
pub(super) fn present(caller: &Principal) -> Result<Cow<'_, Principal>, Error> {
    if caller.is_unchanged() {
        return Ok(Cow::Borrowed(caller));
    }
    Ok(Cow::Owned(caller.again(moment())?))
}

/// Resolves when a caller may not go on: its key has ended, or it does not allow what it is asked for.
pub(super) async fn refused(caller: &Principal, may: impl Fn(&Principal) -> Result<(), Error>) -> Error {
    loop {
        // Before the look, so that no change falls between.
        let changed = caller.changed();
        let now_is = match present(caller).and_then(|caller| may(&caller).map(|()| caller)) {
            Ok(caller) => caller,
            Err(error) => return error,
        };
        match now_is.ends_at() {
            None => changed.await,
            Some(end) => {
                let left = UNIX_EPOCH + Duration::from_secs(end);
                let left = left.duration_since(now()).unwrap_or_default().min(LOOK_AGAIN);
                let _ = tokio::time::timeout(left, changed).await;
            }
        }
    }
}

/// Does something that may take a while, as long as the caller's key is accepted.
pub async fn while_accepted<T>(caller: &Principal, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::select! {
        biased;
        error = refused(caller, |_| Ok(())) => Err(error),
        done = work => Ok(done),
    }
}

/// Who asks for a call of a server, and what has to be allowed for it.
pub(super) struct Asker<'a> {
    pub(super) caller: &'a Principal,
    pub(super) entry: &'a ServerEntry,
    /// The tool; nothing for a resource.
    pub(super) tool: Option<&'a str>,
}

impl Asker<'_> {
    /// Refuses who may not ask for it any more. Nothing to be looked up as long as the key is as it was.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.caller.is_unchanged() {
            return Ok(());
        }
        self.may(&*present(self.caller)?)
    }

    /// Resolves when who asks may not any more.
    pub(super) async fn refused(&self) -> Error {
        refused(self.caller, |caller| self.may(caller)).await
    }

    fn may(&self, caller: &Principal) -> Result<(), Error> {
        check_permitted(caller, self.entry)?;
        super::keys::check_role_invokes(caller)?;
        match self.tool {
            Some(tool) if !caller.permissions().allow_tool(&self.entry.id, tool) => {
                Err(Error::ToolNotPermitted { tool: tool.to_owned() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::access::{KeyRecord, KeyRing, KeyWish, NewKey, Permissions};
    use std::cell::Cell;

    thread_local! {
        /// The time of day of the test that runs on this thread.
        pub(in crate::service) static CLOCK: Cell<Option<SystemTime>> = const { Cell::new(None) };
    }

    /// Sets the clock of this thread, in seconds since 1970.
    pub(in crate::service) fn set_clock(seconds: u64) {
        CLOCK.set(Some(UNIX_EPOCH + Duration::from_secs(seconds)));
    }

    fn key(expires_at: Option<u64>) -> (KeyRing, NewKey, Principal) {
        let wish = KeyWish {
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
        assert!(matches!(waiting.await, Ok(Err(Error::KeyRevoked))));
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
        assert!(matches!(waiting.await, Error::KeyExpired));
        assert!(begun.elapsed() <= Duration::from_secs(60) + LOOK_AGAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_in_time_is_done() {
        set_clock(5);
        let (_ring, _, caller) = key(Some(10));
        assert!(matches!(while_accepted(&caller, async { 7 }).await, Ok(7)));
        set_clock(10);
        assert!(matches!(while_accepted(&caller, async { 7 }).await, Err(Error::KeyExpired)));
    }
}
