//! The list of routes: what the router is made of, so that nothing else can be forgotten in it. From
//! it come the OpenAPI documents and the test that tries every role on every route.

use axum::routing::MethodRouter;
use axum::{Extension, Router};

use super::Shared;
use super::query::Known;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody whose `Host` and `Origin` are accepted.
    Public,
    /// The holder of any valid key.
    Viewer,
    /// The key of a member or more.
    Member,
    /// The key of an administrator or an owner.
    Admin,
    /// The key of an owner.
    Owner,
    /// As `api.auth` says: this machine, or an administrator's key without limits.
    Operator,
    /// This machine, or the holder of any valid key.
    Metrics,
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path, with `{…}` for what a request puts there.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// The parameters that it knows in a query.
    pub query: &'static [&'static str],
}

/// Routes with their handlers.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Shared>,
    known: Vec<Route>,
}

impl Routes {
    /// Adds a route that knows no parameters in a query. `handler` is for this method only.
    pub(super) fn on(
        self,
        method: &'static str,
        path: &'static str,
        access: Access,
        handler: MethodRouter<Shared>,
    ) -> Routes {
        self.asking(method, path, access, &[], handler)
    }

    /// Adds a route that knows these parameters in a query. `handler` is for this method only.
    pub(super) fn asking(
        mut self,
        method: &'static str,
        path: &'static str,
        access: Access,
        query: &'static [&'static str],
        handler: MethodRouter<Shared>,
    ) -> Routes {
        self.router = self.router.route(path, handler.route_layer(Extension(Known(query))));
        self.known.push(Route { method, path, access, query });
        self
    }

    /// The routes as axum takes them.
    pub(super) fn into_router(self) -> Router<Shared> {
        self.router
    }

    /// What was added.
    pub(super) fn known(&self) -> &[Route] {
        &self.known
    }
}
