"""What is tried with each client written in Python, once for all of them.

A client is an adapter: a subclass of `Client` that says how its library does a thing. What it does not define, the
library does not offer. Each feature's outcome is printed as one line of JSON, which run.py reads:

    {"feature": "tools", "outcome": "ok" | "no" | "none", "detail": "..."}
"""

import asyncio
import contextlib
import json
import re
import sys
import time
import traceback
from dataclasses import dataclass, field

REVISION = {"legacy": "2025-11-25", "modern": "2026-07-28", "auto": "2026-07-28"}
# The tools of child.py, three more than the fixture has.
TOOLS, RESOURCES, PROMPTS = 32, 3, 5
TEMPLATE = "test://template/{id}/data"
WATCHED = "test://watched-resource"
MODEL_SAYS = "forty-two, said the model"
ROOT = "file:///a/folder/of/the/client"
# One thing here takes twelve seconds, and some processes take a while to start.
PATIENCE_S = 20
# How soon a notification has to come.
SOON_S = 5
ROUNDS = 10


class NotOffered(Exception):
    """The library has nothing for it."""


class Wrong(Exception):
    """It was done, and what came of it is not what should have."""


@dataclass(frozen=True)
class Door:
    """How an address names what the server has that is tried. Without anything said: as the server does."""

    # In front of the names of tools and prompts, and of the addresses of resources.
    names: str = ""
    uris: str = ""
    # Tools that have another name there.
    renamed: dict = field(default_factory=dict)

    def tool(self, own):
        return self.renamed.get(own, self.names + own)

    def prompt(self, own):
        return self.names + own

    def uri(self, own):
        return self.uris + own

    def own_tools(self, names):
        """Those of a list that are the server's, by its own names."""
        own = {name: before for before, name in self.renamed.items()}
        return [own.get(name) or name.removeprefix(self.names) for name in names if name in own or self.has(name)]

    def has(self, name):
        return name.startswith(self.names)

    def own_prompts(self, names):
        return [name.removeprefix(self.names) for name in names if self.has(name)]

    def own_uris(self, uris):
        return [uri.removeprefix(self.uris) for uri in uris if uri.startswith(self.uris)]


class Heard:
    """What came without being asked for, and the name that this client's user answers with."""

    def __init__(self, name, door=None):
        self.name = name
        self.door = door or Door()
        self.declines = False
        self.logs = []
        self.updated = []
        self.changes = 0

    def log(self, text):
        self.logs.append(str(text))

    def update(self, uri):
        self.updated += self.door.own_uris([str(uri)])

    def change(self):
        self.changes += 1

    def answer(self, properties):
        """What this client's user does with a form: an action, and the content that goes with it."""
        if self.declines:
            return {"action": "decline"}
        return {"action": "accept", "content": {name: self.name for name in properties}}


class Client:
    """An adapter. What a library has nothing for stays as it is here."""

    def __init__(self, url, era, heard):
        self.url, self.era, self.heard = url, era, heard

    async def __aenter__(self):
        raise NotImplementedError

    async def __aexit__(self, *error):
        raise NotImplementedError

    def version(self):
        """The revision that was agreed on; None where the library keeps it to itself."""
        return None

    async def tools(self):
        raise NotOffered

    async def resources(self):
        raise NotOffered

    async def templates(self):
        raise NotOffered

    async def prompts(self):
        raise NotOffered

    async def call(self, name, arguments=None, on_progress=None):
        """The text of the result, and whether it was an error."""
        raise NotOffered

    async def read(self, uri):
        raise NotOffered

    async def prompt(self, name, arguments):
        raise NotOffered

    async def complete(self, prompt, argument, value):
        raise NotOffered

    async def cancel_a_call(self, name, under_way):
        """Begins a call and, when the server has it, gives it up as this library's users would."""
        raise NotOffered

    async def watch(self, uri):
        """From now on changes of this resource are heard of."""
        raise NotOffered

    async def listen(self):
        """From now on changes of the list of tools are heard of."""
        raise NotOffered

    async def ask_for_logs(self):
        """From now on messages of every level are wanted."""
        raise NotOffered

    # What the callbacks of a library can do. Unasked logs are a matter of the legacy era.
    progresses = logs = elicits = samples = has_roots = True


def behind(door, kind):
    """A client that is told the server's own names and uses those of the door."""

    class Behind(kind):
        async def tools(self):
            return door.own_tools(await super().tools())

        async def resources(self):
            return door.own_uris([str(uri) for uri in await super().resources()])

        async def templates(self):
            return door.own_uris(await super().templates())

        async def prompts(self):
            return door.own_prompts(await super().prompts())

        async def call(self, name, arguments=None, on_progress=None):
            return await super().call(door.tool(name), arguments, on_progress)

        async def read(self, uri):
            return await super().read(door.uri(uri))

        async def prompt(self, name, arguments):
            return await super().prompt(door.prompt(name), arguments)

        async def complete(self, prompt, argument, value):
            return await super().complete(door.prompt(prompt), argument, value)

        async def watch(self, uri):
            await super().watch(door.uri(uri))

    return Behind


