//! Bytes and connections: listeners, TLS, deadlines, framing, and who gets a place. Knows no route and no dialect.

pub(in crate::http) mod connection;
pub(in crate::http) mod framing;
pub(in crate::http) mod listener;
pub(in crate::http) mod peer;
pub(in crate::http) mod places;
pub(in crate::http) mod queue;
pub(in crate::http) mod room;
pub(in crate::http) mod socket;
pub(in crate::http) mod tls;
