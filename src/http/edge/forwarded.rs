//! Headers that say that a request is passed on for somebody else. The plainest proxies add none, so their absence
//! proves nothing; their presence ends the claim to be the operator.

use axum::http::HeaderMap;

/// Headers with which proxies, tunnels, gateways and content networks say that they pass a request on, or for
/// which client. RFC 9110 (`Via`), RFC 7239 (`Forwarded`), RFC 8586 (`CDN-Loop`), the rest by usage.
const OF_PROXIES: [&str; 32] = [
    "via",
    "forwarded",
    "cdn-loop",
    "client-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-remote-user",
    "remote-user",
    "remote-addr",
    "x-proxyuser-ip",
    "x-host",
    "x-http-host-override",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "x-varnish",
    "x-amz-cf-id",
    "x-amzn-trace-id",
    "x-cloud-trace-context",
    "fastly-ff",
    "x-ssl-client-verify",
    "x-client-cert",
    "ssl-client-cert",
    "x-pomerium-jwt-assertion",
    "x-goog-iap-jwt-assertion",
    "x-ms-client-principal",
    "x-traefik-request",
    "proxy-connection",
];

/// Prefixes of such names that come in families.
const OF_FAMILIES: [&str; 22] = [
    "x-forwarded",
    "x-original-",
    "x-proxy-",
    "x-envoy-",
    "x-auth-request-",
    "x-authentik-",
    "x-azure-",
    "x-arr-",
    "x-appengine-",
    "x-vercel-",
    "x-nf-",
    "x-sucuri-",
    "x-haproxy-",
    "x-nginx-",
    "x-caddy-",
    "cf-",
    "fastly-",
    "fly-",
    "ngrok-",
    "tailscale-",
    "akamai-",
    "incap-",
];

/// Reports whether a header says that the request is passed on for somebody else. The header's value does not
/// matter: even one that names this machine was written by some proxy. `_` counts as `-`, as it does for programs
/// behind CGI.
pub(in crate::http) fn speaks_for_another(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        match name.contains('_') {
            true => is_of_a_proxy(&name.replace('_', "-")),
            false => is_of_a_proxy(name),
        }
    })
}

fn is_of_a_proxy(name: &str) -> bool {
    OF_PROXIES.contains(&name) || OF_FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn with(name: &str) -> HeaderMap {
        let name: HeaderName = name.parse().expect("a name");
        HeaderMap::from_iter([(name, HeaderValue::from_static("127.0.0.1"))])
    }

    #[test]
    fn whatever_a_proxy_adds_is_noticed_whatever_it_says() {
        for name in [
            "Via",
            "Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded",
            "X_Forwarded_For",
            "X-Real-IP",
            "X_Real_IP",
            "CF-Connecting-IP",
            "True-Client-IP",
            "X-Client-IP",
            "Tailscale-User-Login",
            "X-Original-Forwarded-For",
            "X-Envoy-External-Address",
            "CDN-Loop",
        ] {
            assert!(speaks_for_another(&with(name)), "{name}");
        }
    }

    #[test]
    fn what_clients_send_of_their_own_is_not_taken_for_a_proxy_s() {
        for name in [
            "host",
            "origin",
            "user-agent",
            "accept",
            "accept-encoding",
            "content-type",
            "content-length",
            "connection",
            "cache-control",
            "pragma",
            "cookie",
            "referer",
            "sec-fetch-site",
            "sec-ch-ua-platform",
            "x-request-id",
            "x-requested-with",
            "x-correlation-id",
            "traceparent",
            "tracestate",
            "baggage",
            "x-b3-traceid",
            "sentry-trace",
            "dnt",
            "priority",
            "x-stainless-lang",
            "mcp-protocol-version",
            "last-event-id",
        ] {
            assert!(!speaks_for_another(&with(name)), "{name}");
        }
    }
}
