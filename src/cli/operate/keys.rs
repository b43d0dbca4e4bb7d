//! `mcpvisor keys`: makes, lists, replaces and revokes keys of a running daemon.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::console::Console;
use super::screen::{Colour, Format, Style};
use super::table::{Cell, Fit, Table};
use super::words::{age, plain, read_length, since};
use crate::cli::client::Problem;

/// Most keys that are listed.
const MAX_KEYS: usize = 10_000;
/// Where `/v1` has keys.
const KEYS: &str = "/v1/api-keys";

/// Command about keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Keys {
    /// Makes a key.
    Create(NewKey),
    /// Lists keys, of this status.
    List(String),
    /// Gives a key another text; the one before is good for this long.
    Rotate(String, Option<Duration>, bool),
    /// Revokes keys; `true` for what they have made as well.
    Remove(Vec<String>, bool),
}

/// Key to make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewKey {
    /// Name of the key.
    pub name: String,
    /// Servers that it may use; empty for all.
    pub servers: Vec<String>,
    /// Tools that it may use, with `*` for any characters; empty for all.
    pub tools: Vec<String>,
    /// Requests a second. `None` for the default.
    pub rate: Option<u64>,
    /// Calls a month. `None` for the default.
    pub monthly: Option<u64>,
    /// Calls at once. `None` for the default.
    pub at_once: Option<u64>,
    /// Moment, date or age at which it ends. `None` for never.
    pub expires: Option<String>,
    /// Id of the member that owns it. `None` for the caller's.
    pub owner: Option<String>,
    /// Id of a member to make along with it, which may call tools and no more. `None` for none.
    pub member: Option<String>,
    /// Role of that member. `None` for one that may call tools and no more.
    pub role: Option<String>,
    /// `true` to write nothing but the key's text.
    pub quiet: bool,
}

/// Carries a command about keys out.
pub(super) async fn run(console: &Console, keys: &Keys) -> Result<(), Problem> {
    match keys {
        Keys::Create(new) => create(console, new).await,
        Keys::List(status) => {
            let mut keys = console.daemon.pages(KEYS, &[("status", status)], MAX_KEYS).await?;
            if console.screen.format == Format::Table {
                name_servers(console, &mut keys).await;
            }
            let now = (console.now)();
            let document = Value::Array(keys);
            console.screen.show(&document, |style| table(&document, style, now))
        }
        Keys::Rotate(key, grace, quiet) => {
            let id = find(console, key).await?;
            let body = match grace {
                Some(grace) => json!({"grace": format!("{}ms", grace.as_millis())}),
                None => json!({}),
            };
            let url = console.daemon.below(KEYS, &id, "rotate")?;
            shown(console, &console.daemon.ask(Method::POST, url, Some(&body)).await?, *quiet).await
        }
        Keys::Remove(keys, descendants) => {
            for key in keys {
                remove(console, &find(console, key).await?, *descendants).await?;
            }
            Ok(())
        }
    }
}

async fn create(console: &Console, new: &NewKey) -> Result<(), Problem> {
    let body = body(new, (console.now)()).map_err(Problem::Usage)?;
    let url = console.daemon.path(KEYS)?;
    shown(console, &console.daemon.ask(Method::POST, url, Some(&body)).await?, new.quiet).await
}

/// Returns the request for a key.
fn body(new: &NewKey, now: OffsetDateTime) -> Result<Value, String> {
    let all_or = |names: &[String]| if names.is_empty() { json!("*") } else { json!(names) };
    let mut body = json!({
        "name": new.name,
        "permissions": {"mcps": all_or(&new.servers), "tools": all_or(&new.tools)},
    });
    let limits = [
        ("requests_per_second", new.rate),
        ("monthly_requests", new.monthly),
        ("calls_at_once", new.at_once),
    ];
    for (name, limit) in limits.into_iter().filter_map(|(name, limit)| Some((name, limit?))) {
        body["limits"][name] = json!(limit);
    }
    if let Some(expires) = &new.expires {
        body["expires_at"] = json!(end(expires, now)?);
    }
    if let Some(owner) = &new.owner {
        body["owner_id"] = json!(owner);
    }
    if let Some(member) = &new.member {
        body["member"] = json!({"id": member});
        if let Some(role) = &new.role {
            body["member"]["role"] = json!(role);
        }
    }
    Ok(body)
}

/// Returns the end that a person writes as the API takes it: a length of time from now, else what it is.
fn end(expires: &str, now: OffsetDateTime) -> Result<String, String> {
    let Ok(length) = read_length(expires) else { return Ok(expires.to_owned()) };
    // A number without a unit could be anything.
    if expires.ends_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("--expires {expires:?} must have a unit, such as 30d, or be a date"));
    }
    let length = time::Duration::try_from(length).ok();
    let at = length.and_then(|length| now.checked_add(length)).and_then(|at| at.replace_nanosecond(0).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).ok_or_else(|| format!("--expires {expires:?} is too far away"))
}

