// Who repeats a POST by itself whose kept connection was closed in silence: each runtime that is found on the machine.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { buildSync } from "esbuild";
import { CHROMIUM, find } from "./support/programs.mjs";
import { data, hangUp, json, listen } from "./support/raw-server.mjs";

const program = fileURLToPath(new URL("support/three-calls.mjs", import.meta.url));
const page = () => `<!doctype html><body></body><script type="module">${buildSync({ entryPoints: [program], bundle: true, format: "esm", write: false }).outputFiles[0].text.replaceAll("</script", "<\\/script")}</script>`;
const CALLED = data({ result: 1, content: [], metadata: {} });

/** The calls that a runtime makes of a server that closes each connection at its second one, and what the runtime says. */
async function calls(command, args) {
  const answered = new Map();
  const isCall = ({ method, path }) => method === "POST" && path === "/v1/mcp/invoke";
  const server = await listen((request) => {
    if (!isCall(request)) return request.path === "/" ? json(200, page(), { "content-type": "text/html", connection: "close" }) : json(404, {});
    const before = answered.get(request.connection) ?? 0;
    answered.set(request.connection, before + 1);
    return before === 0 ? CALLED : hangUp;
  });
  try {
    const child = spawn(command, [...args, server.url], { stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
    let output = "";
    child.stdout.on("data", (piece) => (output += piece));
    child.stderr.on("data", (piece) => (output += piece));
    await once(child, "close");
    const received = server.received.filter(isCall);
    return { output, received, numbers: received.map(({ body }) => JSON.parse(body).arguments.n) };
  } finally {
    await server.close();
  }
}

for (const [name, args] of [["node", [program]], ["bun", [program]], ["deno", ["run", "--allow-net", "--allow-env", program]]]) {
  test(`${name} sends each call once`, { timeout: 90_000 }, async (t) => {
    const command = name === "node" ? process.execPath : find(name);
    if (!command) return t.skip(`there is no ${name} in PATH`);
    const { output, received, numbers } = await calls(command, args);
    assert.deepEqual(numbers, [1, 2, 3], output);
    assert.ok(received.some((call, at) => received.findIndex(({ connection }) => connection === call.connection) < at), "a connection was kept, else nothing is shown");
    assert.match(output, /Connection\/unknown/);
  });
}

test("Chromium sends a call twice, with one Idempotency-Key", { timeout: 90_000 }, async (t) => {
  const command = find("chromium");
  if (!command) return t.skip("there is no chromium in PATH");
  const { output, received, numbers } = await calls(command, CHROMIUM);
  assert.deepEqual([...new Set(numbers)], [1, 2, 3], output);
  const keys = received.map(({ headers }) => headers["idempotency-key"]);
  assert.ok(keys.every((key) => /^[0-9a-f]{16}_[0-9a-f]{8}$/.test(key)), `${keys}`);
  for (const [at, key] of keys.entries()) assert.equal(keys.indexOf(key), numbers.indexOf(numbers[at]), "a call that comes again has the key that it had");
  assert.equal(new Set(keys).size, 3);
});
