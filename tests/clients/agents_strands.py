"""strands-agents, on the Python SDK of the second line: its client lives in a thread of its own."""

import asyncio

import features
import mcp.types as types
from strands.tools.mcp import MCPClient


class Strands(features.Client):
    logs = samples = has_roots = False

    async def __aenter__(self):
        self.client = MCPClient(
            url=self.url, elicitation_callback=self.on_elicitation, on_tools_changed=self.on_tools_changed
        )
        # This starts it; changes are told of only once the tools were given to somebody.
        await self.client.load_tools()
        return self

    async def __aexit__(self, *error):
        await asyncio.to_thread(self.client.stop, None, None, None)

    async def on_elicitation(self, _context, params):
        return types.ElicitResult(**self.heard.answer(params.requested_schema["properties"]))

    def on_tools_changed(self, *_):
        self.heard.change()

    async def tools(self):
        return [tool.tool_name for tool in await asyncio.to_thread(self.client.list_tools_sync)]

    async def resources(self):
        return [resource.uri for resource in (await asyncio.to_thread(self.client.list_resources_sync)).resources]

    async def templates(self):
        found = (await asyncio.to_thread(self.client.list_resource_templates_sync)).resource_templates
        return [template.uri_template for template in found]

    async def prompts(self):
        return [prompt.name for prompt in (await asyncio.to_thread(self.client.list_prompts_sync)).prompts]

    async def call(self, name, arguments=None, on_progress=None):
        async def progressed(done, _total, _message):
            on_progress(done)

        callback = progressed if on_progress else None
        result = await self.client.call_tool_async("use-1", name, arguments or {}, progress_callback=callback)
        return result["content"][0]["text"], result["status"] == "error"

    async def read(self, uri):
        return (await asyncio.to_thread(self.client.read_resource_sync, uri)).contents[0].text

    async def prompt(self, name, arguments):
        return (await asyncio.to_thread(self.client.get_prompt_sync, name, arguments)).messages[0].content.text

    async def cancel_a_call(self, name, under_way):
        await features.cancel_task(self.call(name), under_way)

    async def listen(self):
        """Nothing to do: it listens since it was opened, having been given a callback."""


if __name__ == "__main__":
    features.main(Strands)
