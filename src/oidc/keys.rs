//! The public keys of an issuer (JWK Set, RFC 7517), and which of them may have signed a token. Pure.

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, decode_header};
use serde_json::Value;

use super::claims::TokenError;
use super::settings::SigningAlgorithm;

/// Maximum number of keys that are read.
const MAX_KEYS: usize = 100;
/// Maximum number of keys that are tried on a token that names none.
const MAX_TRIES: usize = 8;
/// Types of tokens that may be access tokens (RFC 9068, section 2.1). Many issuers say no more than `JWT`.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// Header of a token, as far as it decides how the token is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenHeader {
    pub(super) algorithm: Algorithm,
    /// Id of the key that signed it; `None` if it names none.
    pub(super) key_id: Option<String>,
}

impl TokenHeader {
    /// Reads the header of a token. Keys, and addresses of keys, that stand in it are never used.
    pub(super) fn read(token: &str, accepted: &[SigningAlgorithm]) -> Result<TokenHeader, TokenError> {
        // What is no algorithm to the crate, such as `none`, cannot be read.
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        if !accepted.iter().any(|algorithm| algorithm.known() == header.alg) {
            return Err(TokenError::Algorithm);
        }
        // What the issuer says must be understood is not (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let is_known = |named: String| TYPES.contains(&named.to_ascii_lowercase().as_str());
        match header.typ.is_none_or(is_known) {
            true => Ok(TokenHeader { algorithm: header.alg, key_id: header.kid }),
            false => Err(TokenError::NotAnAccessToken),
        }
    }
}

/// The keys of an issuer that may sign tokens.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<PublicKey>,
}

#[derive(Debug)]
struct PublicKey {
    id: Option<String>,
    /// Only algorithm that it is for; `None` if it says none.
    algorithm: Option<KeyAlgorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a JWK Set. Keys that are of no use here are passed over; an error says in words why nothing can be read.
    pub(super) fn read(document: &[u8]) -> Result<KeySet, &'static str> {
        let document: Value = serde_json::from_slice(document).map_err(|_| "they are not JSON")?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or("they are no JWK Set")?;
        if keys.len() > MAX_KEYS {
            return Err("there are more than 100 of them");
        }
        let keys: Vec<PublicKey> = keys.iter().filter_map(public_key).collect();
        if keys.is_empty() {
            Err("there is none that tokens can be verified with")
        } else {
            Ok(KeySet { keys })
        }
    }

    /// Returns the keys that may have signed a token. None if it names a key that is not there.
    pub(super) fn candidates(&self, header: &TokenHeader) -> Vec<&DecodingKey> {
        let fits = |key: &&PublicKey| {
            let is_named = header.key_id.is_none() || key.id == header.key_id;
            let is_for = key.algorithm.is_none_or(|only| only == header.algorithm.into());
            is_named && is_for && key.key.family() == header.algorithm.family()
        };
        self.keys.iter().filter(fits).take(MAX_TRIES).map(|key| &key.key).collect()
    }
}

