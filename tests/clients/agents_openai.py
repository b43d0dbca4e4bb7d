"""openai-agents, on the Python SDK of the second line."""

import asyncio

import features
from agents.mcp import MCPServerStreamableHttp
import mcp_types as types


class OpenAiAgents(features.Client):
    # There is no callback but one for all messages, which gets notifications only.
    progresses = elicits = samples = has_roots = False

    async def __aenter__(self):
        self.server = MCPServerStreamableHttp({"url": self.url}, message_handler=self.on_message)
        await self.server.connect()
        return self

    async def __aexit__(self, *error):
        await self.server.cleanup()

    async def on_message(self, message):
        if isinstance(message, types.LoggingMessageNotification):
            self.heard.log(message.params.data)
        elif isinstance(message, types.ToolListChangedNotification):
            self.heard.change()

    def version(self):
        return self.server.session.protocol_version

    async def tools(self):
        return [tool.name for tool in await self.server.list_tools()]

    async def resources(self):
        return [resource.uri for resource in (await self.server.list_resources()).resources]

    async def templates(self):
        found = (await self.server.list_resource_templates()).resource_templates
        return [template.uri_template for template in found]

    async def prompts(self):
        return [prompt.name for prompt in (await self.server.list_prompts()).prompts]

    async def call(self, name, arguments=None, on_progress=None):
        meta = getattr(self, "meta", None)
        result = await self.server.call_tool(name, arguments or {}, meta)
        return result.content[0].text, result.is_error

    async def ask_for_logs(self):
        self.meta = {"io.modelcontextprotocol/logLevel": "debug"}

    async def read(self, uri):
        return (await self.server.read_resource(uri)).contents[0].text

    async def prompt(self, name, arguments):
        return (await self.server.get_prompt(name, arguments)).messages[0].content.text

    async def cancel_a_call(self, name, _under_way):
        # It asks nothing else while a call is under way, so nothing tells that this one is.
        await features.cancel_task(self.call(name), lambda: asyncio.sleep(0.5))


if __name__ == "__main__":
    features.main(OpenAiAgents)
