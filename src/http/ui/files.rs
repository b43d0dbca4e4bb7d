//! The dashboard's own files, which build.rs has compressed, and the headers of everything that a browser shows.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use crate::http::core::plain::error;

/// What the page may do: its own files, its own host, and pictures and sounds that it makes of results itself. No script and
/// no style in the page's text, no frame around it, nothing of anybody else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file as it is sent.
struct File {
    name: &'static str,
    content_type: &'static str,
    etag: &'static str,
    packed: &'static [u8],
}

const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/ui_files.rs"));

/// Answers with a file of this name.
pub(super) fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return error(StatusCode::NOT_FOUND, "Not found");
    };
    if !takes_gzip(headers) {
        return error(
            StatusCode::NOT_ACCEPTABLE,
            "The dashboard is sent as gzip; let Accept-Encoding have it",
        );
    }
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == file.etag.as_bytes());
    let mut response = Response::new(if known { Body::empty() } else { Body::from(file.packed) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, file.content_type),
        (CONTENT_ENCODING, "gzip"),
        (VARY, "Accept-Encoding"),
        (ETAG, file.etag),
        // Asked again each time, so that a page and its files are always of one version.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    harden(response)
}

/// Adds the headers that every answer of the dashboard has.
pub(super) fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Reports whether gzip may be sent: to whoever does not say what it takes, everything may (RFC 9110, section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(ACCEPT_ENCODING).iter().peekable();
    given.peek().is_none()
        || given.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
            ["gzip", "x-gzip", "*"].contains(&name.trim()) && !refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn all_files_together_stay_below_eighty_thousand_bytes() {
        let bytes: usize = FILES.iter().map(|file| file.packed.len()).sum();
        assert!((10_000..80_000).contains(&bytes), "{bytes}");
        eprintln!("{bytes} bytes of gzip in {} files", FILES.len());
    }

    #[test]
    fn a_page_has_no_script_or_style_in_its_text_and_names_no_other_host() {
        for file in FILES {
            let mut text = String::new();
            flate2::read::GzDecoder::new(file.packed).read_to_string(&mut text).expect("gzip of text");
            for other in
                ["http://", "https://", "//cdn", "eval(", "new Function", "innerHTML=", "document.write"]
            {
                // A namespace is no address, and the library's own sink is reached by one property that no page of ours uses.
                let known = [
                    "http://www.w3.org/",
                    "https://opencollective",
                    "https://mcp.example.com/mcp",
                    "https://\u{2026}",
                ];
                let mut found =
                    text.match_indices(other).map(|(at, _)| text[at..].get(..60).unwrap_or(&text[at..]));
                let bad = found.find(|place| !known.iter().any(|known| place.starts_with(known)));
                let is_library = file.name.ends_with(".mjs");
                assert!(bad.is_none() || (is_library && other == "innerHTML="), "{}: {bad:?}", file.name);
            }
            if file.name.ends_with(".js") {
                assert!(!text.contains("dangerouslySetInnerHTML"), "{}", file.name);
            }
            if file.name.ends_with(".html") {
                assert!(!text.contains("<style") && !text.contains("style="), "{}", file.name);
                assert!(text.split("<script").skip(1).all(|script| script.contains("src=")), "{}", file.name);
            }
        }
    }

    #[test]
    fn gzip_goes_to_whoever_takes_it_or_does_not_say() {
        for (said, takes) in [
            ("gzip, br", true),
            ("br;q=1, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("*", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(said));
            assert_eq!(takes_gzip(&headers), takes, "{said}");
        }
        assert!(takes_gzip(&HeaderMap::new()));
    }
}
