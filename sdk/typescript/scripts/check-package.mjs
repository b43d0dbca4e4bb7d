// Installs the packed package into a new project, and runs there what the README and the examples say, against a real daemon:
//
//     node scripts/check-package.mjs --daemon PATH/mcpvisor
//
// Each block of JavaScript in the README is run as an ES module, the first one also as CommonJS, and all are read by `tsc`. Chromium,
// where it is in PATH, calls the daemon through a proxy that loses replies.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildSync } from "esbuild";
import { startModel } from "../test/support/model.mjs";
import { CHROMIUM, find } from "../test/support/programs.mjs";
import { startProxy } from "../test/support/proxy.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { daemon: program } = parseArgs({ options: { daemon: { type: "string" } } }).values;
if (!program) {
  console.error("usage: node scripts/check-package.mjs --daemon PATH/mcpvisor");
  process.exit(2);
}

const work = mkdtempSync(join(tmpdir(), "mcpvisor-package-"));
let failed = 0;

function report(what, isGood, output) {
  console.log(`${isGood ? "ok  " : "FAIL"} ${what}`);
  if (isGood) return;
  failed += 1;
  console.log(String(output).replaceAll(/^/gm, "     "));
}

/** Runs a program, Node's by default; its output and exit code. `send` is its input, which goes on where there are `interrupts`: times, in milliseconds, of a SIGINT. */
async function run(args, { program = process.execPath, key, cwd = work, send = "", interrupts = [] } = {}) {
  const child = spawn(program, args, { cwd, env: { ...process.env, MCPVISOR_API_KEY: key }, timeout: 60_000 });
  let output = "";
  child.stdout.on("data", (piece) => (output += piece));
  child.stderr.on("data", (piece) => (output += piece));
  child.stdin.on("error", () => undefined);
  child.stdin[interrupts.length === 0 ? "end" : "write"](send);
  for (const time of interrupts) setTimeout(() => child.kill("SIGINT"), time);
  const [code] = await once(child, "close");
  return { code, output };
}

async function startDaemon(model) {
  const servers = { demo: { command: program, args: ["demo-server"] } };
  writeFileSync(join(work, "servers.json"), JSON.stringify({ mcpServers: servers }));
  writeFileSync(join(work, "mcpvisor.toml"), `[api]\nauth = "required"\n[llm]\nbase_url = "${model.url}"\n`);
  const args = ["serve", "--port", "0", "--data-dir", join(work, "data"), "--servers", join(work, "servers.json"), "--config", join(work, "mcpvisor.toml")];
  const child = spawn(program, args, { cwd: work, stdio: ["ignore", "pipe", "pipe"] });
  let told = "";
  child.stdout.on("data", (piece) => (told += piece));
  child.stderr.on("data", (piece) => (told += piece));
  for (let tries = 0; tries < 600; tries += 1) {
    const url = /(http:\/\/127\.0\.0\.1:\d+)\/v1/.exec(told)?.[1];
    if (url && (await fetch(`${url}/readyz`)).ok) {
      const key = readFileSync(join(work, "data/owner.key"), "utf8").trim();
      return { url, key, stop: () => (child.kill("SIGTERM"), once(child, "exit")) };
    }
    if (child.exitCode !== null) break;
    await sleep(100);
  }
  child.kill("SIGKILL");
  throw new Error(`the daemon does not start:\n${told}`);
}

function makeProject() {
  const project = join(work, "project");
  mkdirSync(project);
  const packed = execFileSync("npm", ["pack", "--json", "--foreground-scripts=false", "--pack-destination", work], { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  const { filename } = JSON.parse(packed.slice(packed.indexOf("[")))[0];
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "fresh", private: true }));
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--offline", join(work, filename)], { cwd: project, stdio: ["ignore", "ignore", "inherit"] });
  cpSync(join(root, "examples"), join(project, "examples"), { recursive: true });
  return project;
}

