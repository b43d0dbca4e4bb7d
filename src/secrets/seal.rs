//! The seal of a stored secret: AES-256-GCM with the key of the installation. Pure, but for random bytes.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Bytes of the key.
pub(super) const KEY_BYTES: usize = 32;

/// Sealer and opener of secrets.
pub(super) struct Seal(LessSafeKey);

impl Seal {
    /// Creates the sealer with a key.
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Option<Seal> {
        UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new).map(Seal)
    }

    /// Returns the sealed text of a secret, printable, good for this member and name only; `None` without random bytes.
    pub(super) fn close(&self, member: &str, name: &str, secret: &str) -> Option<String> {
        // Random nonces of 96 bits are safe for 2^32 seals of one key (NIST SP 800-38D, section 8.3).
        let mut nonce = [0u8; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut text = secret.as_bytes().to_vec();
        let place = Aad::from(place(member, name));
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place, &mut text).ok()?;
        Some(BASE64_STANDARD.encode([&nonce[..], &text].concat()))
    }

    /// Returns the secret; `None` if the text was not sealed with this key for this member and name.
    pub(super) fn open(&self, member: &str, name: &str, sealed: &str) -> Option<String> {
        let mut bytes = BASE64_STANDARD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, Aad::from(place(member, name)), text).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

/// Returns what a seal is bound to. No id of a member has a NUL.
fn place(member: &str, name: &str) -> Vec<u8> {
    [member.as_bytes(), b"\0", name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seal(byte: u8) -> Seal {
        Seal::new(&[byte; KEY_BYTES]).expect("a key")
    }

    proptest! {
        #[test]
        fn a_seal_opens_for_its_member_name_and_key_only(secret in "\\PC{0,80}", at: prop::sample::Index) {
            let sealed = seal(1).close("m", "NAME", &secret).expect("sealed");
            prop_assert_eq!(seal(1).open("m", "NAME", &sealed), Some(secret.clone()));
            prop_assert_ne!(seal(1).close("m", "NAME", &secret), Some(sealed.clone()), "never the same twice");
            for other in [
                seal(2).open("m", "NAME", &sealed),
                seal(1).open("n", "NAME", &sealed),
                seal(1).open("m", "NAMES", &sealed),
            ] {
                prop_assert_eq!(other, None);
            }
            let mut bytes = BASE64_STANDARD.decode(&sealed).expect("base64");
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
            prop_assert_eq!(seal(1).open("m", "NAME", &BASE64_STANDARD.encode(&bytes)), None);
            prop_assert_eq!(seal(1).open("m", "NAME", &BASE64_STANDARD.encode(&bytes[..at.min(11)])), None);
        }
    }
}
