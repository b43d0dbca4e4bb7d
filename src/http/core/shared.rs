//! State that all handlers share.

use std::any::Any;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::HttpBody;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;

use super::body::{self, BodyError};
use super::sign_in::SignIns;
use super::streams::{StreamNames, Streams};
use crate::gateway::{Attempts, Gateway};
use crate::http::settings::Settings;
use crate::oidc::TokenVerifier;
use crate::query::Agent;

/// Words of the refusal of a further stream.
const STREAMS: StreamNames = StreamNames {
    what: "logs, activity and exports",
    total: "http.max_streams",
    per_key: "http.max_streams_per_key",
};

/// State that the handlers share. It is one pointer, because the router clones it for each request.
#[derive(Clone)]
pub(in crate::http) struct Shared(Arc<AppState>);

/// State behind [`Shared`].
pub(in crate::http) struct AppState {
    pub(in crate::http) gateway: Gateway,
    /// Answerer of the questions of `/api/query`.
    pub(in crate::http) queries: Agent,
    pub(in crate::http) settings: Settings,
    /// Verifier of access tokens; `None` if none are accepted.
    pub(in crate::http) tokens: Option<TokenVerifier>,
    /// Counts of the open streams.
    pub(in crate::http) streams: Arc<Streams>,
    /// Everybody who is signed in to the dashboard.
    pub(in crate::http) sign_ins: SignIns,
    /// What the dialects that keep something between requests keep; made when it is first asked for.
    kept: [OnceLock<Box<dyn Any + Send + Sync>>; 3],
    /// Counter of recent bad credentials, by address.
    pub(super) attempts: Mutex<Attempts>,
}

impl Shared {
    /// Creates the state, with no stream open and no bad credential counted.
    pub(in crate::http) fn new(gateway: Gateway, queries: Agent, settings: Settings) -> Shared {
        let streams = Arc::new(Streams::new(settings.stream_limits(), STREAMS));
        let (kept, attempts, sign_ins) = (Default::default(), Mutex::default(), SignIns::default());
        let tokens = settings.oidc.clone().map(TokenVerifier::new);
        Shared(Arc::new(AppState { gateway, queries, settings, tokens, streams, sign_ins, kept, attempts }))
    }

    /// Returns what a dialect keeps between requests. There is room for that of three dialects.
    ///
    /// # Panics
    /// If a fourth dialect asks for its own: a defect that its first request shows.
    pub(in crate::http) fn kept<T: Default + Send + Sync + 'static>(&self) -> &Arc<T> {
        let mut places = self.0.kept.iter();
        let own = places.find_map(|place| place.get_or_init(|| Box::new(Arc::<T>::default())).downcast_ref());
        let Some(kept) = own else { unreachable!("four dialects keep something") };
        kept
    }
}

impl AppState {
    /// Reads the body of a request, within the limits on size and time in the settings.
    pub(in crate::http) fn body<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Bytes, BodyError>> + Unpin + use<B>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        body::read(request, self.settings.body_limit, self.settings.body_timeout)
    }

    /// Reads the body of a request with these headers, within the same limits.
    pub(in crate::http) fn body_of<B>(
        &self,
        headers: &HeaderMap,
        body: B,
    ) -> impl Future<Output = Result<Bytes, BodyError>> + Unpin + use<B>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        body::read_of(headers, body, self.settings.body_limit, self.settings.body_timeout)
    }
}

impl Deref for Shared {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}
