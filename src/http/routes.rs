//! The list of routes: what the router is made of, so that nothing else can be forgotten in it. From
//! it come the OpenAPI documents and the test that tries every role on every route.

use axum::Router;
use axum::routing::MethodRouter;

use super::Shared;

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
    /// As `api.auth` says: the daemon's own user, or an administrator's key without limits.
    Operator,
    /// The daemon's own user, or the holder of a key that may use all servers.
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
}

/// Routes with their handlers.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Shared>,
    known: Vec<Route>,
}

impl Routes {
    /// Adds a route. `handler` is for this method only.
    pub(super) fn on(
        mut self,
        method: &'static str,
        path: &'static str,
        access: Access,
        handler: MethodRouter<Shared>,
    ) -> Routes {
        self.router = self.router.route(path, handler);
        self.known.push(Route { method, path, access });
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
