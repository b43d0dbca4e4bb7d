//! Section `[auth.oidc]`: the authorization server whose access tokens are accepted, and what they allow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use toml::de::DeValue;

use super::problem::Problems;
use super::section::{Section, texts};
use super::values;
use crate::access::{Permissions, Role, Tenancy};
use crate::oidc::{OidcSettings, SigningAlgorithm, is_safe_url};

const ISSUER: &str = "the address of the authorization server as its tokens have it: https (http on loopback only), without user, \
                      query or fragment, such as \"https://id.example/realms/main\"";
const PUBLIC_URL: &str = "the origin at which clients reach this daemon: https (http on loopback only), without a path, such as \
                          \"https://mcp.example\"";
const JWKS: &str = "an address: https (http on loopback only), without user, query or fragment";
const AUDIENCE: &str = "a text or an array of 1 to 20 texts: what tokens for this daemon have in their aud";
const ALGORITHMS: &str = "an array of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA; algorithms without a public key, \
                          as none and HS256, are never accepted";
const CLAIM: &str = "the name of a claim, with dots between the names of nested ones";
const ROLES: &str = "a table from values of the claim to \"viewer\", \"member\", \"admin\" or \"owner\"";
const SCOPES: &str = "an array of scopes: texts without blanks, quotes and backslashes";
/// Most entries of a table and of a list.
const MAX_ENTRIES: usize = 1_000;
/// Longest text, in characters.
const MAX_TEXT: usize = 512;
/// Largest difference between clocks that can be allowed for.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// Reads `[auth]`. `tenancy` is what the file says of plans. `None` without an `[auth.oidc]`, and for one that cannot be
/// used, which is a problem.
pub(super) fn read(
    mut auth: Section<'_>,
    tenancy: &Tenancy,
    problems: &mut Problems,
) -> Option<Arc<OidcSettings>> {
    let is_there = auth.position("oidc").is_some();
    let before = problems.len();
    let mut s = auth.section("oidc", problems);
    let (mut issuer, mut public_url) = (None, None);
    s.set("issuer", ISSUER, &mut issuer, problems, |value| address(value).map(Some));
    s.set("public_url", PUBLIC_URL, &mut public_url, problems, |value| {
        address(value).filter(|url| values::origin(url).as_ref() == Some(url)).map(Some)
    });
    let is_unread = problems.len() > before;
    for (name, found, what) in [("issuer", &issuer, ISSUER), ("public_url", &public_url, PUBLIC_URL)] {
        if is_there && !is_unread && found.is_none() {
            s.refuse(name, format!("is required: {what}"), problems);
        }
    }
    let mut settings = OidcSettings::new(issuer.unwrap_or_default(), public_url.unwrap_or_default());
    tokens(&mut s, &mut settings, problems);
    rights(&mut s, &mut settings, tenancy, problems);
    s.finish(problems);
    auth.finish(problems);
    (is_there && problems.len() == before).then(|| Arc::new(settings))
}

/// Reads which tokens are accepted.
fn tokens(s: &mut Section<'_>, settings: &mut OidcSettings, problems: &mut Problems) {
    s.set("audience", AUDIENCE, &mut settings.audience, problems, |value| match value.as_str() {
        Some(only) => text(only).map(|only| vec![only]),
        None => texts(value, text).filter(|all| (1..=20).contains(&all.len())),
    });
    s.set("jwks_url", JWKS, &mut settings.jwks_url, problems, |value| address(value).map(Some));
    s.set("algorithms", ALGORITHMS, &mut settings.algorithms, problems, |value| {
        let known =
            |name: &str| SigningAlgorithm::ALL.iter().find(|(known, _)| *known == name).map(|(_, it)| *it);
        texts(value, known).filter(|all| !all.is_empty())
    });
    s.set("required_scopes", SCOPES, &mut settings.required_scopes, problems, |value| {
        texts(value, scope).filter(|all| all.len() <= 100)
    });
    s.duration("leeway", Duration::ZERO..=MAX_LEEWAY, &mut settings.leeway, problems);
}

