//! Keys: made from the operating system's generator, stored as their hash.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::limits::{KeyLimits, LimitsChange};
use super::lineage::Maker;
use super::permissions::Permissions;
use super::ring::Refused;

/// The longest token that is looked up, in characters (contract 4.1).
const MAX_TOKEN: usize = 256;
/// How much of a key is shown in lists, in characters.
const PREFIX: usize = 11;

/// SHA-256 of a key.
pub(super) type Hash = [u8; 32];

/// A key as it is stored: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// `key_` and a time-ordered unique id.
    pub id: Arc<str>,
    /// The member that owns it; it acts with that member's role.
    pub member_id: Arc<str>,
    /// A name for people.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The first characters of the key, to tell keys apart in a list.
    pub prefix: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// When it was made, seconds since 1970.
    pub created_at: u64,
    /// From when on it is refused, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Since when it is refused, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    /// What it is limited to.
    #[serde(default)]
    pub permissions: Permissions,
    /// Who made it; `None` for the first key, and where that was not kept yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Maker>,
    /// How much it may, as far as somebody said.
    #[serde(default, skip_serializing_if = "KeyLimits::are_none")]
    pub limits: KeyLimits,
    /// What it was replaced from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
}

/// The text that a key had before the one it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// SHA-256 of it.
    pub hash: [u8; 32],
    /// When the text that there is now was made, seconds since 1970.
    pub at: u64,
    /// From when on it is refused, seconds since 1970.
    pub until: u64,
}

/// What becomes of a key that is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// It is accepted.
    Active,
    /// It was revoked, or its member is no more.
    Revoked,
    /// Its time is over.
    Expired,
}

impl KeyStatus {
    /// The status' name, as in the API.
    pub fn name(self) -> &'static str {
        match self {
            KeyStatus::Active => "active",
            KeyStatus::Revoked => "revoked",
            KeyStatus::Expired => "expired",
        }
    }
}

impl KeyRecord {
    /// Whether this is the key of a text.
    pub fn has_text(&self, text: &str) -> bool {
        hash(text).is_some_and(|hash| bool::from(self.hash.ct_eq(&hash)))
    }

    /// From when on the text of this hash is refused, at this moment in seconds since 1970: that of the key,
    /// or that of the text where it was replaced and is accepted for a while.
    pub(super) fn end_of(&self, hash: &Hash, now: u64) -> Result<Option<u64>, Refused> {
        if bool::from(self.hash.ct_eq(hash)) {
            return Ok(self.expires_at);
        }
        match self.replaced.filter(|replaced| bool::from(replaced.hash.ct_eq(hash))) {
            Some(replaced) if now < replaced.until => {
                Ok(Some(self.expires_at.unwrap_or(u64::MAX).min(replaced.until)))
            }
            Some(_) => Err(Refused::Revoked),
            None => Err(Refused::Unknown),
        }
    }

    /// What becomes of it at this moment, seconds since 1970, as far as it depends on itself.
    pub fn status(&self, now: u64) -> KeyStatus {
        match self {
            _ if self.revoked_at.is_some() => KeyStatus::Revoked,
            _ if self.expires_at.is_some_and(|end| end <= now) => KeyStatus::Expired,
            _ => KeyStatus::Active,
        }
    }
}

/// What a key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWish {
    /// A name for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The member that is to own it.
    pub member_id: Arc<str>,
    /// From when on it is to be refused, seconds since 1970.
    pub expires_at: Option<u64>,
    /// What it is to be limited to.
    pub permissions: Permissions,
    /// How much it is to be able to.
    pub limits: KeyLimits,
}

/// How a key is to be changed: `None` leaves what it is about as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyChange {
    /// Another name.
    pub name: Option<String>,
    /// Another description, or none.
    pub description: Option<Option<String>>,
    /// Another end, seconds since 1970, or none.
    pub expires_at: Option<Option<u64>>,
    /// Other permissions, in place of all that it has.
    pub permissions: Option<Permissions>,
    /// Other limits, each by itself.
    pub limits: LimitsChange,
}

impl KeyChange {
    /// Whether it changes nothing but what people call the key.
    pub fn is_about_names(&self) -> bool {
        self.expires_at.is_none() && self.permissions.is_none() && self.limits == LimitsChange::default()
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == KeyChange::default()
    }

    /// The key after the change.
    #[must_use]
    pub fn of(&self, record: &KeyRecord) -> KeyRecord {
        let KeyChange { name, description, expires_at, permissions, limits } = self.clone();
        KeyRecord {
            name: name.unwrap_or_else(|| record.name.clone()),
            description: description.unwrap_or_else(|| record.description.clone()),
            expires_at: expires_at.unwrap_or(record.expires_at),
            permissions: permissions.unwrap_or_else(|| record.permissions.clone()),
            limits: record.limits.changed(limits),
            ..record.clone()
        }
    }
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
    pub fn generate(wish: KeyWish, created_at: u64) -> Result<NewKey, getrandom::Error> {
        let text = new_text()?;
        let record = KeyRecord {
            id: format!("key_{}", uuid::Uuid::now_v7().simple()).into(),
            member_id: wish.member_id,
            name: wish.name,
            description: wish.description,
            prefix: text.chars().take(PREFIX).collect(),
            hash: Sha256::digest(text.as_bytes()).into(),
            created_at,
            expires_at: wish.expires_at,
            revoked_at: None,
            permissions: wish.permissions,
            created_by: None,
            limits: wish.limits,
            replaced: None,
        };
        Ok(NewKey { text, record })
    }

    /// The same key with another text, made at this moment; the one it had is accepted until `until`.
    pub fn rotate(record: &KeyRecord, at: u64, until: u64) -> Result<NewKey, getrandom::Error> {
        let text = new_text()?;
        let record = KeyRecord {
            prefix: text.chars().take(PREFIX).collect(),
            hash: Sha256::digest(text.as_bytes()).into(),
            replaced: Some(Replaced { hash: record.hash, at, until }),
            ..record.clone()
        };
        Ok(NewKey { text, record })
    }
}

fn new_text() -> Result<String, getrandom::Error> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed)?;
    Ok(format!("pk_live_{}", base62(seed)))
}

/// The hash that a token is looked up by; `None` when no key looks like it.
pub(super) fn hash(token: &str) -> Option<Hash> {
    let plausible =
        !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    plausible.then(|| Sha256::digest(token.as_bytes()).into())
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
    fn base62_uses_the_whole_number() {
        assert_eq!(base62([0; 32]), "0".repeat(43));
        let mut one = [0; 32];
        one[31] = 61;
        assert!(base62(one).ends_with('z'));
        assert_ne!(base62([255; 32]).chars().next(), Some('0'));
    }

    #[test]
    fn a_record_of_the_first_version_is_read_as_a_key_without_limits() {
        let old = serde_json::json!({
            "id": "key_1", "member_id": "user_owner", "role": "owner", "name": "owner key",
            "prefix": "pk_live_abc", "hash": vec![7; 32], "created_at": 5,
        });
        let record: KeyRecord = serde_json::from_value(old).expect("readable");
        assert!(record.permissions.are_unlimited() && record.created_by.is_none());
        assert_eq!(record.status(u64::MAX), KeyStatus::Active);
    }
}
