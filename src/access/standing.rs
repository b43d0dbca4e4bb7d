//! Current standing of a key that was accepted: its state is asked again before each effect that does not
//! follow at once.

use tokio::sync::futures::Notified;

use super::key::{CredentialError, KeyRecord, KeyStatus};
use super::principal::Principal;
use super::slot::note;

impl Principal {
    /// Reports whether the key is as it was when it was presented and cannot have expired since: then there
    /// is nothing to ask again. One comparison, no clock.
    pub fn is_unchanged(&self) -> bool {
        self.ends_at.is_none() && self.slot.holds(&self.entry)
    }

    /// Returns the principal at `now`, in seconds since 1970: the same key with its current role and
    /// limits. An error says why it is no longer accepted.
    pub fn again(&self, now: u64) -> Result<Principal, CredentialError> {
        let entry = self.slot.entry().ok_or(CredentialError::Revoked)?;
        // If the text was replaced, the holder of the old one counts as somebody else after the grace
        // period.
        let ends_at = match entry.by_token {
            // Tokens with the same rights share an entry, and each ends at its own time.
            true if self.ends_at.is_some_and(|end| end <= now) => return Err(CredentialError::Expired),
            true => self.ends_at,
            false => entry.record.end_of(&self.hash, now).map_err(|_| CredentialError::Revoked)?,
        };
        match (entry.record.status(now), &entry.account) {
            (KeyStatus::Active, Some(account)) => {
                let account = account.clone();
                Ok(Principal { ends_at, entry, account, ..self.clone() })
            }
            (KeyStatus::Expired, Some(_)) => Err(CredentialError::Expired),
            (KeyStatus::Revoked, _) | (_, None) => Err(CredentialError::Revoked),
        }
    }

    /// Returns the principal at `now`, in seconds since 1970, when the same text was presented once more; what
    /// [`super::ring::KeyRing::authenticate`] would return. `None` if it has to be asked.
    pub fn presented_again(&self, now: u64) -> Option<Principal> {
        let principal = if self.is_unchanged() { self.clone() } else { self.again(now).ok()? };
        note(&principal.slot.last_used, now);
        note(&principal.account.last_active, now);
        Some(principal)
    }

    /// Returns the stored record of the key, as it was when it was presented or asked again.
    pub fn record(&self) -> &KeyRecord {
        &self.entry.record
    }

    /// Returns the time from which the key or access token is refused, in seconds since 1970; `None` if it does not
    /// expire.
    pub fn expires_at(&self) -> Option<u64> {
        if self.entry.by_token { self.ends_at } else { self.entry.record.expires_at }
    }

    /// Reports whether it was accepted with an access token and has no key.
    pub fn has_token(&self) -> bool {
        self.entry.by_token
    }

    /// Returns the time from which the presented text is refused, in seconds since 1970: when the key
    /// expires, or when a replaced text's grace period ends. `None` if never.
    pub fn ends_at(&self) -> Option<u64> {
        self.ends_at
    }

    /// Returns a future that resolves when the key, its role or its limits change after this call.
    pub fn changed(&self) -> Notified<'_> {
        self.slot.changed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KeyRing, NewKey, NewKeySpec, Permissions};
    use super::*;

    fn made(expires_at: Option<u64>) -> NewKey {
        let wish = NewKeySpec {
            limits: super::super::limits::KeyLimits::default(),
            name: "k".to_owned(),
            description: None,
            member_id: "user_owner".into(),
            expires_at,
            permissions: Permissions::default(),
        };
        NewKey::generate(wish, 0).expect("random bytes")
    }

    #[tokio::test]
    async fn what_becomes_of_a_key_is_known_to_whoever_was_accepted_with_it() {
        let (ring, kept, short) = (KeyRing::default(), made(None), made(Some(10)));
        ring.put([kept.record.clone(), short.record.clone()]);
        let [of_kept, of_short] = [&kept, &short].map(|key| ring.authenticate(&key.text, 5).expect("good"));
        assert!(of_kept.is_unchanged() && !of_short.is_unchanged(), "the clock has to be asked");
        assert!(of_short.again(9).is_ok());
        assert_eq!(of_short.again(10).err(), Some(CredentialError::Expired));
        // A change of another key does not count.
        ring.put([KeyRecord { name: "other".to_owned(), ..short.record.clone() }]);
        assert!(of_kept.is_unchanged());
        let changed = of_kept.changed();
        let narrow: Permissions = serde_json::json!({"mcps": []}).try_into().expect("good");
        ring.put([KeyRecord { permissions: narrow, ..kept.record.clone() }]);
        changed.await;
        assert!(!of_kept.is_unchanged() && of_kept.permissions().are_unlimited());
        assert!(!of_kept.again(5).expect("accepted").permissions().are_unlimited());
        ring.put([KeyRecord { revoked_at: Some(5), ..kept.record.clone() }]);
        assert_eq!(of_kept.again(5).err(), Some(CredentialError::Revoked));
        ring.put([KeyRecord { hash: [7; 32], ..short.record.clone() }]);
        assert_eq!(of_short.again(5).err(), Some(CredentialError::Revoked), "its text was replaced");
        assert!(ring.authenticate(&short.text, 5).is_err());
    }

    #[tokio::test]
    async fn a_key_that_is_taken_off_the_ring_is_as_good_as_revoked() {
        let (ring, key) = (KeyRing::default(), made(None));
        ring.put([key.record.clone()]);
        let principal = ring.authenticate(&key.text, 1).expect("good");
        let changed = principal.changed();
        ring.replace([]);
        changed.await;
        assert_eq!(principal.again(1).err(), Some(CredentialError::Revoked));
        // Even the same key again counts as another one for a principal that was accepted before.
        ring.put([key.record.clone()]);
        assert_eq!(principal.again(1).err(), Some(CredentialError::Revoked));
        let operator = ring.local_operator();
        assert!(operator.is_unchanged() && operator.again(u64::MAX).is_ok());
    }
}
