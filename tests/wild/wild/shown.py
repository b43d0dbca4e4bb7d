"""What the gateway shows of a server, asked as a client of its HTTP API would, and as an MCP client of either era."""

import json
from dataclasses import dataclass, field

from . import door, rawjson
from .direct import NO_TOOL

LOG_TAIL = 1000


@dataclass
class Shown:
    """Texts of JSON as they came; an answer is its status and its text."""

    state: str
    cause: str = None
    protocol: str = None
    tools: list = field(default_factory=list)
    api_tools: list = field(default_factory=list)
    resources: list = field(default_factory=list)
    templates: list = field(default_factory=list)
    counts: dict = field(default_factory=dict)
    call: tuple = None
    unknown: tuple = None
    read: tuple = None
    log: list = field(default_factory=list)
    output: dict = field(default_factory=dict)
    memory: int = 0
    # By era: what an MCP client sees at the server's own address, or the text of what went wrong.
    mcp: dict = field(default_factory=dict)


def by_gateway(daemon, server, home, patience):
    """Waits until the server serves, and asks everything that a plain client was asked."""
    data = daemon.settled(server.name, patience)
    shown = Shown(data["state"], data["cause"], data["protocol_version"])
    if shown.state != "ready":
        return shown
    if server.call:
        shown.call = _invoke(daemon, server.name, *server.asked(home))
    shown.unknown = _invoke(daemon, server.name, NO_TOOL, {})
    if server.read:
        shown.read = daemon.ask("POST", "/v1/mcp/resources", {"mcp_id": server.name, "uri": server.read})
    _lists(daemon, server.name, shown)
    look_at_output(daemon, server.name, shown)
    # Last: some servers write a line for each request, and lines are counted.
    shown.mcp = door.through(daemon, server, home)
    return shown


def look_at_output(daemon, name, shown):
    """Fills in what the server has written beside answers so far; it may write on after its last answer."""
    status, text = daemon.ask("GET", f"/v1/mcps/{name}/logs?tail={LOG_TAIL}")
    shown.log = json.loads(text)["data"] if status == 200 else []
    shown.output = rawjson.value(_detail(daemon, name).get("output", "{}"))


def _detail(daemon, name):
    status, text = daemon.ask("GET", f"/v1/mcps/{name}")
    return rawjson.members(rawjson.members(text)["data"]) if status == 200 else {}


def _lists(daemon, name, shown):
    data = _detail(daemon, name)
    shown.tools = rawjson.elements(data.get("tools", "[]"))
    shown.counts = {kind: rawjson.value(data.get(f"{kind}_count")) for kind in ("resources", "prompts")}
    shown.memory = rawjson.value(data.get("tree", "{}")).get("rss_bytes", 0)
    status, text = daemon.ask("GET", f"/api/servers/{name}/tools")
    shown.api_tools = rawjson.elements(rawjson.members(text)["tools"]) if status == 200 else []
    status, text = daemon.ask("POST", "/v1/mcp/resources", {"mcp_id": name})
    if status == 200:
        listed = rawjson.members(rawjson.members(text)["data"])
        shown.resources = rawjson.elements(listed["contents"])
        shown.templates = rawjson.elements(listed["resource_templates"])


def _invoke(daemon, name, tool, arguments):
    body = {"mcp_id": name, "tool": tool, "arguments": arguments, "timeout": 60_000}
    return daemon.ask("POST", "/v1/mcp/invoke", body, patience=90.0)
