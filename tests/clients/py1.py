"""The Python SDK of the first line, which speaks the legacy era only."""

import asyncio
import contextlib

import features
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client


class Py1(features.Client):
    async def __aenter__(self):
        self.stack = contextlib.AsyncExitStack()
        read, write, _ = await self.stack.enter_async_context(streamable_http_client(self.url))
        session = ClientSession(
            read,
            write,
            sampling_callback=self.on_sampling,
            elicitation_callback=self.on_elicitation,
            list_roots_callback=self.on_roots,
            logging_callback=self.on_log,
            message_handler=self.on_message,
        )
        self.session = await self.stack.enter_async_context(session)
        self.opening = await self.session.initialize()
        return self

    async def __aexit__(self, *error):
        await self.stack.__aexit__(*error)

    async def on_sampling(self, _context, _params):
        content = types.TextContent(type="text", text=features.MODEL_SAYS)
        return types.CreateMessageResult(role="assistant", content=content, model="none")

    async def on_elicitation(self, _context, params):
        return types.ElicitResult(**self.heard.answer(params.requestedSchema["properties"]))

    async def on_roots(self, _context):
        return types.ListRootsResult(roots=[types.Root(uri=features.ROOT)])

    async def on_log(self, params):
        self.heard.log(params.data)

    async def on_message(self, message):
        notification = getattr(message, "root", None)
        if isinstance(notification, types.ResourceUpdatedNotification):
            self.heard.update(notification.params.uri)
        elif isinstance(notification, types.ToolListChangedNotification):
            self.heard.change()

    def version(self):
        return self.opening.protocolVersion

    async def tools(self):
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def resources(self):
        return [resource.uri for resource in (await self.session.list_resources()).resources]

    async def templates(self):
        found = (await self.session.list_resource_templates()).resourceTemplates
        return [template.uriTemplate for template in found]

    async def prompts(self):
        return [prompt.name for prompt in (await self.session.list_prompts()).prompts]

    async def call(self, name, arguments=None, on_progress=None):
        async def progressed(done, _total, _message):
            on_progress(done)

        callback = progressed if on_progress else None
        result = await self.session.call_tool(name, arguments or {}, progress_callback=callback)
        return result.content[0].text, result.isError

    async def ask_for_logs(self):
        await self.session.set_logging_level("debug")

    async def read(self, uri):
        return (await self.session.read_resource(uri)).contents[0].text

    async def prompt(self, name, arguments):
        return (await self.session.get_prompt(name, arguments)).messages[0].content.text

    async def complete(self, prompt, argument, value):
        ref = types.PromptReference(type="ref/prompt", name=prompt)
        return (await self.session.complete(ref, {"name": argument, "value": value})).completion.values

    async def cancel_a_call(self, name, under_way):
        # Cancelling the task tells the server nothing in this line: the notification has to be sent by hand.
        identity = self.session._request_id
        call = asyncio.ensure_future(self.call(name))
        # So that it takes this id, before anything else is asked.
        await asyncio.sleep(0)
        await under_way()
        params = types.CancelledNotificationParams(requestId=identity, reason="no longer needed")
        await self.session.send_notification(
            types.ClientNotification(types.CancelledNotification(method="notifications/cancelled", params=params))
        )
        call.cancel()

    async def watch(self, uri):
        await self.session.subscribe_resource(uri)

    async def listen(self):
        """Nothing to do: in this era the server tells of it unasked."""


if __name__ == "__main__":
    features.main(Py1)
