#!/usr/bin/env bash
# server-everything 2026.8.31: a call's stream that is resumed brings the answer of another call, and not its own.
#
# The specification of 2025-11-25 (basic/transports, resumability) lets a server replay, after a GET with Last-Event-ID,
# what was to follow on the stream that was cut, and go on with it; of another stream it MUST NOT replay anything.
# @modelcontextprotocol/server-everything 2026.8.31 with @modelcontextprotocol/sdk 1.32.2 was sent, over Streamable HTTP,
# call 2, which takes 3 s, and cut off from its client after the priming event; then call 3, which was answered in full;
# then a GET with the event id of call 2. Seen:
#
#   resumed while call 2 runs      the answer to call 3 once more; not the answer to call 2, in an open stream of 9 s
#   resumed when call 2 is over    the answers to both
#   call 2 alone, while it runs    nothing
#   call 2 not cut (the control)   the answer to call 2
#
# One would expect the answer to call 2 each time, and nothing else. So a client that resumes at once waits in vain, and
# one that made other calls in between gets their answers a second time. The server's own event store replays events of
# whatever stream, and gives the SDK an event's id where it asks for a stream's, so the SDK goes on to take call 2 for
# disconnected. Known upstream: https://github.com/modelcontextprotocol/servers/issues/4087. It matters to whoever tests
# a client against this server.
#
# Needs node 20, npm and python3. Installs into a folder that is removed. Fails if what is seen changes.
set -euo pipefail

work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts \
  @modelcontextprotocol/server-everything@2026.8.31 @modelcontextprotocol/sdk@1.32.2 >/dev/null
packages=node_modules/@modelcontextprotocol
for package in server-everything sdk; do
  echo "$package $(node -p 'require(process.argv[1]).version' "./$packages/$package/package.json")"
done

cat >resume.py <<'PY'
"""Calls, cuts and resumes as it is told; says which answers come on the stream of call 2 in the end."""
import http.client, json, sys, time

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "finding", "version": "1"}}
LONG = {"name": "trigger-long-running-operation", "arguments": {"duration": 3, "steps": 1}}
port, words = int(sys.argv[1]), sys.argv[2:]
headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def ask(body=None, wait=30, **more):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=wait)
    sent = None if body is None else json.dumps({"jsonrpc": "2.0", **body})
    connection.request("GET" if body is None else "POST", "/mcp", sent, {**headers, **more})
    answer = connection.getresponse()
    assert answer.status in (200, 202), answer.status
    return connection, answer


def answers(stream, got):
    """The requests that are answered on the stream, until it ends or nothing has come for its time."""
    try:
        for line in stream:
            message = json.loads(line[5:]) if line.startswith(b"data:") and line[5:].strip() else {}
            if "result" in message:
                got.append(str(message["id"]))
    except TimeoutError:
        pass
    return got


for _ in range(150):
    try:
        _, opened = ask({"id": 1, "method": "initialize", "params": HELLO})
        break
    except OSError:
        time.sleep(0.1)
opened.read()
headers |= {"mcp-session-id": opened.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
ask({"method": "notifications/initialized"})[1].read()

connection, stream = ask({"id": 2, "method": "tools/call", "params": LONG})
if "cut" in words:
    while not (line := stream.readline()).startswith(b"id:"):
        assert line, "no priming event"
    last = line[3:].strip().decode()
    stream.close()
    connection.close()
    if "third" in words:
        echo = {"name": "echo", "arguments": {"message": "three"}}
        assert answers(ask({"id": 3, "method": "tools/call", "params": echo})[1], []) == ["3"]
    if "late" in words:
        time.sleep(5)
    # Three times as long as call 2 takes.
    _, stream = ask(wait=9, **{"last-event-id": last})
print("answers to", ", ".join(answers(stream, [])) or "none")
PY

check() {
  local name=$1 expected=$2 seen port
  shift 2
  port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  PORT=$port node "$packages"/server-everything/dist/index.js streamableHttp >server.log 2>&1 &
  server=$!
  seen=$(timeout 60 python3 resume.py "$port" "$@")
  kill "$server" && wait "$server" 2>/dev/null || true
  echo "$name: $seen"
  [[ $seen == "$expected" ]] || { echo "this has changed: '$expected' was seen before" >&2; exit 1; }
}

check "call 2 not cut" "answers to 2"
check "call 2 alone, resumed while it runs" "answers to none" cut
check "call 3 made, resumed while call 2 runs" "answers to 3" cut third
check "call 3 made, resumed when call 2 is over" "answers to 3, 2" cut third late
