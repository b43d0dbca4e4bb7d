#!/usr/bin/env bash
# What a fastmcp tool says with `Context.send_notification` comes on the stream of its own call only, a changed list of tools
# included.
#
# MCP 2025-11-25 has a client open a GET stream for what belongs to no request. With fastmcp 4.2.3
# `notifications/tools/list_changed` of a tool that has added another comes as an event of the POST that called it, before
# its answer, and the GET stream of the same session, open all the while, carries nothing. A gateway that reads only answers
# from the streams of calls never learns that the list has changed.
#
# Needs python3 with venv. Installs into a folder that is removed. Fails if what is seen changes.
set -euo pipefail

work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check fastmcp==4.2.3

cat >server.py <<'PY'
import mcp_types
from fastmcp import Context, FastMCP

app = FastMCP("grows")


@app.tool
async def grow(ctx: Context) -> str:
    app.tool(lambda: "more", name="more")
    await ctx.send_notification(mcp_types.ToolListChangedNotification())
    return "grown"


app.run(transport="http", host="127.0.0.1", port=18441, show_banner=False)
PY

cat >ask.py <<'PY'
import http.client, json, threading, time

HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
on_get = []


def post(body, session=None):
    connection = http.client.HTTPConnection("127.0.0.1", 18441, timeout=20)
    headers = {**HEADERS, **({"mcp-session-id": session} if session else {})}
    connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", **body}), headers)
    answer = connection.getresponse()
    return answer.headers.get("mcp-session-id"), answer.read().decode()


def methods(text):
    events = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]
    return [event.get("method", "the answer") for event in events]


def listen(session):
    connection = http.client.HTTPConnection("127.0.0.1", 18441, timeout=4)
    connection.request("GET", "/mcp", headers={**HEADERS, "mcp-session-id": session})
    stream = connection.getresponse()
    on_get.append(f"status {stream.status}")
    try:
        while line := stream.readline():
            on_get.extend(methods(line.decode()))
    except TimeoutError:
        pass


for _ in range(150):
    try:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
        session, _ = post({"id": 1, "method": "initialize", "params": hello})
        break
    except OSError:
        time.sleep(0.1)
post({"method": "notifications/initialized"}, session)
listener = threading.Thread(target=listen, args=[session])
listener.start()
while not on_get:
    time.sleep(0.05)
_, said = post({"id": 2, "method": "tools/call", "params": {"name": "grow", "arguments": {}}}, session)
listener.join()
print("POST:", ", ".join(methods(said)))
print("GET:", ", ".join(on_get))
PY

venv/bin/python server.py >/dev/null 2>&1 &
server=$!
seen=$(venv/bin/python ask.py)
echo "$seen"
expected=$'POST: notifications/tools/list_changed, the answer\nGET: status 200'
if [[ $seen != "$expected" ]]; then
  echo "this has changed" >&2
  exit 1
fi
