"""Asks an HTTP server for what it is told to, from where it is: as a client of its own, or, with `serve`, inside
an MCP server's tool `run`. A wish is {"host", "port"} or {"socket"} with {"requests": [{"method", "path",
"headers", "body"}]}, or {"read": path}, or {"write": path}, or {"log": line}, which goes to stderr; of each
request comes [status, beginning of the body], with status 0 where no answer came. What is answered with a status
that "again" lists is asked again, a few times."""
import http.client
import json
import socket
import sys


class OnSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask_one(wish, request):
    if "socket" in wish:
        connection = OnSocket(wish["socket"])
    else:
        connection = http.client.HTTPConnection(wish["host"], wish["port"], timeout=60)
    try:
        connection.request(
            request["method"], request["path"], request.get("body"), request.get("headers") or {}
        )
        response = connection.getresponse()
        return [response.status, response.read().decode("utf-8", "replace")[:20000]]
    except (OSError, http.client.HTTPException) as error:
        return [0, repr(error)]
    finally:
        connection.close()


def ask_again(wish, request):
    for _ in range(10):
        answer = ask_one(wish, request)
        if answer[0] not in wish.get("again", []):
            break
    return answer


def fulfil(wish):
    for name, mode in (("read", "rb"), ("write", "ab")):
        if name in wish:
            try:
                with open(wish[name], mode) as file:
                    return [200, file.read(9).decode() if name == "read" else "written"]
            except OSError as error:
                return [0, type(error).__name__]
    if "log" in wish:
        print(wish["log"], file=sys.stderr, flush=True)
        return [200, "logged"]
    return [ask_again(wish, request) for request in wish["requests"]]


def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def serve():
    for line in sys.stdin:
        message = json.loads(line)
        number, method = message.get("id"), message.get("method")
        if number is None or method is None:
            continue
        if method == "initialize":
            result = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "asker", "version": "1"},
            }
        elif method == "tools/list":
            result = {"tools": [{"name": "run", "inputSchema": {"type": "object"}}]}
        elif method == "tools/call":
            text = json.dumps(fulfil(message["params"]["arguments"]["wish"]))
            result = {"content": [{"type": "text", "text": text}]}
        elif method == "ping":
            result = {}
        else:
            say({"id": number, "error": {"code": -32601, "message": "unknown"}})
            continue
        say({"id": number, "result": result})


if sys.argv[1:] == ["serve"]:
    serve()
else:
    json.dump(fulfil(json.load(sys.stdin)), sys.stdout)
