//! Addresses as they may be shown: in answers, in the log and in errors. Pure.

use crate::text::cut;

/// Maximum number of characters of an address that are shown.
const MAX_ADDRESS_CHARS: usize = 200;

/// Returns an address in a form that may be shown: without user name and password, without the values of a query, and
/// without path segments that look like keys (R6).
pub fn shown_address(address: &str) -> String {
    let (path, query) = match address.split_once(['?', '#']) {
        Some((path, query)) => (path, shown_query(query)),
        None => (address, String::new()),
    };
    let (scheme, rest) = path.split_once("://").map_or(("", path), |(scheme, rest)| (scheme, rest));
    let (host, steps) = rest.split_once('/').map_or((rest, None), |(host, steps)| (host, Some(steps)));
    let host = host.rsplit('@').next().unwrap_or(host);
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(scheme);
        out.push_str("://");
    }
    out.push_str(host);
    for step in steps.into_iter().flat_map(|steps| steps.split('/')) {
        out.push('/');
        out.push_str(if looks_like_a_key(step) { "…" } else { step });
    }
    out.push_str(&query);
    cut(out, MAX_ADDRESS_CHARS)
}

/// Returns a query with its names and without its values.
fn shown_query(query: &str) -> String {
    let query = query.split('#').next().unwrap_or_default();
    let shown: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}=[REDACTED]"),
            None => "[REDACTED]".to_owned(),
        })
        .collect();
    if shown.is_empty() { String::new() } else { format!("?{}", shown.join("&")) }
}

/// Reports whether a path segment is at least 20 bytes long and has both letters and digits. Some services
/// put the key there.
fn looks_like_a_key(step: &str) -> bool {
    step.len() >= 20
        && step.bytes().any(|byte| byte.is_ascii_digit())
        && step.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_a_secret() {
        for (address, shown) in [
            ("https://h:1/a/b", "https://h:1/a/b"),
            ("https://user:s3cret@h/a", "https://h/a"),
            ("https://h/a?key=s3cret&x#f", "https://h/a?key=[REDACTED]&[REDACTED]"),
            ("https://h/s/0123456789abcdef0123/mcp", "https://h/s/…/mcp"),
            ("https://h/${env:KEY}/mcp", "https://h/${env:KEY}/mcp"),
        ] {
            assert_eq!(shown_address(address), shown);
        }
    }

    proptest! {
        #[test]
        fn a_password_is_never_shown(name in "[a-z]{0,5}", rest in "(\\PC){0,40}") {
            let shown = shown_address(&format!("https://{name}:S3CRET@host/{rest}"));
            prop_assert!(!shown.contains("S3CRET"), "{}", shown);
        }
    }
}
