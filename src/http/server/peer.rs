//! Proof that a request is the operator's own: nearness that is proved, not one that nobody disputes.
//!
//! A client of this machine needs no key for `/api` if the kernel says that its socket is the daemon's own
//! user's, no server of ours holds it, and nothing in the request speaks for somebody else. A proxy or a tunnel
//! makes every peer look local, and the plainest of them add no header, so the absence of one proves nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::HeaderMap;
use tokio::sync::{OnceCell, Semaphore};

use crate::process::{Holder, holder_by_credentials, peer_socket};

/// Limit of two concurrent look-ups of a socket's holder: each reads a good part of `/proc`.
static LOOK_UPS: Semaphore = Semaphore::const_new(2);

/// The other end of a connection, and its holder once that has been looked up.
#[derive(Debug)]
pub(in crate::http) struct Peer {
    address: IpAddr,
    /// Both ends of a TCP connection, ours first; `None` if there is no TCP connection to look up.
    ends: Option<(SocketAddr, SocketAddr)>,
    holder: OnceCell<Holder>,
    by_socket: bool,
}

impl Peer {
    /// Creates the client of a TCP connection.
    pub(in crate::http) fn of_tcp(own: SocketAddr, peer: SocketAddr) -> Peer {
        let address = peer.ip().to_canonical();
        Peer { address, ends: Some((own, peer)), holder: OnceCell::new(), by_socket: false }
    }

    /// Creates the client of a connection on the Unix socket, from the kernel's credentials of the process that
    /// made it. It has no address; it counts as one of this machine's.
    pub(in crate::http) fn of_unix(uid: u32, pid: Option<i32>) -> Peer {
        let holder = OnceCell::new_with(Some(holder_by_credentials(uid, pid)));
        Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), ends: None, holder, by_socket: true }
    }

    /// Creates a client of which only the address is known: for tests and benches, which have no connection.
    pub(in crate::http) fn at(address: IpAddr) -> Peer {
        Peer { address, ends: None, holder: OnceCell::new(), by_socket: false }
    }

    /// Returns the client's address; IPv4 loopback for a Unix socket.
    pub(in crate::http) fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the user id of the other end, or `None` if it was not found out.
    pub(in crate::http) fn uid(&self) -> Option<u32> {
        match self.holder.get()? {
            Holder::OwnUser { uid } | Holder::OtherUser { uid } => Some(*uid),
            Holder::OwnTree { .. } | Holder::Unknown => None,
        }
    }

    /// Returns the client's place for the log: `unix`, or its address.
    pub(in crate::http) fn place(&self) -> String {
        if self.by_socket { "unix".to_owned() } else { self.address.to_string() }
    }

    /// Returns the holder of the other end. It is looked up once per connection, at the first call.
    pub(in crate::http) async fn holder(&self) -> Holder {
        *self.holder.get_or_init(|| find_holder(self.ends)).await
    }
}

async fn find_holder(ends: Option<(SocketAddr, SocketAddr)>) -> Holder {
    let Some(socket) = ends.and_then(|(own, peer)| peer_socket(own, peer)) else { return Holder::Unknown };
    if !socket.is_of_own_user() {
        return Holder::OtherUser { uid: socket.uid };
    }
    // The semaphore is never closed; and a look-up that panicked has proved nothing.
    let Ok(_permit) = LOOK_UPS.acquire().await else { return Holder::Unknown };
    tokio::task::spawn_blocking(move || socket.holder()).await.unwrap_or(Holder::Unknown)
}

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

    #[tokio::test]
    async fn who_has_no_connection_is_nobody_who_is_known() {
        assert_eq!(Peer::at(IpAddr::from([127, 0, 0, 1])).holder().await, Holder::Unknown);
        let far = Peer::of_tcp("127.0.0.1:5".parse().expect("own"), "192.0.2.1:9".parse().expect("peer"));
        assert_eq!(far.holder().await, Holder::Unknown);
    }
}
