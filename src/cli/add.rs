//! `mcpvisor add`: gives a running daemon a remote server by its address, and says how it is.

use std::io::{self, Write};

use reqwest::{Method, Url};
use serde_json::{Map, Value, json};

use super::Exit;
use super::client::{self, Access, Daemon, Problem};
use super::login::{self, Login};
use crate::text::cut;

/// A server to add.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Add {
    /// Its address.
    pub address: String,
    /// Its name. `None` for one that its address suggests.
    pub name: Option<String>,
    /// Headers to send to it, each as `NAME: VALUE`.
    pub headers: Vec<String>,
    /// Way in which it is spoken to. `None` to find it out.
    pub transport: Option<String>,
    /// `true` to log in at it.
    pub login: bool,
    /// `true` to leave as soon as it is stored.
    pub no_wait: bool,
    /// The daemon that gets it.
    pub access: Access,
}

/// Number of characters of a wrong header that are shown.
const SHOWN: usize = 4;

/// Adds the server.
pub fn run(add: &Add) -> Exit {
    client::run(carry_out(add))
}

async fn carry_out(add: &Add) -> Result<(), Problem> {
    let daemon = Daemon::find(&add.access)?;
    let (name, body) = body(add).map_err(Problem::Usage)?;
    daemon.ask(Method::POST, daemon.path("/api/servers")?, Some(&body)).await?;
    let mut out = io::stdout();
    writeln!(out, "Added {name}.")?;
    if add.login {
        let login = Login { server: name.clone(), access: add.access.clone(), ..Login::default() };
        login::log_in(&login).await?;
    }
    if add.no_wait {
        return Ok(());
    }
    // It waits for the lists, and fails with the cause where there are none to be had.
    match daemon.ask(Method::GET, daemon.server(&name, "tools")?, None).await {
        Ok(said) => {
            let tools = said["tools"].as_array().map_or(0, Vec::len);
            writeln!(out, "It is ready, with {tools} {}.", if tools == 1 { "tool" } else { "tools" })?;
            Ok(())
        }
        Err(Problem::Refused(reason)) => {
            Err(Problem::Refused(format!("it is stored, and not usable yet: {reason}")))
        }
        Err(problem) => Err(problem),
    }
}

/// Returns the name of the server and its definition, or what is wrong with the command line.
fn body(add: &Add) -> Result<(String, Value), String> {
    let address = add.address.trim();
    let name = match &add.name {
        Some(name) => name.clone(),
        None => {
            name_of(address).ok_or_else(|| format!("{address:?} suggests no name; give one by --name"))?
        }
    };
    let mut body = Map::from_iter([("name".to_owned(), json!(name)), ("url".to_owned(), json!(address))]);
    if let Some(transport) = &add.transport {
        body.insert("type".to_owned(), json!(transport));
    }
    let mut headers = Map::new();
    for header in &add.headers {
        let pair = header.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let (name, value) = pair
            .filter(|(name, _)| !name.is_empty())
            // It may be a secret.
            .ok_or_else(|| format!("--header {:?} must be \"NAME: VALUE\"", cut(header.clone(), SHOWN)))?;
        headers.insert(name.to_owned(), json!(value));
    }
    if !headers.is_empty() {
        body.insert("headers".to_owned(), Value::Object(headers));
    }
    if add.login {
        body.insert("mcpvisor".to_owned(), json!({"auth": {"type": "login"}}));
    }
    Ok((name, Value::Object(body)))
}

/// Labels of a host that say nothing of whose it is.
const COMMON: [&str; 5] = ["www", "mcp", "api", "remote", "server"];

/// Returns the name that an address suggests: that of the site (`https://mcp.example.com/mcp` is `example`), or the last
/// step of the path that says something where the host is this machine or a number; `None` if there is none.
fn name_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let host = url.host_str()?;
    let is_site = host.contains('.') && host.chars().any(char::is_alphabetic) && !host.starts_with('[');
    if is_site {
        let labels: Vec<&str> = host.split('.').collect();
        let site = labels[..labels.len() - 1].iter().find(|label| !COMMON.contains(label));
        return site.or(labels.first()).map(|label| (*label).to_owned());
    }
    let says_something = |step: &&str| !step.is_empty() && !["mcp", "sse", "v1"].contains(step);
    let step = url.path_segments()?.rfind(says_something).map(str::to_owned);
    step.or_else(|| host.chars().any(char::is_alphabetic).then(|| host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_suggests_the_name_of_its_site() {
        for (address, name) in [
            ("https://mcp.linear.app/mcp", Some("linear")),
            ("https://api.githubcopilot.com/mcp/", Some("githubcopilot")),
            ("https://example.org/mcp", Some("example")),
            ("https://mcp.example.co.uk/sse", Some("example")),
            ("http://localhost:3001/mcp", Some("localhost")),
            ("http://127.0.0.1:8000/notes/mcp", Some("notes")),
            ("http://127.0.0.1:8000/mcp", None),
            ("http://[::1]:8000/mcp", None),
            ("http://tools:8000/mcp", Some("tools")),
            ("linear", None),
        ] {
            assert_eq!(name_of(address).as_deref(), name, "{address}");
        }
    }

    #[test]
    fn what_the_command_line_says_becomes_a_definition() {
        let add = Add {
            address: "https://mcp.example.org/mcp".to_owned(),
            headers: vec!["Authorization: Bearer ${env:T}".to_owned(), "X-A:b:c".to_owned()],
            transport: Some("sse".to_owned()),
            login: true,
            ..Add::default()
        };
        let (name, body) = body(&add).expect("valid");
        let expected = json!({
            "name": "example", "url": "https://mcp.example.org/mcp", "type": "sse",
            "headers": {"Authorization": "Bearer ${env:T}", "X-A": "b:c"},
            "mcpvisor": {"auth": {"type": "login"}},
        });
        assert_eq!((name.as_str(), body), ("example", expected));
        let wrong = Add { headers: vec!["s3cret-token".to_owned()], ..add };
        assert_eq!(super::body(&wrong).expect_err("no header"), "--header \"s3cr…\" must be \"NAME: VALUE\"");
    }
}
