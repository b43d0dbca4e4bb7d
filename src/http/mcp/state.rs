//! What the dialect keeps between requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::parked::ParkedRequests;
use super::session::Sessions;
use super::session_id::SessionIds;
use super::target::Aggregates;
use crate::http::core::streams::{StreamNames, Streams};
use crate::http::settings::{SessionKey, Settings};

pub(super) use crate::http::core::streams::StreamPermit;

/// What the dialect keeps between requests: sessions, requests that were put aside, and the count of quiet streams.
pub(super) struct McpState {
    pub(super) parked: ParkedRequests,
    pub(super) sessions: Arc<Sessions>,
    pub(super) aggregates: Aggregates,
    clients: AtomicU64,
    streams: OnceLock<Arc<Streams>>,
    ids: OnceLock<Option<SessionIds>>,
}

impl Default for McpState {
    /// Creates the state, with a task that ends sessions which are over. Must be called in a runtime.
    fn default() -> McpState {
        let sessions = Arc::<Sessions>::default();
        tokio::spawn(Sessions::keep_tidy(Arc::downgrade(&sessions)));
        McpState {
            parked: ParkedRequests::default(),
            sessions,
            aggregates: Aggregates::default(),
            clients: AtomicU64::new(0),
            streams: OnceLock::new(),
            ids: OnceLock::new(),
        }
    }
}

/// Words of the refusal of a further stream.
const NAMES: StreamNames =
    StreamNames { what: "streams of changes", total: "mcp.max_streams", per_key: "mcp.max_streams_per_key" };

impl McpState {
    /// Returns a number that no client has had.
    pub(super) fn next_client(&self) -> u64 {
        self.clients.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the maker of ids of sessions; `None` without random bytes.
    pub(super) fn ids(&self, settings: &Settings) -> Option<&SessionIds> {
        let make = || {
            let kept = settings.mcp.session_key.clone().or_else(SessionKey::random);
            kept.as_ref().map(|key| SessionIds::new(key.bytes()))
        };
        self.ids.get_or_init(make).as_ref()
    }

    /// Returns the count of the streams that only tell of changes.
    pub(super) fn streams(&self, settings: &Settings) -> &Arc<Streams> {
        self.streams.get_or_init(|| Arc::new(Streams::new(settings.mcp_stream_limits(), NAMES)))
    }
}
