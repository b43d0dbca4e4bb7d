"""What the servers of our own in Python offer, alike for both lines of the SDK and for fastmcp, and the same as
offers.mjs. What these have different names for is in a subclass of `Sdk`."""

import argparse
import asyncio
import math

import uvicorn
from journal import Journal

STEP_S = 0.2
QUESTION = "What is your name?"
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


class Sdk:
    # The class that a tool names to be given what it needs of its call.
    Context = None

    def __init__(self, server):
        self.server = server

    def request(self, context):
        """The request of HTTP that the call came with."""
        return context.request_context.request

    async def progress(self, context, done, total):
        """Tells how far the call is; nothing goes out where no token was given."""
        await context.report_progress(done, total)

    async def log(self, context, text):
        await context.info(text)

    def add(self, function, name):
        self.server.add_tool(function, name=name)

    async def tell_of_tools(self, context):
        """Says that the list of tools is another one now."""
        raise NotImplementedError


def offer(sdk, journal):
    """The tools but `ask`, which is each server's own, the resource and the prompt."""
    server, Context = sdk.server, sdk.Context
    counts, grown = {}, []

    @server.tool()
    def echo(text: str) -> str:
        journal.ran("echo", {"text": text})
        return text

    @server.tool()
    def add(a: float, b: float) -> str:
        journal.ran("add", {"a": a, "b": b})
        return f"{a + b:g}"

    @server.tool()
    async def slow(seconds: float, ctx: Context) -> str:
        journal.ran("slow", {"seconds": seconds})
        steps = math.ceil(seconds / STEP_S)
        try:
            for step in range(1, steps + 1):
                await asyncio.sleep(STEP_S)
                await sdk.progress(ctx, step, steps)
        except asyncio.CancelledError:
            journal.stopped("slow")
            raise
        return "done"

    @server.tool()
    async def log(text: str, ctx: Context) -> str:
        journal.ran("log", {"text": text})
        await sdk.log(ctx, text)
        return "logged"

    @server.tool()
    async def grow(ctx: Context) -> str:
        journal.ran("grow", {})
        name = f"grown{len(grown) + 1}"
        grown.append(name)

        def grown_tool() -> str:
            return name

        sdk.add(grown_tool, name)
        await sdk.tell_of_tools(ctx)
        return name

    @server.tool()
    def count(ctx: Context) -> str:
        journal.ran("count", {})
        session = _session(sdk.request(ctx))
        counts[session] = counts.get(session, 0) + 1
        return str(counts[session])

    @server.tool()
    def big(bytes: int) -> str:
        journal.ran("big", {"bytes": bytes})
        return "x" * bytes

    @server.resource("note://one", name="note", mime_type="text/plain")
    def note() -> str:
        return "a note"

    @server.prompt()
    def greet() -> str:
        return "Hello!"


def given(modes):
    """How a server was started: `SERVER PORT [JOURNAL] [--mode MODE]`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("journal", nargs="?")
    parser.add_argument("--mode", choices=modes, default=modes[0])
    options = parser.parse_args()
    return options.port, Journal(options.journal), options.mode


def serve(app, port, journal):
    """As the SDKs serve by themselves, with all that is asked written down."""
    uvicorn.run(journal.watching(app), host="127.0.0.1", port=port, log_level="warning")


def _session(request):
    """What tells one session from another: a header, or a parameter in the elder transport."""
    return request.headers.get("mcp-session-id") or request.query_params.get("session_id")
