// The driver of the suite that all clients have in common: reads one JSON object a line, answers with one, in order.
// Its protocol is in ../tests/README.md. Times are seconds there, and milliseconds in the client.
import { createInterface } from "node:readline";
import { Client, McpvisorError, parseJson, stringifyJson } from "./dist/esm/index.js";

const { MCPVISOR_BASE_URL: baseUrl } = process.env;
let client = new Client({ baseUrl, bigint: true });

const milliseconds = (seconds) => (seconds === undefined || seconds === null ? undefined : seconds * 1000);

/** Names in an object that are not `undefined`. */
function given(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined && value !== null));
}

async function collect(iterable, most = Infinity) {
  const items = [];
  if (most < 1) return items;
  for await (const item of iterable) {
    items.push(item);
    if (items.length >= most) break;
  }
  return items;
}

async function ask({ query = "", stream, timeout, ...parameters }, { signal }) {
  const options = { ...parameters, timeout: milliseconds(timeout), signal };
  if (!stream) return client.api.query(query, options).then((answer) => ({ ...answer, text: answer.result }));
  const events = await collect(client.api.query(query, { ...options, stream: true }));
  return { text: events.at(-1)?.result ?? null, events };
}

/** Every operation: its arguments and the options of the request in, the value of the answer out. */
const operations = {
  "mcps.list": (filter, options) => client.mcps.list(filter, options).all(),
  "mcps.page": ({ page, ...filter }, options) => client.mcps.list(filter, options).page(page),
  "mcps.get": ({ id }, options) => client.mcps.get(id, options),
  "mcps.logs": ({ id, tail }, options) => client.mcps.logs(id, tail, options),
  async invoke({ mcp, tool, arguments: args, timeout, context, idempotency_key }, options) {
    const { result, content, metadata, requestId, replayed } = await client.invoke(mcp, tool, args, {
      ...options,
      ...given({ timeout: milliseconds(timeout), context, idempotencyKey: idempotency_key }),
    });
    return { result, content, metadata, request_id: requestId, replayed };
  },
  "resources.list": ({ mcp, timeout }, options) => client.resources.list(mcp, { ...options, timeout: milliseconds(timeout) }),
  "resources.read": ({ mcp, uri, timeout }, options) => client.resources.read(mcp, uri, { ...options, timeout: milliseconds(timeout) }),
  "keys.list": (filter, options) => client.keys.list(filter, options).all(),
  "keys.get": ({ id }, options) => client.keys.get(id, options),
  "keys.create": (key, options) => client.keys.create(key, options),
  "keys.revoke": ({ id, descendants }, options) => client.keys.revoke(id, descendants, options),
  "keys.rotate": ({ id, grace }, options) => client.keys.rotate(id, grace, options),
  "usage.get": (query, options) => client.usage.get(query, options),
  "usage.history": (query, options) => client.usage.history(query, options).all(),
  "organization.get": (_, options) => client.organization.get(options),
  "organization.members": (filter, options) => client.organization.members(filter, options).all(),
  "activity.list": (filter, options) => collect(client.activity.list(filter, options)),
  "activity.follow": ({ take, ...filter }, options) => collect(client.activity.follow(filter, options), take),
  "logs.follow": ({ mcp, take, tail }, options) => collect(client.logs.follow(mcp, { ...options, tail }), take),
  mcp_url: ({ server }) => client.mcpUrl(server ?? undefined),
  "api.status": (_, options) => client.api.status(options),
  "api.servers.list": (_, options) => client.api.servers.list(options),
  "api.servers.get": ({ name }, options) => client.api.servers.get(name, options),
  "api.servers.create": (server, options) => client.api.servers.create(server, options),
  "api.servers.update": ({ name, ...change }, options) => client.api.servers.update(name, change, options),
  "api.servers.delete": ({ name }, options) => client.api.servers.delete(name, options),
  "api.tools.list": ({ server }, options) => client.api.tools.list(server, options),
  "api.query": ask,
  "api.config.export": ({ filepath }, options) => client.api.config.export(filepath, options),
  "api.config.import": ({ filepath }, options) => client.api.config.import(filepath, options),
};

function describe(error) {
  if (!(error instanceof McpvisorError)) return { class: "Unexpected", message: String(error?.stack ?? error) };
  const { kind, code, status, requestId, isRetryable, fault, phase, retryAfter, message } = error;
  return { class: kind, code, status, request_id: requestId, is_retryable: isRetryable, fault, phase, retry_after: retryAfter, message };
}

async function carryOut({ op, args, cancel_after_ms: cancelAfter }) {
  const operation = operations[op];
  if (operation === undefined) throw new Error(`no operation ${op}`);
  if (cancelAfter === undefined || cancelAfter === null) return operation(args ?? {}, {});
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), cancelAfter);
  try {
    return await operation(args ?? {}, { signal: controller.signal });
  } finally {
    clearTimeout(timer);
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  if (line.trim() === "") continue;
  const message = parseJson(line, { bigint: true });
  const began = performance.now();
  let answer;
  try {
    if (message.new) {
      const { base_url, api_key, timeout, max_retries } = message.new;
      const options = { baseUrl: base_url ?? baseUrl, apiKey: api_key, timeout: milliseconds(timeout), maxRetries: max_retries };
      client = new Client({ ...given(options), bigint: true });
      answer = { ok: true };
    } else {
      answer = { ok: (await carryOut(message)) ?? null };
    }
  } catch (error) {
    answer = { error: describe(error) };
  }
  if (!message.new) answer.took_ms = Math.round(performance.now() - began);
  process.stdout.write(`${stringifyJson(answer)}\n`);
}
