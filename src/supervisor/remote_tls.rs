//! Whom a remote server's connections trust, and what they show of themselves: the member `mcpvisor.tls` of its entry,
//! checked. Pure.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::problem::{Problems, kind_of};
use crate::upstream::http::TlsChoice;

const MEMBERS: [&str; 3] = ["ca", "cert", "key"];

/// Reads the member; what cannot be used of it is left out.
pub(super) fn parse(value: &Value, path: &str, problems: &mut Problems) -> TlsChoice {
    let Value::Object(tls) = value else {
        problems.add::<()>(path, &format!("must be an object (found {})", kind_of(value)));
        return TlsChoice::default();
    };
    for member in tls.keys().filter(|member| !MEMBERS.contains(&member.as_str())) {
        problems.unknown(&format!("{path}.{member}"), member, &MEMBERS);
    }
    let mut file = |member: &str| file(tls, member, path, problems);
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    for (member, other) in [("cert", "key"), ("key", "cert")] {
        if tls.contains_key(other) && !tls.contains_key(member) {
            problems.add::<()>(&format!("{path}.{member}"), &format!("is required beside {other}"));
        }
    }
    TlsChoice { ca, identity: cert.zip(key) }
}

fn file(tls: &Map<String, Value>, member: &str, path: &str, problems: &mut Problems) -> Option<PathBuf> {
    match tls.get(member)? {
        Value::String(text) if text.starts_with('/') => Some(PathBuf::from(text)),
        _ => problems.add(&format!("{path}.{member}"), "must be the absolute path of a file in PEM"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_are_absolute_and_a_certificate_goes_with_its_key() {
        let read = |value: Value| {
            let mut problems = Problems::default();
            (parse(&value, "tls", &mut problems), problems.lines())
        };
        let (choice, problems) = read(json!({"ca": "/ca.pem", "cert": "/c.pem", "key": "/k.pem"}));
        let identity = Some(("/c.pem".into(), "/k.pem".into()));
        assert_eq!((choice, problems.len()), (TlsChoice { ca: Some("/ca.pem".into()), identity }, 0));
        for (value, problem) in [
            (json!({"cert": "/c.pem"}), "tls.key is required beside cert"),
            (json!({"ca": "ca.pem"}), "tls.ca must be the absolute path of a file in PEM"),
            (json!({"cas": "/c"}), "tls.cas is not a known setting; did you mean 'ca'?"),
            (json!(true), "tls must be an object (found true or false)"),
        ] {
            assert_eq!(read(value.clone()).1, [problem], "{value}");
        }
    }
}
