"""The comparison: what a plain client saw against what the gateway shows. Pure functions of plain values.

Each check yields differences; what the table accepts is taken out at the end, in one place. Lists, schemas,
contents and structured results are compared as text, to the byte; names and descriptions, which the gateway
writes anew, by their value.
"""

import fnmatch
import re
from dataclasses import dataclass

from . import door_checks, rawjson
from .differences import Difference, Masked

# How the members of a tool are called on `/v1`, where they are shown.
V1_MEMBERS = {
    "title": "title",
    "input_schema": "inputSchema",
    "output_schema": "outputSchema",
    "annotations": "annotations",
    "icons": "icons",
    "execution": "execution",
    "_meta": "_meta",
}
# What the gateway adds of its own.
V1_OWN = {"pin"}
NO_SCHEMA = '{"type":"object"}'
INVALID_ARGUMENTS = -32602
# The places of what a server writes beside answers.
OUTPUT_PLACES = {"noise.count", "noise", "logs", "stderr"}


@dataclass(frozen=True)
class Verdict:
    """What differs without a reason, what differs with one, and which reasons were not needed this time."""

    faults: list
    accepted: list
    unneeded: list


def verdict(server, legacy, modern, shown, late=False):
    """Compares everything. `modern` is `None` for a server that speaks the older era only. One that began `late` may
    be served in either of its eras: it was asked both ways, and its answer to `initialize` decides."""
    found = list(_era(server, legacy, modern, shown, late))
    if shown.state == "ready":
        # On the same wire: SDKs write the same list otherwise in each era.
        reference = modern if modern is not None and shown.protocol == modern.protocol else legacy
        for check in (_tools, _api_tools, _other_lists, _call, _unknown_tool, _read, _noise, _logs, _stderr):
            found += check(Masked(server.masks), reference, shown)
        for era, seen in shown.mcp.items():
            found += door_checks.differences(Masked(server.masks), reference, era, seen)
    return judged(found, server.differences)


def judged(found, differences):
    """Sorts what was found by whether the table has a reason for it."""
    faults, accepted, used = [], [], set()
    for difference in found:
        reason = next((known for known in differences if _covers(known, difference)), None)
        if reason is None:
            faults.append(difference)
        else:
            accepted.append((difference, reason))
            used.add(reason)
    return Verdict(faults, accepted, [known for known in differences if known not in used])


def _era(server, legacy, modern, shown, late):
    if shown.state != "ready":
        cause = f"'{shown.state}' ({shown.cause})"
        yield Difference("ready", "a server that answers", cause)
    era = "legacy" if modern is None else "both"
    if era != server.era:
        yield Difference("table.era", era, f"'{server.era}' in the table")
    if legacy.protocol != server.protocol:
        yield Difference("table.protocol", legacy.protocol, f"'{server.protocol}' in the table")
    expected = legacy.protocol if modern is None else modern.protocol
    right = {expected, legacy.protocol} if late else {expected}
    if shown.state == "ready" and shown.protocol not in right:
        yield Difference("era", expected, str(shown.protocol))


def _tools(masked, reference, shown):
    plain = [rawjson.members(entry) for entry in reference.lists["tools"]]
    gateway = [rawjson.members(entry) for entry in shown.tools]
    yield from _names(masked, "tools", plain, gateway)
    for own, entry in _pairs(plain, gateway):
        at = f"tools.{rawjson.value(own['name'])}"
        yield from masked.same(f"{at}.description", _description(own), _description(entry))
        for member in sorted(set(entry) - {"name", "description"} - V1_OWN):
            if member not in V1_MEMBERS:
                yield Difference(f"{at}.{member}", "nothing of that name", entry[member])
                continue
            expected = own.get(V1_MEMBERS[member], NO_SCHEMA if member == "input_schema" else None)
            yield from masked.same(f"{at}.{member}", expected, entry[member])
        if "input_schema" not in entry:
            yield Difference(f"{at}.input_schema", own.get("inputSchema", NO_SCHEMA), "nothing")


