#!/usr/bin/env bash
# rmcp 3.11.0: what a tool logs goes to the session's GET stream, never to the stream of the call, as its progress does.
#
# The specification of 2025-11-25 (basic/transports) has messages on the stream of a POST relate to the request that it
# answers, and those on the GET stream be unrelated to any that runs, both as a SHOULD. A tool that sends a log message
# (`notify_logging_message`), progress, and its answer was called over Streamable HTTP. Seen, in a session of 2025-11-25:
#
#   a GET stream is open       on it the log message; on the call's stream progress and the answer
#   none is open               progress and the answer; the log message comes on a GET stream opened after the call
#   the server keeps no        the log message, progress and the answer, all on the call's stream
#   sessions (the control)
#
# One would expect the log message with the progress, as without sessions: it is of the call in the same way. So a
# client without a GET stream is not told what its call logs, one with a GET stream cannot tell which of several calls
# logged it, and the same tool's log is on one stream or the other by whether its server keeps sessions.
#
# Needs cargo with Rust 1.88 or later, and python3. Builds in a folder that is removed, which takes about two minutes.
# Fails if what is seen changes.
set -euo pipefail

VERSION=3.11.0
work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat >Cargo.toml <<TOML
[package]
name = "server"
version = "0.1.0"
edition = "2024"

[dependencies]
axum = { version = "=0.8.9", default-features = false, features = ["http1", "tokio"] }
rmcp = { version = "=$VERSION", default-features = false, features = ["server", "transport-streamable-http-server"] }
serde_json = "=1.0.154"
tokio = { version = "=1.54.1", features = ["macros", "net", "rt-multi-thread"] }

[profile.dev]
debug = false
incremental = false
TOML
cat >src/main.rs <<'RUST'
//! A server with one tool, which logs, tells progress and answers. Keeps sessions if it is told to; says its port.
#![allow(deprecated)] // Logging is, by 2026-07-28; sessions of 2025-11-25 have it.
use std::sync::Arc;

use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};

struct Server;

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_logging().enable_tools().build())
    }

    async fn set_level(
        &self,
        _: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = JsonObject::from_iter([("type".to_owned(), "object".into())]);
        Ok(ListToolsResult::with_all_items(vec![Tool::new("tell", "Tells what it does", schema)]))
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let log = LoggingMessageNotificationParam::new(LoggingLevel::Warning, "from the call".into());
        context.peer.notify_logging_message(log).await.expect("logs");
        let token = context.meta.get_progress_token().expect("a token");
        context.peer.notify_progress(ProgressNotificationParam::new(token, 1.0)).await.expect("tells");
        Ok(CallToolResult::success(vec![ContentBlock::text("done")]).into())
    }
}

#[tokio::main]
async fn main() {
    let sessions = std::env::args().nth(1).is_some_and(|word| word == "sessions");
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(sessions);
    let service = StreamableHttpService::new(|| Ok(Server), Arc::new(LocalSessionManager::default()), config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    println!("{}", listener.local_addr().expect("an address").port());
    axum::serve(listener, axum::Router::new().route_service("/mcp", service)).await.expect("serves");
}
RUST

cat >call.py <<'PY'
"""Calls the tool, with a GET stream that is opened before the call, after it or never; tells what came on each stream."""
import http.client, json, sys, threading

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "finding", "version": "1"}}
TELL = {"name": "tell", "arguments": {}, "_meta": {"progressToken": "t"}}
port, opens = int(sys.argv[1]), sys.argv[2]
headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def ask(body=None, wait=30):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=wait)
    sent = None if body is None else json.dumps({"jsonrpc": "2.0", **body})
    connection.request("GET" if body is None else "POST", "/mcp", sent, headers)
    answer = connection.getresponse()
    assert answer.status in (200, 202), answer.status
    return answer


def told(lines):
    for line in lines:
        line = line.decode()
        if line.startswith("data:") and line[5:].strip():
            yield json.loads(line[5:]).get("method", "the answer").removeprefix("notifications/")


def listen():
    """Until nothing comes for three seconds: the stream has no end."""
    try:
        for what in told(stream):
            on_get.append(what)
    except TimeoutError:
        pass


on_get, stream = [], None
opened = ask({"id": 1, "method": "initialize", "params": HELLO})
opened.read()
headers["mcp-protocol-version"] = "2025-11-25"
if session := opened.headers["mcp-session-id"]:
    headers["mcp-session-id"] = session
ask({"method": "notifications/initialized"}).read()
ask({"id": 2, "method": "logging/setLevel", "params": {"level": "debug"}}).read()
if opens == "before":
    stream = ask(wait=3)
    listener = threading.Thread(target=listen)
    listener.start()
on_post = list(told(ask({"id": 3, "method": "tools/call", "params": TELL})))
if opens == "before":
    listener.join()
if opens == "after":
    stream = ask(wait=3)
    listen()
print(f"POST: {', '.join(on_post)}; GET: {', '.join(on_get) or '-'}")
PY

export CARGO_TARGET_DIR="$work/target"
nice -n 19 cargo build --quiet
echo "rmcp $(cargo tree --quiet --depth 1 --prefix none | sed -n 's/^rmcp v\([^ ]*\).*/\1/p')"

check() {
  local name=$1 mode=$2 opens=$3 expected=$4 seen
  "$work/target/debug/server" "$mode" >port &
  server=$!
  until [[ -s port ]]; do sleep 0.1; done
  seen=$(timeout 60 python3 call.py "$(<port)" "$opens")
  kill "$server" && wait "$server" 2>/dev/null || true
  rm port
  echo "$name: $seen"
  [[ $seen == "$expected" ]] || { echo "this has changed: '$expected' was seen before" >&2; exit 1; }
}

check "session, GET stream open" sessions before "POST: progress, the answer; GET: message"
check "session, no GET stream" sessions never "POST: progress, the answer; GET: -"
check "session, GET stream after the call" sessions after "POST: progress, the answer; GET: message"
check "no sessions" stateless never "POST: message, progress, the answer; GET: -"
