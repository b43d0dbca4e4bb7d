"""The first requests of programs that cannot be had here, replayed over raw HTTP as they were seen on the wire: in which
order, with which ids, headers and members. What is checked is what such a program needs of each answer; what SDKs do
after their opening is tried with the SDKs.

An era is what the program makes of the address. `auto`: it asks in the modern way, is answered, and stays so. `legacy`:
its question was not answered as it wished or not soon enough, and it opens a session on top of that.
"""

import contextlib
import json
import sys
import traceback
from pathlib import Path

import features
from features import require

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from mcp_http import EVENTS, LEGACY, MODERN, NAMESPACE, Endpoint, Legacy, Listening, Modern, Unanswered  # noqa: E402

# A revision that is not there yet, as the first question of a program of next year.
LATER = "2027-11-25"
UNSUPPORTED_VERSION = -32022
# How soon a stream has to begin: who waits for it does nothing else meanwhile.
SOON_S = 5
# By method: the member of the result, how many entries this server has, and how the door's names become its own.
LISTS = {
    "tools/list": ("tools", features.TOOLS, lambda door, tools: door.own_tools([tool["name"] for tool in tools])),
    "prompts/list": ("prompts", features.PROMPTS, lambda door, found: door.own_prompts([one["name"] for one in found])),
    "resources/list": (
        "resources", features.RESOURCES, lambda door, found: door.own_uris([one["uri"] for one in found]),
    ),
    "resources/templates/list": (
        "resourceTemplates", 1, lambda door, found: door.own_uris([one["uriTemplate"] for one in found]),
    ),
}  # fmt: skip


class Program:
    """What is known of a program's first requests. A subclass says what is its own."""

    info = None
    capabilities = {}
    probe_id = None
    listen_id = None
    # What it calls a stream of changes by, and which lists it asks for, in this order.
    listens_to = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
    lists = ["tools/list"]
    # Of the first request after the question, in each era.
    first_id = {"auto": 1, "legacy": 1}

    def call_meta(self):
        """What it says in the `_meta` of a call."""
        return {}

    def after_listening(self, client):
        """What it sends when it has closed its stream of changes."""


