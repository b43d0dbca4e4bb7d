//! What the host of an address says by its spelling. Pure.

use std::net::SocketAddr;

use reqwest::Url;

/// Returns the address that a url spells out, without a name to look up.
pub(super) fn literal(url: &Url) -> Option<SocketAddr> {
    let host = url.host_str()?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(SocketAddr::new(address, url.port_or_known_default()?))
}

/// Reports whether a url leads to this machine by its spelling.
pub(super) fn is_loopback(url: &Url) -> bool {
    let named = url.host_str().is_some_and(|host| host == "localhost" || host.ends_with(".localhost"));
    named || literal(url).is_some_and(|address| address.ip().to_canonical().is_loopback())
}
