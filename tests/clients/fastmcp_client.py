"""The client of fastmcp, which is built on the Python SDK of the second line."""

import features
import mcp_types as types
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.messages import MessageHandler

MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


class Listener(MessageHandler):
    def __init__(self, heard):
        self.heard = heard

    async def on_tool_list_changed(self, _message):
        self.heard.change()

    async def on_resource_updated(self, message):
        self.heard.update(message.params.uri)


class FastMcp(features.Client):
    async def __aenter__(self):
        self.client = Client(
            self.url,
            mode=MODES[self.era],
            sampling_handler=self.on_sampling,
            elicitation_handler=self.on_elicitation,
            roots=[features.ROOT],
            log_handler=self.on_log,
            message_handler=Listener(self.heard),
        )
        await self.client.__aenter__()
        self.meta = None
        return self

    async def __aexit__(self, *error):
        await self.client.__aexit__(*error)

    async def on_sampling(self, _messages, _params, _context):
        return features.MODEL_SAYS

    async def on_elicitation(self, _message, _response_type, params, _context):
        answer = self.heard.answer(params.requested_schema["properties"])
        return ElicitResult(action=answer["action"], content=answer.get("content"))

    async def on_log(self, message):
        self.heard.log(message.data)

    def version(self):
        return self.client.protocol_version

    async def tools(self):
        return [tool.name for tool in await self.client.list_tools()]

    async def resources(self):
        return [resource.uri for resource in await self.client.list_resources()]

    async def templates(self):
        return [template.uri_template for template in await self.client.list_resource_templates()]

    async def prompts(self):
        return [prompt.name for prompt in await self.client.list_prompts()]

    async def call(self, name, arguments=None, on_progress=None):
        async def progressed(done, _total, _message):
            on_progress(done)

        handler = progressed if on_progress else None
        result = await self.client.call_tool(
            name, arguments, meta=self.meta, progress_handler=handler, raise_on_error=False
        )
        return result.content[0].text, result.is_error

    async def ask_for_logs(self):
        if self.era == "legacy":
            await self.client.set_logging_level("debug")
        else:
            # The client has nothing for it, but lets each call say it.
            self.meta = {"io.modelcontextprotocol/logLevel": "debug"}

    async def read(self, uri):
        return (await self.client.read_resource(uri))[0].text

    async def prompt(self, name, arguments):
        return (await self.client.get_prompt(name, arguments)).messages[0].content.text

    async def complete(self, prompt, argument, value):
        ref = types.PromptReference(name=prompt)
        return (await self.client.complete(ref, {"name": argument, "value": value})).values

    async def cancel_a_call(self, name, under_way):
        await features.cancel_task(self.call(name), under_way)

    async def watch(self, uri):
        # By the session below; the client itself has neither subscriptions nor listening.
        if self.era != "legacy":
            raise features.NotOffered
        await self.client.session.subscribe_resource(uri)

    async def listen(self):
        if self.era != "legacy":
            raise features.NotOffered


if __name__ == "__main__":
    features.main(FastMcp)
