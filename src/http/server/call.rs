//! What each connection is served with.

use std::sync::Arc;

use super::peer::Peer;
use super::state::ConnectionState;

/// Length of the longest head, request line included, in bytes.
pub(super) const MAX_HEAD: usize = 32 * 1024;

/// Most bytes that are read ahead on a connection, and that are buffered for it until its client reads.
pub(super) const BUFFERED: usize = 64 * 1024;

/// Settings and state that a connection is served with.
pub(in crate::http) struct Call<H> {
    pub(in crate::http) peer: Arc<Peer>,
    pub(in crate::http) service: H,
    pub(in crate::http) watch: Arc<ConnectionState>,
    /// `true` if the connection ends with its first answer.
    pub(in crate::http) only_one: bool,
}
