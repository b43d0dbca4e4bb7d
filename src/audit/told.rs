//! The part of a definition that the audit records: enough to see what was run, and no secrets. Pure.

use serde_json::{Map, Value};

use crate::supervisor::{ADDRESS_MEMBERS, Definition, HEADER_MEMBERS, shown_address};

/// Placeholder for a value that may be a secret.
const REDACTED: &str = "[REDACTED]";
/// Substrings, in lower case, that mark a name as that of a secret.
const SECRET_NAMES: [&str; 10] = [
    "token",
    "secret",
    "passw",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "credential",
    "private-key",
    "access-key",
];
/// Prefixes that mark a word as a secret.
const SECRET_BEGINNINGS: [&str; 8] =
    ["sk-", "pk_live_", "ghp_", "gho_", "github_pat_", "glpat-", "xox", "eyJ"];
/// Length in bytes from which a word with letters of both cases and digits is taken for a secret.
const LONG_WORD: usize = 24;

/// Returns the loggable part of a server's definition: its command and arguments or its address, the names of its
/// variables and headers, and the names of its other members.
pub fn told_of_definition(definition: &Definition) -> Map<String, Value> {
    told_of_change(definition.raw())
}

/// Does the same for the members that a change sets.
pub fn told_of_change(members: &Map<String, Value>) -> Map<String, Value> {
    let mut told = Map::new();
    let mut others = Vec::new();
    for (name, value) in members {
        match (name.as_str(), value) {
            ("command", value) => drop(told.insert(name.clone(), value.clone())),
            ("args", Value::Array(args)) => {
                drop(told.insert(name.clone(), Value::Array(without_secrets(args))))
            }
            ("env", Value::Object(env)) => {
                drop(told.insert(name.clone(), env.keys().map(|name| Value::from(name.as_str())).collect()));
            }
            // Who defined which address (remote-upstreams.md, R68).
            (member, Value::String(address)) if ADDRESS_MEMBERS.contains(&member) => {
                drop(told.insert(name.clone(), Value::from(shown_address(address))));
            }
            (member, Value::Object(headers)) if HEADER_MEMBERS.contains(&member) => {
                drop(
                    told.insert(
                        name.clone(),
                        headers.keys().map(|name| Value::from(name.as_str())).collect(),
                    ),
                );
            }
            _ => others.push(Value::from(name.as_str())),
        }
    }
    if !others.is_empty() {
        told.insert("other_members".to_owned(), Value::Array(others));
    }
    told
}

fn without_secrets(args: &[Value]) -> Vec<Value> {
    let mut told = Vec::with_capacity(args.len());
    let mut follows_secret_flag = false;
    for arg in args {
        let Value::String(arg) = arg else {
            // The parser refuses an argument that is not a text; it is not recorded here.
            told.push(Value::from(REDACTED));
            continue;
        };
        told.push(Value::from(if follows_secret_flag { REDACTED.to_owned() } else { masked(arg) }));
        follows_secret_flag = arg.starts_with('-') && !arg.contains(['=', ' ']) && names_secret(arg);
    }
    told
}

fn names_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|name| text.contains(name))
}

/// Returns an argument with everything masked that may be a secret.
fn masked(arg: &str) -> String {
    if let Some((name, value)) = arg.split_once(['=', ':'])
        && !value.is_empty()
        && names_secret(name)
    {
        let separator = &arg[name.len()..=name.len()];
        return format!("{name}{separator}{REDACTED}");
    }
    if let Some((scheme, rest)) = arg.split_once("://") {
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let authority = match authority.rsplit_once('@') {
            Some((_, host)) => format!("{REDACTED}@{host}"),
            None => authority.to_owned(),
        };
        let path = match path.split_once('?') {
            Some((path, query)) if !query.is_empty() => format!("{path}?{REDACTED}"),
            _ => path.to_owned(),
        };
        return format!("{scheme}://{authority}{path}");
    }
    let looks_secret = |word: &str| {
        let any = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
        SECRET_BEGINNINGS
            .iter()
            .any(|beginning| word.starts_with(beginning) && word.len() > beginning.len() + 8)
            || (word.len() >= LONG_WORD
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+=".contains(&byte))
                && any(u8::is_ascii_digit)
                && any(u8::is_ascii_uppercase)
                && any(u8::is_ascii_lowercase))
    };
    match arg.split([' ', '=', '\'', '"', ',']).any(looks_secret) {
        true => REDACTED.to_owned(),
        false => arg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_is_told_with_its_variables_names_and_never_their_values() {
        let Value::Object(raw) = json!({
            "command": "npx", "args": ["-y", "a-server@1.2.3", "/srv/data"], "env": {"API_KEY": "s3cret"},
            "headers": {"Authorization": "Bearer s3cret"}, "disabled": false,
            "url": "https://s3cret:s3cret@host/mcp?key=s3cret",
        }) else {
            unreachable!()
        };
        let expected = json!({
            "command": "npx", "args": ["-y", "a-server@1.2.3", "/srv/data"], "env": ["API_KEY"],
            "headers": ["Authorization"], "url": "https://host/mcp?key=[REDACTED]", "other_members": ["disabled"],
        });
        assert_eq!(Value::Object(told_of_change(&raw)), expected);
    }

    #[test]
    fn secrets_in_arguments_are_not_told_and_the_rest_is() {
        for (args, told) in [
            (json!(["--api-key", "abc", "--port", "80"]), json!(["--api-key", REDACTED, "--port", "80"])),
            (json!(["--token=abc"]), json!(["--token=[REDACTED]"])),
            (json!(["-H", "Authorization: Bearer abc"]), json!(["-H", "Authorization:[REDACTED]"])),
            (json!(["DB_PASSWORD=x"]), json!(["DB_PASSWORD=[REDACTED]"])),
            (json!(["postgres://joe:pw@db/x"]), json!(["postgres://[REDACTED]@db/x"])),
            (json!(["https://h/mcp?k=1"]), json!(["https://h/mcp?[REDACTED]"])),
            (json!(["sk-abcdefghijkl"]), json!([REDACTED])),
            (json!(["aB3dE6gH9jK2mN5pQ8sT1vW4"]), json!([REDACTED])),
            (json!(["-c", "echo 1 >> /x; sleep 1"]), json!(["-c", "echo 1 >> /x; sleep 1"])),
            (
                json!(["-m", "mcp_server_git", "--repository", "/a/b"]),
                json!(["-m", "mcp_server_git", "--repository", "/a/b"]),
            ),
            (
                json!(["@modelcontextprotocol/server-filesystem@2025.8.21"]),
                json!(["@modelcontextprotocol/server-filesystem@2025.8.21"]),
            ),
            (json!(["--", 5]), json!(["--", REDACTED])),
        ] {
            let Value::Array(given) = &args else { unreachable!() };
            assert_eq!(Value::Array(without_secrets(given)), told, "{args}");
        }
    }
}