/// Puts names in place of the ids of servers in permissions, as far as they are known.
async fn name_servers(console: &Console, keys: &mut [Value]) {
    let is_limited =
        |key: &Value| key["permissions"]["mcps"].is_array() || key["permissions"]["tools"].is_object();
    if !keys.iter().any(is_limited) {
        return;
    }
    let servers = console.servers().await.unwrap_or_default();
    let name =
        |id: &str| servers.iter().find(|server| server["id"] == id).map(|server| plain(&server["name"]));
    for permissions in keys.iter_mut().filter_map(|key| key.get_mut("permissions")) {
        for id in permissions["mcps"].as_array_mut().into_iter().flatten() {
            if let Some(name) = id.as_str().and_then(name) {
                *id = json!(name);
            }
        }
        if let Some(by_server) = permissions["tools"].as_object() {
            let named =
                by_server.iter().map(|(id, tools)| (name(id).unwrap_or_else(|| id.clone()), tools.clone()));
            permissions["tools"] = named.collect();
        }
    }
}

/// Writes a key's text, which is shown this once, and what there is to say beside it.
async fn shown(console: &Console, answer: &Value, quiet: bool) -> Result<(), Problem> {
    let mut keys = [answer["data"].clone()];
    if console.screen.format == Format::Table {
        name_servers(console, &mut keys).await;
    }
    let [key] = &keys;
    let warnings = answer["warnings"].as_array().into_iter().flatten();
    warnings.for_each(|warning| console.screen.remark(&format!("note: {}", plain(warning))));
    if quiet {
        return console.screen.write(&format!("{}\n", plain(&key["key"])));
    }
    if console.screen.format == Format::Table {
        console.screen.remark("The key is shown this once:");
    }
    let now = (console.now)();
    console.screen.show(key, |style| whole(key, style, now))
}

fn whole(key: &Value, style: &Style, now: OffsetDateTime) -> String {
    let mut text = String::new();
    // The answer to a rotation does not say what the key may.
    let permitted = |what: &str| key.get("permissions").map_or_else(String::new, |all| list(&all[what]));
    for (name, value) in [
        ("key", style.paint(Colour::Bold, &plain(&key["key"]))),
        ("id", plain(&key["id"])),
        ("name", style.foreign(&plain(&key["name"])).into_owned()),
        ("owner", plain(&key["owner_id"])),
        ("servers", permitted("mcps")),
        ("tools", permitted("tools")),
        ("limits", limits(&key["limits"])),
        ("expires", moment_or(&key["expires_at"], "never", now)),
        ("earlier key until", moment_or(&key["previous_key_until"], "", now)),
    ] {
        if !value.is_empty() {
            text += &format!("{name:>18}: {value}\n");
        }
    }
    text
}

fn moment_or(value: &Value, other: &str, now: OffsetDateTime) -> String {
    if value.is_null() { other.to_owned() } else { since(value, now) }
}

/// Returns names of permissions in short.
fn list(names: &Value) -> String {
    match names {
        Value::Null => "*".to_owned(),
        Value::Array(names) => names.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(by_server) => {
            let told = by_server.iter().map(|(server, tools)| format!("{server}:{}", list(tools)));
            told.collect::<Vec<_>>().join(" ")
        }
        other => plain(other),
    }
}

fn limits(limits: &Value) -> String {
    let told = [("requests_per_second", "/s"), ("monthly_requests", "/month"), ("calls_at_once", " at once")];
    let told = told.iter().filter_map(|(name, unit)| Some(format!("{}{unit}", limits[*name].as_u64()?)));
    told.collect::<Vec<_>>().join(", ")
}

fn table(keys: &Value, style: &Style, now: OffsetDateTime) -> String {
    let mut table = Table::new(&[
        ("ID", Fit::Whole),
        ("NAME", Fit::Cut(12)),
        ("PREFIX", Fit::Optional),
        ("STATUS", Fit::Whole),
        ("OWNER", Fit::Cut(10)),
        ("SERVERS", Fit::Cut(12)),
        ("TOOLS", Fit::Cut(12)),
        ("LIMITS", Fit::Optional),
        ("USED", Fit::Optional),
        ("EXPIRES", Fit::Optional),
    ]);
    for key in keys.as_array().into_iter().flatten() {
        let status = plain(&key["status"]);
        let colour = if status == "active" { Colour::Green } else { Colour::Dim };
        let expires = match key["expires_at"].as_str() {
            Some(at) => at.to_owned(),
            None => "never".to_owned(),
        };
        table.row([
            Cell::from(plain(&key["id"])),
            Cell::from(plain(&key["name"])),
            Cell::from(plain(&key["prefix"])),
            Cell::painted(&status, Some(colour)),
            Cell::from(plain(&key["owner_id"])),
            Cell::from(list(&key["permissions"]["mcps"])),
            Cell::from(list(&key["permissions"]["tools"])),
            Cell::from(limits(&key["limits"])),
            Cell::from(age(&key["last_used"], now)),
            Cell::from(expires),
        ]);
    }
    table.text(style)
}