/// Reads what tokens allow.
fn rights(s: &mut Section<'_>, settings: &mut OidcSettings, tenancy: &Tenancy, problems: &mut Problems) {
    let claim = |value: &DeValue<'_>| value.as_str().and_then(text);
    s.set("principal", CLAIM, &mut settings.principal, problems, claim);
    s.set("role_claim", CLAIM, &mut settings.role_claim, problems, claim);
    s.set("roles", ROLES, &mut settings.roles, problems, |value| {
        let role = |value: &DeValue<'_>| {
            let named = value.as_str()?;
            Role::ALL.iter().find(|(name, _)| *name == named).map(|(_, role)| *role)
        };
        table(value, role)
    });
    s.choice("default_role", &Role::ALL, &mut settings.default_role, problems);
    s.set("permission_claim", CLAIM, &mut settings.permission_claim, problems, claim);
    let mut wrong = None;
    const PERMISSIONS: &str = "a table from values of the claim to permissions as keys have them: { mcps = [\"git\"], tools = [\"read_*\"] }";
    s.set("permissions", PERMISSIONS, &mut settings.permissions, problems, |value| {
        let read = |(value, permissions): (&str, &DeValue<'_>)| {
            let read = Permissions::read(&json(permissions)?, &mut |named| named.into());
            match read {
                Ok(permissions) => Some((value.to_owned(), permissions)),
                Err(error) => {
                    wrong.get_or_insert_with(|| format!("{value}: {error}"));
                    Some((value.to_owned(), Permissions::default()))
                }
            }
        };
        entries(value)?.into_iter().map(read).collect()
    });
    if let Some(wrong) = wrong {
        s.refuse("permissions", format!("has an entry that cannot be read: {wrong}"), problems);
    }
    let plans: Vec<String> = tenancy.plans.keys().map(|name| format!("{name:?}")).collect();
    s.set("plan", &format!("one of the plans {}", plans.join(", ")), &mut settings.plan, problems, |value| {
        tenancy.plans.get_key_value(value.as_str()?).map(|(name, _)| Some(name.clone()))
    });
}

fn address(value: &DeValue<'_>) -> Option<String> {
    value.as_str().filter(|url| url.len() <= MAX_TEXT && is_safe_url(url)).map(str::to_owned)
}

fn text(text: &str) -> Option<String> {
    (1..=MAX_TEXT).contains(&text.chars().count()).then(|| text.to_owned())
}

/// Reads a scope (RFC 6749, section 3.3).
fn scope(scope: &str) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    text(scope).filter(|scope| scope.bytes().all(good))
}

/// Returns the entries of a table; `None` if it is none, or has too many.
fn entries<'t>(value: &'t DeValue<'_>) -> Option<Vec<(&'t str, &'t DeValue<'t>)>> {
    let table = value.as_table().filter(|table| table.len() <= MAX_ENTRIES)?;
    Some(table.iter().map(|(name, value)| (name.get_ref().as_ref(), value.get_ref())).collect())
}

fn table<T>(value: &DeValue<'_>, read: impl Fn(&DeValue<'_>) -> Option<T>) -> Option<BTreeMap<String, T>> {
    entries(value)?.into_iter().map(|(name, value)| Some((name.to_owned(), read(value)?))).collect()
}

