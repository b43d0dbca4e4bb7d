#!/usr/bin/env bash
# One request that it does not know has a server on Python's MCP SDK 1 write some ninety lines to stderr.
#
# mcp-server-calculator 0.2.1 on mcp 1.30.0 was initialized, asked for its tools, and ended: one line on stderr. The same
# with `server/discover` first, which is how a client of MCP 2026-07-28 opens (and what JSON-RPC 2.0 answers with -32601):
# the answer is an error -32602 "Invalid request parameters", and stderr has 94 lines: how the request differs from each of
# those that the SDK knows ("31 validation errors"). None of them says that the method is not known.
#
# So whoever shows the last lines of stderr as the reason for a failed start shows these, and whoever tells a server of
# the older era by -32601 alone does not recognise one.
#
# Needs python3 with venv. Installs into a folder that is removed. Fails if what is seen changes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mcp-server-calculator==0.2.1 mcp==1.30.0

cat >ask.py <<'PY'
"""Opens the server, with server/discover first or not; prints the answer to that and how much came on stderr."""
import json, subprocess, sys

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
INTRODUCTION = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "finding", "version": "1"}}
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open("stderr", "w+"), text=True)


def say(message):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    server.stdin.flush()


def ask(method, params):
    say({"id": method, "method": method, "params": params})
    return next(answer for answer in map(json.loads, server.stdout) if answer.get("id") == method)


if sys.argv[1] == "probe":
    answer = ask("server/discover", {"_meta": META})
    print("server/discover: error", answer["error"]["code"])
ask("initialize", INTRODUCTION)
say({"method": "notifications/initialized"})
assert ask("tools/list", {})["result"]["tools"]
server.stdin.close()
server.wait(30)
lines = open("stderr").read().splitlines()
print("lines on stderr:", "more than 60" if len(lines) > 60 else len(lines))
print("of them with 'validation error':", sum("validation error" in line for line in lines))
print("of them that say it is not known:", sum("not found" in line.lower() or "unknown method" in line.lower() for line in lines))
PY

check() {
  local seen
  seen=$(timeout 60 python3 ask.py "$1" venv/bin/mcp-server-calculator)
  printf '%s:\n%s\n' "$1" "$seen"
  if [[ $seen != "$2" ]]; then
    printf 'changed; seen before:\n%s\n' "$2" >&2
    exit 1
  fi
}

check plain "lines on stderr: 1
of them with 'validation error': 0
of them that say it is not known: 0"
check probe "server/discover: error -32602
lines on stderr: more than 60
of them with 'validation error': 1
of them that say it is not known: 0"
