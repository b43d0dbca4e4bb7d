"""llama-index-tools-mcp, on the Python SDK of the second line: always the handshake, and a session for each call."""

import features
import mcp_types as types
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec


class LlamaIndex(features.Client):
    logs = elicits = has_roots = False

    async def __aenter__(self):
        self.client = BasicMCPClient(self.url, sampling_callback=self.on_sampling)
        # What an agent is given; that it can be made of the list is a part of opening.
        await McpToolSpec(self.client).to_tool_list_async()
        return self

    async def __aexit__(self, *error):
        await self.client.http_client.aclose()

    async def on_sampling(self, _context, _params):
        content = types.TextContent(type="text", text=features.MODEL_SAYS)
        return types.CreateMessageResult(role="assistant", content=content, model="none")

    async def tools(self):
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def resources(self):
        return [resource.uri for resource in (await self.client.list_resources()).resources]

    async def templates(self):
        found = (await self.client.list_resource_templates()).resource_templates
        return [template.uri_template for template in found]

    async def prompts(self):
        return [prompt.name for prompt in (await self.client.list_prompts()).prompts]

    async def call(self, name, arguments=None, on_progress=None):
        async def progressed(done, _total, _message):
            on_progress(done)

        callback = progressed if on_progress else None
        result = await self.client.call_tool(name, arguments or {}, callback)
        return result.content[0].text, result.is_error

    async def read(self, uri):
        return (await self.client.read_resource(uri)).contents[0].text

    async def prompt(self, name, arguments):
        return (await self.client.get_prompt(name, arguments))[0].content

    async def cancel_a_call(self, name, under_way):
        await features.cancel_task(self.call(name), under_way)


if __name__ == "__main__":
    features.main(LlamaIndex)
