//! `mcpvisor add`: gives a running daemon a server, by a package, an address or a command, and says how it is.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use reqwest::{Method, Url};
use serde_json::{Map, Value, json};

use super::Exit;
use super::client::{self, Access, Daemon, Problem, Refusal};
use super::login::{self, Login};
use crate::text::{count_of, cut, shell_word};

/// A server to add.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Add {
    /// Package of npm or PyPI (`npx:PACKAGE`, `uvx:PACKAGE`), or its address. `None` for a command.
    pub source: Option<String>,
    /// Command and its arguments; behind a package further arguments of it.
    pub command: Vec<String>,
    /// Its name. `None` for one that its package, its address or its command suggests.
    pub name: Option<String>,
    /// Environment variables of it, each as `NAME=VALUE`.
    pub env: Vec<String>,
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
    let state = wait_while_starting(&daemon, &name).await;
    // It waits for the lists, and fails with the cause where there are none to be had.
    match daemon.ask(Method::GET, daemon.server(&name, "tools")?, None).await {
        Ok(said) => {
            let tools = said["tools"].as_array().map_or(0, Vec::len);
            writeln!(out, "It is ready, with {}.", count_of(tools as u64, "tool"))?;
            Ok(())
        }
        Err(Problem::Refused(refusal)) => {
            let word = shell_word(&name);
            let goes_on = state.is_some_and(|state| matches!(state.as_str(), "starting" | "backoff"));
            let how = format!(
                "\n  the daemon goes on with it: `mcpvisor wait {word}` waits until it is ready, `mcpvisor logs {word} -f` shows \
                 what it writes"
            );
            let how = if goes_on { how.as_str() } else { "" };
            let told = format!("it is stored, and not usable yet: {}{how}", refusal.told);
            Err(Problem::Refused(Box::new(Refusal { told, ..*refusal })))
        }
        Err(problem) => Err(problem),
    }
}

