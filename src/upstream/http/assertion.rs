//! A client's proof of who it is, signed with its own key (`private_key_jwt`; RFC 7523, section 2.2). Pure but for random
//! numbers.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

/// Life of an assertion, in seconds.
const LIFE: u64 = 60;

/// Makes an assertion of this client for this authorization server; `now` in seconds since 1970.
///
/// # Errors
/// What is wrong with the key, without a part of it.
pub(super) fn sign(client_id: &str, issuer: &str, key_pem: &str, now: u64) -> Result<String, &'static str> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|_| "is no private key in PEM: a text that begins with \"-----BEGIN PRIVATE KEY-----\"")?;
    let random = SystemRandom::new();
    let key = Key::read(&key, &random)?;
    let id = uuid::Uuid::new_v4().to_string();
    let header = json!({"alg": key.algorithm(), "typ": "JWT"}).to_string();
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": issuer, "jti": id, "iat": now, "exp": now + LIFE,
    })
    .to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(signed.as_bytes(), &random).ok_or("cannot sign")?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

enum Key {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Key {
    fn read(key: &PrivateKeyDer<'_>, random: &SystemRandom) -> Result<Key, &'static str> {
        let unknown = "is of no kind that can be used: RSA, P-256 or Ed25519, in PKCS#8";
        match key {
            PrivateKeyDer::Pkcs8(key) => {
                let der = key.secret_pkcs8_der();
                let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, random);
                let read = p256
                    .map(Key::P256)
                    .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Key::Ed25519));
                read.or_else(|_| RsaKeyPair::from_pkcs8(der).map(Box::new).map(Key::Rsa)).map_err(|_| unknown)
            }
            PrivateKeyDer::Pkcs1(key) => {
                RsaKeyPair::from_der(key.secret_pkcs1_der()).map(Box::new).map(Key::Rsa).map_err(|_| unknown)
            }
            _ => Err(unknown),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
            Key::Rsa(_) => "RS256",
        }
    }

    fn sign(&self, message: &[u8], random: &SystemRandom) -> Option<Vec<u8>> {
        match self {
            Key::P256(key) => Some(key.sign(random, message).ok()?.as_ref().to_vec()),
            Key::Ed25519(key) => Some(key.sign(message).as_ref().to_vec()),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, KeyPair as _, UnparsedPublicKey};

    #[test]
    fn an_assertion_says_who_it_is_of_and_for_and_is_signed() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let made = sign("client", "https://as", &key.serialize_pem(), 1_000).expect("signed");
        let parts: Vec<&str> = made.split('.').collect();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
        };
        assert_eq!(read(parts[0])["alg"], "ES256");
        let claims = read(parts[1]);
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["aud"]),
            (&json!("client"), &json!("client"), &json!("https://as"))
        );
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_000), &json!(1_060)));
        let pkcs8 = key.serialize_der();
        let own = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &SystemRandom::new())
            .expect("a key");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, own.public_key().as_ref());
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).expect("base64");
        assert!(public.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature).is_ok());
        assert_ne!(
            made,
            sign("client", "https://as", &key.serialize_pem(), 1_000).expect("signed"),
            "each is used once"
        );
    }

    #[test]
    fn keys_of_other_kinds_are_used_or_named_as_what_cannot_be() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let made = sign("c", "i", &key.serialize_pem(), 1).expect("signed");
        let (signed, signature) = made.rsplit_once('.').expect("three parts");
        let own = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key.serialize_der()).expect("a key");
        let public = UnparsedPublicKey::new(&ED25519, own.public_key().as_ref());
        assert!(
            public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).expect("base64")).is_ok()
        );
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
        assert!(
            sign("c", "i", &p384.serialize_pem(), 1).expect_err("not used").contains("RSA, P-256 or Ed25519")
        );
        assert!(sign("c", "i", "s3cret", 1).expect_err("no key").contains("PEM"));
    }
}
