//! Who is signed in to the dashboard: a bounded table of cookies, each bound to the principal it was made for.
//!
//! A browser sends a cookie to every port of a host, and by itself. So a cookie alone opens nothing: with it comes a
//! token that only the page has that signed in. Both are random and kept here as hashes only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use crate::gateway::Principal;
use crate::text::hex;

/// Time after which one has to sign in again, whatever was done meanwhile.
pub(in crate::http) const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Most that may be signed in at once, and with one key. One more ends the oldest of the same key, or is refused.
const MOST: (usize, usize) = (512, 16);

type Hash = [u8; 32];

/// Reason why a request of the dashboard is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum NotSignedIn {
    /// There is no cookie, it has ended, or its key has.
    Ended,
    /// The cookie is good, and the page's token is missing or another's.
    WrongToken,
}

/// The texts of a sign-in, which nobody can tell again.
pub(in crate::http) struct NewSignIn {
    /// Value of the cookie.
    pub(in crate::http) cookie: String,
    /// Token of the page.
    pub(in crate::http) token: String,
}

/// One that is signed in.
struct SignIn<P> {
    token: Hash,
    key: Arc<str>,
    principal: P,
    since: Instant,
    /// Nothing is ever sent; it is dropped when the sign-in ends, which whoever waits for that sees.
    open: watch::Sender<()>,
}

/// Everybody who is signed in.
pub(in crate::http) struct SignIns<P = Principal>(Mutex<HashMap<Hash, SignIn<P>>>);

/// Handle of one sign-in, which tells whether it has ended.
#[derive(Clone, Debug)]
pub(in crate::http) struct SignedIn<P = Principal> {
    id: Hash,
    /// Who signed in, as accepted then; see [`Principal::again`].
    pub(in crate::http) principal: P,
    open: watch::Receiver<()>,
    until: Instant,
}

