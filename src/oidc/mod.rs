//! The daemon as an OAuth 2.1 resource server: access tokens that an authorization server has signed (JWT, RFC 9068) are
//! verified with its public keys (JWKS), are good only for this daemon (RFC 8707), and give the role and the permissions
//! that the configuration reads from their claims. A resource says where its tokens come from (RFC 9728).
//!
//! What a token means is a function of its claims, the settings and the time (`claims.rs`), and so is which key fits
//! (`keys.rs`). Around them is what waits: the documents of the issuer (`issuer.rs`) and the verifier that keeps them
//! (`verifier.rs`). A token is in no error, log or `Debug` output.

mod cache;
mod claims;
mod issuer;
mod jws;
mod keys;
mod resource;
mod settings;
mod verifier;

pub use claims::{TokenError, VerifiedToken};
pub use resource::{METADATA_PATH, challenge, is_for, metadata};
pub use settings::{OidcSettings, SigningAlgorithm, is_safe_url};
pub use verifier::{TokenVerifier, is_jwt};
