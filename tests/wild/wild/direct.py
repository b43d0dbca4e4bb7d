"""What a plain client sees of a server: the reference for everything that the gateway shows."""

import time
from dataclasses import dataclass, field

from . import rawjson
from .stdio import Client, Silent

# A tool that no server has.
NO_TOOL = "no_such_tool_6f1d"
# The lists, by the method's name: the member of the result, and the capability that announces it.
LISTS = {
    "tools": ("tools/list", "tools", "tools"),
    "resources": ("resources/list", "resources", "resources"),
    "templates": ("resources/templates/list", "resourceTemplates", "resources"),
    "prompts": ("prompts/list", "prompts", "prompts"),
}
MOST_PAGES = 100
# How long a server is heard that may say something unasked after its lists.
UNASKED = 0.3


@dataclass
class Seen:
    """One connection's worth. Entries of lists, answers and notifications are texts of JSON as they came."""

    protocol: str
    seconds: float = 0.0
    # The result of `initialize` or `server/discover`.
    opened: str = None
    lists: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    call: object = None
    unknown: object = None
    read: object = None
    heard: object = None
    ended: tuple = ()


def legacy(server, home, environment, deadline):
    """Opens by `initialize` and asks everything. Raises Silent."""
    return _with_client(server, home, environment, deadline, ask_legacy)


def modern(server, home, environment, deadline):
    """The same by `server/discover`; `None` where the server does not speak 2026-07-28. Raises Silent."""
    return _with_client(server, home, environment, deadline, ask_modern)


def _with_client(server, home, environment, deadline, ask):
    command = [server.command, *server.arguments(home)]
    client = Client(command, home, {**environment, **server.environment(home)}, time.monotonic() + deadline)
    try:
        seen = ask(client, server, home)
    finally:
        ended = client.stop()
    if seen is not None:
        seen.ended = ended
    return seen


def ask_legacy(client, server, home):
    """A conversation of the older era from its opening on, with a client of either wire. Raises Silent."""
    begin = time.monotonic()
    text = client.initialize()
    opened = rawjson.value(text)
    seen = Seen(opened.get("protocolVersion"), time.monotonic() - begin, text)
    return _ask_all(client, server, home, seen, opened)


def ask_modern(client, server, home):
    """The same of the modern era; `None` where that is not spoken."""
    begin = time.monotonic()
    try:
        opened = client.discover()
    except Silent:
        return None  # some end on it: they are of the older era
    if opened is None:
        return None
    seen = Seen("2026-07-28", time.monotonic() - begin, opened)
    return _ask_all(client, server, home, seen, rawjson.value(opened))


def _ask_all(client, server, home, seen, opened):
    capabilities = opened.get("capabilities") or {}
    for name, (_, _, capability) in LISTS.items():
        seen.lists[name] = _list(client, name, seen.failures) if capability in capabilities else []
    client.listen(UNASKED)
    if server.call:
        tool, arguments = server.asked(home)
        seen.call = client.ask("tools/call", {"name": tool, "arguments": arguments})
    if server.read:
        seen.read = client.ask("resources/read", {"uri": server.read})
    client.listen(UNASKED)
    seen.heard = client.heard.copy()
    # The gateway answers for this one itself, so what the server says about it is nobody's business.
    seen.unknown = client.ask("tools/call", {"name": NO_TOOL, "arguments": {}})
    return seen


def _list(client, name, failures):
    """All entries of a list, whatever its pages; what it fails with goes into `failures`."""
    method, member, _ = LISTS[name]
    entries, cursor = [], None
    for _ in range(MOST_PAGES):
        answer = client.ask(method, {} if cursor is None else {"cursor": cursor})
        if answer.error is not None:
            failures[name] = answer.said
            return entries
        result = rawjson.members(answer.result)
        entries += rawjson.elements(result[member])
        cursor = rawjson.value(result.get("nextCursor"))
        if cursor is None:
            return entries
    failures[name] = f"it has more than {MOST_PAGES} pages"
    return entries
