//! Parses single values from texts: hosts, origins, sizes. Pure; each parser comes with a description of the
//! accepted values, to follow "must be".

use std::net::{IpAddr, Ipv6Addr};

/// Description of the values that [`host`] accepts.
pub(super) const HOST: &str = "an IP address or a host name";
/// Description of a port.
pub(super) const PORT: &str = "a whole number from 0 to 65535";
/// Description of the values that [`authority`] accepts.
pub(super) const AUTHORITY: &str = "an array of host names or addresses, each with or without a port";
/// Description of the values that [`origin`] accepts.
pub(super) const ORIGIN: &str =
    "an array of origins such as \"https://gui.example:8443\" (no path, no trailing slash), or [\"*\"]";
/// Description of the values that [`size`] accepts.
pub(super) const SIZE: &str = "a number of bytes or a size such as \"512KiB\" or \"1MiB\"";

/// Reads an address to listen on: an IPv4 or IPv6 address (brackets allowed, and removed) or a host name as
/// defined by RFC 1123.
pub fn host(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    if text.parse::<IpAddr>().is_ok() || is_host_name(text) { Some(text.to_owned()) } else { None }
}

/// Reads a name that clients may put into `Host`: a host with or without a port, in lower case.
pub(super) fn authority(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if host(&lower).is_some() {
        return Some(lower);
    }
    let (name, port) = lower.rsplit_once(':')?;
    let bracketed = name.starts_with('[');
    let known = host(name).is_some() && (bracketed || !name.contains(':'));
    (known && is_port(port)).then_some(lower)
}

/// Reads an origin as browsers send it (RFC 6454): scheme and host, a port if it is not the scheme's own; or
/// `*` for any.
pub(super) fn origin(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://")?;
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let bare_ipv6 = rest.parse::<Ipv6Addr>().is_ok();
    (scheme_ok && !bare_ipv6 && authority(rest).is_some()).then_some(lower)
}

/// Reads a size in bytes: `"512"`, `"64KiB"`, `"1MiB"`.
pub(super) fn size(text: &str) -> Option<usize> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let amount: usize = text[..split].parse().ok()?;
    let unit = match text[split..].trim_start() {
        "" | "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return None,
    };
    amount.checked_mul(unit)
}

fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits only would be a mistyped IPv4 address.
    let last_is_number = text.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && !last_is_number
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_names() {
        for (given, read) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "0.0.0.0"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("localhost", "localhost"),
            ("my_host.example", "my_host.example"),
        ] {
            assert_eq!(host(given).as_deref(), Some(read), "{given}");
        }
        for bad in
            ["", " ", "a b", "256.0.0.1", "1.2.3", "-a", "a..b", "http://x", "x:80", "[127.0.0.1]", "ü"]
        {
            assert_eq!(host(bad), None, "{bad}");
        }
        assert_eq!(host(&"a".repeat(64)), None);
    }

    #[test]
    fn authorities_may_carry_a_port() {
        for good in ["gw.example", "gw.example:8080", "10.0.0.1:1", "[::1]:5000", "::1"] {
            assert_eq!(authority(good).as_deref(), Some(good));
        }
        assert_eq!(authority("GW.Example:80").as_deref(), Some("gw.example:80"));
        for bad in ["", ":80", "a:", "a:b", "a:70000", "a:+80", "http://a", "a/b", "*"] {
            assert_eq!(authority(bad), None, "{bad}");
        }
    }

    #[test]
    fn origins_have_a_scheme_and_no_path() {
        for good in ["http://localhost:3000", "https://gui.example", "*", "http://[::1]:3000"] {
            assert_eq!(origin(good).as_deref(), Some(good));
        }
        for bad in ["", "localhost", "http://", "http://a/", "http://a/b", "://a", "http://a b", "http://::1"]
        {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_binary_units() {
        for (text, bytes) in [("512", 512), ("2KiB", 2048), ("1 MiB", 1 << 20), ("7B", 7)] {
            assert_eq!(size(text), Some(bytes));
        }
        for bad in ["", "MiB", "1MB", "1.5MiB", "-1", "99999999999999999999", "18446744073709551615MiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
