#!/usr/bin/env bash
# fastmcp's client does not list tools again after -32020, as the Python SDK that it is built on does.
#
# MCP 2026-07-28 lets a tool mark arguments that a client repeats in headers (`x-mcp-header`); a client that has not seen
# the list cannot know of it, and its call is refused with 400 and -32020. `Client.call_tool` of mcp 2.3.0 then asks for
# `tools/list` and makes the call again with the header, which succeeds. The same call by `fastmcp.Client` 4.2.3, which
# installs the same mcp 2.3.0, lists nothing and raises the error.
#
# So a tool that marks an argument answers a program on one of the two at once, and one on the other only after a list.
#
# Needs python3 with venv. Installs into a folder that is removed. Fails if what is seen changes.
set -euo pipefail

work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check fastmcp==4.2.3 mcp==2.3.0

cat >server.py <<'PY'
"""A server of 2026-07-28 with one tool, whose argument `region` is to come in a header too. Tells what it was asked."""
import http.server, json

SEEN = []
SCHEMA = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}, "required": ["region"]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method = message["method"]
        if "id" not in message:
            return self.answer(202)
        SEEN.append(method)
        reply = lambda more: json.dumps({"jsonrpc": "2.0", "id": message["id"], **more}).encode()
        cached = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        if method == "server/discover":
            return self.answer(200, reply({"result": {**cached, "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}}))
        if method == "tools/list":
            return self.answer(200, reply({"result": {**cached, "tools": [{"name": "where", "inputSchema": SCHEMA}]}}))
        if method == "tools/call" and self.headers.get("mcp-param-region") != "north":
            return self.answer(400, reply({"error": {"code": -32020, "message": "Mcp-Param-Region is missing"}}))
        self.answer(200, reply({"result": {"resultType": "complete", "content": [{"type": "text", "text": "north"}]}}))

    def do_GET(self):
        self.answer(200, " ".join(SEEN).encode()) if self.path == "/seen" else self.answer(405)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY

cat >call.py <<'PY'
import asyncio, sys


async def main(library, url):
    if library == "mcp":
        from mcp import Client
    else:
        from fastmcp import Client
    async with Client(url, mode="2026-07-28") as client:
        try:
            await client.call_tool("where", {"region": "north"})
            print("answered")
        except Exception:
            print("refused")


asyncio.run(main(*sys.argv[1:]))
PY

check() {
  local seen url
  venv/bin/python server.py >port &
  server=$!
  until [[ -s port ]]; do sleep 0.1; done
  url="http://127.0.0.1:$(<port)"
  seen=$(timeout 60 venv/bin/python call.py "$1" "$url/mcp" 2>/dev/null)
  seen+=" after $(python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1] + "/seen").read().decode())' "$url")"
  kill "$server" && wait "$server" 2>/dev/null || true
  rm port
  echo "$1: $seen"
  [[ $seen == "$2" ]] || { echo "changed; seen before: $2" >&2; exit 1; }
}

check mcp "answered after tools/call tools/list tools/call"
check fastmcp "refused after tools/call"