/// Returns texts, arrays and tables as JSON; `None` for anything else.
fn json(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(_) => {
            let members = entries(value)?.into_iter();
            let members: Option<Map<String, Value>> =
                members.map(|(name, value)| Some((name.to_owned(), json(value)?))).collect();
            members.map(Value::Object)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::super::section::Document;
    use super::super::settings::Config;
    use super::*;

    const LEAST: &str = "[auth.oidc]\nissuer = 'https://id.example/'\npublic_url = 'https://gw.example'\n";

    fn read(text: &str) -> (Option<Arc<OidcSettings>>, Vec<String>) {
        let (mut config, mut problems) = (Config::with_defaults("/d".into()), Problems::default());
        file::apply(Document::new("c.toml", text), "/etc".as_ref(), &mut config, &mut problems);
        (config.http.oidc, problems.lines())
    }

    #[test]
    fn two_settings_are_enough_and_none_means_none() {
        let (settings, lines) = read(LEAST);
        let least = OidcSettings::new("https://id.example/".to_owned(), "https://gw.example".to_owned());
        assert_eq!((settings.as_deref(), lines.len()), (Some(&least), 0), "{lines:?}");
        assert_eq!(read(""), (None, Vec::new()));
        assert_eq!(read("[auth]\n"), (None, Vec::new()));
    }

    #[test]
    fn every_setting_is_read() {
        let (settings, lines) = read(&format!(
            "{LEAST}audience = ['a', 'b']\njwks_url = 'https://id.example/keys'\nalgorithms = ['ES256']\n\
             required_scopes = ['mcp:use']\nleeway = '5s'\nprincipal = 'oid'\nrole_claim = 'realm_access.roles'\n\
             roles = {{ mcp-admin = 'admin' }}\ndefault_role = 'member'\npermission_claim = 'groups'\nplan = 'pro'\n\
             [auth.oidc.permissions.readers]\nmcps = ['db']\ntools = {{ db = ['read_*'] }}\n"
        ));
        assert_eq!(lines, [""; 0]);
        let settings = settings.expect("there");
        assert_eq!(
            (settings.audience.len(), settings.leeway.as_secs(), settings.plan.as_deref()),
            (2, 5, Some("pro"))
        );
        assert_eq!(settings.algorithms, [SigningAlgorithm::Es256]);
        assert_eq!((settings.roles["mcp-admin"], settings.default_role), (Role::Admin, Role::Member));
        let readers = &settings.permissions["readers"];
        assert!(readers.allow_tool("db", "read_x") && !readers.allow_tool("db", "write"));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let more = |line: &str| format!("{LEAST}{line}\n");
        for (text, problem) in [
            ("[auth.oidc]\n".to_owned(), "auth.oidc.issuer is required: the address of"),
            (
                "[auth.oidc]\nissuer = 'https://a'\n".to_owned(),
                "auth.oidc.public_url is required: the origin",
            ),
            (
                "[auth.oidc]\nissuer = 'http://id.example'\n".to_owned(),
                "auth.oidc.issuer must be the address of",
            ),
            (
                "[auth.oidc]\npublic_url = 'https://a/b'\n".to_owned(),
                "auth.oidc.public_url must be the origin",
            ),
            ("[auth]\noidc = 1\n".to_owned(), "auth.oidc must be a section: [auth.oidc]"),
            ("[auth.odic]\n".to_owned(), "auth.odic is not a known setting; did you mean \"oidc\"?"),
            (more("audience = []"), "auth.oidc.audience must be a text or an array"),
            (more("jwks_url = 'http://x'"), "auth.oidc.jwks_url must be an address: https"),
            (more("algorithms = ['HS256']"), "auth.oidc.algorithms must be an array of RS256"),
            (more("algorithms = ['none']"), "auth.oidc.algorithms must be"),
            (more("algorithms = []"), "auth.oidc.algorithms must be"),
            (more("leeway = '6m'"), "auth.oidc.leeway must be a duration from 0ms to 5m"),
            (more("roles = { a = 'king' }"), "auth.oidc.roles must be a table from values"),
            (more("default_role = 'king'"), "auth.oidc.default_role must be one of \"viewer\""),
            (more("required_scopes = ['a b']"), "auth.oidc.required_scopes must be an array of scopes"),
            (more("plan = 'gold'"), "auth.oidc.plan must be one of the plans \"free\""),
            (more("permissions = 1"), "auth.oidc.permissions must be a table"),
            (
                more("permissions = { a = { mcp = ['x'] } }"),
                "auth.oidc.permissions has an entry that cannot be read: a: has the unknown member 'mcp'",
            ),
            (more("role = 'x'"), "auth.oidc.role is not a known setting"),
        ] {
            let (settings, lines) = read(&text);
            assert!(lines.iter().any(|line| line.contains(problem)), "{text}: {lines:?}");
            let count = if text == "[auth.oidc]\n" { 2 } else { 1 };
            assert_eq!((settings, lines.len()), (None, count), "{text}: {lines:?}");
        }
    }
}
