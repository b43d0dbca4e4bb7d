//! Rules for accepted `Host` and `Origin` values. Pure.
//!
//! A web page can make a browser send requests here under a name that its author controls (DNS rebinding), and
//! then `Origin` alone does not help: a same-origin GET carries none. So a *name* in `Host` must be known:
//! `localhost`, or listed. An address literal cannot be rebound; it is accepted if the listener is bound to more
//! than loopback, where clients reach it by its address. Bound to loopback, only loopback addresses are accepted.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Uri};

/// Accepted values of `Host` and `Origin`.
#[derive(Debug, Clone)]
pub(in crate::http) struct Policy {
    bound_to_loopback: bool,
    /// Listed hosts, in lower case.
    hosts: Vec<String>,
    any_host: bool,
    /// Listed origins, in lower case, without a slash at the end.
    origins: Vec<String>,
    any_origin: bool,
}

/// Reasons to refuse a request before it is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum HostCheckError {
    /// No `Host`, more than one, or one that cannot be read.
    BadHost,
    /// A name or address in `Host` that is not ours.
    ForeignHost,
    /// A web origin that may not use this front.
    ForeignOrigin,
}

/// Origin and destination that an accepted request states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Checked {
    /// `true` if `Host` is `localhost` or a loopback address, and so is `Origin` if there is one.
    pub(in crate::http) loopback: bool,
    /// `true` if the request has an `Origin`.
    pub(in crate::http) has_origin: bool,
}

impl Policy {
    /// Builds the rules; entries are compared without regard to case.
    pub(in crate::http) fn new(bound_to_loopback: bool, hosts: &[String], origins: &[String]) -> Policy {
        let lower = |entry: &String| entry.trim().trim_end_matches('/').to_ascii_lowercase();
        let hosts: Vec<String> = hosts.iter().map(lower).collect();
        let origins: Vec<String> = origins.iter().map(lower).collect();
        Policy {
            bound_to_loopback,
            any_host: hosts.iter().any(|host| host == "*"),
            hosts,
            any_origin: origins.iter().any(|origin| origin == "*"),
            origins,
        }
    }

    /// Judges a request by its target and headers.
    pub(in crate::http) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Checked, HostCheckError> {
        let host = single(headers.get_all(HOST).iter()).ok_or(HostCheckError::BadHost)?;
        let mut loopback = self.check_host(host.to_str().map_err(|_| HostCheckError::BadHost)?)?;
        if let Some(authority) = uri.authority() {
            // The absolute form names the host a second time (RFC 9112, section 3.2.2).
            loopback &= self.check_host(authority.as_str())?;
        }
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        if origins.peek().is_none() {
            return Ok(Checked { loopback, has_origin: false });
        }
        let origin =
            single(origins).and_then(|origin| origin.to_str().ok()).ok_or(HostCheckError::ForeignOrigin)?;
        loopback &= self.check_origin(origin)?;
        Ok(Checked { loopback, has_origin: true })
    }

    /// Accepts or refuses a `Host`; `true` if it means this machine's loopback.
    fn check_host(&self, text: &str) -> Result<bool, HostCheckError> {
        let host = Host::parse(text).ok_or(HostCheckError::BadHost)?;
        if host.is_loopback() {
            return Ok(true);
        }
        let by_address = !self.bound_to_loopback && host.address().is_some();
        if by_address || self.any_host || self.hosts.iter().any(|entry| host.is_listed_as(entry)) {
            return Ok(false);
        }
        Err(HostCheckError::ForeignHost)
    }

    /// Accepts or refuses an `Origin`; `true` if it is a page of this machine's loopback.
    fn check_origin(&self, text: &str) -> Result<bool, HostCheckError> {
        let page = text.split_once("://").filter(|(scheme, _)| {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        });
        if page.and_then(|(_, host)| Host::parse(host)).is_some_and(|host| host.is_loopback()) {
            return Ok(true);
        }
        if self.any_origin || self.origins.iter().any(|entry| text.eq_ignore_ascii_case(entry)) {
            return Ok(false);
        }
        Err(HostCheckError::ForeignOrigin)
    }
}

fn single<'a>(mut values: impl Iterator<Item = &'a HeaderValue>) -> Option<&'a HeaderValue> {
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// A host as `name[:port]`, `address[:port]` or `[address][:port]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Host<'a> {
    name: &'a str,
    bracketed: bool,
    port: Option<&'a str>,
}

