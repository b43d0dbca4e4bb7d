//! Tokens that were verified, by the hash of their text, so that a token costs its signature once. Bounded: two tables of
//! which the older one goes when the newer one is full. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::claims::VerifiedToken;

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// Maximum number of tokens in each of the two tables.
const MAX_TOKENS: usize = 5_000;

type Table = HashMap<TokenHash, Arc<VerifiedToken>>;

/// The verified tokens.
#[derive(Default)]
pub(super) struct TokenCache {
    /// Number of the keys that the tokens were verified with; tokens of others are not found.
    keys: u64,
    newer: Table,
    older: Table,
}

impl TokenCache {
    /// Returns the token of this hash, if it was verified with the keys of this number.
    pub(super) fn get(&mut self, keys: u64, hash: &TokenHash) -> Option<Arc<VerifiedToken>> {
        if self.keys != keys {
            return None;
        }
        if let Some(known) = self.newer.get(hash) {
            return Some(known.clone());
        }
        // One that is used again outlives the table that it was in.
        let known = self.older.remove(hash)?;
        self.put(keys, *hash, known.clone());
        Some(known)
    }

    /// Keeps a token that was verified with the keys of this number. Those of earlier keys are forgotten: a key that the
    /// issuer has taken back vouches for nothing any more.
    pub(super) fn put(&mut self, keys: u64, hash: TokenHash, token: Arc<VerifiedToken>) {
        if keys < self.keys {
            return;
        }
        if keys > self.keys {
            *self = TokenCache { keys, ..TokenCache::default() };
        }
        if self.newer.len() >= MAX_TOKENS {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(hash, token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Permissions, Role, TokenGrant};

    fn token() -> Arc<VerifiedToken> {
        let grant = TokenGrant {
            subject: "oidc_1".into(),
            name: String::new(),
            role: Role::Viewer,
            plan: None,
            permissions: Permissions::default(),
            ends_at: 1,
        };
        let (subject, audience) = (String::new(), Vec::new());
        Arc::new(VerifiedToken { grant, subject, audience, begins_at: 0, has_scopes: true })
    }

    fn hash(number: usize) -> TokenHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut cache = TokenCache::default();
        for number in 0..5 * MAX_TOKENS {
            cache.put(0, hash(number), token());
            if number % 1_000 == 0 {
                assert!(cache.get(0, &hash(0)).is_some(), "{number}");
            }
            assert!(cache.newer.len() <= MAX_TOKENS && cache.older.len() <= MAX_TOKENS);
        }
        assert!(cache.get(0, &hash(1)).is_none());
    }

    #[test]
    fn tokens_of_earlier_keys_are_forgotten() {
        let mut cache = TokenCache::default();
        cache.put(1, hash(1), token());
        assert!(cache.get(1, &hash(1)).is_some() && cache.get(2, &hash(1)).is_none());
        cache.put(2, hash(2), token());
        assert!(cache.get(2, &hash(2)).is_some() && cache.get(2, &hash(1)).is_none());
        cache.put(1, hash(3), token());
        assert!(cache.get(2, &hash(3)).is_none(), "verified with keys that were replaced meanwhile");
    }
}
