"""A server on the Python SDK of the first line: the legacy era, over HTTP in each of its ways.

    venv-py1/bin/python py1.py PORT [JOURNAL] [--mode streamable|stateless|json|sse]

`json` is stateless as well.
"""

import offers
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.lowlevel import NotificationOptions
from pydantic import BaseModel


class Name(BaseModel):
    name: str


class Py1(offers.Sdk):
    Context = Context

    async def tell_of_tools(self, context):
        await context.session.send_tool_list_changed()


def main():
    port, journal, mode = offers.given(["streamable", "stateless", "json", "sse"])
    stateless = {"stateless_http": mode in ("stateless", "json"), "json_response": mode == "json"}
    server = FastMCP("remote-py1", log_level="WARNING", **stateless)
    # Unless it is told to, it does not say that its lists may change, and nobody listens then.
    low = server._mcp_server
    options = low.create_initialization_options
    low.create_initialization_options = lambda: options(NotificationOptions(tools_changed=True))
    offers.offer(Py1(server), journal)

    @server.tool()
    async def ask(ctx: Context) -> str:
        journal.ran("ask", {})
        result = await ctx.elicit(offers.QUESTION, schema=Name)
        return result.data.name if result.action == "accept" else result.action

    offers.serve(server.sse_app() if mode == "sse" else server.streamable_http_app(), port, journal)


if __name__ == "__main__":
    main()
