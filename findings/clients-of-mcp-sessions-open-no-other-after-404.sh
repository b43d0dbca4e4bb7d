#!/usr/bin/env bash
# Two SDK clients of MCP's session era do not open another session when theirs is answered with 404.
#
# The specification of 2025-11-25 (basic/transports, session management) has a client that gets 404 for its
# Mcp-Session-Id begin anew with `initialize`, as a MUST. @modelcontextprotocol/sdk 1.32.2 (TypeScript) and mcp 1.30.0
# (Python), each with its own client of Streamable HTTP, were connected to a small server, listed tools, and the server
# then forgot the session: both got 404 for each of three further lists, told their caller of an error each time, and
# sent `initialize` no second time.
#
# So whoever restarts a server, or ends idle sessions, has such clients fail until somebody starts them anew.
#
# Needs node, npm and python3 with venv. Installs into a folder that is removed. Fails if what is seen changes.
set -euo pipefail

work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts @modelcontextprotocol/sdk@1.32.2 >/dev/null
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mcp==1.30.0

cat >server.py <<'PY'
"""A server with one session: it knows it for the first list, and for nothing after it. Tells how often it was opened."""
import http.server, json, sys

SEEN = {"initialize": 0, "tools/list": 0, "404": 0}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, json_type = message.get("method"), [("content-type", "application/json")]
        result = lambda value: json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": value}).encode()
        if method == "initialize":
            SEEN["initialize"] += 1
            told = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
            return self.answer(200, result(told), json_type + [("mcp-session-id", "first")])
        if "id" not in message:
            return self.answer(202)
        if SEEN["tools/list"] == 0:
            SEEN["tools/list"] += 1
            return self.answer(200, result({"tools": []}), json_type)
        SEEN["404"] += 1
        self.answer(404, b'{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"}}', json_type)

    def do_GET(self):
        self.answer(200, json.dumps(SEEN).encode()) if self.path == "/seen" else self.answer(405)

    def do_DELETE(self):
        self.answer(204)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY

cat >client.mjs <<'JS'
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const client = new Client({ name: "finding", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
await client.listTools();
for (let i = 0; i < 3; i++) await client.listTools().then(() => console.log("listed"), () => console.log("failed"));
await client.close();
JS

cat >client.py <<'PY'
import asyncio, sys
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main():
    async with streamablehttp_client(sys.argv[1]) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            await session.list_tools()
            for _ in range(3):
                try:
                    await asyncio.wait_for(session.list_tools(), 10)
                    print("listed")
                except Exception:
                    print("failed")


asyncio.run(main())
PY

check() {
  local name=$1 seen
  shift
  python3 server.py >port &
  server=$!
  until [[ -s port ]]; do sleep 0.1; done
  local url="http://127.0.0.1:$(<port)"
  seen=$(timeout 60 "$@" "$url/mcp" 2>/dev/null | sort | uniq -c | tr -s ' ')
  seen+="; $(python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1] + "/seen").read().decode())' "$url")"
  kill "$server" && wait "$server" 2>/dev/null || true
  rm port
  echo "$name:$seen"
  [[ $seen == ' 3 failed; {"initialize": 1, "tools/list": 1, "404": 3}' ]] || { echo "changed" >&2; exit 1; }
}

check "TypeScript SDK 1.32.2" node client.mjs
check "Python SDK 1.30.0" venv/bin/python client.py
