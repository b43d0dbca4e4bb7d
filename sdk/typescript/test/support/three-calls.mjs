// Three calls, one after the other, in any runtime: `three-calls.mjs BASE_URL`. Writes what became of each.
import { Client } from "../../dist/esm/index.js";

const argv = globalThis.Deno?.args ?? globalThis.process?.argv.slice(2) ?? [];
const client = new Client({ baseUrl: argv[0] ?? location.origin, apiKey: null });
const seen = [];
for (const n of [1, 2, 3]) {
  const { kind, phase } = await client.invoke("demo", "add", { n }).catch((error) => error);
  seen.push(kind ? `${kind}/${phase}` : "ok");
  await new Promise((resolve) => setTimeout(resolve, 50)); // Only then has fetch put the connection back.
}
console.log(seen.join(" "));
if (globalThis.document) document.body.textContent = seen.join(" ");
