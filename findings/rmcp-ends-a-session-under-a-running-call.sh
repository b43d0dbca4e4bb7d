#!/usr/bin/env bash
# rmcp 3.11.0: a tool that says nothing for longer than the session's `keep_alive` has its session ended under it.
#
# `SessionConfig::keep_alive` is documented as the time of inactivity after which a session of the Streamable HTTP server
# is closed, there to clean up after connections that were lost without a word. A server with a `keep_alive` of 2 s and a
# tool that works for 5 s was called in a session of 2025-11-25, by a client that stayed on the call's stream. On it the
# server writes a comment each 0.5 s (`sse_keep_alive`), to see that it is there. Seen:
#
#   the call         the priming event (`retry: 3000`), comments, and after 2 s the end, in good order and with no answer
#   the stream       resumed with its Last-Event-ID after those 3 s, as `retry` asks for: 404
#   the next call    404
#   with pings       in the meantime, or with a `keep_alive` of 20 s: the answer, and the next call is answered too
#
# One would expect a session not to be inactive while a call runs in it and the call's stream is open. The specification
# lets a server end a session at any time, so this is not against it. By default `keep_alive` is 5 minutes: a tool that
# takes longer and says nothing is never answered, unless the client happens to send something else.
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
tokio = { version = "=1.54.1", features = ["macros", "net", "rt-multi-thread", "time"] }

[profile.dev]
debug = false
incremental = false
TOML
cat >src/main.rs <<'RUST'
//! A server with sessions and one tool, which works for five seconds. Takes `keep_alive` in seconds; says its port.
use std::{sync::Arc, time::Duration};

use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};

struct Server;

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = JsonObject::from_iter([("type".to_owned(), "object".into())]);
        Ok(ListToolsResult::with_all_items(vec![Tool::new("work", "Works for five seconds", schema)]))
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(CallToolResult::success(vec![ContentBlock::text("done")]).into())
    }
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).expect("seconds");
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.keep_alive = Some(Duration::from_secs(seconds));
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(true)
        .with_sse_keep_alive(Some(Duration::from_millis(500)));
    let service = StreamableHttpService::new(|| Ok(Server), Arc::new(sessions), config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    println!("{}", listener.local_addr().expect("an address").port());
    axum::serve(listener, axum::Router::new().route_service("/mcp", service)).await.expect("serves");
}
RUST

cat >call.py <<'PY'
"""Calls the tool, on request with pings meanwhile; tells what came on its stream, and what became of the session."""
import http.client, json, sys, threading, time

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "finding", "version": "1"}}
WORK = {"id": 2, "method": "tools/call", "params": {"name": "work", "arguments": {}}}
port, pings = int(sys.argv[1]), sys.argv[2] == "pings"
headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def ask(body=None, **more):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    sent = None if body is None else json.dumps({"jsonrpc": "2.0", **body})
    connection.request("GET" if body is None else "POST", "/mcp", sent, {**headers, **more})
    return connection.getresponse()


opened = ask({"id": 1, "method": "initialize", "params": HELLO})
opened.read()
headers |= {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
ask({"method": "notifications/initialized"}).read()
over = threading.Event()


def ping():
    number = 100
    while not over.wait(0.5):
        number += 1
        ask({"id": number, "method": "ping"}).read()


if pings:
    threading.Thread(target=ping).start()
begun, seen, last = time.monotonic(), [], None
# Reading raises an error if the stream is broken off, and ends if it is ended.
for line in ask(WORK).read().decode().splitlines():
    if line.startswith("id:"):
        last = line[3:].strip()
    if line.startswith("retry:"):
        seen.append(f"retry {line[6:].strip()}")
    if line.startswith(":") and "comments" not in seen:
        seen.append("comments")
    if line.startswith("data:") and line[5:].strip():
        seen.append("the answer" if json.loads(line[5:])["result"]["content"][0]["text"] == "done" else line)
lasted = time.monotonic() - begun
over.set()
seen.append("the end")
if "the answer" not in seen:
    time.sleep(3)
    seen.append(f"resumed: {ask(**{'last-event-id': last}).status}")
seen.append(f"next call: {ask({**WORK, 'id': 3}).status}")
print(f"after {lasted:.1f} s", file=sys.stderr)
print(", ".join(seen))
PY

export CARGO_TARGET_DIR="$work/target"
nice -n 19 cargo build --quiet
echo "rmcp $(cargo tree --quiet --depth 1 --prefix none | sed -n 's/^rmcp v\([^ ]*\).*/\1/p')"

check() {
  local name=$1 seconds=$2 client=$3 expected=$4 seen
  "$work/target/debug/server" "$seconds" >port &
  server=$!
  until [[ -s port ]]; do sleep 0.1; done
  seen=$(timeout 60 python3 call.py "$(<port)" "$client")
  kill "$server" && wait "$server" 2>/dev/null || true
  rm port
  echo "$name: $seen"
  [[ $seen == "$expected" ]] || { echo "this has changed: '$expected' was seen before" >&2; exit 1; }
}

check "keep_alive 2 s" 2 silent "retry 3000, comments, the end, resumed: 404, next call: 404"
check "keep_alive 2 s, pings" 2 pings "retry 3000, comments, the answer, the end, next call: 200"
check "keep_alive 20 s" 20 silent "retry 3000, comments, the answer, the end, next call: 200"