/// Returns the id of a key that was named by its id, its name or the beginning of its text.
async fn find(console: &Console, key: &str) -> Result<String, Problem> {
    if key.starts_with("key_") || key == "self" {
        return Ok(key.to_owned());
    }
    let known = console.daemon.pages(KEYS, &[("status", "active")], MAX_KEYS).await?;
    let mut found = known.iter().filter(|known| known["name"] == key || known["prefix"] == key);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(plain(&one["id"])),
        (None, _) => {
            Err(Problem::refused(format!("there is no active key {key:?}; `mcpvisor keys list` shows all")))
        }
        (Some(_), Some(_)) => Err(Problem::Usage(format!(
            "several keys are called {key:?}; name one by its id (`mcpvisor keys list`)"
        ))),
    }
}

async fn remove(console: &Console, id: &str, descendants: bool) -> Result<(), Problem> {
    let mut url = console.daemon.below(KEYS, id, "")?;
    if descendants {
        url.query_pairs_mut().append_pair("descendants", "true");
    }
    let answer = console.daemon.ask(Method::DELETE, url, None).await?;
    let told = &answer["data"];
    let revoked = told["revoked_keys"].as_array().map_or(0, Vec::len);
    console.screen.remark(&match revoked {
        0 | 1 => format!("{id} is revoked"),
        all => format!("{id} is revoked, and {} with it", all - 1),
    });
    if let Some(warning) = told["warning"].as_str() {
        console.screen.remark(&format!("note: {warning}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_796_025_600).expect("a moment")
    }

    #[test]
    fn a_key_is_asked_for_as_the_api_takes_it() {
        let new = NewKey {
            name: "Bob".to_owned(),
            servers: vec!["demo".to_owned()],
            tools: vec!["echo".to_owned(), "a*".to_owned()],
            rate: Some(5),
            expires: Some("30d".to_owned()),
            member: Some("user_bob".to_owned()),
            role: Some("viewer".to_owned()),
            ..NewKey::default()
        };
        let expected = json!({
            "name": "Bob", "permissions": {"mcps": ["demo"], "tools": ["echo", "a*"]}, "limits": {"requests_per_second": 5},
            "expires_at": "2026-12-30T08:00:00Z", "member": {"id": "user_bob", "role": "viewer"},
        });
        assert_eq!(body(&new, now()), Ok(expected));
        let bare = NewKey { name: "x".to_owned(), ..NewKey::default() };
        assert_eq!(body(&bare, now()), Ok(json!({"name": "x", "permissions": {"mcps": "*", "tools": "*"}})));
        assert_eq!(end("2027-01-01", now()), Ok("2027-01-01".to_owned()));
        assert!(end("30", now()).is_err() && end("99999999999d", now()).is_err());
    }

    #[test]
    fn a_key_is_told_with_what_is_known_of_it() {
        let made = json!({"key": "pk_1", "id": "key_1", "name": "Bob", "owner_id": "user_bob", "expires_at": null,
            "permissions": {"mcps": ["demo"]}, "limits": {"requests_per_second": 5}});
        let lines = |key: &Value| {
            whole(key, &Style::PLAIN, now()).lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            lines(&made),
            [
                "key: pk_1",
                "id: key_1",
                "name: Bob",
                "owner: user_bob",
                "servers: demo",
                "tools: *",
                "limits: 5/s",
                "expires: never"
            ]
        );
        let rotated = json!({"key": "pk_2", "id": "key_1", "name": "Bob", "expires_at": null, "previous_key_until": "2026-11-30T09:00:00Z"});
        assert_eq!(
            lines(&rotated),
            [
                "key: pk_2",
                "id: key_1",
                "name: Bob",
                "expires: never",
                "earlier key until: 2026-11-30T09:00:00Z (in 1h)"
            ]
        );
    }

    #[test]
    fn keys_have_their_lines() {
        let keys = json!([{
            "id": "key_1", "name": "Bob", "prefix": "pk_live_abc", "status": "active", "owner_id": "user_bob",
            "permissions": {"mcps": "*", "tools": {"mcp_1": ["echo"], "mcp_2": "*"}},
            "limits": {"requests_per_second": 5, "monthly_requests": null, "calls_at_once": 2},
            "last_used": "2026-11-30T07:59:00Z", "expires_at": null,
        }]);
        assert_eq!(
            table(&keys, &Style::PLAIN, now()),
            "ID     NAME  PREFIX       STATUS  OWNER     SERVERS  TOOLS               LIMITS          USED  EXPIRES\n\
             key_1  Bob   pk_live_abc  active  user_bob  *        mcp_1:echo mcp_2:*  5/s, 2 at once  1m    never\n"
        );
    }
}
