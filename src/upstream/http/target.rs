//! Where a request goes, in the forms that requests have it in: written once, and not for each of them.

use hyper::Uri;
use reqwest::Url;
use reqwest::header::HeaderValue;

/// Where a request goes.
pub(super) struct Target {
    url: Url,
    parts: Option<Parts>,
}

/// The same for a connection of ours.
pub(super) struct Parts {
    /// What is connected to.
    pub(super) origin: Uri,
    /// What is asked for there.
    pub(super) path: Uri,
    pub(super) host: HeaderValue,
}

impl Target {
    pub(super) fn new(url: Url) -> Target {
        let parts = parts(&url);
        Target { url, parts }
    }

    /// Returns the address, which may have secrets in it.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the address for a connection of ours; `None` if it is none that HTTP can have, or has a user in it.
    pub(super) fn parts(&self) -> Option<&Parts> {
        self.parts.as_ref()
    }
}

fn parts(url: &Url) -> Option<Parts> {
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Some(Parts {
        origin: Uri::try_from(format!("{}://{host}/", url.scheme())).ok()?,
        path: Uri::try_from(path).ok()?,
        host: HeaderValue::try_from(host).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(url: &str) -> Option<(String, String, String)> {
        let target = Target::new(Url::parse(url).expect("an address"));
        let parts = target.parts()?;
        let host = parts.host.to_str().expect("text").to_owned();
        Some((parts.origin.to_string(), parts.path.to_string(), host))
    }

    #[test]
    fn an_address_is_taken_apart_as_requests_have_it() {
        let of = |origin: &str, path: &str, host: &str| Some((origin.into(), path.into(), host.into()));
        assert_eq!(told("http://a.test"), of("http://a.test/", "/", "a.test"));
        assert_eq!(told("http://a.test:80/m?k=1&l"), of("http://a.test/", "/m?k=1&l", "a.test"));
        assert_eq!(told("http://[::1]:81/m/ü"), of("http://[::1]:81/", "/m/%C3%BC", "[::1]:81"));
        // Its credentials go into a header, which is the library's to do.
        assert_eq!(told("http://me:secret@a.test/"), None);
    }
}
