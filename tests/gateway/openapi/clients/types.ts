// Asks a gateway with the types that openapi-typescript made of its documents.
import type { paths as V1 } from "./v1";
import type { paths as Api } from "./api";

declare const process: { env: Record<string, string | undefined> };

const url = process.env["GATEWAY_URL"] ?? "";
const headers = { authorization: `Bearer ${process.env["GATEWAY_KEY"]}`, "content-type": "application/json" };

type Listed = V1["/v1/mcps"]["get"]["responses"][200]["content"]["application/json"];
type Call = NonNullable<V1["/v1/mcp/invoke"]["post"]["requestBody"]>["content"]["application/json"];
type Called = V1["/v1/mcp/invoke"]["post"]["responses"][200]["content"]["application/json"];
type Servers = Api["/api/servers"]["get"]["responses"][200]["content"]["application/json"];

async function main(): Promise<void> {
  const listed = (await (await fetch(`${url}/v1/mcps`, { headers })).json()) as Listed;
  const mcp = listed.data[0];
  if (mcp === undefined) throw new Error("no MCP");
  // Every member of an MCP that has words has exactly these.
  const state: "disabled" | "idle" | "starting" | "ready" | "degraded" | "stopping" | "stopped" | "backoff" | "unauthorized" | "failed" | "exited" =
    mcp.state;
  const call: Call = { mcp_id: mcp.id, tool: "add", arguments: { a: 19, b: 23 } };
  const body = JSON.stringify(call);
  const called = (await (await fetch(`${url}/v1/mcp/invoke`, { method: "POST", headers, body })).json()) as Called;
  const { sum } = called.data.result as { sum: number };
  const servers = (await (await fetch(`${url}/api/servers`, { headers })).json()) as Servers;
  console.log(mcp.name, state, sum, ...servers.servers.map((server) => server.name));
}

void main();