impl<P> SignedIn<P> {
    /// Waits until it has ended: by signing out, by one sign-in too many with the same key, or after its time.
    pub(in crate::http) async fn ended(&self) {
        let mut open = self.open.clone();
        // Nothing is ever sent, so the only news is that the other end is gone.
        let _ = tokio::time::timeout_at(self.until.into(), open.changed()).await;
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

fn random_text() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

impl<P> Default for SignIns<P> {
    fn default() -> SignIns<P> {
        SignIns(Mutex::default())
    }
}

impl<P: Clone> SignIns<P> {
    fn table(&self) -> MutexGuard<'_, HashMap<Hash, SignIn<P>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs a principal in that has this key. Those whose principals `is_over` says have ended make room. `None` if there
    /// are as many as there may be, or no random bytes.
    pub(in crate::http) fn begin(
        &self,
        key: &Arc<str>,
        principal: P,
        now: Instant,
        is_over: impl Fn(&P) -> bool,
    ) -> Option<NewSignIn> {
        let new = NewSignIn { cookie: random_text()?, token: random_text()? };
        let mut table = self.table();
        table.retain(|_, known| lasts(known, now));
        let of_key: Vec<(Instant, Hash)> = table
            .iter()
            .filter(|(_, known)| known.key == *key)
            .map(|(id, known)| (known.since, *id))
            .collect();
        if of_key.len() >= MOST.1 {
            of_key.iter().min().and_then(|(_, id)| table.remove(id));
        }
        if table.len() >= MOST.0 {
            table.retain(|_, known| !is_over(&known.principal));
        }
        if table.len() >= MOST.0 {
            return None;
        }
        table.insert(
            hash(&new.cookie),
            SignIn {
                token: hash(&new.token),
                key: key.clone(),
                principal,
                since: now,
                open: watch::Sender::default(),
            },
        );
        Some(new)
    }

    /// Returns who is signed in with this cookie and this token of the page.
    pub(in crate::http) fn find(
        &self,
        cookie: &str,
        token: Option<&str>,
        now: Instant,
    ) -> Result<SignedIn<P>, NotSignedIn> {
        let id = hash(cookie);
        let table = self.table();
        let known = table.get(&id).filter(|known| lasts(known, now)).ok_or(NotSignedIn::Ended)?;
        let given = token.map(hash).ok_or(NotSignedIn::WrongToken)?;
        match bool::from(given.ct_eq(&known.token)) {
            true => Ok(SignedIn {
                id,
                principal: known.principal.clone(),
                open: known.open.subscribe(),
                until: known.since + LASTS,
            }),
            false => Err(NotSignedIn::WrongToken),
        }
    }

    /// Ends a sign-in.
    pub(in crate::http) fn end(&self, signed_in: &SignedIn<P>) {
        self.table().remove(&signed_in.id);
    }
}

fn lasts<P>(known: &SignIn<P>, now: Instant) -> bool {
    now.duration_since(known.since) < LASTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_has_room_once_keys_have_ended() {
        let (table, now) = (SignIns::<usize>::default(), Instant::now());
        let begin = |n: usize, ended: usize| {
            table.begin(&Arc::from(format!("key_{n}")), n, now, |known: &usize| *known < ended).is_some()
        };
        assert!((0..MOST.0).all(|n| begin(n, 0)) && !begin(MOST.0, 0), "full");
        assert!(begin(MOST.0, 1), "the first key was revoked");
        assert!(!begin(MOST.0 + 1, 1));
    }

    #[test]
    fn a_cookie_alone_opens_nothing_and_both_texts_end_after_their_time() {
        let (table, now) = (SignIns::<()>::default(), Instant::now());
        let key = Arc::from("key_1");
        let new = table.begin(&key, (), now, |_: &_| false).expect("room");
        let find = |token, at| table.find(&new.cookie, token, at).err();
        assert_eq!(find(Some(&*new.token), now), None);
        assert_eq!(find(None, now), Some(NotSignedIn::WrongToken));
        assert_eq!(find(Some(&*new.cookie), now), Some(NotSignedIn::WrongToken));
        assert_eq!(find(Some(&*new.token), now + LASTS), Some(NotSignedIn::Ended));
        let held = table.find(&new.cookie, Some(&new.token), now).expect("signed in");
        table.end(&held);
        assert_eq!(find(Some(&*new.token), now), Some(NotSignedIn::Ended));
        assert!(table.table().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_the_end_of_a_sign_in_learns_it_at_once() {
        let (table, now) = (SignIns::<()>::default(), Instant::now());
        let key = Arc::from("key_1");
        let new = table.begin(&key, (), now, |_: &_| false).expect("room");
        let held = table.find(&new.cookie, Some(&new.token), now).expect("signed in");
        let wait = |time| tokio::time::timeout(time, held.ended());
        assert!(wait(LASTS / 2).await.is_err(), "it lasts");
        table.end(&held);
        assert!(wait(Duration::ZERO).await.is_ok(), "signed out");
        let new = table.begin(&key, (), Instant::now(), |_: &_| false).expect("room");
        let held = table.find(&new.cookie, Some(&new.token), Instant::now()).expect("signed in");
        held.ended().await;
    }

    #[test]
    fn one_more_of_a_key_ends_its_oldest() {
        let (table, now) = (SignIns::<()>::default(), Instant::now());
        let key = Arc::from("key_1");
        let at = |n: usize| now + Duration::from_secs(n as u64);
        let made: Vec<NewSignIn> =
            (0..=MOST.1).map(|n| table.begin(&key, (), at(n), |_: &_| false).expect("room")).collect();
        let is_in = |new: &NewSignIn| table.find(&new.cookie, Some(&new.token), at(MOST.1)).is_ok();
        assert_eq!(made.iter().map(is_in).filter(|is| *is).count(), MOST.1);
        assert!(!is_in(&made[0]) && is_in(&made[1]));
    }
}