class Opening:
    """One run of a program's opening. The methods whose names are in STEPS are tried in that order."""

    def __init__(self, program, url, era, door):
        endpoint = Endpoint(url, patience=features.PATIENCE_S)
        who = {"info": program.info, "capabilities": program.capabilities, "first_id": program.first_id[era]}
        self.program, self.door = program, door
        self.modern = Modern(endpoint, **who)
        self.later = Modern(endpoint, version=LATER, **who)
        self.legacy = Legacy(endpoint, **who)
        self.client = self.modern if era == "auto" else self.legacy
        self.changes = None

    # Both eras.

    def probe(self):
        """The question for the era, with the id that the program has for it."""
        with self.modern.begin("server/discover", {}, self.program.probe_id) as reply:
            require(reply.status == 200, f"HTTP {reply.status}")
            require("mcp-session-id" not in reply.headers, "a session of the modern era")
            message = json.loads(reply.message())
        require(message.get("id") == self.program.probe_id, f"id {message.get('id')!r}")
        result = message.get("result", {})
        require(MODERN in result.get("supportedVersions", []), f"versions {result.get('supportedVersions')}")
        require(isinstance(result.get("capabilities"), dict), "no capabilities")
        require(f"{NAMESPACE}serverInfo" in result.get("_meta", {}), "nothing says which server this is")
        require_cacheable(result)

    def lists(self):
        """While the stream of changes is open, as these programs have it."""
        for method in self.program.lists:
            member, count, own = LISTS[method]
            result = self.result(method)
            if self.client is self.modern:
                require_cacheable(result)
            found = own(self.door, result[member])
            require(len(found) == count, f"{method}: {len(found)} are the server's")

    def call(self):
        params = {"name": self.door.tool("test_simple_text"), "arguments": {}, "_meta": self.program.call_meta()}
        result = self.result("tools/call", params)
        require("One sentence" in result["content"][0]["text"], f"{result}")
        if self.client is self.modern:
            require(result.get("resultType") == "complete", f"resultType {result.get('resultType')!r}")

    def change(self):
        """A change that is told on the stream, and the list that is asked for because of it."""
        self.result("tools/call", {"name": self.door.tool("test_trigger_tool_change"), "arguments": {}})
        told = self.changes.next(SOON_S)
        require(told.get("method") == "notifications/tools/list_changed", f"{told}")
        if self.client is self.modern:
            require(subscription_of(told) == self.program.listen_id, f"subscription {subscription_of(told)!r}")
        self.lists()

    # The modern era.

    def later_revision(self):
        """A program that knows more revisions asks in its newest, and has to learn which ones are known here."""
        answer = json.loads(self.later.ask("server/discover"))
        require(answer.get("error", {}).get("code") == UNSUPPORTED_VERSION, f"{answer}")
        require(MODERN in answer["error"]["data"]["supported"], f"{answer}")

    def listen(self):
        """Before any list: a program whose stream is refused gives up the whole server."""
        reply = self.modern.begin(
            "subscriptions/listen", {"notifications": self.program.listens_to}, self.program.listen_id
        )
        self.changes = opened_stream(reply)
        first = self.changes.next(SOON_S)
        require(first.get("method") == "notifications/subscriptions/acknowledged", f"{first}")
        require(subscription_of(first) == self.program.listen_id, f"subscription {subscription_of(first)!r}")
        granted = first["params"].get("notifications", {})
        require(granted.get("toolsListChanged") is True, f"acknowledged {granted}")

    def leave(self):
        self.changes.close()
        self.program.after_listening(self.modern)

    # The legacy era.

    def initialize(self):
        """On top of a question that was answered: the session has nothing of it."""
        answer = json.loads(self.legacy.open())
        require(answer.get("id") == self.program.first_id["legacy"], f"id {answer.get('id')!r}")
        require(answer.get("result", {}).get("protocolVersion") == LEGACY, f"{answer}")
        require(self.legacy.session, "no session")

    def stream(self):
        self.changes = opened_stream(self.legacy.stream())

    def end(self):
        self.changes.close()
        status = self.legacy.close()
        require(status in (200, 204), f"DELETE: HTTP {status}")
        with self.legacy.begin("tools/list", {}, self.legacy.take_id()) as reply:
            require(reply.status == 404, f"an ended session: HTTP {reply.status}")

    def result(self, method, params=None):
        answer = json.loads(self.client.ask(method, params))
        require("result" in answer, f"{method}: {answer.get('error')}")
        return answer["result"]


STEPS = {
    "auto": ["later_revision", "probe", "listen", "lists", "call", "change", "leave"],
    "legacy": ["probe", "initialize", "stream", "lists", "call", "change", "end"],
}


def require_cacheable(result):
    """Members that a client of 2026-07-28 refuses a result without."""
    require(result.get("resultType") == "complete", f"resultType {result.get('resultType')!r}")
    require(isinstance(result.get("ttlMs"), int), f"ttlMs {result.get('ttlMs')!r}")
    require(result.get("cacheScope") in ("public", "private"), f"cacheScope {result.get('cacheScope')!r}")


def opened_stream(reply):
    if reply.status == 200 and reply.media_type == EVENTS:
        return Listening(reply)
    reply.close()
    raise features.Wrong(f"no stream: HTTP {reply.status}, {reply.media_type}")


def subscription_of(notification):
    return notification.get("params", {}).get("_meta", {}).get(f"{NAMESPACE}subscriptionId")


def tried(name, step):
    """Whether the next step makes sense: a program does not go on after what went wrong."""
    try:
        step()
        features.report(name, "ok")
        return True
    except (features.Wrong, Unanswered, KeyError, TypeError, ValueError) as error:
        traceback.print_exc()
        features.report(name, "no", features.reason(error))
        return False


def main(program):
    url, era, door = features.given()
    opening = Opening(program, url, era, door or features.Door())
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: opening.changes and opening.changes.close())
        for name in STEPS[era]:
            if not tried(name, getattr(opening, name)):
                return
