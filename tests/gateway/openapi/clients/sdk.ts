// Asks a gateway through the clients that @hey-api/openapi-ts made of its documents.
import { createClient as createV1 } from "./v1/client";
import { getMcp, invokeTool, listMcps } from "./v1/sdk.gen";
import { createClient as createApi } from "./api/client";
import { listServers } from "./api/sdk.gen";

declare const process: { env: Record<string, string | undefined> };

const settings = { baseUrl: process.env["GATEWAY_URL"] ?? "", auth: () => process.env["GATEWAY_KEY"] ?? "" };

async function main(): Promise<void> {
  const client = createV1(settings);
  const listed = await listMcps({ client, query: { per_page: 5, status: "active" }, throwOnError: true });
  const mcp = listed.data.data[0];
  if (mcp === undefined) throw new Error("no MCP");
  const called = await invokeTool({
    client,
    body: { mcp_id: mcp.id, tool: "add", arguments: { a: 19, b: 23 } },
    throwOnError: true,
  });
  const { sum } = called.data.data.result as { sum: number };
  const missing = await getMcp({ client, path: { id: "nobody" } });
  if (missing.error === undefined) throw new Error("an MCP that is not there");
  const code: string = missing.error.error.code;
  const servers = await listServers({ client: createApi(settings), throwOnError: true });
  console.log(mcp.name, mcp.state, sum, code, ...servers.data.servers.map((server) => server.name));
}

void main();
