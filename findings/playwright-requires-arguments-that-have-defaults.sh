#!/usr/bin/env bash
# Playwright's MCP server lists arguments as required that have a default, and carries out calls without them.
#
# In the `tools/list` of @playwright/mcp 0.0.83 three arguments stand in `required` and have a `default`, such as `scale`
# of browser_take_screenshot. A call of that tool without any argument answers with the picture; one of browser_navigate
# without its `url`, which has no default, is refused for its arguments. Of 20 other published servers with 786 tools
# none lists such an argument.
#
# So a gateway or a client that holds arguments against the listed schema refuses calls that the server would carry out,
# and a model is told to write an argument that nobody needs.
#
# Needs node, npm, python3 and chromium. Installs into a folder that is removed. Fails if what is seen changes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts @playwright/mcp@0.0.83 >/dev/null

cat >ask.py <<'PY'
"""A session of 2025-11-25 on stdin and stdout: the schema, and a call without the argument of each of two tools."""
import json, shutil, subprocess

browser = ["--headless", "--isolated", "--no-sandbox", "--executable-path", shutil.which("chromium")]
command = ["node_modules/.bin/playwright-mcp", "--output-dir", ".", *browser]
server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def send(message):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    server.stdin.flush()


def ask(identity, method, params):
    send({"id": identity, "method": method, "params": params})
    while True:
        message = json.loads(server.stdout.readline())
        if message.get("id") == identity and "method" not in message:
            return message["result"]


def called(identity, tool):
    """What a call without arguments has for an answer."""
    blocks = ask(identity, "tools/call", {"name": tool, "arguments": {}})["content"]
    if any(block["type"] == "image" for block in blocks):
        return "a picture"
    return "a refusal" if "expected string" in blocks[0]["text"] else blocks[0]["text"]


client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "finding", "version": "1"}}
ask(1, "initialize", client)
send({"method": "notifications/initialized"})
for tool in ask(2, "tools/list", {})["tools"]:
    schema = tool["inputSchema"]
    for name in schema.get("required", []):
        if "default" in schema["properties"][name]:
            print(f"{tool['name']}: '{name}' is required, by default {schema['properties'][name]['default']!r}")
print("browser_take_screenshot without it:", called(3, "browser_take_screenshot"))
print("browser_navigate without its url:", called(4, "browser_navigate"))
server.stdin.close()
server.wait(20)
PY

seen=$(timeout 120 python3 ask.py)
echo "$seen"
[[ $seen == "browser_console_messages: 'level' is required, by default 'info'
browser_network_requests: 'static' is required, by default False
browser_take_screenshot: 'scale' is required, by default 'css'
browser_take_screenshot without it: a picture
browser_navigate without its url: a refusal" ]] || { echo "changed" >&2; exit 1; }
