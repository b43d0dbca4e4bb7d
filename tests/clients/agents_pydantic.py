"""pydantic-ai, on fastmcp: its toolset, without an agent and without a model."""

import features
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.messages import MessageHandler
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.mcp import MCPToolset


class Listener(MessageHandler):
    def __init__(self, heard):
        self.heard = heard

    async def on_tool_list_changed(self, _message):
        self.heard.change()


class PydanticAi(features.Client):
    async def __aenter__(self):
        self.on_progress = self.meta = None
        self.toolset = MCPToolset(
            self.url,
            sampling_handler=self.on_sampling,
            elicitation_handler=self.on_elicitation,
            roots=[features.ROOT],
            log_handler=self.on_log,
            progress_handler=self.on_progressed,
            message_handler=Listener(self.heard),
        )
        await self.toolset.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.toolset.__aexit__(None, None, None)

    async def on_sampling(self, _messages, _params, _context):
        return features.MODEL_SAYS

    async def on_elicitation(self, _message, _response_type, params, _context):
        answer = self.heard.answer(params.requested_schema["properties"])
        return ElicitResult(action=answer["action"], content=answer.get("content"))

    async def on_log(self, message):
        self.heard.log(message.data)

    async def on_progressed(self, done, _total, _message):
        if self.on_progress:
            self.on_progress(done)

    def version(self):
        return self.toolset.client.protocol_version

    async def tools(self):
        return [tool.name for tool in await self.toolset.list_tools()]

    async def resources(self):
        return [resource.uri for resource in await self.toolset.list_resources()]

    async def templates(self):
        return [template.uri_template for template in await self.toolset.list_resource_templates()]

    async def prompts(self):
        return [prompt.name for prompt in await self.toolset.list_prompts()]

    async def call(self, name, arguments=None, on_progress=None):
        self.on_progress = on_progress
        try:
            return str(await self.toolset.direct_call_tool(name, arguments or {}, metadata=self.meta)), False
        except ModelRetry as error:
            # So the model is told that a tool has failed.
            return str(error), True

    async def ask_for_logs(self):
        self.meta = {"io.modelcontextprotocol/logLevel": "debug"}

    async def read(self, uri):
        return await self.toolset.read_resource(uri)

    async def prompt(self, name, arguments):
        return str((await self.toolset.get_prompt(name, arguments)).messages[0].content)

    async def cancel_a_call(self, name, under_way):
        await features.cancel_task(self.call(name), under_way)


if __name__ == "__main__":
    features.main(PydanticAi)