def require(condition, otherwise):
    if not condition:
        raise Wrong(otherwise)


def need(offered):
    if not offered:
        raise NotOffered


async def within(seconds, condition):
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.02)
    return True


async def tools(client):
    names = await client.tools()
    require(len(names) == TOOLS and "test_simple_text" in names, f"{len(names)} tools")


async def resources(client):
    uris = [str(uri) for uri in await client.resources()]
    require(len(uris) == RESOURCES and WATCHED in uris, f"resources {uris}")


async def templates(client):
    found = await client.templates()
    require(found == [TEMPLATE], f"templates {found}")


async def prompts(client):
    names = await client.prompts()
    require(len(names) == PROMPTS and "test_simple_prompt" in names, f"prompts {names}")


async def simple(client):
    text, failed = await client.call("test_simple_text")
    require("One sentence" in text and not failed, f"{text!r}, failed: {failed}")


async def progress(client):
    need(client.progresses)
    events = []
    await client.call("test_tool_with_progress", on_progress=lambda done: events.append(float(done)))
    # The last may be behind the answer on its way through the library's tasks.
    await within(1, lambda: len(events) >= 3)
    require(events == [0, 50, 100], f"events {events}")


async def unasked_logs(client):
    """Most clients of the legacy era never say a level, and most servers send them everything then."""
    need(client.logs and client.era == "legacy")
    await hear_logs(client)


async def logging(client):
    need(client.logs)
    await client.ask_for_logs()
    await hear_logs(client)


async def hear_logs(client):
    client.heard.logs.clear()
    await client.call("test_tool_with_logging")
    await within(1, lambda: len(client.heard.logs) >= 3)
    require(len(client.heard.logs) == 3, f"heard {client.heard.logs}")


async def elicitation(client):
    need(client.elicits)
    text, failed = await client.call("test_elicitation", {"message": "Who are you?"})
    require(client.heard.name in text and not failed, f"{text!r}, failed: {failed}")


async def sampling(client):
    need(client.samples)
    text, failed = await client.call("test_sampling", {"prompt": "What is the answer?"})
    require(MODEL_SAYS in text and not failed, f"{text!r}, failed: {failed}")


async def decline(client):
    need(client.elicits)
    client.heard.declines = True
    try:
        text, failed = await client.call("test_elicitation", {"message": "Who are you?"})
    finally:
        client.heard.declines = False
    require('"decline"' in text and not failed, f"{text!r}, failed: {failed}")


async def two_rounds(client):
    """A tool that asks, and asks again knowing the first answer."""
    need(client.elicits)
    text, failed = await client.call("test_input_required_result_multi_round")
    require(f"{client.heard.name} likes {client.heard.name}" in text and not failed, f"{text!r}, failed: {failed}")


async def asking_prompt(client):
    need(client.elicits)
    text = await client.prompt("test_input_required_result_prompt", {})
    require(client.heard.name in text, repr(text))


async def roots(client):
    need(client.has_roots)
    text, failed = await client.call("test_input_required_result_list_roots")
    require(ROOT in text and not failed, f"{text!r}, failed: {failed}")


async def three_questions(client):
    """A form, a completion and the roots, all at once."""
    need(client.elicits and client.samples and client.has_roots)
    text, failed = await client.call("test_input_required_result_multiple_inputs")
    require("3 answers" in text and MODEL_SAYS in text and not failed, f"{text!r}, failed: {failed}")


async def slow(client):
    """One server is enough for this: it takes twelve seconds, and is a matter of the gateway alone."""
    need(client.url.endswith("/dual"))
    text, failed = await client.call("test_slow")
    require("There at last" in text and not failed, f"{text!r}, failed: {failed}")


async def error(client):
    text, failed = await client.call("test_error_handling")
    require(failed and "nothing but fail" in text, f"{text!r}, failed: {failed}")


async def read(client):
    text = await client.read("test://static-text")
    require(text == "A text that stays as it is.", repr(text))


async def prompt(client):
    text = await client.prompt("test_prompt_with_arguments", {"arg1": "red", "arg2": "blue"})
    require("'red'" in text and "'blue'" in text, repr(text))


async def complete(client):
    values = await client.complete("test_prompt_with_arguments", "arg1", "test")
    require(list(values) == ["test", "testing"], f"values {values}")