async function runReadme(project, { url, key }) {
  const blocks = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/^```js\n(.*?)^```$/gms)].map(([, block]) => block);
  // The page's reader has the daemon at its usual place.
  const placed = blocks.map((block) => block.replace("new Client()", `new Client({ baseUrl: ${JSON.stringify(url)} })`));
  for (const [number, block] of placed.entries()) {
    const files = [[`readme-${number}.mjs`, block]];
    if (number === 0) files.push(["readme-0.cjs", `const { Client } = require("mcpvisor");\n(async () => {\n${block.replace(/^import.*$/m, "")}\n})();\n`]);
    for (const [file, text] of files) {
      writeFileSync(join(project, file), text);
      const { code, output } = await run([file], { cwd: project, key });
      const wanted = [...text.matchAll(/console\.log\((?:result|error\.text|.*\.replayed)\); *\/\/ (.*)$/gm)].map(([, value]) => value);
      report(`README, block ${number + 1} as ${file}`, code === 0 && output !== "" && wanted.every((value) => output.includes(value)), output);
    }
    writeFileSync(join(project, `types-${number}.mts`), block);
  }
  writeFileSync(join(project, "types-0.cts"), `import mcpvisor = require("mcpvisor");\nexport const sum: Promise<number> = new mcpvisor.Client().invoke<{ sum: number }>("demo", "add").then(({ result }) => result.sum);\n`);
  writeFileSync(join(project, "types-of-surface.mts"), SURFACE);
  for (const [module, resolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
    const files = ["types-0.mts", "types-of-surface.mts", ...(module === "nodenext" ? ["types-0.cts", ...placed.keys()].map((name) => (typeof name === "number" ? `types-${name}.mts` : name)) : [])];
    const args = ["--strict", "--exactOptionalPropertyTypes", "--noEmit", "--target", "es2022", "--module", module, "--moduleResolution", resolution, ...files];
    const { code, output } = await run([join(root, "node_modules/typescript/bin/tsc"), ...args], { cwd: project });
    report(`tsc --strict reads the package by ${resolution}`, code === 0, output);
  }
}

// What has to be typed, and what must not pass: a line under `@ts-expect-error` that is right is an error.
const SURFACE = `import { Client, EventStream, NotFoundError, type Mcp, type QueryAnswer, type QueryEvent } from "mcpvisor";
const client: Client = new Client({ baseUrl: undefined, timeout: 5 });
const sum: number = (await client.invoke<{ sum: number }>("demo", "add", { a: 1n }, { signal: AbortSignal.timeout(5), timeout: undefined })).result.sum;
const replayed: boolean = (await client.invoke("demo", "add", { a: 1 }, { idempotencyKey: "once" })).replayed;
const mcp: Mcp | undefined = (await client.mcps.list({ health: "healthy" }).page(2)).items[0];
const events: EventStream<QueryEvent> = client.api.query("?", { server: "demo", stream: true });
const answer: QueryAnswer = await client.api.query("?", { server: "demo", max_turns: 3 });
const line: string = (await client.mcps.logs("demo"))[0]!.line;
await client.keys.create({ name: "x", permissions: { mcps: "*", tools: { demo: ["add"] } } });
await client.usage.get({ period: "week", by: "key", step: "1h" });
for await (const event of events) if (event.type === "token") event.text.length;
// @ts-expect-error a result is unknown until it is said what it is
(await client.invoke("demo", "add")).result.sum;
// @ts-expect-error there is no such health
client.mcps.list({ health: "purple" });
// @ts-expect-error a key has a name
client.keys.create({});
export { sum, replayed, mcp, answer, line, NotFoundError };
`;

// The README says how to find out what became of a call whose answer did not come.
const LEFT = `import { Client } from "mcpvisor";
const client = new Client({ baseUrl: process.argv[2] });
const error = await client.invoke("demo", "slow", { duration_ms: 20000 }, { signal: AbortSignal.timeout(500) }).catch((error) => error);
for (let tries = 0; tries < 50; tries += 1) {
  for await (const call of client.activity.list({ server: "demo", tool: "slow" })) {
    console.log(error.kind, call.request_id === error.requestId, call.outcome, call.reached);
    process.exit();
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
}
`;

