"""Who calls: a caller of the REST dialect, and MCP clients of each era and of the elder transport, all of them by the
standard library alone, so that nothing stands between a check and the wire."""

import http.client
import itertools
import json
import queue
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from mcp_http import EVENTS, LEGACY, NAMESPACE, Endpoint, Legacy, Modern, Unanswered  # noqa: E402

NAME = "Ada"
ANSWER = {"action": "accept", "content": {"name": NAME}}
CAPABILITIES = {"elicitation": {}}
ROUNDS = 4
# For one answer to an MCP client.
PATIENCE_S = 10
# Beyond the deadline that a call was given, until its answer is there.
GRACE_S = 10


class Rest:
    """A caller of /v1, with the owner's key."""

    def __init__(self, url, key):
        self._parts = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {key}"}

    def status(self, server="r"):
        """What /v1/mcps/r says of the server."""
        return self._done("GET", f"/v1/mcps/{server}")["data"]

    def invoke(self, tool, arguments, seconds=20, server="r"):
        """The status, the whole answer, and how long it took."""
        body = {"mcp_id": server, "tool": tool, "arguments": arguments, "timeout": int(seconds * 1000)}
        start = time.monotonic()
        code, answer = self.send("POST", "/v1/mcp/invoke", body, seconds + GRACE_S)
        return code, answer, time.monotonic() - start

    def edit(self, url):
        """Gives the server another address."""
        self._done("PUT", "/api/servers/r", {"url": url})

    def add(self, name, entry):
        """Defines another server."""
        self._done("POST", "/api/servers", {"name": name, **entry})

    def remove(self, name):
        self._done("DELETE", f"/api/servers/{name}")

    def _done(self, verb, path, body=None):
        """What is answered. Raises Unanswered where it is refused."""
        code, answer = self.send(verb, path, body)
        if code != 200:
            raise Unanswered(f"{verb} {path}: {code} {answer}")
        return answer

    def resources(self, uri=None):
        return self.send("POST", "/v1/mcp/resources", {"mcp_id": "r", **({"uri": uri} if uri else {})})

    def send(self, verb, path, body=None, patience=30):
        connection = http.client.HTTPConnection(self._parts.hostname, self._parts.port, timeout=patience)
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        try:
            connection.request(verb, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unanswered(f"{verb} {path}: {error!r}") from error
        finally:
            connection.close()


class _Asking:
    """What the clients of both eras have in common. What comes before an answer is kept in `heard`."""

    def request(self, method, params=None):
        """The result. Raises Unanswered, also where nothing but comments came for as long as the client is patient."""
        identity, self.heard = self.take_id(), []
        with self.begin(method, params, identity) as reply:
            patience = threading.Timer(self.patience, reply.close)
            patience.start()
            try:
                return self._result(method, identity, reply)
            finally:
                patience.cancel()

    def _result(self, method, identity, reply):
        while (text := reply.message()) is not None:
            message = json.loads(text)
            if "method" not in message:
                # By the exchange and not by the id: some errors have none.
                return _result(method, message)
            self.heard.append(message)
            self.hear(message)
        raise Unanswered(f"{method}: HTTP {reply.status} without an answer")

    def call(self, tool, arguments, meta=None):
        return self.request("tools/call", _call(tool, arguments, meta))

    def hear(self, message):
        """Does what a message asks for that came before the answer."""


class LegacyClient(_Asking, Legacy):
    """A client of a session, who answers what it is asked."""

    def __init__(self, url, key=None, patience=PATIENCE_S):
        super().__init__(_endpoint(url, key, patience), capabilities=CAPABILITIES)
        self.patience = patience

    def want_logs(self):
        # A server that does not declare logs, and sends them all the same, does not know this method.
        try:
            self.request("logging/setLevel", {"level": "debug"})
        except Unanswered:
            return

    def log_meta(self):
        return None

    def hear(self, message):
        if message["method"] == "elicitation/create":
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": ANSWER}
            with self.endpoint.post(answer, self.headers()) as reply:
                if reply.status != 202:
                    raise Unanswered(f"the answer to a question: HTTP {reply.status}")


class ModernClient(_Asking, Modern):
    """A client without sessions, who asks again with the answers where input is required."""

    def __init__(self, url, key=None, patience=PATIENCE_S):
        super().__init__(_endpoint(url, key, patience), capabilities=CAPABILITIES)
        self.patience = patience

    def call(self, tool, arguments, meta=None):
        params = _call(tool, arguments, meta)
        for _ in range(ROUNDS):
            result = self.request("tools/call", params)
            if result.get("resultType") != "input_required":
                return result
            answers = {name: ANSWER for name in result.get("inputRequests", {})}
            state = {"requestState": result["requestState"]} if "requestState" in result else {}
            params = params | {"inputResponses": answers} | state
        raise Unanswered(f"{tool} wants input for ever")

    def want_logs(self):
        """Each request says for itself what it wants, see `log_meta`."""

    def log_meta(self):
        return {f"{NAMESPACE}logLevel": "debug"}

    def close(self):
        """There is nothing to end."""


class SseClient:
    """A client of HTTP+SSE as it was in 2024: everything comes on one stream. For servers without the daemon."""

    def __init__(self, url, patience=PATIENCE_S):
        self._url, self._patience = url, patience
        self._ids = itertools.count(1)
        self._messages = queue.Queue()
        self.heard = []

    def open(self):
        self._stream = Endpoint(self._url, patience=self._patience).send("GET", headers={"Accept": EVENTS})
        # The first event is an address and no message, but has the form of one.
        self._posts = urljoin(self._url, self._stream.message())
        threading.Thread(target=self._read, daemon=True).start()
        who = {"name": "mcpvisor-tests", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES, "clientInfo": who}
        self.request("initialize", params)
        self._post({"method": "notifications/initialized"})

    def request(self, method, params=None):
        identity, self.heard = next(self._ids), []
        self._post({"id": identity, "method": method, "params": params or {}})
        while True:
            message = self._next(method)
            if message.get("id") == identity and "method" not in message:
                return _result(method, message)
            self.heard.append(message)
            if message.get("method") == "elicitation/create":
                self._post({"id": message["id"], "result": ANSWER})

    def call(self, tool, arguments, meta=None):
        return self.request("tools/call", _call(tool, arguments, meta))

    want_logs, log_meta = LegacyClient.want_logs, LegacyClient.log_meta

    def close(self):
        self._stream.close()

    def _next(self, method):
        try:
            message = self._messages.get(timeout=self._patience)
        except queue.Empty:
            raise Unanswered(f"{method}: nothing came on the stream in {self._patience} s") from None
        if message is None:
            raise Unanswered(f"{method}: the stream has ended")
        return message

    def _read(self):
        try:
            while (text := self._stream.message()) is not None:
                self._messages.put(json.loads(text))
        except Unanswered:
            pass  # the stream was closed, by either side
        self._messages.put(None)

    def _post(self, message):
        parts = urlsplit(self._posts)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=self._patience)
        try:
            body = json.dumps({"jsonrpc": "2.0", **message})
            path = f"{parts.path}?{parts.query}"
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 202:
                raise Unanswered(f"POST {path}: HTTP {answer.status} {answer.read()[:100]}")
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(f"POST {parts.path}: {error!r}") from error
        finally:
            connection.close()


def text_of(result):
    """The text of a call's result."""
    return "\n".join(block.get("text", "") for block in result.get("content", []))


def _endpoint(url, key, patience):
    return Endpoint(url, headers={"Authorization": f"Bearer {key}"} if key else None, patience=patience)


def _call(tool, arguments, meta):
    return {"name": tool, "arguments": arguments, **({"_meta": meta} if meta else {})}


def _result(method, message):
    if "result" not in message:
        raise Unanswered(f"{method}: {message.get('error')}")
    return message["result"]
