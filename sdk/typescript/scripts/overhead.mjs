// CPU time of a call with the client against one with bare fetch that has a deadline too, in one run, in turns:
//
//     MCPVISOR_BASE_URL=… MCPVISOR_API_KEY=… node scripts/overhead.mjs [CALLS] [MCP] [TOOL]
//
// Writes a line; fails where the client takes more than a tenth on top.
import { Client } from "../dist/esm/index.js";

const MOST = 1.1;
const ROUNDS = 61;
const [calls = "100", mcp = "demo", tool = "echo"] = process.argv.slice(2);
const { MCPVISOR_BASE_URL: baseUrl, MCPVISOR_API_KEY: apiKey } = process.env;
const client = new Client({ baseUrl, apiKey });
const args = { text: "hello" };

async function bare() {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), 32_000);
  const response = await fetch(`${baseUrl}/v1/mcp/invoke`, {
    method: "POST",
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    body: JSON.stringify({ mcp_id: mcp, tool, arguments: args, timeout: 30_000 }),
    signal: controller.signal,
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  const { data } = await response.json();
  clearTimeout(timer);
  return data.result;
}

const ours = async () => (await client.invoke(mcp, tool, args, { timeout: 30_000 })).result;

/** Microseconds of CPU that a call takes. */
async function measure(call) {
  const before = process.cpuUsage();
  for (let done = 0; done < Number(calls); done += 1) await call();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / Number(calls);
}

/** What a quarter of the rounds stays below: others on the machine make a round longer, never shorter. */
const quartile = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 4)];

const rounds = { bare: [], ours: [] };
await measure(bare);
await measure(ours);
for (let round = 0; round < ROUNDS; round += 1) {
  const turns = [() => measure(bare).then((time) => rounds.bare.push(time)), () => measure(ours).then((time) => rounds.ours.push(time))];
  for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn();
}
const [alone, withClient] = [quartile(rounds.bare), quartile(rounds.ours)];
console.log(`bare fetch ${alone.toFixed(0)} µs of CPU a call, the client ${withClient.toFixed(0)} µs: ${((withClient / alone - 1) * 100).toFixed(1)} % on top`);
process.exitCode = withClient / alone > MOST ? 1 : 0;
