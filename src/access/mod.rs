//! Who is calling: keys and principals. Keys are 256 random bits, kept as SHA-256 only.

mod key;

pub use key::{KeyRecord, KeyRing, NewKey, Principal, Refused, Role};
