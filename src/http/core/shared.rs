//! State that all handlers share.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use axum::body::HttpBody;
use axum::http::Request;
use bytes::Bytes;

use super::body::{self, BodyError};
use super::streams::Streams;
use crate::gateway::{Attempts, Gateway};
use crate::http::settings::Settings;
use crate::query::Agent;

/// State that the handlers share. It is one pointer, because the router clones it for each request.
#[derive(Clone)]
pub(in crate::http) struct Shared(Arc<AppState>);

/// State behind [`Shared`].
pub(in crate::http) struct AppState {
    pub(in crate::http) gateway: Gateway,
    /// Answerer of the questions of `/api/query`.
    pub(in crate::http) queries: Agent,
    pub(in crate::http) settings: Settings,
    /// Counts of the open streams.
    pub(in crate::http) streams: Arc<Streams>,
    /// Counter of recent bad credentials, by address.
    pub(super) attempts: Mutex<Attempts>,
}

impl Shared {
    /// Creates the state, with no stream open and no bad credential counted.
    pub(in crate::http) fn new(gateway: Gateway, queries: Agent, settings: Settings) -> Shared {
        let streams = Arc::new(Streams::new(settings.stream_limits()));
        Shared(Arc::new(AppState { gateway, queries, settings, streams, attempts: Mutex::default() }))
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
}

impl Deref for Shared {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}
