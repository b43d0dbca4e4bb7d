#!/usr/bin/env bash
# Asked both ways, a server on TypeScript's MCP SDK 2 says yes twice, and speaks the older era from then on.
#
# MCP 2026-07-28 has a client probe with `server/discover`; one that gets no answer in time sends `initialize` on the same
# pipe as well. Two published servers that speak both eras were sent the two requests one after the other, and then
# `tools/list` in the form of 2026-07-28. Seen:
#
#   @upstash/context7-mcp 4.1.1 (TypeScript)   discover: a result; initialize: a result; the list in the form of 2025-11-25,
#                                              without `resultType`, although the request has the newer form
#   fastmcp-sqlite 1.0.0 on mcp 2.3.0 (Python) discover: a result; initialize: error -32022; the list in the newer form
#
# With `server/discover` alone both answer in the newer form. So after both requests only the answer to `initialize` tells
# which era a server speaks: a client that goes by the first answer it sees takes the TypeScript one for modern, is
# answered without an error, and gets other schemas than at its next connection.
#
# Needs node 20, npm, and python3 with venv. Installs into a folder that is removed. Fails if what is seen changes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME=$work

npm install --silent --no-audit --no-fund @upstash/context7-mcp@4.1.1
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check fastmcp-sqlite==1.0.0 mcp==2.3.0

cat >ask.py <<'PY'
"""Sends some of the openings, then tools/list in the form of 2026-07-28; prints what comes of each."""
import json, subprocess, sys

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "finding", "version": "1"}}
REQUESTS = {
    "server/discover": {"_meta": META},
    "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "finding", "version": "1"}},
    "tools/list": {"_meta": META},
}
openings, command = sys.argv[1].split(","), sys.argv[2:]
server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def send(method):
    message = {"jsonrpc": "2.0", "id": method, "method": method, "params": REQUESTS[method]}
    server.stdin.write(json.dumps(message) + "\n")
    server.stdin.flush()


def outcome(method):
    for line in server.stdout:
        answer = json.loads(line) if line.startswith("{") else {}
        if answer.get("id") == method:
            if "error" in answer:
                return f"error {answer['error']['code']}"
            modern = "resultType" in answer["result"]
            return "newer form" if modern else "older form"
    return "nothing"


for method in openings:
    send(method)
seen = [f"{method}: {outcome(method)}" for method in openings]
send("tools/list")
print("; ".join(seen + [f"tools/list: {outcome('tools/list')}"]))
server.kill()
server.wait()
PY

check() {
  local name=$1 openings=$2 expected=$3
  shift 3
  local seen
  seen=$(timeout 60 python3 ask.py "$openings" "$@")
  echo "$name: $seen"
  if [[ $seen != "$expected" ]]; then
    echo "changed: '$expected' was seen before" >&2
    exit 1
  fi
}

alone="server/discover: newer form; tools/list: newer form"
typescript=(node node_modules/.bin/context7-mcp)
python=(venv/bin/fastmcp-sqlite)
check TypeScript server/discover "$alone" "${typescript[@]}"
check Python server/discover "$alone" "${python[@]}"
check TypeScript server/discover,initialize \
  "server/discover: newer form; initialize: older form; tools/list: older form" "${typescript[@]}"
check Python server/discover,initialize \
  "server/discover: newer form; initialize: error -32022; tools/list: newer form" "${python[@]}"
