"""langchain-mcp-adapters, on the Python SDK of the first line: a session for each thing it does."""

import features
from langchain_mcp_adapters.callbacks import Callbacks
from langchain_mcp_adapters.client import MultiServerMCPClient
from mcp import types


class LangChain(features.Client):
    samples = has_roots = False

    async def __aenter__(self):
        self.on_progress = None
        callbacks = Callbacks(
            on_logging_message=self.on_log, on_progress=self.on_progressed, on_elicitation=self.on_elicitation
        )
        self.client = MultiServerMCPClient({"one": {"url": self.url, "transport": "http"}}, callbacks=callbacks)
        self.known = {tool.name: tool for tool in await self.client.get_tools()}
        return self

    async def __aexit__(self, *error):
        """Nothing is open between two calls."""

    async def on_log(self, params, _context):
        self.heard.log(params.data)

    async def on_progressed(self, done, _total, _message, _context):
        if self.on_progress:
            self.on_progress(done)

    async def on_elicitation(self, _mcp_context, params, _context):
        return types.ElicitResult(**self.heard.answer(params.requestedSchema["properties"]))

    async def tools(self):
        return [tool.name for tool in await self.client.get_tools()]

    async def resources(self):
        return [blob.metadata["uri"] for blob in await self.client.get_resources("one")]

    async def call(self, name, arguments=None, on_progress=None):
        self.on_progress = on_progress
        asked = {"type": "tool_call", "id": "1", "name": name, "args": arguments or {}}
        message = await self.known[name].ainvoke(asked)
        content = message.content
        return content if isinstance(content, str) else content[0]["text"], message.status == "error"

    async def read(self, uri):
        return (await self.client.get_resources("one", uris=uri))[0].as_string()

    async def prompt(self, name, arguments):
        return (await self.client.get_prompt("one", name, arguments=arguments))[0].content

    async def cancel_a_call(self, name, under_way):
        # The session of the call goes with it, by a DELETE.
        await features.cancel_task(self.call(name), under_way)


if __name__ == "__main__":
    features.main(LangChain)
