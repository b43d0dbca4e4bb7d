"""A server on the Python SDK of the second line: both eras, over HTTP in each of its ways.

    venv-py2/bin/python py2.py PORT [JOURNAL] [--mode streamable|stateless|json|sse]

`json` is stateless as well; `sse` is of the legacy era only.
"""

import warnings

import mcp_types as types
import offers
from mcp.server import MCPServer
from mcp.server.lowlevel import NotificationOptions
from mcp.server.mcpserver import Context
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

# Log messages are deprecated, and tried all the same.
warnings.simplefilter("ignore")


class Name(BaseModel):
    name: str


class Py2(offers.Sdk):
    Context = Context

    async def tell_of_tools(self, context):
        # To streams of the modern era, and to the session that it was asked in.
        await context.notify_tools_changed()
        if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            await context.session.send_tool_list_changed()


async def asked(context):
    """The name, or in the modern era the question: there a tool returns it and is called again with the answer."""
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        result = await context.elicit(offers.QUESTION, schema=Name)
        return result.data.name if result.action == "accept" else result.action
    if not context.input_responses:
        params = types.ElicitRequestFormParams(message=offers.QUESTION, requested_schema=offers.SCHEMA)
        return types.InputRequiredResult(input_requests={"name": types.ElicitRequest(params=params)})
    answer = context.input_responses["name"]
    return answer.content["name"] if answer.action == "accept" else answer.action


def main():
    port, journal, mode = offers.given(["streamable", "stateless", "json", "sse"])
    server = MCPServer("remote-py2", version="1", log_level="WARNING")
    # Unless it is told to, it does not say to a legacy client that its lists may change, and nobody listens then.
    low = server._lowlevel_server
    options = low.create_initialization_options
    low.create_initialization_options = lambda: options(NotificationOptions(tools_changed=True))
    offers.offer(Py2(server), journal)

    @server.tool(structured_output=False)
    async def ask(ctx: Context) -> str | types.InputRequiredResult:
        journal.ran("ask", {})
        return await asked(ctx)

    stateless = {"stateless_http": mode in ("stateless", "json"), "json_response": mode == "json"}
    offers.serve(server.sse_app() if mode == "sse" else server.streamable_http_app(**stateless), port, journal)


if __name__ == "__main__":
    main()
