//! Who is let in by the dashboard: a cookie that the browser sends, a token that only the page that signed in has, and a
//! request that the browser says is of the page's own origin. All three, for each request.

use std::time::Instant;

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use crate::http::core::auth::X_API_KEY;
use crate::http::core::head::RequestHead;
use crate::http::core::plain::answer;
use crate::http::core::shared::Shared;
use crate::http::core::sign_in::{LASTS, NotSignedIn, SignedIn};

/// Prefix of the paths that stand for one of `/v1` or `/api` each.
const STANDS_FOR: &str = "/ui/api";
/// Header of the page's token.
const TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
/// Header in which a browser says where a request comes from (Fetch Metadata); no page can write it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Reason why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Sent by another page than the dashboard.
    Elsewhere,
    /// Without a sign-in that lasts.
    NotSignedIn,
    /// With a cookie, and without the token of the page that got it.
    WrongToken,
}

impl Refusal {
    /// Returns the answer.
    pub(super) fn answer(self) -> Response {
        let (status, code, text) = match self {
            Refusal::Elsewhere => {
                (StatusCode::FORBIDDEN, "foreign_page", "Only the dashboard's own page may ask this")
            }
            Refusal::NotSignedIn => {
                (StatusCode::UNAUTHORIZED, "not_signed_in", "Sign in to the dashboard first")
            }
            Refusal::WrongToken => (
                StatusCode::FORBIDDEN,
                "wrong_token",
                "The header X-CSRF-Token must have the token that signing in gave to this page",
            ),
        };
        super::files::harden(answer(status, &json!({"error": text, "code": code})))
    }
}

/// Checks that the browser sent a request for the dashboard's own page, as far as it says: older ones, and all of them where
/// the page came by plain HTTP from another machine, do not say it and name the origin instead.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let own = match (headers.get(FETCH_SITE), headers.get(ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let named =
                origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
            let host = headers.get(HOST).and_then(|host| host.to_str().ok());
            named.is_some() && named.zip(host).is_some_and(|(named, host)| named.eq_ignore_ascii_case(host))
        }
        (None, None) => true,
    };
    own.then_some(()).ok_or(Refusal::Elsewhere)
}

/// Returns who is signed in, for a request of the page.
pub(super) fn signed_in(shared: &Shared, headers: &HeaderMap) -> Result<SignedIn, Refusal> {
    check_origin(headers)?;
    let cookie = cookie(headers).ok_or(Refusal::NotSignedIn)?;
    let token = headers.get(TOKEN).and_then(|token| token.to_str().ok());
    shared.sign_ins.find(cookie, token, Instant::now()).map_err(|refused| match refused {
        NotSignedIn::Ended => Refusal::NotSignedIn,
        NotSignedIn::WrongToken => Refusal::WrongToken,
    })
}

/// Makes of a request below `/ui/api` the one that it stands for, without anything that is a credential, and returns who
/// asks. `None` for any other request.
pub(super) fn stands_for(
    shared: &Shared,
    head: &RequestHead,
) -> Option<Result<(RequestHead, SignedIn), Response>> {
    let path = head.uri.path().strip_prefix(STANDS_FOR)?;
    // Whatever is not below the two dialects has no route here either.
    if !(path.starts_with("/v1/") || path.starts_with("/api/")) || head.method == Method::OPTIONS {
        return None;
    }
    let target = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let signed_in = match signed_in(shared, &head.headers) {
        Ok(signed_in) => signed_in,
        Err(refusal) => return Some(Err(refusal.answer())),
    };
    // A part of a path that was accepted is one.
    let uri = Uri::try_from(target).ok()?;
    let mut headers = head.headers.clone();
    for name in [&COOKIE, &AUTHORIZATION, &X_API_KEY, &TOKEN] {
        headers.remove(name);
    }
    Some(Ok((RequestHead::new(head.method.clone(), uri, head.version, headers), signed_in)))
}

/// Returns the name of the cookie: with the port, as a browser sends the cookies of a host to all of its ports, and two daemons
/// on one machine would end each other's.
fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port =
        host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
    format!("mcpvisor_ui{}", port.map(|port| format!("_{port}")).unwrap_or_default())
}

/// Returns the value of the dashboard's cookie in a request.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let name = cookie_name(headers);
    let sent = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    sent.flat_map(|value| value.split(';')).find_map(|pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then_some(value)
    })
}

/// Returns the header that gives a browser its cookie; an empty value takes it away. It has no `Path`: a browser then takes the
/// folder of what it asked for, which is right behind a proxy that puts the daemon below a path of its own.
pub(super) fn set_cookie(headers: &HeaderMap, value: &str) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let secure = if origin.is_some_and(|origin| origin.starts_with("https://")) { "; Secure" } else { "" };
    let age = if value.is_empty() { 0 } else { LASTS.as_secs() };
    let name = cookie_name(headers);
    format!("{name}={value}; HttpOnly; SameSite=Strict; Max-Age={age}{secure}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in given {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn only_what_the_browser_says_is_of_the_same_origin_is_let_in() {
        let host = ("host", "localhost:5000");
        for (given, own) in [
            (vec![host], true),
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("sec-fetch-site", "none")], false),
            (vec![host, ("origin", "http://localhost:5000")], true),
            (vec![host, ("origin", "http://localhost:3000")], false),
            (vec![host, ("origin", "null")], false),
            (vec![host, ("sec-fetch-site", "same-site"), ("origin", "http://localhost:5000")], false),
        ] {
            assert_eq!(check_origin(&headers(&given)).is_ok(), own, "{given:?}");
        }
    }

    #[test]
    fn the_cookie_is_its_ports_and_no_script_or_other_site_gets_it() {
        let plain = headers(&[("host", "localhost:5000"), ("origin", "http://localhost:5000")]);
        let set = set_cookie(&plain, "abc").expect("a header");
        assert_eq!(set, "mcpvisor_ui_5000=abc; HttpOnly; SameSite=Strict; Max-Age=43200");
        let tls = headers(&[("host", "mcp.example"), ("origin", "https://mcp.example")]);
        let set = set_cookie(&tls, "").expect("a header");
        assert_eq!(set, "mcpvisor_ui=; HttpOnly; SameSite=Strict; Max-Age=0; Secure");
        let sent =
            headers(&[("host", "localhost:5000"), ("cookie", "a=b; mcpvisor_ui=x; mcpvisor_ui_5000=y")]);
        assert_eq!(cookie(&sent), Some("y"));
        assert_eq!(cookie(&headers(&[("host", "[::1]"), ("cookie", "mcpvisor_ui=x")])), Some("x"));
        assert_eq!(cookie(&headers(&[("host", "localhost:5000"), ("cookie", "mcpvisor_ui=x")])), None);
    }
}