fn public_key(value: &Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let operations = jwk.common.key_operations.as_ref();
    let verifies = operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
    // A shared secret has no place among public keys; no algorithm that is accepted could use it.
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| signs && verifies)?;
    Some(PublicKey { id: jwk.common.key_id, algorithm: jwk.common.key_algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::json;

    fn okp(id: Option<&str>) -> Value {
        let mut key = json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64_URL_SAFE_NO_PAD.encode([7; 32])});
        if let Some(id) = id {
            key["kid"] = id.into();
        }
        key
    }

    fn set(keys: Value) -> Result<KeySet, &'static str> {
        KeySet::read(json!({"keys": keys}).to_string().as_bytes())
    }

    fn header(key_id: Option<&str>) -> TokenHeader {
        TokenHeader { algorithm: Algorithm::EdDSA, key_id: key_id.map(str::to_owned) }
    }

    #[test]
    fn a_key_is_found_by_its_id_and_must_be_for_the_algorithm() {
        let of_other = json!({"kty": "EC", "crv": "P-256", "kid": "a", "x": "AAAA", "y": "AAAA"});
        let for_other = {
            let mut key = okp(Some("a"));
            key["alg"] = "ES256".into();
            key
        };
        let found = |keys: Value, id: Option<&str>| set(keys).expect("usable").candidates(&header(id)).len();
        assert_eq!(found(json!([okp(Some("a")), okp(Some("b"))]), Some("a")), 1);
        assert_eq!(found(json!([okp(Some("a")), okp(Some("b"))]), Some("c")), 0);
        assert_eq!(found(json!([okp(Some("a")), okp(None)]), None), 2);
        assert_eq!(found(json!([of_other, for_other]), Some("a")), 0);
        assert_eq!(found(Value::from(vec![okp(None); 50]), None), MAX_TRIES);
    }

    #[test]
    fn keys_of_no_use_are_passed_over() {
        let mut encrypting = okp(Some("a"));
        encrypting["use"] = "enc".into();
        let mut signing = okp(Some("a"));
        signing["key_ops"] = json!(["sign"]);
        let unknown = json!({"kty": "OKP", "crv": "X25519", "x": "AAAA", "kid": "a"});
        let mixed = json!([encrypting, signing, unknown, {"kty": "new"}, 7, okp(Some("a"))]);
        assert_eq!(set(mixed).expect("one is left").candidates(&header(Some("a"))).len(), 1);
        for useless in [json!([]), json!([encrypting]), json!([7])] {
            assert!(set(useless).is_err());
        }
        assert!(set(Value::from(vec![okp(None); 101])).is_err());
        for document in ["", "[]", "{}", r#"{"keys": 1}"#, "\u{0}"] {
            assert!(KeySet::read(document.as_bytes()).is_err(), "{document}");
        }
    }

    #[test]
    fn a_header_says_what_may_be_accepted() {
        let all = SigningAlgorithm::ALL.map(|(_, algorithm)| algorithm);
        let read = |header: Value, accepted: &[SigningAlgorithm]| {
            let token = format!("{}.e30.x", BASE64_URL_SAFE_NO_PAD.encode(header.to_string()));
            TokenHeader::read(&token, accepted)
        };
        assert_eq!(read(json!({"alg": "EdDSA", "kid": "a"}), &all), Ok(header(Some("a"))));
        assert_eq!(read(json!({"alg": "EdDSA", "typ": "AT+jwt"}), &all), Ok(header(None)));
        for (given, error) in [
            (json!({"alg": "none"}), TokenError::Malformed),
            (json!({"alg": "None"}), TokenError::Malformed),
            (json!({}), TokenError::Malformed),
            (json!({"alg": "EdDSA", "crit": ["b64"], "b64": false}), TokenError::Malformed),
            (json!({"alg": "HS256"}), TokenError::Algorithm),
            (json!({"alg": "EdDSA", "typ": "logout+jwt"}), TokenError::NotAnAccessToken),
            (json!({"alg": "EdDSA", "typ": "dpop+jwt"}), TokenError::NotAnAccessToken),
        ] {
            assert_eq!(read(given.clone(), &all), Err(error), "{given}");
        }
        let narrow = [SigningAlgorithm::Rs256];
        assert_eq!(read(json!({"alg": "EdDSA"}), &narrow), Err(TokenError::Algorithm));
        for token in ["", ".", "..", "a.b.c", "e30.e30"] {
            assert_eq!(TokenHeader::read(token, &all), Err(TokenError::Malformed), "{token}");
        }
    }

    proptest! {
        #[test]
        fn no_document_and_no_token_panics(document in any::<Vec<u8>>(), token in "\\PC{0,30}\\.\\PC{0,30}\\.\\PC{0,9}") {
            let _ = KeySet::read(&document);
            let _ = TokenHeader::read(&token, &[SigningAlgorithm::Rs256]);
        }
    }
}
