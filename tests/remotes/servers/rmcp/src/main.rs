//! A server on the official Rust SDK: both eras at one address, with sessions in the legacy one unless it is told
//! otherwise.
//!
//! ```text
//! remote-rmcp PORT [JOURNAL] [--mode sessions|brief|stateless|json]
//! ```
//!
//! `brief` ends a session after three seconds in which nobody used it, not five minutes. `json` is stateless as well,
//! and answers with JSON where nothing comes before the answer.

mod journal;
mod offers;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::{Router, middleware};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

use crate::journal::Journal;
use crate::offers::{Grown, Server};

const PATH: &str = "/mcp";
const USAGE: &str = "usage: remote-rmcp PORT [JOURNAL] [--mode sessions|brief|stateless|json]";
const MODES: [&str; 4] = ["sessions", "brief", "stateless", "json"];
const BRIEF: Duration = Duration::from_secs(3);

/// How it was started.
struct Given {
    port: u16,
    journal: Option<String>,
    mode: String,
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let Some(given) = given() else {
        eprintln!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    let journal = Journal::open(given.journal.as_deref())?;
    let grown = Arc::new(Grown::default());
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(["sessions", "brief"].contains(&given.mode.as_str()))
        .with_json_response(given.mode == "json");
    let made = {
        let journal = journal.clone();
        move || Ok(Server::new(journal.clone(), grown.clone()))
    };
    let mut sessions = LocalSessionManager::default();
    if given.mode == "brief" {
        sessions.session_config.keep_alive = Some(BRIEF);
    }
    let service = StreamableHttpService::new(made, Arc::new(sessions), config);
    let app = Router::new()
        .route_service(PATH, service)
        .layer(middleware::from_fn_with_state(journal, journal::watch));
    let listener = TcpListener::bind(("127.0.0.1", given.port)).await?;
    axum::serve(listener, app).await?;
    Ok(ExitCode::SUCCESS)
}

fn given() -> Option<Given> {
    let mut given = Given { port: 0, journal: None, mode: "sessions".to_owned() };
    let mut words = std::env::args().skip(1);
    given.port = words.next()?.parse().ok()?;
    while let Some(word) = words.next() {
        if word == "--mode" {
            given.mode = words.next().filter(|mode| MODES.contains(&mode.as_str()))?;
        } else {
            given.journal = Some(word);
        }
    }
    Some(given)
}
