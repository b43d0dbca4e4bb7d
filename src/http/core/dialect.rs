//! A dialect as the rest of the front knows it: one REST surface with routes, bodies and errors of its own. The edge
//! and the composition are given a list of dialects and name none.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;

use super::context::RequestContext;
use super::head::RequestHead;
use super::rejection::EdgeRejection;
use super::routes::{Route, Routes};
use super::shared::Shared;
use super::sign_in::SignedIn;
use crate::gateway::{Error, Surface};
use crate::http::server::request_body::RequestBody;
use crate::http::settings::Settings;

/// Answer that is being made.
pub(in crate::http) type Answering<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// One REST surface. `docs/http-api.md` has the rules of each; CONTRIBUTING.md says how to add one.
pub(in crate::http) trait Dialect: Send + Sync {
    /// Reports whether a path is this dialect's, even if it has no route there.
    fn owns(&self, path: &str) -> bool;

    /// Returns the name that requests of this dialect are recorded and counted under.
    fn surface(&self) -> Surface;

    /// Returns the routes, in the order of the documents.
    fn routes(&self) -> Routes;

    /// Reports whether the routes are there with these settings.
    fn is_served(&self, _: &Settings) -> bool {
        true
    }

    /// Reports whether a caller that is provably the daemon's own user may do without a key.
    fn trusts_nearness(&self) -> bool;

    /// Returns the routes whose requests the edge hands over itself, past the router. Their handlers must be those that the
    /// router has for these routes.
    fn fast_paths(&self) -> &'static [FastPath] {
        &[]
    }

    /// Returns the head of the request to another dialect that a request with this head stands for, and who asks; an answer
    /// refuses it. `None`, as nearly always, if it stands for itself. The edge asks before everything else.
    fn stands_for(&self, _: &Shared, _: &RequestHead) -> Option<Result<(RequestHead, SignedIn), Response>> {
        None
    }

    /// Answers a request whose path has no route, without asking for a key.
    fn unknown_route(&self) -> Response;

    /// Answers a request whose path is known and whose method is not. A caller that lacks a key it needs learns only
    /// that (`docs/http-api.md`, G1.4). The router adds `Allow`.
    fn wrong_method<'a>(&'a self, shared: &'a Shared, parts: &'a Parts) -> Answering<'a>;

    /// Answers a request that the edge refuses, with the status that belongs to the rejection.
    fn reject(&self, rejection: EdgeRejection<'_>) -> Response;

    /// Answers for an error of the gateway that the edge met itself.
    fn failure(&self, error: Error) -> Response;
}

/// Route that bypasses the router, because it serves nearly all requests of its dialect.
pub(in crate::http) struct FastPath {
    /// Method of the route.
    pub(in crate::http) method: Method,
    /// Path of the route; its last segment may be a placeholder.
    pub(in crate::http) path: &'static str,
    /// Handler of its requests.
    pub(in crate::http) handler:
        fn(Shared, Arc<RequestContext>, Arc<RequestHead>, RequestBody) -> Answering<'static>,
}

/// The dialects of the front.
#[derive(Clone, Copy)]
pub(in crate::http) struct Dialects {
    /// Dialects that own a part of the paths.
    pub(in crate::http) mounted: &'static [&'static dyn Dialect],
    /// Dialect of all other paths.
    pub(in crate::http) fallback: &'static dyn Dialect,
}

impl Dialects {
    /// Returns the dialect that a path belongs to.
    pub(in crate::http) fn of(self, path: &str) -> &'static dyn Dialect {
        self.mounted.iter().find(|dialect| dialect.owns(path)).copied().unwrap_or(self.fallback)
    }

    /// Returns all routes, in the order of the documents.
    pub(in crate::http) fn routes(self) -> Vec<Route> {
        self.all().flat_map(|dialect| dialect.routes().known().to_vec()).collect()
    }

    /// Returns the fast paths of all dialects.
    pub(in crate::http) fn fast_paths(self) -> impl Iterator<Item = &'static FastPath> {
        self.all().flat_map(|dialect| dialect.fast_paths())
    }

    /// Returns all dialects.
    pub(in crate::http) fn all(self) -> impl Iterator<Item = &'static dyn Dialect> {
        self.mounted.iter().copied().chain([self.fallback])
    }
}

/// Reports whether a path is `prefix` or lies below it.
pub(in crate::http) fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