async def cancel(client):
    async def counts():
        """How many calls were begun, and how many given up. By digits, because some libraries wrap the text."""
        return [int(count) for count in re.findall(r"\d+", (await client.call("test_count_given_up"))[0])[:2]]

    async def is_past(which, before):
        end = time.monotonic() + SOON_S
        while (count := (await counts())[which]) == before and time.monotonic() < end:
            await asyncio.sleep(0.1)
        return count

    begun, given_up = await counts()

    async def under_way():
        # A cancellation that overtakes its request is about nothing.
        require(await is_past(0, begun) > begun, f"the call was not begun after {SOON_S} s")

    await client.cancel_a_call("test_wait_long", under_way)
    after = await is_past(1, given_up)
    require(after == given_up + 1, f"the server knows of {after - given_up} given up after {SOON_S} s")


async def subscribe(client):
    await client.watch(WATCHED)
    client.heard.updated.clear()
    await client.call("test_trigger_resource_change")
    require(await within(SOON_S, lambda: WATCHED in client.heard.updated), f"no update after {SOON_S} s")


async def list_changed(client):
    await client.listen()
    before = client.heard.changes
    await client.call("test_trigger_tool_change")
    require(await within(SOON_S, lambda: client.heard.changes > before), f"no change after {SOON_S} s")


async def header(client):
    """An argument that modern clients have to repeat in a header, which they know from the list of tools."""
    text, failed = await client.call("test_x_mcp_header", {"region": "north", "level": 3})
    require(text.startswith("Region north, level 3") and not failed, f"{text!r}, failed: {failed}")


async def header_unlisted(client):
    """The same by a client that has not seen the list: it is refused, and has to look."""
    async with other(client) as second:
        await header(second)


async def beside(client):
    """The same library twice, so that both use the same ids: nobody gets what is the other's."""
    async with other(client) as second:
        for number in range(ROUNDS):
            mine, yours = f"mine{number}", f"yours{number}"
            both = [echo(each, word) for each, word in ((client, mine), (second, yours))]
            (first_text, _), (second_text, _) = await asyncio.gather(*both)
            require(mine in first_text and yours in second_text, f"{first_text!r} and {second_text!r}")


async def ask_beside(client):
    """Two clients that are asked at the same time, with equal ids: each answers its own question."""
    need(client.elicits)
    async with other(client) as second:
        both = [each.call("test_elicitation", {"message": "Who?"}) for each in (client, second)]
        texts = [text for text, _ in await asyncio.gather(*both)]
        fits = [each.heard.name in text for each, text in zip((client, second), texts, strict=True)]
        require(all(fits), f"{texts}")


def echo(client, word):
    return client.call("json_schema_2020_12_tool", {"name": word, "phone": "1"})


@contextlib.asynccontextmanager
async def other(client):
    async with type(client)(client.url, client.era, Heard("berta", client.heard.door)) as second:
        yield second


FEATURES = [
    tools, resources, templates, prompts, simple, progress, unasked_logs, logging, error, slow, elicitation, decline,
    two_rounds, asking_prompt, sampling, roots, three_questions, read, prompt, complete, cancel, subscribe,
    list_changed, header, header_unlisted, beside, ask_beside,
]  # fmt: skip


def report(feature, outcome, detail=""):
    print(json.dumps({"feature": feature, "outcome": outcome, "detail": detail}), flush=True)


def reason(error):
    """An error in one line. Groups of them hide what went wrong in their innermost."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    return (f"{type(error).__name__}: {text}" if not isinstance(error, Wrong) else text)[:300]


@contextlib.asynccontextmanager
async def tried(feature):
    """One feature, whose end is reported, whatever it is."""
    try:
        # In the same task: what opens a connection must be where it is closed.
        async with asyncio.timeout(PATIENCE_S):
            yield
        report(feature, "ok")
    except NotOffered:
        report(feature, "none")
    except Exception as error:
        traceback.print_exc()
        report(feature, "no", reason(error))


async def try_all(kind, url, era, door):
    client, is_open = kind(url, era, Heard("anna", door)), False
    async with tried("open"):
        await client.__aenter__()
        is_open = True
        version = client.version()
        require(version in (None, REVISION[era]), f"agreed on {version}")
    if not is_open:
        return
    for feature in FEATURES:
        async with tried(feature.__name__):
            await feature(client)
    async with tried("close"):
        await client.__aexit__(None, None, None)


def given():
    """What run.py says on the command line: the address, the era, and how things are named there if not as usual."""
    _, url, era, *named = sys.argv
    return url, era, Door(**json.loads(named[0])) if named else None


def main(kind):
    url, era, door = given()
    asyncio.run(try_all(behind(door, kind) if door else kind, url, era, door))


async def cancel_task(call, under_way):
    """Gives a call up as asyncio does it, once it is under way."""
    task = asyncio.ensure_future(call)
    await under_way()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
