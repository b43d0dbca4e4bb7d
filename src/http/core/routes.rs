//! List of routes: the router is built from it, so that nothing else can be forgotten in it. From it come the
//! OpenAPI documents and the test that tries every role on every route.

use axum::http::Method;
use axum::routing::MethodRouter;
use axum::{Extension, Router};

use super::shared::Shared;
use crate::http::core::query::{Known, decode};

/// Callers that may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every caller whose `Host` and `Origin` are accepted.
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
    /// As `mcp.auth` says: the daemon's own user, or the holder of a key that may call tools.
    Client,
    /// The daemon's own user, or the holder of a key that may use all servers.
    Metrics,
    /// As `api.auth` says the daemon's own user, or the holder of any valid key.
    SignIn,
    /// A browser that is signed in to the dashboard, by its cookie and its page's token; no key opens it.
    SignedIn,
}

/// Effect of a request to a route, which decides how it ends when its caller leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// No effect: the request is dropped.
    Reads,
    /// A call of a server: the request is dropped, and the server is told to cancel.
    Calls,
    /// A change: the request goes on to its end and is recorded.
    Acts,
}

impl Effect {
    /// Returns the effect of a method by default: whatever is not safe (RFC 9110, section 9.2.1) changes
    /// something.
    pub(in crate::http) fn of_method(method: &Method) -> Effect {
        if method.is_safe() { Effect::Reads } else { Effect::Acts }
    }
}

/// A route of one method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// HTTP method in upper case.
    pub method: &'static str,
    /// Path pattern, with `{…}` for a segment that a request fills in.
    pub path: &'static str,
    /// Callers that may use it.
    pub access: Access,
    /// Effect of a request.
    pub effect: Effect,
    /// Name of the action in the audit; `None` if it is no act.
    pub action: Option<&'static str>,
    /// Names of the parameters that it knows in a query.
    pub query: &'static [&'static str],
}

/// Routes with their handlers.
#[derive(Default)]
pub(in crate::http) struct Routes {
    router: Router<Shared>,
    known: Vec<Route>,
}

impl Routes {
    /// Adds a route that reads and knows no parameters in a query. `handler` is for this method only.
    pub(in crate::http) fn on(
        self,
        method: &'static str,
        path: &'static str,
        access: Access,
        handler: MethodRouter<Shared>,
    ) -> Routes {
        self.asking(method, path, access, &[], handler)
    }

    /// Adds a route that reads and knows these parameters in a query. `handler` is for this method only.
    pub(in crate::http) fn asking(
        self,
        method: &'static str,
        path: &'static str,
        access: Access,
        query: &'static [&'static str],
        handler: MethodRouter<Shared>,
    ) -> Routes {
        self.add(Route { method, path, access, effect: Effect::Reads, action: None, query }, handler)
    }

    /// Adds a route that changes something, with its name in the audit: it goes on to its end when its caller
    /// leaves, and has a line by that name also if its handler never came to know its target.
    pub(in crate::http) fn acting(
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

    /// Adds a route that asks servers and changes nothing here: it is dropped when its caller leaves.
    pub(in crate::http) fn calling(
        self,
        method: &'static str,
        path: &'static str,
        access: Access,
        handler: MethodRouter<Shared>,
    ) -> Routes {
        self.add(Route { method, path, access, effect: Effect::Calls, action: None, query: &[] }, handler)
    }

    fn add(mut self, route: Route, handler: MethodRouter<Shared>) -> Routes {
        // The guard goes by the method if it does not know the route.
        let of_method = route.method.parse().map_or(Effect::Acts, |method| Effect::of_method(&method));
        debug_assert!(route.effect == of_method || route.effect == Effect::Calls, "{route:?}");
        self.router = self.router.route(route.path, handler.route_layer(Extension(Known(route.query))));
        self.known.push(route);
        self
    }

    /// Returns the routes as an axum router.
    pub(in crate::http) fn into_router(self) -> Router<Shared> {
        self.router
    }

    /// Returns the routes that were added.
    pub(in crate::http) fn known(&self) -> &[Route] {
        &self.known
    }
}

/// Reports whether a request is for this route, by its method and its path.
pub(in crate::http) fn is_for(route: &Route, method: &Method, path: &str) -> bool {
    route.method == method.as_str() && is_path_of(route.path, path)
}

/// Reports whether a path is that of a route whose last segment is a placeholder.
pub(in crate::http) fn is_filled(route: &str, path: &str) -> bool {
    let Some(begin) = route.strip_suffix('}').and_then(|route| route.rsplit_once('{')) else { return false };
    path.strip_prefix(begin.0).is_some_and(|place| !place.is_empty() && !place.contains('/'))
}

/// Returns the act that a request asks for, by its method and its path: its name in the audit, and its target,
/// which is the segments in the route's placeholders with a slash between, or the path if it has none. `None` if it is no
/// act.
pub(in crate::http) fn act_of(
    routes: &[Route],
    method: &Method,
    path: &str,
) -> Option<(&'static str, String)> {
    routes.iter().find_map(|route| {
        let action = route.action.filter(|_| route.method == method.as_str())?;
        if !is_path_of(route.path, path) {
            return None;
        }
        let places = route.path.split('/').zip(path.split('/')).filter(|(part, _)| part.starts_with('{'));
        // A `+` in a path is a plus. A target that cannot be decoded names nothing, and is recorded as it was
        // sent.
        let named =
            places.map(|(_, sent)| decode(&sent.replace('+', "%2B")).unwrap_or_else(|| sent.to_owned()));
        let named: Vec<String> = named.collect();
        Some((action, if named.is_empty() { path.to_owned() } else { named.join("/") }))
    })
}

/// Reports whether a path is a route's, with a segment in each of its placeholders.
fn is_path_of(route: &str, path: &str) -> bool {
    let mut given = path.split('/');
    let fits = |(part, segment): (&str, &str)| match part.starts_with('{') {
        true => !segment.is_empty(),
        false => part == segment,
    };
    route.split('/').all(|part| given.next().is_some_and(|segment| fits((part, segment))))
        && given.next().is_none()
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
            ("PUT", "/v1/members/a/secrets/B", "secret.put", "a/B"),
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
    fn a_placeholder_is_filled_by_one_segment() {
        for (path, is) in
            [("/a/b", true), ("/a/%2F", true), ("/a/", false), ("/a/b/c", false), ("/b/b", false)]
        {
            assert_eq!(is_filled("/a/{x}", path), is, "{path}");
        }
        assert!(!is_filled("/a/b", "/a/b"));
    }

    #[test]
    fn every_act_has_a_name_and_nothing_else_has() {
        for route in crate::http::known_routes() {
            assert_eq!(route.action.is_some(), route.effect == Effect::Acts, "{route:?}");
        }
    }
}
