"""An MCP client of each era at a server's own address: the same conversation as with the server itself."""

from . import direct, rawjson
from .daemon import mcp_http
from .stdio import CLIENT, Answer, Heard, Silent


class Client:
    """Speaks to the gateway as `stdio.Client` does to a server."""

    def __init__(self, client):
        # Nothing unasked can come, but on streams that are not opened here.
        self.heard = Heard()
        self._client = client

    def initialize(self):
        """The text of the result."""
        return self._opened("initialize")

    def discover(self):
        return self._opened("server/discover")

    def ask(self, method, params):
        try:
            return _answer(self._client.ask(method, params))
        except mcp_http.Unanswered as silent:
            raise Silent(str(silent)) from silent

    def listen(self, _seconds):
        """Nothing to hear."""

    def _opened(self, method):
        try:
            answer = _answer(self._client.open())
        except mcp_http.Unanswered as silent:
            raise Silent(str(silent)) from silent
        if answer.result is None:
            raise Silent(f"{method} was refused: {answer.error}")
        return answer.result


def through(daemon, server, home):
    """What is seen in each era, or why nothing is."""
    ways = {"legacy": (mcp_http.Legacy, direct.ask_legacy), "modern": (mcp_http.Modern, direct.ask_modern)}
    return {era: _conversation(daemon, server, home, *way) for era, way in ways.items()}


def _conversation(daemon, server, home, kind, ask):
    client = kind(daemon.endpoint(server.name, patience=90.0), CLIENT)
    try:
        seen = ask(Client(client), server, home)
        if kind is mcp_http.Legacy:
            client.close()
        return "no answer to server/discover that a client can use" if seen is None else seen
    except (Silent, mcp_http.Unanswered, ValueError, KeyError) as error:
        return f"nothing that a client can use: {error}"


def _answer(text):
    members = rawjson.members(text)
    return Answer(members.get("result"), members.get("error"))
