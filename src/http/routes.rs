//! The list of routes: what the router is made of, so that nothing else can be forgotten in it. From
//! it come the OpenAPI documents and the test that tries every role on every route.

use axum::http::Method;
use axum::routing::MethodRouter;
use axum::{Extension, Router};

use super::Shared;
use super::query::{Known, decode};

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
    /// What the audit calls it, if it is an act.
    pub action: Option<&'static str>,
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
    /// Adds a route that reads and knows no parameters in a query. `handler` is for this method only.
    pub(super) fn on(
        self,
        method: &'static str,
        path: &'static str,
        access: Access,
        handler: MethodRouter<Shared>,
    ) -> Routes {
        self.asking(method, path, access, &[], handler)
    }

    /// Adds a route that reads and knows these parameters in a query. `handler` is for this method only.
    pub(super) fn asking(
        self,
        method: &'static str,
        path: &'static str,
        access: Access,
        query: &'static [&'static str],
        handler: MethodRouter<Shared>,
    ) -> Routes {
        self.add(Route { method, path, access, effect: Effect::Reads, action: None, query }, handler)
    }

    /// Adds a route that changes something, with what the audit calls that: it goes on to its end when its
    /// caller leaves, and has a line by that name also where its handler never came to know what it is about.
    pub(super) fn acting(
        self,
        action: &'static str,
        method: &'static str,
        path: &'static str,
        access: Access,
        query: &'static [&'static str],
        handler: MethodRouter<Shared>,
    ) -> Routes {
        let (effect, action) = (Effect::Acts, Some(action));
        self.add(Route { method, path, access, effect, action, query }, handler)
    }

    /// Adds a route that asks servers and changes nothing here: it is given up when its caller leaves.
    /// The path has no places, since the guard looks for it in that of a request.
    pub(super) fn calling(self, path: &'static str, access: Access, handler: MethodRouter<Shared>) -> Routes {
        debug_assert!(!path.contains('{'), "{path}");
        let (method, effect) = ("POST", Effect::Calls);
        self.add(Route { method, path, access, effect, action: None, query: &[] }, handler)
    }

    fn add(mut self, route: Route, handler: MethodRouter<Shared>) -> Routes {
        // The guard goes by the method where it does not know the route.
        let of_method = route.method.parse().map_or(Effect::Acts, |method| Effect::of_method(&method));
        debug_assert!(route.effect == of_method || route.effect == Effect::Calls, "{route:?}");
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

/// The act that a request asks for, by its method and its path: what the audit calls it, and what it is
/// done to, which is what stands in the route's place, or the path where it has none.
pub(super) fn act_of(routes: &[Route], method: &Method, path: &str) -> Option<(&'static str, String)> {
    routes.iter().find_map(|route| {
        let action = route.action.filter(|_| route.method == method.as_str())?;
        let place = place_of(route.path, path)?;
        // A `+` in a path is a plus. What cannot be decoded names nothing, and is told as it was sent.
        let decoded = decode(&place.replace('+', "%2B"));
        Some((action, decoded.unwrap_or_else(|| place.to_owned())))
    })
}

/// What a path has in the last place of a route's; all of it where there is no place, and `None` where it is
/// another route's.
fn place_of<'a>(route: &str, path: &'a str) -> Option<&'a str> {
    let (mut given, mut place) = (path.split('/'), path);
    for part in route.split('/') {
        let segment = given.next()?;
        if part.starts_with('{') {
            place = Some(segment).filter(|segment| !segment.is_empty())?;
        } else if part != segment {
            return None;
        }
    }
    given.next().is_none().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_known_by_method_and_path_with_what_it_is_done_to() {
        let routes = crate::http::known_routes();
        let act = |method: &str, path: &str| act_of(&routes, &method.parse().expect("a method"), path);
        for (method, path, action, target) in [
            ("POST", "/v1/api-keys", "key.create", "/v1/api-keys"),
            ("DELETE", "/v1/api-keys/key_1", "key.revoke", "key_1"),
            ("POST", "/v1/api-keys/key_1/rotate", "key.rotate", "key_1"),
            ("PUT", "/api/servers/a%20b+c", "server.change", "a b+c"),
            ("DELETE", "/api/servers/%ff", "server.remove", "%ff"),
            ("POST", "/v1/mcps/%2F/pins/approve", "tool.approve", "/"),
        ] {
            assert_eq!(act(method, path), Some((action, target.to_owned())), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/v1/api-keys"),
            ("POST", "/v1/api-keys/"),
            ("DELETE", "/v1/api-keys/"),
            ("DELETE", "/v1/api-keys/a/b"),
            ("DELETE", "/v1/api-keys"),
            ("POST", "/v1/mcp/invoke"),
            ("POST", "/api/query"),
            ("POST", ""),
        ] {
            assert_eq!(act(method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn every_act_has_a_name_and_nothing_else_has() {
        for route in crate::http::known_routes() {
            assert_eq!(route.action.is_some(), route.effect == Effect::Acts, "{route:?}");
        }
    }
}