async function runExamples(project, { url, key }) {
  writeFileSync(join(project, "left.mjs"), LEFT);
  const left = await run(["left.mjs", url], { cwd: project, key });
  report("a call that was left is in the activity under the id that its error has", left.output === "Timeout true cancelled true\n", left.output);
  const chat = await run(["examples/chat.mjs", "demo", url], { cwd: project, key, send: "What is 19 and 23?\n" });
  report("examples/chat.mjs shows tool calls and words", chat.code === 0 && /→ add .*19.*\n← add .*\nThat makes 42\.\n/s.test(chat.output), chat.output);
  const cancelled = await run(["examples/chat.mjs", "demo", url], { cwd: project, key, send: "wait\n", interrupts: [2000, 3000] });
  report("examples/chat.mjs ends a question at the first Ctrl-C and itself at the second", cancelled.code === 0 && cancelled.output.includes("(cancelled)"), cancelled.output);
  const lines = ['{"a":1,"b":9007199254740993}', '{"a":"x","b":2}', "no JSON", '{"a":2,"b":40}'];
  const batch = await run(["examples/batch.mjs", "demo", "add", url], { cwd: project, key, send: `${lines.join("\n")}\n` });
  const results = batch.output.trim().split("\n");
  const isGood = batch.code === 1 && results.length === 4 && results[0] === '{"line":1,"result":{"sum":9007199254740994}}' && results[1].includes('"error"') && results[2].includes("Validation") && results[3] === '{"line":4,"result":{"sum":42}}';
  report("examples/batch.mjs calls a tool for each line, and keeps all digits", isGood, batch.output);
}

// What the README says of browsers. A connection that brings a second call is closed when the daemon has answered that call.
const PAGE = `import { Client } from "mcpvisor";
const client = new Client({ baseUrl: location.origin, apiKey: KEY });
const seen = [];
for (const text of ["a", "b", "c"]) {
  const { result, replayed, kind } = await client.invoke("demo", "echo", { text }).catch((error) => error);
  seen.push(kind ?? result + (replayed ? " again" : ""));
  await new Promise((resolve) => setTimeout(resolve, 50)); // Only then has fetch put the connection back.
}
document.body.textContent = seen.join(", ");
`;

async function runChromium(project, { url, key }) {
  const program = find("chromium");
  if (!program) return console.log("skip there is no chromium in PATH");
  const define = { KEY: JSON.stringify(key) };
  const [{ text }] = buildSync({ stdin: { contents: PAGE, resolveDir: project }, define, bundle: true, format: "esm", write: false }).outputFiles;
  const proxy = await startProxy(url, `<!doctype html><body></body><script type="module">${text.replaceAll("</script", "<\\/script")}</script>`);
  const before = await toolCalls(url, key);
  const { output } = await run([...CHROMIUM, proxy.url], { program });
  const carriedOut = (await toolCalls(url, key)) - before;
  proxy.close();
  const came = proxy.passed.map(({ text, isReplay }) => text + (isReplay ? " again" : "")).join(", ");
  const isGood = output.includes("<body>a, b again, c again</body>") && came === "a, b, b again, c, c again" && carriedOut === 3;
  report("Chromium repeats a call whose reply was lost, which is carried out once and answered again", isGood, `${output}\n${came}\n${carriedOut} carried out`);
}

/** How many tool calls the demo server has had. */
async function toolCalls(url, key) {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const answer = await fetch(`${url}/v1/mcp/resources`, { method: "POST", headers, body: JSON.stringify({ mcp_id: "demo", uri: "demo://status" }) });
  return JSON.parse((await answer.json()).data.contents[0].text).tool_calls;
}

const model = await startModel();
let daemon;
try {
  daemon = await startDaemon(model);
  const project = makeProject();
  await runReadme(project, daemon);
  await runExamples(project, daemon);
  await runChromium(project, daemon);
} finally {
  await daemon?.stop();
  model.close();
  rmSync(work, { recursive: true, force: true });
}
process.exitCode = failed > 0 ? 1 : 0;
