//! `mcpvisor login`: lets a person log in at a remote server. It says which address to open, takes what the browser brings
//! back on this machine, and hands that to the daemon, which keeps the login.

use std::io::{self, BufRead as _, Write};
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::Exit;
use super::client::{self, Access, Daemon, Problem};
use crate::text::visible;

/// Time that the daemon waits for the end of a login.
const LOGIN_LIMIT: Duration = Duration::from_secs(600);
/// Longest head of a request that a browser may send, in bytes.
const MAX_HEAD: u64 = 16 * 1024;
/// Time that a browser may take for it.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Path that the browser is sent to.
const CALLBACK: &str = "/callback";

/// A login to begin, and the daemon that keeps it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Login {
    /// Name of the server.
    pub server: String,
    /// The daemon that keeps the login.
    pub access: Access,
    /// Port of this machine that the browser comes back to. `None` for a free one.
    pub port: Option<u16>,
    /// `true` to paste the address that the browser ends at, for a browser on another machine.
    pub paste: bool,
}

/// Runs a login to its end.
pub fn run(login: &Login) -> Exit {
    client::run(log_in(login))
}

/// Logs a person in.
pub(super) async fn log_in(login: &Login) -> Result<(), Problem> {
    let daemon = Daemon::find(&login.access)?;
    let listener = TcpListener::bind(("127.0.0.1", login.port.unwrap_or(0))).await?;
    let redirect_uri = format!("http://{}{CALLBACK}", listener.local_addr()?);
    let post = async |steps: &str, body: Value| {
        daemon.ask(Method::POST, daemon.server(&login.server, steps)?, Some(&body)).await
    };
    let begun = post("login", json!({"redirect_uri": redirect_uri})).await?;
    let address = begun["authorization_url"].as_str().unwrap_or_default();
    let state = begun["state"].as_str().unwrap_or_default();
    let mut out = io::stdout();
    writeln!(out, "Open this address in a browser, and log in there:\n\n  {}\n", visible(address, false))?;
    if login.paste {
        writeln!(out, "Then paste the address that the browser ends at, even if it shows an error:")?;
    }
    out.flush()?;
    let back = tokio::time::timeout(LOGIN_LIMIT, async {
        match login.paste {
            true => pasted(state).await,
            false => came_back(&listener, state).await,
        }
    });
    let back = back.await.map_err(|_| Problem::NobodyCame)??;
    let ended = post("login/finish", back.body()).await;
    if let Some(browser) = back.browser {
        let told = match &ended {
            Ok(_) => format!("You are logged in to {}. You may close this page.", login.server),
            Err(problem) => format!("This did not work: {problem}"),
        };
        answer(browser, "200 OK", &told).await;
    }
    ended?;
    writeln!(out, "Logged in to {}.", login.server)?;
    Ok(())
}

/// What a browser brought back.
struct Back {
    pairs: Vec<(String, String)>,
    /// Browser that waits for a page; `None` for a pasted address.
    browser: Option<TcpStream>,
}

impl Back {
    fn body(&self) -> Value {
        let mut body = serde_json::Map::new();
        for member in ["state", "code", "iss", "error"] {
            if let Some((_, value)) = self.pairs.iter().find(|(name, _)| name == member) {
                body.insert(member.to_owned(), json!(value));
            }
        }
        Value::Object(body)
    }
}

/// Returns the members of an address that a browser ended at, if it belongs to this login.
fn members(address: &Url, state: &str) -> Option<Vec<(String, String)>> {
    let pairs: Vec<(String, String)> =
        address.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    pairs.iter().any(|(name, value)| name == "state" && value == state).then_some(pairs)
}

async fn pasted(state: &str) -> Result<Back, Problem> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::Read::take(io::stdin().lock(), MAX_HEAD).read_line(&mut line).map(|_| line)
    });
    let line = read.await.map_err(io::Error::other)??;
    let pairs = Url::parse(line.trim()).ok().and_then(|address| members(&address, state));
    match pairs {
        Some(pairs) => Ok(Back { pairs, browser: None }),
        None => Err(Problem::refused("that is not the address that this login ends at".to_owned())),
    }
}

/// Waits for the browser. Whoever else comes by is told that nothing is there for it.
async fn came_back(listener: &TcpListener, state: &str) -> Result<Back, Problem> {
    loop {
        let (mut browser, _) = listener.accept().await?;
        let target = tokio::time::timeout(HEAD_LIMIT, target(&mut browser)).await.ok().flatten();
        let address = target.and_then(|target| Url::parse("http://127.0.0.1").ok()?.join(&target).ok());
        let pairs =
            address.filter(|address| address.path() == CALLBACK).and_then(|address| members(&address, state));
        match pairs {
            Some(pairs) => return Ok(Back { pairs, browser: Some(browser) }),
            None => answer(browser, "404 Not Found", "Nothing is here for you.").await,
        }
    }
}

/// Reads the target of a request: `GET /callback?… HTTP/1.1`.
async fn target(browser: &mut TcpStream) -> Option<String> {
    let mut reader = BufReader::new(browser.take(MAX_HEAD));
    let mut first = String::new();
    reader.read_line(&mut first).await.ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? <= 2 {
            break;
        }
    }
    let target = first.strip_prefix("GET ")?.split(' ').next()?;
    target.starts_with('/').then(|| target.to_owned())
}

async fn answer(mut browser: TcpStream, status: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let page = format!("<!doctype html><meta charset=\"utf-8\"><title>mcpvisor</title><p>{text}</p>\n");
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n",
        page.len()
    );
    // A browser that has left has the answer in the terminal.
    let _ = browser.write_all(format!("{head}{page}").as_bytes()).await;
    let _ = browser.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_back_with_the_state_of_this_login_counts() {
        let at = |text: &str| Url::parse(text).expect("an address");
        let back = members(&at("http://127.0.0.1:1/callback?code=a%20b&state=s&iss=https%3A%2F%2Fas"), "s");
        let back = Back { pairs: back.expect("its own"), browser: None };
        assert_eq!(back.body(), json!({"state": "s", "code": "a b", "iss": "https://as"}));
        for foreign in ["http://h/callback?code=a", "http://h/callback?code=a&state=t", "http://h/callback"] {
            assert_eq!(members(&at(foreign), "s"), None, "{foreign}");
        }
    }

    #[tokio::test]
    async fn a_browser_is_read_and_answered_and_nobody_else_ends_the_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let ask = |line: &'static str| async move {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).await.expect("sent");
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text).await;
            text
        };
        let strangers = async {
            for line in [
                "GET /favicon.ico HTTP/1.1",
                "POST /callback?state=s HTTP/1.1",
                "GET /callback?state=t HTTP/1.1",
            ] {
                assert!(ask(line).await.starts_with("HTTP/1.1 404"), "{line}");
            }
            ask("GET /callback?state=s&code=c HTTP/1.1").await
        };
        let waiting = async {
            let back = came_back(&listener, "s").await.expect("came back");
            assert_eq!(back.body(), json!({"state": "s", "code": "c"}));
            answer(back.browser.expect("waits"), "200 OK", "<done>").await;
        };
        let (page, ()) = tokio::join!(strangers, waiting);
        assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("<p>&lt;done></p>"), "{page}");
    }
}