def _api_tools(masked, reference, shown):
    """`/api` is for models: tools that are for an app only are not for them."""
    plain = [own for own in map(rawjson.members, reference.lists["tools"]) if not _for_apps_only(own)]
    gateway = [rawjson.members(entry) for entry in shown.api_tools]
    yield from _names(masked, "api.tools", plain, gateway)
    for own, entry in _pairs(plain, gateway):
        at = f"api.tools.{rawjson.value(own['name'])}"
        yield from masked.same(f"{at}.description", _description(own) or "", _description(entry))
        yield from masked.same(f"{at}.parameters", own.get("inputSchema", NO_SCHEMA), entry.get("parameters"))


def _for_apps_only(tool):
    ui = (rawjson.value(tool.get("_meta")) or {}).get("ui")
    return isinstance(ui, dict) and ui.get("visibility") == ["app"]


def _other_lists(masked, reference, shown):
    for kind, entries in (("resources", shown.resources), ("templates", shown.templates)):
        plain = reference.lists[kind] if kind not in reference.failures else []
        yield from masked.same(f"{kind}.count", str(len(plain)), str(len(entries)))
        for own, entry in zip(plain, entries):
            yield from masked.same(f"{kind}.{_identity(own)}", own, entry)
    for kind in ("resources", "prompts"):
        plain = reference.lists[kind] if kind not in reference.failures else []
        yield from masked.same(f"{kind}.count", str(len(plain)), str(shown.counts.get(kind)))


def _call(masked, reference, shown):
    if reference.call is not None:
        yield from _answer(masked, "call", reference.call, shown.call)


def _answer(masked, at, plain, answer):
    status, text = answer
    if plain.error is not None:
        yield from _error(masked, at, plain, status, text)
        return
    result = rawjson.members(plain.result)
    failed = rawjson.value(result.get("isError")) is True
    yield from masked.same(f"{at}.status", "422" if failed else "200", str(status))
    body = rawjson.members(text)
    told = rawjson.members(body.get("error" if failed else "data", "{}"))
    content = result.get("content", "[]")
    where = rawjson.members(told.get("details", "{}")) if failed else told
    yield from masked.same(f"{at}.content", content, where.get("content"))
    if failed:
        said = rawjson.value(where.get("mcp_error"))
        yield from masked.same(f"{at}.mcp_error", _joined(content), said)
    else:
        yield from _result(masked, f"{at}.result", result, content, told.get("result"))


def _result(masked, at, result, content, told):
    """The rule of the HTTP API: structured content, else JSON or the text of a lone text block, else the blocks."""
    structured = result.get("structuredContent")
    if structured is not None:
        yield from masked.same(at, structured, told)
        return
    blocks = rawjson.value(content)
    if len(blocks) != 1 or blocks[0].get("type") != "text":
        yield from masked.same(at, content, told)
        return
    text = blocks[0]["text"]
    if _is_container(text):
        yield from masked.same(at, text, told)
    else:
        yield from masked.same(at, text, rawjson.value(told))


def _is_container(text):
    try:
        return isinstance(rawjson.value(text), (dict, list))
    except ValueError:
        return False


def _error(masked, at, plain, status, text):
    """A JSON-RPC error keeps its words, and is the server's fault unless it is about the arguments."""
    error = rawjson.value(plain.error)
    expected = "400" if error.get("code") == INVALID_ARGUMENTS else "502"
    yield from masked.same(f"{at}.status", expected, str(status))
    words = masked.text(f"{at}.message", str(error.get("message")))
    if words not in masked.text(f"{at}.message", _all_words(text)):
        yield Difference(f"{at}.message", words, text)


def _all_words(text):
    """The texts in an answer, as they are meant and not as JSON writes them."""
    def texts(value):
        if isinstance(value, str):
            return [value]
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [found for part in inner for found in texts(part)]

    return "\n".join(texts(rawjson.value(text)))


def _unknown_tool(masked, reference, shown):
    """Whatever servers make of it: the gateway knows its tools, and says so itself."""
    status, text = shown.unknown
    code = rawjson.value(text).get("error", {}).get("code")
    yield from masked.same("unknown_tool", "404 tool_not_found", f"{status} {code}")