impl<'a> Host<'a> {
    fn parse(text: &'a str) -> Option<Host<'a>> {
        let (name, bracketed, rest) = match text.strip_prefix('[') {
            Some(inner) => {
                let (name, rest) = inner.split_once(']')?;
                name.parse::<Ipv6Addr>().ok()?;
                (name, true, rest)
            }
            None => {
                let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
                (name, false, rest)
            }
        };
        let port = match rest {
            "" => None,
            _ => Some(rest.strip_prefix(':')?),
        };
        let port_ok = port
            .is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok_and(|_| !port.starts_with('+')));
        let name_ok = bracketed
            || (!name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')));
        (port_ok && name_ok).then_some(Host { name, bracketed, port })
    }

    fn address(&self) -> Option<IpAddr> {
        self.name.parse().ok()
    }

    fn is_loopback(&self) -> bool {
        let name = self.name.strip_suffix('.').unwrap_or(self.name);
        name.eq_ignore_ascii_case("localhost")
            || self.address().is_some_and(|address| address.to_canonical().is_loopback())
    }

    /// Reports whether a configured entry (`name` or `name:port`, lower case) means this host.
    fn is_listed_as(&self, entry: &str) -> bool {
        let Some(entry) = Host::parse(entry) else { return false };
        entry.bracketed == self.bracketed
            && entry.name.eq_ignore_ascii_case(self.name)
            && entry.port.is_none_or(|port| self.port == Some(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(bound_to_loopback: bool) -> Policy {
        let hosts = ["Gateway.example".to_owned(), "other.example:8443".to_owned()];
        Policy::new(bound_to_loopback, &hosts, &["https://gui.example/".to_owned()])
    }

    #[test]
    fn loopback_names_and_addresses_are_accepted_with_any_port() {
        for bound in [true, false] {
            for host in
                ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:5000", "127.9.9.9", "[::1]", "[::1]:80"]
            {
                assert_eq!(policy(bound).check_host(host), Ok(true), "{host}");
            }
        }
    }

    #[test]
    fn a_foreign_name_is_refused_and_an_address_only_where_we_are_bound_to_one() {
        for bound in [true, false] {
            for host in
                ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:5000"]
            {
                assert_eq!(policy(bound).check_host(host), Err(HostCheckError::ForeignHost), "{host}");
            }
        }
        for host in ["10.0.0.5:5000", "[fe80::1]:80"] {
            assert_eq!(policy(true).check_host(host), Err(HostCheckError::ForeignHost));
            assert_eq!(policy(false).check_host(host), Ok(false));
        }
    }

    #[test]
    fn listed_hosts_match_by_name_and_by_port_when_the_entry_has_one() {
        assert_eq!(policy(true).check_host("gateway.EXAMPLE:99"), Ok(false));
        assert_eq!(policy(true).check_host("other.example:8443"), Ok(false));
        assert_eq!(policy(true).check_host("other.example"), Err(HostCheckError::ForeignHost));
        let any = Policy::new(true, &["*".to_owned()], &[]);
        assert_eq!(any.check_host("evil.example"), Ok(false));
    }

    #[test]
    fn unreadable_hosts_are_bad_not_foreign() {
        for host in [
            "",
            ":80",
            "a b",
            "a:b",
            "a:80:90",
            "[::1",
            "[::1]x",
            "[x]",
            "a,b",
            "user@localhost",
            "a:70000",
            "::1",
        ] {
            assert_eq!(policy(false).check_host(host), Err(HostCheckError::BadHost), "{host:?}");
        }
    }

    #[test]
    fn origins_are_loopback_pages_or_listed() {
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"] {
            assert_eq!(policy(true).check_origin(origin), Ok(true), "{origin}");
        }
        assert_eq!(policy(true).check_origin("https://GUI.example"), Ok(false));
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://gui.example",
            "https://gui.example:444",
            "http://localhost.evil.example",
            "file://localhost",
            "http://localhost@evil.example",
        ] {
            assert_eq!(policy(true).check_origin(origin), Err(HostCheckError::ForeignOrigin), "{origin}");
        }
        let any = Policy::new(true, &[], &["*".to_owned()]);
        assert_eq!(any.check_origin("null"), Ok(false));
    }

    fn check(uri: &'static str, headers: &[(&'static str, &'static str)]) -> Result<Checked, HostCheckError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        policy(true).check(&Uri::from_static(uri), &map)
    }

    #[test]
    fn exactly_one_host_at_most_one_origin_and_the_target_counts_too() {
        assert_eq!(check("/", &[]), Err(HostCheckError::BadHost));
        assert_eq!(check("/", &[("host", "localhost"), ("host", "localhost")]), Err(HostCheckError::BadHost));
        assert_eq!(check("http://evil.example/", &[("host", "localhost")]), Err(HostCheckError::ForeignHost));
        let both = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")];
        assert_eq!(check("/", &both), Err(HostCheckError::ForeignOrigin));
        assert_eq!(check("/", &[("host", "localhost")]), Ok(Checked { loopback: true, has_origin: false }));
        let listed = [("host", "gateway.example"), ("origin", "http://localhost:3000")];
        assert_eq!(check("/", &listed), Ok(Checked { loopback: false, has_origin: true }));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_nothing_but_loopback_is_loopback(text in ".{0,40}") {
            let judged = policy(true).check_host(&text);
            if judged == Ok(true) {
                let lower = text.to_ascii_lowercase();
                prop_assert!(lower.starts_with("localhost") || lower.starts_with("127.") || lower.starts_with('['));
            }
        }
    }
}
