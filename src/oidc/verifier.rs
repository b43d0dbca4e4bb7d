//! The verifier of tokens: what it knows of the issuer's keys, and when it asks again. Whoever sends a token waits for the
//! keys where they are not known; nobody else does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::cache::{TokenCache, TokenHash};
use super::claims::{TokenError, VerifiedToken};
use super::issuer::Issuer;
use super::jws::{claims_of, use_ring};
use super::keys::{KeySet, TokenHeader};
use super::settings::OidcSettings;

/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// Least time between two attempts to read the keys, whoever sends tokens with ids of keys that are not known.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Age at which keys are read again beside the tokens, so that one that was taken back does not count for ever.
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// Reports whether a credential has the form of a JWT: three parts of base64url with a point between, of which the last, the
/// signature, may be missing. No key has it.
pub fn is_jwt(credential: &str) -> bool {
    let is_part =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let mut parts = credential.split('.');
    let [header, claims, signature] = [(); 3].map(|()| parts.next());
    let filled = |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && is_part(part));
    filled(header) && filled(claims) && signature.is_some_and(is_part) && parts.next().is_none()
}

/// Verifier of access tokens. Cheap to clone.
#[derive(Clone)]
pub struct TokenVerifier(Arc<Inner>);

struct Inner {
    settings: Arc<OidcSettings>,
    issuer: Issuer,
    /// Keys that were read last; `None` until they are.
    keys: ArcSwapOption<KnownKeys>,
    cache: Mutex<TokenCache>,
    /// Held while the keys are read: by one at a time, for all.
    reading: Arc<AsyncMutex<Reading>>,
}

struct KnownKeys {
    set: KeySet,
    /// Document that they came from.
    document: Vec<u8>,
    /// Number of the document; a different one has the next.
    number: u64,
    read_at: Instant,
}

/// What is known of the attempts to read the keys.
#[derive(Default)]
struct Reading {
    /// Time of the last attempt; `None` before the first.
    tried_at: Option<Instant>,
    has_failed: bool,
}

impl Reading {
    /// Returns the time until the keys may be read again; zero if they may be now.
    fn pause(&self, now: Instant) -> Duration {
        let next = self.tried_at.map(|tried| tried + MIN_INTERVAL);
        next.map(|next| next.saturating_duration_since(now)).unwrap_or_default()
    }
}

impl TokenVerifier {
    /// Creates the verifier. It knows no keys and reads them when the first token comes.
    pub fn new(settings: Arc<OidcSettings>) -> TokenVerifier {
        use_ring();
        TokenVerifier(Arc::new(Inner {
            issuer: Issuer::new(settings.clone()),
            settings,
            keys: ArcSwapOption::empty(),
            cache: Mutex::default(),
            reading: Arc::default(),
        }))
    }

    /// Returns the settings.
    pub fn settings(&self) -> &OidcSettings {
        &self.0.settings
    }

