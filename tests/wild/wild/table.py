"""The table of servers: what is installed, how it is started, and which differences have a reason.

`servers.json` is read strictly: a name that is not known here is an error, because a misspelt
`differences` would otherwise hide that it accepts nothing.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
TABLE = HERE / "servers.json"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_SOURCES = ("npm", "pypi", "path")
_ERAS = ("legacy", "both")
_STILL = ("anything", "the same words")


@dataclass(frozen=True)
class Accepted:
    """A difference that has a reason: where (a pattern as of file names), and what must be equal all the same."""

    at: str
    reason: str
    still: str = "anything"


@dataclass(frozen=True)
class Mask:
    """What differs from run to run in a text, such as a time: it is replaced by `to` before texts are compared."""

    at: str
    pattern: str
    reason: str
    to: str = "\N{MIDDLE DOT}"


@dataclass(frozen=True)
class Server:
    """One published server. `args`, `env` and the call's arguments may
    name `{home}`, the folder that it may write to."""

    name: str
    source: str
    package: str
    version: str
    program: str
    why: str
    era: str = "legacy"
    protocol: str = "2025-11-25"
    args: tuple = ()
    env: dict = field(default_factory=dict)
    short: bool = False
    call: dict = None
    read: str = None
    masks: tuple = ()
    differences: tuple = ()

    @property
    def folder(self):
        """Where it is installed."""
        return HERE / "servers" / self.name

    @property
    def command(self):
        """The program to run."""
        bin_of = {"npm": self.folder / "node_modules" / ".bin", "pypi": self.folder / "venv" / "bin"}
        return str(bin_of[self.source] / self.program) if self.source in bin_of else self.program

    def arguments(self, home):
        """The arguments, for a run that may write to this folder."""
        return [text.replace("{home}", str(home)) for text in self.args]

    def asked(self, home):
        """The harmless call as `(tool, arguments)`, or `None`."""
        if self.call is None:
            return None
        return self.call["tool"], json.loads(json.dumps(self.call["arguments"]).replace("{home}", str(home)))

    def environment(self, home):
        """What it gets beside the variables that every child gets."""
        own = {name: text.replace("{home}", str(home)) for name, text in self.env.items()}
        return {"HOME": str(home), **own}


class Wrong(Exception):
    """The table cannot be used; the text says which entry, what is wrong and what would be right."""


def read(path=TABLE):
    """All servers of a table, in its order. Raises Wrong."""
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))["servers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Wrong(f"{path}: no table of servers: {error}") from error
    servers = [_server(entry, f"{Path(path).name}: servers[{at}]") for at, entry in enumerate(entries)]
    names = [server.name for server in servers]
    for name in names:
        if names.count(name) > 1:
            raise Wrong(f"{path}: '{name}' is there {names.count(name)} times; each name stands for one server")
    return servers


def chosen(servers, only=None, count=None, short=False):
    """The servers that were asked for. Raises Wrong for a name that is not in the table."""
    if only:
        known = {server.name: server for server in servers}
        wanted = only.split(",")
        missing = [name for name in wanted if name not in known]
        if missing:
            raise Wrong(f"no server is called {', '.join(missing)}; there are {', '.join(known)}")
        servers = [known[name] for name in wanted]
    if short:
        servers = [server for server in servers if server.short]
    return servers if count is None else servers[:count]


def _server(entry, place):
    if not isinstance(entry, dict):
        raise Wrong(f"{place} must be an object")
    known = set(Server.__dataclass_fields__)
    unknown = sorted(set(entry) - known)
    if unknown:
        raise Wrong(f"{place}: {', '.join(unknown)} is not known; known are {', '.join(sorted(known))}")
    missing = [name for name in ("name", "source", "package", "version", "program", "why") if not entry.get(name)]
    if missing:
        raise Wrong(f"{place}: {', '.join(missing)} is missing")
    _one_of(entry["source"], _SOURCES, f"{place}.source")
    _one_of(entry.get("era", "legacy"), _ERAS, f"{place}.era")
    if not _NAME.fullmatch(entry["name"]):
        raise Wrong(f"{place}.name must be lower-case letters, digits and '-' (found {entry['name']!r})")
    call = entry.get("call", {"tool": "", "arguments": {}})
    if not isinstance(call, dict) or set(call) != {"tool", "arguments"} or not isinstance(call["arguments"], dict):
        raise Wrong(f"{place}.call must be an object of 'tool' and 'arguments', the latter an object")
    made = {**entry, "args": tuple(entry.get("args", ()))}
    made["masks"] = tuple(_part(Mask, part, f"{place}.masks") for part in entry.get("masks", ()))
    made["differences"] = tuple(_part(Accepted, part, f"{place}.differences") for part in entry.get("differences", ()))
    for accepted in made["differences"]:
        _one_of(accepted.still, _STILL, f"{place}.differences.still")
    for mask in made["masks"]:
        _pattern(mask.pattern, f"{place}.masks.pattern")
    return Server(**made)


def _part(kind, part, place):
    try:
        made = kind(**part)
    except TypeError as error:
        raise Wrong(f"{place}: {error}") from error
    if not made.reason:
        raise Wrong(f"{place}: a difference without a reason is a fault; say the reason")
    return made


def _pattern(text, place):
    try:
        re.compile(text)
    except re.error as error:
        raise Wrong(f"{place}: {text!r} is no regular expression: {error}") from error


def _one_of(found, allowed, place):
    if found not in allowed:
        raise Wrong(f"{place} must be one of {', '.join(allowed)} (found {found!r})")
