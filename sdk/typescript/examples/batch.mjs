// Calls a tool once for each line of JSON on its input, a few at a time, and writes a line for each in their order:
//
//     node examples/batch.mjs SERVER TOOL [BASE_URL] < arguments.jsonl > results.jsonl
//
// What was provably not carried out is named as such (`"again": true`) and may be put in once more; what may have been is not.
// The exit code is 1 where a call failed. Ctrl-C cancels what is under way.
import { createInterface } from "node:readline";
import { Client, McpvisorError, parseJson, stringifyJson } from "mcpvisor";

const AT_ONCE = 4;
const [server, tool, baseUrl] = process.argv.slice(2);
if (!server || !tool) {
  console.error("usage: node batch.mjs SERVER TOOL [BASE_URL]");
  process.exit(2);
}

const client = new Client({ baseUrl, bigint: true });
const stop = new AbortController();
process.once("SIGINT", () => stop.abort());

/** The outcome of one call. It never rejects: a batch goes on. */
async function outcome(line, number) {
  try {
    const { result } = await client.invoke(server, tool, parseJson(line, { bigint: true }), { timeout: 60_000, signal: stop.signal });
    return { line: number, result };
  } catch (error) {
    process.exitCode = 1;
    if (error instanceof SyntaxError) return { line: number, error: "Validation", message: error.message, again: false };
    if (!(error instanceof McpvisorError)) throw error;
    return { line: number, error: error.kind, message: error.message, request_id: error.requestId, again: error.phase === "not_sent" && error.isRetryable };
  }
}

const pending = [];
const writeFirst = async () => process.stdout.write(`${stringifyJson(await pending.shift())}\n`);
let number = 0;
for await (const line of createInterface({ input: process.stdin })) {
  if (stop.signal.aborted) break;
  number += 1;
  if (line.trim() !== "") pending.push(outcome(line, number));
  if (pending.length >= AT_ONCE) await writeFirst();
}
while (pending.length > 0) await writeFirst();