    /// Verifies a token at `now`, in seconds since 1970. Its audience and scopes are for the caller to look at.
    pub async fn verify(&self, token: &str, now: u64) -> Result<Arc<VerifiedToken>, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        // After a silence, keys that were taken back in it must not count.
        if let Some(seen_at) = self.0.read_at().filter(|read_at| read_at.elapsed() >= 2 * MAX_AGE) {
            // Where they cannot be read, the keys that there are go on being used.
            let _ = self.0.refresh(Some(seen_at)).await;
        }
        let hash: TokenHash = Sha256::digest(token.as_bytes()).into();
        let number = self.0.keys.load().as_ref().map_or(0, |keys| keys.number);
        let known = self.0.cache().get(number, &hash);
        let verified = match known {
            Some(known) => known,
            None => self.verify_anew(token, hash).await?,
        };
        verified.check_time(now)?;
        self.0.refresh_beside();
        Ok(verified)
    }

    async fn verify_anew(&self, token: &str, hash: TokenHash) -> Result<Arc<VerifiedToken>, TokenError> {
        let header = TokenHeader::read(token, &self.0.settings.algorithms)?;
        let keys = self.0.keys_for(&header).await?;
        let mut refused = TokenError::UnknownKey;
        for key in keys.set.candidates(&header) {
            match claims_of(token, key, header.algorithm) {
                Ok(claims) => {
                    let verified = Arc::new(VerifiedToken::read(&claims, &self.0.settings)?);
                    self.0.cache().put(keys.number, hash, verified.clone());
                    return Ok(verified);
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}

impl Inner {
    fn cache(&self) -> MutexGuard<'_, TokenCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time when the keys were read; `None` if they never were.
    fn read_at(&self) -> Option<Instant> {
        self.keys.load().as_ref().map(|keys| keys.read_at)
    }

    /// Returns the keys, read again if there are none or none that may have signed the token.
    async fn keys_for(self: &Arc<Inner>, header: &TokenHeader) -> Result<Arc<KnownKeys>, TokenError> {
        let fits = |keys: &Arc<KnownKeys>| !keys.set.candidates(header).is_empty();
        let before = self.keys.load_full();
        if let Some(keys) = before.clone().filter(fits) {
            return Ok(keys);
        }
        let seen_at = before.map(|keys| keys.read_at);
        let outcome = self.refresh(seen_at).await;
        match (self.keys.load_full(), outcome) {
            (Some(keys), _) if fits(&keys) => Ok(keys),
            (Some(_), Ok(())) => Err(TokenError::UnknownKey),
            (_, Ok(())) => Err(TokenError::Unavailable { retry_after: MIN_INTERVAL }),
            // The token may well be good, so its sender is not told that it is bad.
            (_, Err(retry_after)) => Err(TokenError::Unavailable { retry_after }),
        }
    }

    /// Reads the keys, unless somebody else has since they were `seen_at`, or the last attempt is too recent. An error
    /// says when to come again: the last attempt has failed.
    async fn refresh(self: &Arc<Inner>, seen_at: Option<Instant>) -> Result<(), Duration> {
        let mut reading = self.reading.clone().lock_owned().await;
        let is_new = self.read_at() != seen_at;
        let pause = reading.pause(Instant::now());
        if !is_new && pause.is_zero() {
            let inner = self.clone();
            // In a task of its own: who asked may leave, and others wait for it.
            let done = tokio::spawn(async move {
                inner.read(&mut reading).await;
                reading
            });
            reading = done.await.map_err(|_| MIN_INTERVAL)?;
        }
        match reading.has_failed {
            true => Err(reading.pause(Instant::now()).max(Duration::from_secs(1))),
            false => Ok(()),
        }
    }

    async fn read(&self, reading: &mut OwnedMutexGuard<Reading>) {
        let read = self.issuer.keys().await.map_err(|error| error.to_string());
        let read = read.and_then(|document| Ok((KeySet::read(&document)?, document)));
        let now = Instant::now();
        (reading.tried_at, reading.has_failed) = (Some(now), read.is_err());
        match read {
            Ok((set, document)) => self.keep(set, document, now),
            Err(reason) => {
                let issuer = &self.settings.issuer;
                tracing::warn!(issuer, reason, "the keys of the issuer of access tokens cannot be read");
            }
        }
    }

    fn keep(&self, set: KeySet, document: Vec<u8>, read_at: Instant) {
        let before = self.keys.load_full();
        let number = match &before {
            Some(before) if before.document == document => before.number,
            Some(before) => before.number + 1,
            None => 1,
        };
        if before.is_none_or(|before| before.number != number) {
            tracing::info!(issuer = self.settings.issuer, "read the keys of the issuer of access tokens");
        }
        self.keys.store(Some(Arc::new(KnownKeys { set, document, number, read_at })));
    }

    /// Has keys that are old read again, without waiting for it.
    fn refresh_beside(self: &Arc<Inner>) {
        let Some(seen_at) = self.read_at().filter(|read_at| read_at.elapsed() >= MAX_AGE) else { return };
        // While the issuer cannot be asked, the keys that there are go on being used.
        let is_due = self.reading.try_lock().is_ok_and(|reading| reading.pause(Instant::now()).is_zero());
        if is_due {
            let inner = self.clone();
            tokio::spawn(async move {
                // What goes wrong is logged where it does.
                let _ = inner.refresh(Some(seen_at)).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_are_a_jwt_and_no_key_is() {
        for jwt in ["a.b.c", "eyJhbGciOiJub25lIn0.e30.", "a-_9.b.c"] {
            assert!(is_jwt(jwt), "{jwt}");
        }
        for other in
            ["", "pk_live_0123456789", "a.b", "a.b.c.d", ".b.c", "a..c", "a.b.c=", "a.b.c d", "a.b.\u{e9}"]
        {
            assert!(!is_jwt(other), "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_pause_after_each_attempt() {
        let mut reading = Reading::default();
        assert!(reading.pause(Instant::now()).is_zero());
        reading.tried_at = Some(Instant::now());
        assert_eq!(reading.pause(Instant::now()), MIN_INTERVAL);
        tokio::time::advance(MIN_INTERVAL).await;
        assert!(reading.pause(Instant::now()).is_zero());
    }
}
