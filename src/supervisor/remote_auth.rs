//! How tokens for a remote server are got: the member `mcpvisor.auth` of its entry, checked. Pure.

use serde_json::{Map, Value};

use super::problem::{Problems, kind_of};
use crate::upstream::http::{AuthChoice, ClientCredentials, ClientProof, LoginSettings};

const MEMBERS: [&str; 8] =
    ["type", "client_id", "client_secret", "private_key", "scope", "issuer", "token_url", "resource"];

/// Reads the member; `None` if it cannot be used.
pub(super) fn parse(value: &Value, path: &str, problems: &mut Problems) -> Option<AuthChoice> {
    let Value::Object(auth) = value else {
        return problems.add(path, &format!("must be an object (found {})", kind_of(value)));
    };
    let before = problems.count();
    for member in auth.keys().filter(|member| !MEMBERS.contains(&member.as_str())) {
        problems.unknown(&format!("{path}.{member}"), member, &MEMBERS);
    }
    let sends_resource = match auth.get("resource").map(Value::as_str) {
        None => true,
        Some(Some("omit")) => false,
        Some(_) => {
            problems.add::<()>(&format!("{path}.resource"), "must be \"omit\", or not there");
            true
        }
    };
    let choice = match auth.get("type").and_then(Value::as_str) {
        Some("client_credentials") => client(auth, sends_resource, path, problems),
        Some("login") => login(auth, sends_resource, path, problems),
        _ => problems.add(&format!("{path}.type"), "must be \"client_credentials\" or \"login\""),
    };
    choice.filter(|_| problems.count() == before)
}

fn client(
    auth: &Map<String, Value>,
    sends_resource: bool,
    path: &str,
    problems: &mut Problems,
) -> Option<AuthChoice> {
    let client_id = text(auth, "client_id", path, problems);
    if client_id.is_none() {
        problems
            .add::<()>(&format!("{path}.client_id"), "is required: the id that the client is registered by");
    }
    let secret = text(auth, "client_secret", path, problems);
    let key = text(auth, "private_key", path, problems);
    let proof = match (secret, key) {
        (Some(secret), None) => Some((ClientProof::Secret, secret)),
        (None, Some(key)) => Some((ClientProof::Key, key)),
        (None, None) | (Some(_), Some(_)) => {
            let reason =
                "needs either a client_secret or a private_key, such as \"${file:/run/keys/client.pem}\"";
            problems.add(path, reason)
        }
    };
    let token_url = text(auth, "token_url", path, problems);
    if token_url.as_ref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
        problems.add::<()>(&format!("{path}.token_url"), "must be an https:// address");
    }
    let scope = text(auth, "scope", path, problems);
    let issuer = text(auth, "issuer", path, problems);
    let (client_id, (proof, proof_text)) = (client_id?, proof?);
    Some(AuthChoice::Client(ClientCredentials {
        client_id,
        proof,
        proof_text,
        scope,
        issuer,
        token_url,
        sends_resource,
    }))
}

fn login(
    auth: &Map<String, Value>,
    sends_resource: bool,
    path: &str,
    problems: &mut Problems,
) -> Option<AuthChoice> {
    for member in ["private_key", "token_url"].into_iter().filter(|member| auth.contains_key(*member)) {
        problems.add::<()>(&format!("{path}.{member}"), "is for client credentials, and not for a login");
    }
    let client_id = text(auth, "client_id", path, problems);
    let client_secret = text(auth, "client_secret", path, problems);
    if client_id.is_none() && client_secret.is_some() {
        problems.add::<()>(&format!("{path}.client_id"), "is required beside a client_secret");
    }
    let scope = text(auth, "scope", path, problems);
    let issuer = text(auth, "issuer", path, problems);
    Some(AuthChoice::Login(LoginSettings { client_id, client_secret, scope, issuer, sends_resource }))
}

fn text(auth: &Map<String, Value>, member: &str, path: &str, problems: &mut Problems) -> Option<String> {
    match auth.get(member)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        other => {
            let reason = format!("must be a text that is not empty (found {})", kind_of(other));
            problems.add(&format!("{path}.{member}"), &reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(auth: Value) -> (Option<AuthChoice>, Vec<String>) {
        let mut problems = Problems::default();
        (parse(&auth, "auth", &mut problems), problems.lines())
    }

    #[test]
    fn client_credentials_are_read_and_each_wrong_member_is_named() {
        let (read_well, problems) = read(json!({
            "type": "client_credentials", "client_id": "c", "client_secret": "${env:S}", "scope": "a b", "resource": "omit",
        }));
        let Some(AuthChoice::Client(credentials)) = read_well else { panic!("{problems:?}") };
        assert_eq!((credentials.proof, problems.len()), (ClientProof::Secret, 0));
        assert!(!credentials.sends_resource && !format!("{credentials:?}").contains("${env:S}"));
        let (bad, problems) = read(json!({
            "type": "client_credentials", "client_id": 7, "client_secret": "a", "private_key": "b", "scop": "x", "token_url": "ftp://h",
        }));
        assert_eq!(bad, None);
        let has = |piece: &str| problems.iter().any(|problem| problem.contains(piece));
        assert!(has("auth.scop is not a known setting; did you mean 'scope'?"), "{problems:?}");
        assert!(has("auth.client_id must be a text") && has("auth needs either"), "{problems:?}");
        assert!(has("auth.token_url must be an https:// address"), "{problems:?}");
        assert_eq!(read(json!(5)).1, ["auth must be an object (found a number)"]);
        assert_eq!(read(json!({"type": "x"})).1, ["auth.type must be \"client_credentials\" or \"login\""]);
        let Some(AuthChoice::Login(login)) = read(json!({"type": "login", "scope": "a"})).0 else {
            panic!("valid")
        };
        assert_eq!((login.scope.as_deref(), login.client_id, login.sends_resource), (Some("a"), None, true));
        assert_eq!(read(json!({"type": "login", "client_secret": "s", "token_url": "https://h"})).1.len(), 2);
    }
}