def _read(masked, reference, shown):
    if reference.read is None:
        return
    status, text = shown.read
    if reference.read.error is not None:
        if status < 400:
            yield Difference("read.status", f"the error {reference.read.said!r}", str(status))
        return
    yield from masked.same("read.status", "200", str(status))
    data = rawjson.members(rawjson.members(text).get("data", "{}"))
    plain = rawjson.elements(rawjson.members(reference.read.result)["contents"])
    gateway = rawjson.elements(data.get("contents", "[]"))
    yield from masked.same("read.count", str(len(plain)), str(len(gateway)))
    for number, (own, entry) in enumerate(zip(plain, gateway)):
        # The dialect puts the resource's name in front, where the server gave none.
        named = "name" in rawjson.members(own)
        entry = entry if named else rawjson.without_leading_member(entry, "name")
        yield from masked.same(f"read.{number}", own, entry)


def _noise(masked, reference, shown):
    """Lines on stdout that are no messages are counted and kept."""
    lines = reference.heard.noise
    yield from masked.same("noise.count", str(len(lines)), str(shown.output.get("stdout_noise_lines")))
    kept = [masked.text("noise", _visible(line["line"])) for line in shown.log if line["stream"] == "stdout"]
    for line in lines:
        if masked.text("noise", _visible(line)) not in kept:
            yield Difference("noise", line, f"{len(kept)} lines of 'stdout' in the log, and not this one")


def _logs(masked, reference, shown):
    """What a server says by notification is in the log, under a stream of its own and with its level."""
    kept = [line for line in shown.log if line["stream"] == "log"]
    for said in reference.heard.logs:
        words, level = _logged(said.get("data")), str(said.get("level"))
        fits = [line for line in kept if masked.text("logs", words) in masked.text("logs", line["line"])]
        if not any(level == line.get("level") or level in line["line"] for line in fits):
            yield Difference("logs", f"{level}: {words}", f"{len(kept)} lines of 'log', and not this one")


def _logged(data):
    """The first line of what was said, or the first text in it."""
    while isinstance(data, dict) and data:
        data = data.get("message") or data.get("msg") or next(iter(data.values()))
    return str(data).strip().split("\n")[0]


def _stderr(masked, reference, shown):
    """Lines on stderr are in the log, but for those of a flood, which it counts. Numbers differ from run to run."""
    def comparable(line):
        return re.sub(r"\d[\d.]*", "#", masked.text("stderr", _visible(line)))

    kept = {comparable(line["line"]) for line in shown.log}
    missing = [line for line in reference.heard.stderr if line.strip() and comparable(line) not in kept]
    left_out = shown.output.get("lines_left_out", 0)
    if len(missing) > left_out:
        told = f"{len(kept)} different lines in the log, {left_out} left out, and {len(missing)} not, this one first"
        yield Difference("stderr", missing[0], told)


def _visible(line):
    """A line as the log shows it: without colours, and no matter which blanks are in it."""
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\\u\{1b\}\[[0-9;?]*[A-Za-z]", "", line)
    return " ".join(line.split())


def _names(masked, at, plain, gateway):
    names = ["\n".join(str(rawjson.value(tool.get("name"))) for tool in tools) for tools in (plain, gateway)]
    yield from masked.same(at, *names)


def _pairs(plain, gateway):
    """The same tool of both sides, for the names that both have."""
    known = {rawjson.value(entry["name"]): entry for entry in gateway}
    for own in plain:
        entry = known.get(rawjson.value(own.get("name")))
        if entry is not None:
            yield own, entry


def _description(tool):
    return rawjson.value(tool.get("description"))


def _identity(entry):
    value = rawjson.value(entry)
    return value.get("uri") or value.get("uriTemplate")


def _joined(content):
    return "\n".join(block["text"] for block in rawjson.value(content) if block.get("type") == "text")


def _covers(known, difference):
    if not fnmatch.fnmatchcase(difference.at, known.at):
        return False
    return known.still == "anything" or _words(difference.plain) == _words(difference.gateway)


def _words(text):
    return sorted(re.findall(r"\w+", text))
