"""Asks a gateway through the clients that openapi-python-client made of its documents."""

import importlib
import os
import pkgutil

import api_client
import v1_client
from api_client import AuthenticatedClient as AuthenticatedClientOfApi
from api_client.api.servers import list_servers
from api_client.models import ServerList
from v1_client import AuthenticatedClient
from v1_client.api.calls import invoke_tool
from v1_client.api.mcp_servers import get_mcp, list_mcps
from v1_client.models import ErrorResponse, InvokeToolBody, InvokeToolResponse200, ListMcpsResponse200

for package in (v1_client, api_client):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

url, key = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"]
client = AuthenticatedClient(base_url=url, token=key)

listed = list_mcps.sync(client=client)
assert isinstance(listed, ListMcpsResponse200), listed
mcp = listed.data[0]

body = InvokeToolBody.from_dict({"mcp_id": mcp.id, "tool": "add", "arguments": {"a": 19, "b": 23}})
called = invoke_tool.sync(client=client, body=body)
assert isinstance(called, InvokeToolResponse200), called
result = called.data.result

missing = get_mcp.sync("nobody", client=client)
assert isinstance(missing, ErrorResponse), missing

servers = list_servers.sync(client=AuthenticatedClientOfApi(base_url=url, token=key))
assert isinstance(servers, ServerList), servers

print(mcp.name, mcp.state.value, result["sum"], missing.error.code, *(server.name for server in servers.servers))
