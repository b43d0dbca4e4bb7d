//! Ids of sessions. An id carries what a session was opened with, and a seal that only this installation can make: hardly any
//! client opens another session when its own is gone, so one whose session went with a restart of the daemon, or by its
//! idleness, gets it back.

use ring::hmac::{self, HMAC_SHA256, Key};

use crate::mcp::translate::{Abilities, LEGACY_VERSIONS};
use crate::text::{from_hex, hex};

/// Random bytes of an id.
const RANDOM: usize = 16;
/// Bytes of the seal.
const SEAL: usize = 16;
/// Bytes of an id: the random ones, the version, what the client can be asked, the seal.
const WHOLE: usize = RANDOM + 2 + SEAL;

/// What an id says of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carried {
    /// Version that was agreed on.
    pub(super) version: &'static str,
    /// What the client can be asked.
    pub(super) abilities: Abilities,
}

/// Maker and reader of ids.
pub(super) struct SessionIds(Key);

impl SessionIds {
    /// Creates the maker with the key of the installation.
    pub(super) fn new(key: &[u8; 32]) -> SessionIds {
        SessionIds(Key::new(HMAC_SHA256, key))
    }

    /// Makes the id of a session that this principal opens at this endpoint; `None` without random bytes.
    pub(super) fn make(&self, carried: Carried, principal: &str, endpoint: &str) -> Option<String> {
        let mut bytes = [0u8; WHOLE];
        getrandom::fill(&mut bytes[..RANDOM]).ok()?;
        let version = LEGACY_VERSIONS.iter().position(|known| *known == carried.version)?;
        bytes[RANDOM] = u8::try_from(version).ok()?;
        bytes[RANDOM + 1] = to_bits(carried.abilities);
        let seal = self.seal(&bytes[..RANDOM + 2], principal, endpoint);
        bytes[RANDOM + 2..].copy_from_slice(&seal);
        Some(hex(&bytes))
    }

    /// Reads an id that this installation has made for this principal and endpoint; `None` for any other text.
    pub(super) fn read(&self, id: &str, principal: &str, endpoint: &str) -> Option<Carried> {
        // An id comes back as it was written.
        let bytes: [u8; WHOLE] = from_hex(id).filter(|bytes| hex(bytes) == id)?;
        let (said, seal) = bytes.split_at(RANDOM + 2);
        let expected = self.seal(said, principal, endpoint);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&expected[..], seal)) {
            return None;
        }
        let version = LEGACY_VERSIONS.get(usize::from(said[RANDOM])).copied()?;
        Some(Carried { version, abilities: from_bits(said[RANDOM + 1]) })
    }

    fn seal(&self, said: &[u8], principal: &str, endpoint: &str) -> [u8; SEAL] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(said);
        // With its length, so that no other pair of texts is the same.
        context.update(&(principal.len() as u64).to_be_bytes());
        context.update(principal.as_bytes());
        context.update(endpoint.as_bytes());
        let mut seal = [0u8; SEAL];
        seal.copy_from_slice(&context.sign().as_ref()[..SEAL]);
        seal
    }
}

fn to_bits(abilities: Abilities) -> u8 {
    let Abilities { form, url, sampling, sampling_tools, roots } = abilities;
    let bits = [form, url, sampling, sampling_tools, roots];
    bits.iter().rev().fold(0, |bits, is| bits << 1 | u8::from(*is))
}

fn from_bits(bits: u8) -> Abilities {
    let is = |place: u8| bits & (1 << place) != 0;
    Abilities { form: is(0), url: is(1), sampling: is(2), sampling_tools: is(3), roots: is(4) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn carried(bits: u8, version: usize) -> Carried {
        Carried { version: LEGACY_VERSIONS[version % LEGACY_VERSIONS.len()], abilities: from_bits(bits) }
    }

    #[test]
    fn an_id_is_good_for_its_principal_and_endpoint_and_no_other_installation() {
        let ids = SessionIds::new(&[1; 32]);
        let said = carried(5, 3);
        let id = ids.make(said, "a", "mcp_1").expect("random bytes");
        assert_eq!(ids.read(&id, "a", "mcp_1"), Some(said));
        for (principal, endpoint) in [("b", "mcp_1"), ("a", "mcp_2"), ("am", "cp_1"), ("", "amcp_1")] {
            assert_eq!(ids.read(&id, principal, endpoint), None, "{principal} {endpoint}");
        }
        assert_eq!(SessionIds::new(&[2; 32]).read(&id, "a", "mcp_1"), None);
        assert_ne!(ids.make(said, "a", "mcp_1"), Some(id), "no two are the same");
    }

    proptest! {
        #[test]
        fn no_other_text_is_an_id(bits in 0u8..32, version in 0usize..4, at in 0usize..2 * WHOLE, digit in 0usize..16) {
            let ids = SessionIds::new(&[7; 32]);
            let said = carried(bits, version);
            let id = ids.make(said, "p", "e").expect("random bytes");
            prop_assert_eq!(ids.read(&id, "p", "e"), Some(said));
            let digit = &"0123456789abcdef"[digit..=digit];
            let mut other = id.clone();
            other.replace_range(at..=at, digit);
            prop_assert_eq!(ids.read(&other, "p", "e").is_some(), other == id);
            prop_assert_eq!(ids.read(&id[1..], "p", "e"), None);
        }
    }
}
