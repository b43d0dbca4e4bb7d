#!/usr/bin/env bash
# Behind Debian 12's Caddy (2.6.2-5) an event stream whose server died looks as if it had ended well.
#
# A tool call over MCP's Streamable HTTP is answered with an event stream: a progress notification, and then the
# server's connection is cut before the result and without the last chunk. RFC 9112, section 8, has a client that
# sees no last chunk take the answer for incomplete. Seen:
#
#   directly               progress, then the connection ends without the last chunk: known to be cut
#   haproxy 2.6.12         the same
#   Caddy 2.6.2            progress, then "0\r\n\r\n": a whole answer, in which the result is missing
#
# So a client behind it cannot tell a server that died from one that had nothing more to say, unless it asks for the
# event that has to come last: the response with the request's id. Caddy 2.11 breaks off as the others do.
#
# Needs apt-get of Debian 12, dpkg-deb and python3; installs nothing on the machine. Fails if what is seen changes.
set -euo pipefail

work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

for package in caddy=2.6.2-5 haproxy; do
  apt-get download -qq -o APT::Sandbox::User=root "$package"
done
for file in ./*.deb; do dpkg-deb -x "$file" root; done
caddy=$work/root/usr/bin/caddy haproxy=$work/root/usr/sbin/haproxy
echo "Caddy $("$caddy" version), $("$haproxy" -v | head -n 1)"

cat >server.py <<'PY'
"""Answers every request with one event in a chunk, and cuts the connection."""
import socket, sys
event = b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}\n\n'
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    asked = b""
    while b'"tools/call"' not in asked and (more := connection.recv(4096)):
        asked += more
    if asked:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"%x\r\n%s\r\n" % (len(event), event))
    connection.close()
PY

cat >client.py <<'PY'
"""Calls a tool; says whether the event came, and how the answer ended."""
import socket, sys, time
body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{},"_meta":{"progressToken":1}}}'
head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
for _ in range(200):
    try:
        connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
        break
    except OSError:
        time.sleep(0.1)
connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
answer = b""
while not answer.endswith(b"\r\n0\r\n\r\n") and (more := connection.recv(4096)):
    answer += more
assert answer.startswith(b"HTTP/1.1 200") and b"notifications/progress" in answer, answer
print("whole" if answer.endswith(b"\r\n0\r\n\r\n") else "cut")
PY

free_port() {
  python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

mkfifo said
python3 server.py >said &
pids+=($!)
read -r server <said
caddy_port=$(free_port) haproxy_port=$(free_port)
printf '{\n admin off\n}\nhttp://localhost:%s {\n bind 127.0.0.1\n reverse_proxy 127.0.0.1:%s\n}\n' "$caddy_port" "$server" >Caddyfile
HOME=$work "$caddy" run --adapter caddyfile --config Caddyfile >caddy.log 2>&1 &
pids+=($!)
printf 'defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\nlisten l\n bind 127.0.0.1:%s\n server s 127.0.0.1:%s\n' \
  "$haproxy_port" "$server" >haproxy.cfg
"$haproxy" -f haproxy.cfg >haproxy.log 2>&1 &
pids+=($!)

directly=$(python3 client.py "$server")
by_haproxy=$(python3 client.py "$haproxy_port")
by_caddy=$(python3 client.py "$caddy_port")
echo "directly: $directly; haproxy: $by_haproxy; Caddy: $by_caddy"
[[ "$directly $by_haproxy $by_caddy" == "cut cut whole" ]] || {
  echo "this is not what was seen any more" >&2
  exit 1
}
