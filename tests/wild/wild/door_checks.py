"""What a plain client saw against what a client of either era sees through the gateway. Pure functions.

Both sides are conversations (`direct.Seen`). What may differ is what an era does not have, and what the gateway says
of itself; everything else is compared as text, to the byte.
"""

from dataclasses import replace

from . import rawjson
from .differences import Difference

LEGACY, MODERN = "2025-11-25", "2026-07-28"
VERSIONS = {"legacy": LEGACY, "modern": MODERN}
INVALID_PARAMS = -32602
# Members that are the gateway's own, or the envelope of an era.
ENVELOPE = "io.modelcontextprotocol/"
# Tasks as 2025-11-25 has them, which the modern era has not.
ONLY_LEGACY = {"execution"}
NO_SCHEMA = '{"type":"object"}'
# By list: the member that tells its entries apart.
IDENTITY = {"tools": "name", "prompts": "name", "resources": "uri", "templates": "uriTemplate"}


def differences(masked, reference, era, seen):
    """All of one era; their places begin with `mcp.` and the era. Masks are for the place without that."""
    for found in _differences(masked, reference, era, seen):
        yield replace(found, at=f"mcp.{era}.{found.at}")


def _differences(masked, reference, era, seen):
    if isinstance(seen, str):
        yield Difference("open", "a server that answers", seen)
        return
    yield from masked.same("version", VERSIONS[era], seen.protocol)
    yield from _opened(masked, reference, seen)
    for kind in IDENTITY:
        yield from _list(masked, kind, reference, era, seen)
    yield from _answer(masked, "call", reference.call, seen.call, era)
    yield from _read(masked, reference.read, seen.read)
    code = rawjson.value(seen.unknown.error or "{}").get("code")
    yield from masked.same("unknown_tool", str(INVALID_PARAMS), str(code))


def _opened(masked, reference, seen):
    plain, gateway = rawjson.members(reference.opened), rawjson.members(seen.opened)
    yield from masked.same("instructions", plain.get("instructions"), gateway.get("instructions"))
    for member in ("name", "version", "title"):
        yield from masked.same(f"server.{member}", _server(plain).get(member), _server(gateway).get(member))


def _server(opened):
    """Who it is: in the result of one era, in the `_meta` of the other."""
    meta = rawjson.members(opened.get("_meta", "{}"))
    return rawjson.members(opened.get("serverInfo") or meta.get(f"{ENVELOPE}serverInfo", "{}"))


def _list(masked, kind, reference, era, seen):
    # A list that a server cannot give is none here as well.
    plain, gateway = (
        [rawjson.members(entry) for entry in ([] if kind in side.failures else side.lists[kind])]
        for side in (reference, seen)
    )
    names = ["\n".join(str(_identity(kind, entry)) for entry in entries) for entries in (plain, gateway)]
    yield from masked.same(kind, *names)
    known = {_identity(kind, entry): entry for entry in gateway}
    for own in plain:
        name = _identity(kind, own)
        if name in known:
            yield from _entry(masked, f"{kind}.{name}", _expected(kind, own, era), known[name])


def _identity(kind, entry):
    return rawjson.value(entry.get(IDENTITY[kind]))


def _expected(kind, own, era):
    """An entry as a client of the era has to see it."""
    if kind != "tools":
        return own
    left_out = ONLY_LEGACY if era == "modern" else set()
    kept = {member: text for member, text in own.items() if member not in left_out}
    return {"inputSchema": NO_SCHEMA, **kept}


def _entry(masked, at, own, entry):
    for member in sorted({*own, *entry}):
        yield from masked.same(f"{at}.{member}", own.get(member), entry.get(member))


def _answer(masked, at, plain, gateway, era):
    if plain is None:
        return
    if plain.error is not None or gateway.error is not None:
        yield from _error(masked, at, plain, gateway)
        return
    own, shown = rawjson.members(plain.result), rawjson.members(gateway.result)
    for member in ("content", "structuredContent"):
        yield from masked.same(f"{at}.{member}", own.get(member), shown.get(member))
    failed = [str(rawjson.value(side.get("isError")) is True) for side in (own, shown)]
    yield from masked.same(f"{at}.isError", *failed)
    own_meta, shown_meta = _meta(own), _meta(shown)
    for member in sorted({*own_meta, *shown_meta}):
        yield from masked.same(f"{at}._meta.{member}", own_meta.get(member), shown_meta.get(member))
    # Without it, clients of that era refuse the result.
    ending = "complete" if era == "modern" else None
    yield from masked.same(f"{at}.resultType", ending, rawjson.value(shown.get("resultType")))


def _meta(result):
    """What a server says beside its result, without what eras and gateways say there of themselves."""
    meta = rawjson.members(result.get("_meta", "{}"))
    return {name: text for name, text in meta.items() if not name.startswith(ENVELOPE)}


def _error(masked, at, plain, gateway):
    sides = [rawjson.members(side.error or "{}") for side in (plain, gateway)]
    for member in ("code", "message", "data"):
        yield from masked.same(f"{at}.error.{member}", *(side.get(member) for side in sides))


def _read(masked, plain, gateway):
    if plain is None:
        return
    if plain.error is not None or gateway.error is not None:
        # Its code is another one in each era; what it says is the server's.
        yield from masked.same("read.error", plain.said, gateway.said)
        return
    own, shown = (rawjson.elements(rawjson.members(side.result)["contents"]) for side in (plain, gateway))
    yield from masked.same("read.count", str(len(own)), str(len(shown)))
    for number, sides in enumerate(zip(own, shown)):
        yield from masked.same(f"read.{number}", *sides)