/// Pause between two looks at a server that starts.
const PAUSE: Duration = Duration::from_millis(500);
/// Time after which it is said what is waited for, and then again and again.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Waits while a server is in its first start, as long as the daemon gives it: while it is being installed that may be minutes.
/// Tells whoever looks on, by stderr, what it does. Returns the state after that. Where that cannot be looked at, it does not wait.
async fn wait_while_starting(daemon: &Daemon, name: &str) -> Option<String> {
    let (begun, mut said) = (Instant::now(), Duration::ZERO);
    loop {
        let url = daemon.below("/v1/mcps", name, "").ok()?;
        let told = daemon.ask(Method::GET, url, None).await.ok()?;
        let state = told["data"]["state"].as_str().unwrap_or_default();
        if state != "starting" {
            return Some(state.to_owned());
        }
        let waited = begun.elapsed();
        if waited >= said + SAY_EVERY && io::stderr().is_terminal() {
            said = waited;
            let phase = told["data"]["phase"].as_str().unwrap_or("starting");
            // What cannot be said does not keep it from its work.
            let _ = writeln!(
                io::stderr(),
                "{name}: {phase}, {} s so far; the daemon goes on with it if you leave",
                waited.as_secs()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Programs that fetch and run a package, and what they want to be told before it.
const LAUNCHERS: [(&str, &[&str]); 2] = [("npx", &["-y"]), ("uvx", &[])];

/// Returns the name of the server and its definition, or what is wrong with the command line.
fn body(add: &Add) -> Result<(String, Value), String> {
    let mut body = Map::new();
    let suggested = match add.source.as_deref().map(str::trim) {
        None => of_command(add, &mut body)?,
        Some(source) => match launcher(source) {
            Some((program, first, package)) => {
                let args = first.iter().copied().chain([package]).map(str::to_owned);
                body.insert("command".to_owned(), json!(program));
                body.insert("args".to_owned(), args.chain(add.command.iter().cloned()).collect());
                name_of_package(package)
            }
            None => of_address(add, source, &mut body)?,
        },
    };
    let remote = body.contains_key("url");
    for (flag, is_given) in
        [("--header", !add.headers.is_empty()), ("--type", add.transport.is_some()), ("--login", add.login)]
    {
        if is_given && !remote {
            return Err(format!("{flag} is for servers that have an address"));
        }
    }
    if !add.env.is_empty() {
        body.insert("env".to_owned(), Value::Object(pairs("--env", "NAME=VALUE", '=', &add.env)?));
    }
    let said = add.source.clone().unwrap_or_else(|| add.command.join(" "));
    let name = add.name.clone().or(suggested);
    let name = name.ok_or_else(|| format!("{said:?} suggests no name; give one by --name"))?;
    let named = std::iter::once(("name".to_owned(), json!(name)));
    Ok((name.clone(), Value::Object(named.chain(body).collect())))
}

/// Returns the launcher of a package, what it is told first, and the package; `None` for what is none.
fn launcher(source: &str) -> Option<(&'static str, &'static [&'static str], &str)> {
    LAUNCHERS.iter().find_map(|(program, first)| {
        let package = source.strip_prefix(program)?.strip_prefix(':')?;
        (!package.is_empty()).then_some((*program, *first, package))
    })
}

fn of_address(add: &Add, address: &str, body: &mut Map<String, Value>) -> Result<Option<String>, String> {
    if !address.contains("://") {
        return Err(format!(
            "{address:?} is neither npx:PACKAGE, uvx:PACKAGE nor an address; a command comes behind `--`"
        ));
    }
    if !add.command.is_empty() {
        return Err("a server has an address or a command, not both".to_owned());
    }
    body.insert("url".to_owned(), json!(address));
    if let Some(transport) = &add.transport {
        body.insert("type".to_owned(), json!(transport));
    }
    if !add.headers.is_empty() {
        body.insert(
            "headers".to_owned(),
            Value::Object(pairs("--header", "NAME: VALUE", ':', &add.headers)?),
        );
    }
    if add.login {
        body.insert("mcpvisor".to_owned(), json!({"auth": {"type": "login"}}));
    }
    Ok(name_of(address))
}

fn of_command(add: &Add, body: &mut Map<String, Value>) -> Result<Option<String>, String> {
    let [program, args @ ..] = add.command.as_slice() else {
        return Err(
            "name a server: npx:PACKAGE, uvx:PACKAGE, an address, or a command behind `--`".to_owned()
        );
    };
    body.insert("command".to_owned(), json!(program));
    if !args.is_empty() {
        body.insert("args".to_owned(), json!(args));
    }
    let file = program.rsplit('/').next().unwrap_or_default();
    // Of what runs others, what it runs says more.
    let runs_others =
        ["npx", "uvx", "node", "python", "python3", "uv", "docker", "sh", "bash"].contains(&file);
    let first = args.iter().find(|arg| !arg.starts_with('-')).filter(|_| runs_others);
    Ok(match first {
        Some(first) => name_of_package(first.rsplit('/').next().unwrap_or_default()),
        None => name_of_package(file).filter(|_| !runs_others),
    })
}

/// Reads pairs of a name and a value.
fn pairs(flag: &str, form: &str, sign: char, given: &[String]) -> Result<Map<String, Value>, String> {
    let mut read = Map::new();
    for text in given {
        let pair = text.split_once(sign).map(|(name, value)| match sign {
            ':' => (name.trim(), value.trim()),
            _ => (name, value),
        });
        let (name, value) = pair
            .filter(|(name, _)| !name.is_empty())
            // It may be a secret.
            .ok_or_else(|| format!("{flag} {:?} must be \"{form}\"", cut(text.clone(), SHOWN)))?;
        read.insert(name.to_owned(), json!(value));
    }
    Ok(read)
}

/// Returns the name that a package suggests, without its scope, its version and what every server is called:
/// `@modelcontextprotocol/server-everything@2026.7.4` is `everything`. `None` if nothing is left.
fn name_of_package(package: &str) -> Option<String> {
    let name =
        package.strip_prefix('@').map_or(package, |scoped| scoped.split_once('/').map_or(scoped, |it| it.1));
    let name = name.split(['@', '=', '<', '>', '~', '[']).next().unwrap_or_default();
    let name = [".js", ".mjs", ".py", ".sh"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let mut short = name;
    for part in ["mcp-server-", "server-", "mcp-"] {
        short = short.strip_prefix(part).unwrap_or(short);
    }
    for part in ["-mcp-server", "-server", "-mcp"] {
        short = short.strip_suffix(part).unwrap_or(short);
    }
    let name = if short.is_empty() { name } else { short };
    (!name.is_empty()).then(|| name.to_owned())
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
            source: Some("https://mcp.example.org/mcp".to_owned()),
            headers: vec!["Authorization: Bearer ${env:T}".to_owned(), "X-A:b:c".to_owned()],
            transport: Some("sse".to_owned()),
            login: true,
            env: vec!["A=b=c".to_owned()],
            ..Add::default()
        };
        let (name, body) = body(&add).expect("valid");
        let expected = json!({
            "name": "example", "url": "https://mcp.example.org/mcp", "type": "sse",
            "headers": {"Authorization": "Bearer ${env:T}", "X-A": "b:c"},
            "mcpvisor": {"auth": {"type": "login"}}, "env": {"A": "b=c"},
        });
        assert_eq!((name.as_str(), body), ("example", expected));
        let wrong = Add { headers: vec!["s3cret-token".to_owned()], ..add };
        assert_eq!(super::body(&wrong).expect_err("no header"), "--header \"s3cr…\" must be \"NAME: VALUE\"");
    }

    fn added(source: &str, command: &[&str]) -> Result<Value, String> {
        let source = Some(source.to_owned()).filter(|source| !source.is_empty());
        let command = command.iter().map(|&word| word.to_owned()).collect();
        body(&Add { source, command, ..Add::default() }).map(|(_, body)| body)
    }

    #[test]
    fn packages_and_commands_become_definitions_with_names() {
        let everything = "@modelcontextprotocol/server-everything@2026.7.4";
        assert_eq!(
            added(&format!("npx:{everything}"), &["stdio"]),
            Ok(json!({"name": "everything", "command": "npx", "args": ["-y", everything, "stdio"]}))
        );
        assert_eq!(
            added("uvx:mcp-server-time==1.0", &[]),
            Ok(json!({"name": "time", "command": "uvx", "args": ["mcp-server-time==1.0"]}))
        );
        let named = |command: &[&str]| added("", command).map(|body| body["name"].clone());
        assert_eq!(added("", &["/opt/git-mcp"]), Ok(json!({"name": "git", "command": "/opt/git-mcp"})));
        assert_eq!(named(&["node", "--inspect", "dist/notes.mjs"]), Ok(json!("notes")));
        assert_eq!(named(&["npx", "-y", "@a/mcp"]), Ok(json!("mcp")));
        for (source, command, part) in [
            ("", &[][..], "name a server"),
            ("", &["python3", "-m"][..], "give one by --name"),
            ("demo", &[][..], "neither npx:PACKAGE"),
            ("npx:", &[][..], "neither npx:PACKAGE"),
            ("https://h.example/mcp", &["x"][..], "not both"),
        ] {
            let told = added(source, command).expect_err(part);
            assert!(told.contains(part), "{told}");
        }
        let headers =
            Add { command: vec!["x".to_owned()], headers: vec!["A: b".to_owned()], ..Add::default() };
        assert_eq!(body(&headers).expect_err("no address"), "--header is for servers that have an address");
    }
}
