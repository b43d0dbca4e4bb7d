//! Keys: made from the operating system's generator, stored as their hash, looked up by it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The longest token that is looked up, in characters (contract 4.1).
const MAX_TOKEN: usize = 256;

/// What a member may do; a key acts with the role of the member that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May look.
    Viewer,
    /// May call tools and read resources.
    Member,
    /// May also manage keys and servers.
    Admin,
    /// May do everything.
    Owner,
}

impl Role {
    /// Whether the role may define servers, which is running programs as the daemon's user.
    pub fn may_administer(self) -> bool {
        self >= Role::Admin
    }

    /// Whether the role may call tools and read resources.
    pub fn may_invoke(self) -> bool {
        self >= Role::Member
    }
}

/// Who is calling: a member and the key it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key's id (`key_…`).
    pub key_id: Arc<str>,
    /// The member's id (`user_…`).
    pub member_id: Arc<str>,
    /// What the key may do.
    pub role: Role,
}

/// Why a credential is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Unknown, or not of a form a key can have.
    Unknown,
}

/// A key as it is stored: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// `key_` and a time-ordered unique id.
    pub id: Arc<str>,
    /// The member that owns it.
    pub member_id: Arc<str>,
    /// What it may do.
    pub role: Role,
    /// A name for people.
    pub name: String,
    /// The first characters of the key, to tell keys apart in a list.
    pub prefix: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// When it was made, seconds since 1970.
    pub created_at: u64,
}

/// A key just made: the only moment its text exists.
pub struct NewKey {
    /// The text to hand to its owner. Not stored.
    pub text: String,
    /// What is stored.
    pub record: KeyRecord,
}

impl NewKey {
    /// Makes a key: `pk_live_` and 43 base62 characters, 256 bits of which are random.
    pub fn generate(
        name: &str,
        member_id: &str,
        role: Role,
        created_at: u64,
    ) -> Result<NewKey, getrandom::Error> {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed)?;
        let text = format!("pk_live_{}", base62(seed));
        let record = KeyRecord {
            id: format!("key_{}", uuid::Uuid::now_v7().simple()).into(),
            member_id: member_id.into(),
            role,
            name: name.to_owned(),
            prefix: text.chars().take(11).collect(),
            hash: Sha256::digest(text.as_bytes()).into(),
            created_at,
        };
        Ok(NewKey { text, record })
    }
}

type KeyTable = HashMap<[u8; 32], (Principal, KeyRecord)>;

/// The keys that are valid now. Cheap to clone; lookups take no lock.
#[derive(Clone, Default)]
pub struct KeyRing {
    keys: Arc<ArcSwap<KeyTable>>,
}

impl KeyRing {
    /// Replaces the valid keys; a key that is not among them is refused from now on.
    pub fn replace(&self, records: impl IntoIterator<Item = KeyRecord>) {
        let keys = records.into_iter().map(|record| {
            let principal = Principal {
                key_id: record.id.clone(),
                member_id: record.member_id.clone(),
                role: record.role,
            };
            (record.hash, (principal, record))
        });
        self.keys.store(Arc::new(keys.collect()));
    }

    /// Says who a token belongs to. The hash of the token is looked up, and the stored hash is
    /// compared in constant time: neither lets a caller feel its way to a key.
    pub fn authenticate(&self, token: &str) -> Result<Principal, Refused> {
        if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Refused::Unknown);
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let keys = self.keys.load();
        match keys.get(&hash) {
            Some((principal, record)) if bool::from(record.hash.ct_eq(&hash)) => Ok(principal.clone()),
            _ => Err(Refused::Unknown),
        }
    }
}

/// 256 bits as 43 base62 characters, most significant first (62^43 > 2^256).
fn base62(mut number: [u8; 32]) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digits = [b'0'; 43];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = DIGITS[remainder as usize];
    }
    digits.iter().map(|&b| char::from(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_and_any_other_text_is_not() {
        let made = NewKey::generate("first", "user_owner", Role::Owner, 0).expect("random bytes");
        assert_eq!(made.text.len(), 8 + 43);
        let ring = KeyRing::default();
        ring.replace([made.record.clone()]);
        assert_eq!(ring.authenticate(&made.text).expect("valid").key_id, made.record.id);
        let mut other = made.text.clone();
        other.pop();
        for token in [other.as_str(), "", "pk_live_x", "with blank", &"x".repeat(257)] {
            assert_eq!(ring.authenticate(token), Err(Refused::Unknown), "{token:?}");
        }
        ring.replace([]);
        assert_eq!(ring.authenticate(&made.text), Err(Refused::Unknown));
    }

    #[test]
    fn base62_uses_the_whole_number() {
        assert_eq!(base62([0; 32]), "0".repeat(43));
        let mut one = [0; 32];
        one[31] = 61;
        assert!(base62(one).ends_with('z'));
        assert_ne!(base62([255; 32]).chars().next(), Some('0'));
    }
}
