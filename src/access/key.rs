//! Keys: made from the operating system's generator, stored as their hash.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::limits::{KeyLimits, LimitsChange};
use super::permissions::Permissions;

/// Maximum length of a token that is looked up, in bytes (`docs/http-api.md`, G5.3).
const MAX_TOKEN: usize = 256;
/// Number of characters of a key that lists show.
const PREFIX: usize = 11;

/// SHA-256 of a key.
pub(super) type Hash = [u8; 32];

/// A key as it is stored, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// `key_` and a time-ordered unique id.
    pub id: Arc<str>,
    /// Id of the member that owns it; the key acts with that member's role.
    pub member_id: Arc<str>,
    /// Name for display; does not identify the key.
    pub name: String,
    /// Purpose of the key; `None` if none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The first characters of the key, to tell keys apart in a list.
    pub prefix: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Time of its creation, in seconds since 1970.
    pub created_at: u64,
    /// Time from which it is refused, in seconds since 1970; `None` if it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Time at which it was revoked, in seconds since 1970; `None` if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    /// MCPs and tools that the key may use.
    #[serde(default)]
    pub permissions: Permissions,
    /// Maker of the key; `None` for the first key, and for keys from before this was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Maker>,
    /// Limits of its own; a limit that is `None` falls back to the default for keys.
    #[serde(default, skip_serializing_if = "KeyLimits::are_none")]
    pub limits: KeyLimits,
    /// Text that it had before; `None` if it was never rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
}

/// The previous text of a rotated key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// SHA-256 of the previous text.
    pub hash: [u8; 32],
    /// Time at which the current text was made, in seconds since 1970.
    pub at: u64,
    /// Time from which the previous text is refused, in seconds since 1970.
    pub until: u64,
}

/// The key that made another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// The id of the key that made the other one.
    pub key_id: Arc<str>,
    /// The member that owned the maker at that time.
    pub member_id: Arc<str>,
    /// Makers of that key in turn, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<Arc<str>>,
}

/// Reason why a credential is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialError {
    /// It is unknown, or no key can have this form.
    Unknown,
    /// The key has expired.
    Expired,
    /// The key was revoked, or its member no longer exists.
    Revoked,
}

/// Result of presenting a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// It is neither revoked nor expired.
    Active,
    /// It was revoked, or its member no longer exists.
    Revoked,
    /// Its expiry time has passed.
    Expired,
}

impl KeyStatus {
    /// Returns the status' name, as in the API.
    pub fn name(self) -> &'static str {
        match self {
            KeyStatus::Active => "active",
            KeyStatus::Revoked => "revoked",
            KeyStatus::Expired => "expired",
        }
    }
}

impl KeyRecord {
    /// Reports whether a text is the current text of this key.
    pub fn has_text(&self, text: &str) -> bool {
        hash(text).is_some_and(|hash| bool::from(self.hash.ct_eq(&hash)))
    }

    /// Returns when the text of this hash will be refused, in seconds since 1970: when the key expires, or
    /// earlier if it is a previous text in its grace period. `None` if never. `now` is in seconds since
    /// 1970; an error means the text is refused already.
    pub(super) fn end_of(&self, hash: &Hash, now: u64) -> Result<Option<u64>, CredentialError> {
        if bool::from(self.hash.ct_eq(hash)) {
            return Ok(self.expires_at);
        }
        match self.replaced.filter(|replaced| bool::from(replaced.hash.ct_eq(hash))) {
            Some(replaced) if now < replaced.until => {
                Ok(Some(self.expires_at.unwrap_or(u64::MAX).min(replaced.until)))
            }
            Some(_) => Err(CredentialError::Revoked),
            None => Err(CredentialError::Unknown),
        }
    }

    /// Returns the key's status at `now`, in seconds since 1970, as far as it depends on the key alone.
    pub fn status(&self, now: u64) -> KeyStatus {
        match self {
            _ if self.revoked_at.is_some() => KeyStatus::Revoked,
            _ if self.expires_at.is_some_and(|end| end <= now) => KeyStatus::Expired,
            _ => KeyStatus::Active,
        }
    }
}

/// Properties of a key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKeySpec {
    /// Name for display; does not identify the key.
    pub name: String,
    /// Purpose of the key; `None` if none is given.
    pub description: Option<String>,
    /// Id of the member that will own it.
    pub member_id: Arc<str>,
    /// Time from which it will be refused, in seconds since 1970; `None` if it does not expire.
    pub expires_at: Option<u64>,
    /// MCPs and tools that it may use.
    pub permissions: Permissions,
    /// Limits of its own.
    pub limits: KeyLimits,
}

/// Change of a key; `None` leaves a property as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyChange {
    /// New name for display.
    pub name: Option<String>,
    /// New description; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// New expiry time, in seconds since 1970; `Some(None)` removes it.
    pub expires_at: Option<Option<u64>>,
    /// New permissions, replacing all earlier ones.
    pub permissions: Option<Permissions>,
    /// New limits, each changed separately.
    pub limits: LimitsChange,
}

impl KeyChange {
    /// Reports whether it changes at most the name and the description.
    pub fn is_about_names(&self) -> bool {
        self.expires_at.is_none() && self.permissions.is_none() && self.limits == LimitsChange::default()
    }

    /// Reports whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == KeyChange::default()
    }

    /// Returns the key after the change.
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

/// A key that was just made. Its text exists only here.
pub struct NewKey {
    /// Text to hand to the key's owner. Not stored.
    pub text: String,
    /// Record to store, which holds the hash of the text.
    pub record: KeyRecord,
}

impl NewKey {
    /// Makes a key: `pk_live_` and 43 base62 characters, 256 bits of which are random.
    pub fn generate(wish: NewKeySpec, created_at: u64) -> Result<NewKey, getrandom::Error> {
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

    /// Makes a new text for the same key, at the time `at`; the previous text is accepted until `until`.
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

/// Returns the hash that a token is looked up by; `None` if no key can have this text.
pub(super) fn hash(token: &str) -> Option<Hash> {
    let plausible =
        !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    plausible.then(|| Sha256::digest(token.as_bytes()).into())
}

/// Encodes 256 bits as 43 base62 characters, most significant first (62^43 > 2^256).
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
