"""The Python SDK of the second line, which speaks both eras and finds out by itself which."""

import asyncio
import contextlib

import features
import mcp_types as types
from mcp import Client
from mcp.client.subscriptions import ResourceUpdated, ToolsListChanged

MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


class Py2(features.Client):
    def server(self):
        """What the SDK is given to reach the server."""
        return self.url

    async def __aenter__(self):
        self.stack = contextlib.AsyncExitStack()
        client = Client(
            self.server(),
            mode=MODES[self.era],
            sampling_callback=self.on_sampling,
            elicitation_callback=self.on_elicitation,
            list_roots_callback=self.on_roots,
            logging_callback=self.on_log,
            log_level="debug",
            message_handler=self.on_message,
        )
        self.client = await self.stack.enter_async_context(client)
        return self

    async def __aexit__(self, *error):
        await self.stack.__aexit__(*error)

    async def on_sampling(self, _context, _params):
        content = types.TextContent(type="text", text=features.MODEL_SAYS)
        return types.CreateMessageResult(role="assistant", content=content, model="none")

    async def on_elicitation(self, _context, params):
        return types.ElicitResult(**self.heard.answer(params.requested_schema["properties"]))

    async def on_roots(self, _context):
        return types.ListRootsResult(roots=[types.Root(uri=features.ROOT)])

    async def on_log(self, params):
        self.heard.log(params.data)

    async def on_message(self, message):
        if isinstance(message, types.ResourceUpdatedNotification):
            self.heard.update(message.params.uri)
        elif isinstance(message, types.ToolListChangedNotification):
            self.heard.change()

    def version(self):
        return self.client.protocol_version

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
        result = await self.client.call_tool(name, arguments or {}, progress_callback=callback)
        return result.content[0].text, result.is_error

    async def ask_for_logs(self):
        # In the modern era each request says so, by `log_level` above.
        if self.era == "legacy":
            await self.client.set_logging_level("debug")

    async def read(self, uri):
        return (await self.client.read_resource(uri)).contents[0].text

    async def prompt(self, name, arguments):
        return (await self.client.get_prompt(name, arguments)).messages[0].content.text

    async def complete(self, prompt, argument, value):
        ref = types.PromptReference(name=prompt)
        return (await self.client.complete(ref, {"name": argument, "value": value})).completion.values

    async def cancel_a_call(self, name, under_way):
        await features.cancel_task(self.call(name), under_way)

    async def watch(self, uri):
        if self.era == "legacy":
            await self.client.subscribe_resource(uri)
        else:
            await self.subscribe(resource_subscriptions=[uri])

    async def listen(self):
        # In the legacy era the server tells of it unasked.
        if self.era != "legacy":
            await self.subscribe(tools_list_changed=True)

    async def subscribe(self, **wanted):
        subscription = await self.stack.enter_async_context(self.client.listen(**wanted))
        iterating = asyncio.ensure_future(self.iterate(subscription))
        self.stack.callback(iterating.cancel)

    async def iterate(self, subscription):
        async for event in subscription:
            if isinstance(event, ResourceUpdated):
                self.heard.update(event.uri)
            elif isinstance(event, ToolsListChanged):
                self.heard.change()


if __name__ == "__main__":
    features.main(Py2)
