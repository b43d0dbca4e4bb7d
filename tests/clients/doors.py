"""Addresses at which several servers are together, and how each names the things of one of them."""

import json
from dataclasses import dataclass, field

GROUP = "few"
# Beside `dual` it has another server with the same tools, so that only the names tell whose is called.
CONFIG = f"""
[groups.{GROUP}]
servers = ["legacy", "dual"]
separator = "-"
rename = {{ "dual.test_simple_text" = "say_one_sentence" }}
"""


@dataclass(frozen=True)
class Door:
    path: str
    # What stands between a server's name and the names of its tools and prompts.
    separator: str
    # The servers that are tried behind it; those of either era are all the same to a client.
    servers: list
    # By the tool's own name; for one server only, as it is with groups.
    renamed: dict = field(default_factory=dict)


DOORS = {
    "all": Door("/mcp", "__", ["legacy", "modern"]),
    "group": Door(f"/mcp/{GROUP}", "-", ["dual"], {"test_simple_text": "say_one_sentence"}),
}
# As run.py has them: the server, and behind which door it is.
PLACES = [f"{server}@{name}" for name, door in DOORS.items() for server in door.servers]


def arguments(place):
    """The path of a place, and what features.py and features.mjs are told of the names there."""
    server, _, name = place.partition("@")
    if not name:
        return [f"/mcp/{server}"]
    door = DOORS[name]
    named = {"names": f"{server}{door.separator}", "uris": f"mcpvisor://{server}/", "renamed": door.renamed}
    return [door.path, json.dumps(named)]
