"""A server on fastmcp: both eras with sessions, or the elder transport, which has the legacy one only.

    venv-fastmcp/bin/python fastmcp_server.py PORT [JOURNAL] [--mode streamable|sse]
"""

import mcp_types as types
import offers
from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_http_request
from fastmcp.tools import Tool
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel


class Name(BaseModel):
    name: str


class Fast(offers.Sdk):
    Context = Context

    def request(self, context):
        return get_http_request()

    def add(self, function, name):
        self.server.add_tool(Tool.from_function(function, name=name))

    async def tell_of_tools(self, context):
        await context.send_notification(types.ToolListChangedNotification())


async def asked(context):
    """The name, or in the modern era the question: there a tool returns it and is called again with the answer."""
    if context.request_context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        result = await context.elicit(offers.QUESTION, response_type=Name)
        return result.data.name if result.action == "accept" else result.action
    if not context.input_responses:
        params = types.ElicitRequestFormParams(message=offers.QUESTION, requested_schema=offers.SCHEMA)
        return types.InputRequiredResult(input_requests={"name": types.ElicitRequest(params=params)})
    answer = context.input_responses["name"]
    return answer.content["name"] if answer.action == "accept" else answer.action


def main():
    port, journal, mode = offers.given(["streamable", "sse"])
    server = FastMCP("remote-fastmcp", version="1")
    offers.offer(Fast(server), journal)

    @server.tool(output_schema=None)
    async def ask(ctx: Context) -> str | types.InputRequiredResult:
        journal.ran("ask", {})
        return await asked(ctx)

    offers.serve(server.http_app(transport="sse" if mode == "sse" else "streamable-http"), port, journal)


if __name__ == "__main__":
    main()
