//! The list of routes: what the router is made of, so that nothing else can be forgotten in it. From
//! it come the OpenAPI documents and the test that tries every role on every route.

use axum::http::Method;
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
    /// As `api.auth` says: the daemon's own user, or an administrator's key without limits.
    Operator,
    /// The daemon's own user, or the holder of a key that may use all servers.
    Metrics,
}

/// What asking for a route does, and so what becomes of it when whoever asked leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is given up.
    Reads,
    /// A server is asked: it is given up, and the server is told to.
    Calls,
    /// Something is changed: it goes on to its end and is recorded.
    Acts,
}

impl Effect {
    /// What a method does where nothing else is said: whatever is not safe (RFC 9110, section 9.2.1)
    /// changes something.
    pub(super) fn of_method(method: &Method) -> Effect {
        if method.is_safe() { Effect::Reads } else { Effect::Acts }
    }
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
    /// What it does.
    pub effect: Effect,
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
    /// Adds a route that knows no parameters in a query. `handler` is for this method only. Of a method that
    /// is not safe it is an act, which goes on to its end when its caller leaves.
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
        self,
        method: &'static str,
        path: &'static str,
        access: Access,
        query: &'static [&'static str],
        handler: MethodRouter<Shared>,
    ) -> Routes {
        let effect = method.parse().map_or(Effect::Acts, |method| Effect::of_method(&method));
        self.add(Route { method, path, access, effect, query }, handler)
    }

    /// Adds a route that asks servers and changes nothing here: it is given up when its caller leaves.
    /// The path has no places, since the guard looks for it in that of a request.
    pub(super) fn calling(self, path: &'static str, access: Access, handler: MethodRouter<Shared>) -> Routes {
        debug_assert!(!path.contains('{'), "{path}");
        self.add(Route { method: "POST", path, access, effect: Effect::Calls, query: &[] }, handler)
    }

    fn add(mut self, route: Route, handler: MethodRouter<Shared>) -> Routes {
        self.router = self.router.route(route.path, handler.route_layer(Extension(Known(route.query))));
        self.known.push(route);
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
