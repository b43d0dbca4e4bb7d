#!/usr/bin/env bash
# A server on the Python SDK of MCP stops a tool by `notifications/cancelled` if it has sessions, and by a closed
# connection if it has none; never by both.
#
# MCP 2025-11-25 says that a closed connection is no cancellation, and that a client sends the notice. mcp 1.30.0 does so
# with sessions. With `stateless_http=True` the notice is answered 202 and the tool goes on to its end; it stops within a
# moment when the connection of its POST is closed. A gateway cannot tell from the outside which of them a server without a
# session id will heed, and has to do both.
#
# Needs python3 with venv. Installs into a folder that is removed. Fails if what is seen changes.
set -euo pipefail

work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mcp==1.30.0

cat >server.py <<'PY'
"""A server with one tool that works for six seconds, and writes whether it came to the end."""
import sys

import anyio
from mcp.server.fastmcp import FastMCP

port, kind, note = int(sys.argv[1]), sys.argv[2], sys.argv[3]
app = FastMCP("waits", host="127.0.0.1", port=port, stateless_http=kind == "without")


@app.tool()
async def wait() -> str:
    said = "stopped"
    try:
        await anyio.sleep(6)
        said = "came to its end"
    finally:
        with open(note, "w") as out:
            out.write(said)
    return said


app.run("streamable-http")
PY

cat >ask.py <<'PY'
import http.client, json, os, sys, time

port, how, note = int(sys.argv[1]), sys.argv[2], sys.argv[3]
HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


def post(body, session=None, read=True):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {**HEADERS, **({"mcp-session-id": session} if session else {})}
    connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", **body}), headers)
    if read:
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("mcp-session-id")
    return connection


for _ in range(100):
    try:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
        _, session = post({"id": 1, "method": "initialize", "params": hello})
        break
    except OSError:
        time.sleep(0.1)
post({"method": "notifications/initialized"}, session)
call = post({"id": 2, "method": "tools/call", "params": {"name": "wait", "arguments": {}}}, session, read=False)
time.sleep(1)
if how == "notice":
    status, _ = post({"method": "notifications/cancelled", "params": {"requestId": 2}}, session)
    assert status == 202, status
else:
    call.close()
end = time.monotonic() + 10
while not os.path.exists(note) and time.monotonic() < end:
    time.sleep(0.05)
time.sleep(0.1)
print(open(note).read())
PY

port=18431
seen=""
for kind in with without; do
  for how in notice hanging-up; do
    note="$work/$kind-$how"
    venv/bin/python server.py "$port" "$kind" "$note" >/dev/null 2>&1 &
    server=$!
    line="$kind a session, $how: $(venv/bin/python ask.py "$port" "$how" "$note")"
    echo "$line"
    seen+="$line;"
    kill "$server"
    wait "$server" 2>/dev/null || true
    port=$((port + 1))
  done
done

expected="with a session, notice: stopped;with a session, hanging-up: came to its end;"
expected+="without a session, notice: came to its end;without a session, hanging-up: stopped;"
if [[ $seen != "$expected" ]]; then
  echo "this has changed" >&2
  exit 1
fi
