// The client against a server that does what a well-kept one never does.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { Client, VERSION } from "../dist/esm/index.js";
import { cut, data, failure, hangUp, inTurn, json, listen, reset, silence, stream } from "./support/raw-server.mjs";

const RESULT = { result: { sum: 42 }, content: [], metadata: { mcp_id: "mcp_1", tool: "add", latency_ms: 1, timestamp: "2026-11-30T08:00:00Z" }, is_error: false };

/** Runs a part of a test with a server and a client of it. */
async function at(answer, part, options = {}) {
  const server = await listen(answer);
  try {
    await part(new Client({ baseUrl: server.url, apiKey: "pk_live_x", ...options }), server);
  } finally {
    await server.close();
  }
}

test("a call sends what the API takes, and gives what it answers", () =>
  at(inTurn(json(200, { success: true, data: RESULT }, { "x-request-id": "req_told" })), async (client, { received }) => {
    const { result, metadata, requestId } = await client.invoke("demo", "add", { a: 2, b: 2n ** 64n }, { timeout: 1500, context: { user: "ü" }, idempotencyKey: "once" });
    assert.deepEqual(result, { sum: 42 });
    assert.equal(metadata.mcp_id, "mcp_1");
    const [{ method, path, headers, body }] = received;
    assert.deepEqual([method, path], ["POST", "/v1/mcp/invoke"]);
    assert.equal(body.includes('"b":18446744073709551616'), true);
    const { timeout, ...sent } = JSON.parse(body);
    assert.ok(timeout > 1400 && timeout <= 1500, `${timeout}`);
    assert.deepEqual(sent, { mcp_id: "demo", tool: "add", arguments: { a: 2, b: 2 ** 64 }, context: { user: "ü" } });
    assert.equal(headers.authorization, "Bearer pk_live_x");
    assert.equal(headers["content-type"], "application/json");
    assert.equal(headers["user-agent"], `mcpvisor-typescript/${VERSION}`);
    assert.equal(headers["idempotency-key"], "once");
    assert.match(headers["x-request-id"], /^req_[0-9a-f]{16}_[0-9a-f]{8}$/);
    assert.equal(requestId, "req_told");
  }));

test("a reply that was made for an earlier request says so", () =>
  at(inTurn(json(200, { success: true, data: RESULT }, { "idempotent-replayed": "true" }), data(RESULT)), async (client) => {
    const call = () => client.invoke("demo", "add", {}, { idempotencyKey: "once" });
    assert.deepEqual([(await call()).replayed, (await call()).replayed], [true, false]);
  }));

test("a call with a key that is still running is asked for again, and one that has no reply is not", () => {
  const conflict = (idempotency, headers) => json(409, { success: false, error: { code: "conflict", message: "x", details: { idempotency, phase: "in_flight" } } }, headers);
  const answers = [conflict("running", { "retry-after": "0" }), data(RESULT), conflict("cancelled"), conflict("not_kept")];
  return at(inTurn(...answers), async (client, { received }) => {
    const call = () => client.invoke("demo", "add", {}, { idempotencyKey: "once" });
    assert.deepEqual((await call()).result, RESULT.result);
    await assert.rejects(call(), { kind: "Conflict", phase: "in_flight", isRetryable: false, fault: "caller" });
    await assert.rejects(call(), { kind: "Conflict", phase: "in_flight", isRetryable: false, fault: "gateway" });
    assert.deepEqual(received.map(({ headers }) => headers["idempotency-key"]), Array(4).fill("once"));
  });
});

test("a call that was heard to be running is not said to be unsent when its caller leaves", () => {
  const running = json(409, { success: false, error: { code: "conflict", message: "x", details: { idempotency: "running", phase: "in_flight" } } }, { "retry-after": "20" });
  return at(inTurn(running), async (client) => {
    const call = client.invoke("demo", "add", {}, { idempotencyKey: "once", signal: AbortSignal.timeout(200) });
    await assert.rejects(call, { phase: "in_flight", isRetryable: false });
  });
});

test("what ends the asking for a call that runs does not make that call one that was never sent", () => {
  const running = json(409, { success: false, error: { code: "conflict", message: "x", details: { idempotency: "running", phase: "in_flight" } } }, { "retry-after": "0" });
  const busy = json(429, { success: false, error: { code: "rate_limited", message: "x" } }, { "retry-after": "0" });
  return at(inTurn(running, busy, busy, running, busy, data(RESULT)), async (client, { received }) => {
    const call = () => client.invoke("demo", "add", {}, { idempotencyKey: "once" });
    await assert.rejects(call(), { kind: "RateLimited", phase: "in_flight", isRetryable: true });
    assert.equal(received.length, 3);
    assert.deepEqual((await call()).result, RESULT.result);
  });
});

test("a call whose connection breaks is not made again by itself, with a key neither, and its caller may", () =>
  at(inTurn(hangUp, cut(), reset, json(200, { success: true, data: RESULT }, { "idempotent-replayed": "true" })), async (client, { received }) => {
    const call = () => client.invoke("demo", "add", { a: 2 }, { idempotencyKey: "once" });
    for (const [number, kind] of ["Connection", "Protocol", "Connection"].entries()) {
      await assert.rejects(call(), { kind, phase: "unknown", isRetryable: false });
      assert.equal(received.length, number + 1);
    }
    assert.equal((await call()).replayed, true);
    assert.equal(new Set(received.map(({ headers, body }) => headers["idempotency-key"] + body)).size, 1);
  }));

test("a key that cannot be one is refused before anything is sent", () =>
  at(inTurn(), async (client, { received }) => {
    for (const idempotencyKey of ["", "two words", "ü", "line\n", "k".repeat(256)]) {
      await assert.rejects(client.invoke("demo", "add", {}, { idempotencyKey }), { kind: "Validation", phase: "not_sent" });
    }
    assert.equal(received.length, 0);
  }));

test("an error has the id of the request that was sent where no answer tells one", () =>
  at(inTurn(json(502, "<html>"), hangUp, failure(500, "internal_error", { request_id: "req_told" })), async (client, { received }) => {
    const seen = [];
    for (let tries = 0; tries < 3; tries += 1) await client.invoke("demo", "add").catch(({ requestId }) => seen.push(requestId));
    assert.deepEqual(seen, [received[0].headers["x-request-id"], received[1].headers["x-request-id"], "req_told"]);
  }));

test("without a deadline of its own a call has the server's", () =>
  at(inTurn(data(RESULT)), async (client, { received }) => {
    await client.invoke("demo", "add");
    assert.deepEqual(JSON.parse(received[0].body), { mcp_id: "demo", tool: "add", arguments: {} });
    assert.equal(received[0].headers["idempotency-key"], undefined);
  }));

for (const [name, end] of [["closed in silence", hangUp], ["reset", reset]]) {
  test(`a POST on a kept connection that is ${name} is sent once`, () =>
    at(inTurn(data(RESULT), end, data(RESULT)), async (client, { received }) => {
      await client.invoke("demo", "add", { n: 1 });
      await sleep(50); // Only then has fetch put the connection back.
      await assert.rejects(client.invoke("demo", "add", { n: 2 }), { kind: "Connection", phase: "unknown", isRetryable: false, fault: "network" });
      assert.equal(received.length, 2);
      assert.equal(received[1].connection, received[0].connection, "the connection was kept, else nothing is shown");
      await client.invoke("demo", "add", { n: 3 });
      assert.deepEqual(received.map(({ body }) => JSON.parse(body).arguments.n), [1, 2, 3]);
    }));

  test(`a GET on a connection that is ${name} is made again`, () =>
    at(inTurn(end, data([], { pagination: { page: 1, per_page: 20, total: 0, total_pages: 0 } })), async (client, { received }) => {
      assert.deepEqual(await client.mcps.list().all(), []);
      assert.equal(received.length, 2);
    }));
}

test("an answer that is cut is a fault of the protocol; a call is not made again, a GET is", () =>
  at(inTurn(cut(), cut(), data({ id: "mcp_1" })), async (client, { received }) => {
    await assert.rejects(client.invoke("demo", "add"), { kind: "Protocol", phase: "unknown", isRetryable: false });
    assert.equal(received.length, 1);
    assert.equal((await client.mcps.get("demo")).id, "mcp_1");
    assert.equal(received.length, 3);
  }));

test("an error is known by its status also where its text is cut", () =>
  at(inTurn(cut(502)), async (client) => {
    await assert.rejects(client.invoke("demo", "add"), { kind: "ServerFailed", status: 502, phase: "unknown" });
  }));

test("what was not sent is sent again, and what may have been is not", async () => {
  const tries = async (answer) => {
    let count = 0;
    await at(inTurn(answer, data(RESULT)), async (client, { received }) => {
      await client.invoke("demo", "add").catch(() => undefined);
      count = received.length;
    });
    return count;
  };
  assert.equal(await tries(failure(429, "rate_limited", undefined, { "retry-after": 0 })), 2);
  assert.equal(await tries(failure(503, "service_unavailable")), 2);
  assert.equal(await tries(failure(502, "mcp_unreachable", { phase: "not_sent" })), 2);
  assert.equal(await tries(failure(502, "mcp_unreachable", { phase: "in_flight" })), 1);
  assert.equal(await tries(failure(502, "mcp_error", { phase: "in_flight" })), 1);
  assert.equal(await tries(failure(504, "mcp_timeout", { phase: "not_sent" })), 1);
  assert.equal(await tries(failure(429, "quota_exceeded", undefined, { "retry-after": 1 })), 1);
  assert.equal(await tries(failure(500, "internal_error")), 1);
  assert.equal(await tries(json(503, "<html>", { "content-type": "text/html" })), 1);
  assert.equal(await tries(hangUp), 1);
});

test("a question is not asked again where tools may have been called", () =>
  at(inTurn(json(503, { error: "stopping", code: "service_unavailable" })), async (client, { received }) => {
    await assert.rejects(client.api.query("?", { server: "demo" }), { kind: "ServerUnavailable", phase: "unknown" });
    assert.equal(received.length, 1);
  }));

test("it is waited as long as the server says, and not beyond the deadline", () =>
  at(inTurn(failure(429, "rate_limited", undefined, { "retry-after": 1 }), data(RESULT)), async (client, { received }) => {
    const began = performance.now();
    await assert.rejects(client.invoke("demo", "add", {}, { timeout: 500 }), { kind: "RateLimited", retryAfter: 1 });
    assert.ok(performance.now() - began < 450);
    received.length = 0;
  }));

test("a further try has what is left of the deadline", () =>
  at(inTurn(failure(429, "rate_limited", undefined, { "retry-after": 1 }), data(RESULT)), async (client, { received }) => {
    await client.invoke("demo", "add", {}, { timeout: 5000 });
    const [first, second] = received.map(({ body }) => JSON.parse(body).timeout);
    assert.ok(first - second >= 990, `${first} ${second}`);
    assert.equal(received[0].headers["x-request-id"], received[1].headers["x-request-id"]);
  }));

test("nobody who listens is a connection that was not made", async () => {
  const { url, close } = await listen(inTurn(silence));
  await close();
  await assert.rejects(new Client({ baseUrl: url, maxRetries: 0 }).invoke("demo", "add"), { kind: "Connection", phase: "not_sent", isRetryable: true });
  await assert.rejects(new Client({ baseUrl: "http://nowhere.invalid", maxRetries: 0 }).invoke("demo", "add"), { kind: "Connection", phase: "not_sent" });
});

test("a server that says nothing is given up a little after the deadline", () =>
  at(inTurn(silence), async (client, { received }) => {
    const began = performance.now();
    await assert.rejects(client.mcps.get("demo", { timeout: 200 }), { kind: "Timeout", phase: "unknown", isRetryable: false, name: "TimeoutError" });
    assert.ok(performance.now() - began < 1500);
    await assert.rejects(client.invoke("demo", "add", {}, { timeout: 1 }), { kind: "Timeout" });
    assert.ok(performance.now() - began < 4000);
    await sleep(50);
    assert.deepEqual(received.map(({ isLeft }) => isLeft), [true, true]);
  }));

test("an aborted call is an AbortError, and its connection is closed", () =>
  at(inTurn(silence), async (client, { received }) => {
    const controller = new AbortController();
    const call = client.invoke("demo", "add", {}, { signal: controller.signal });
    setTimeout(() => controller.abort("enough"), 50);
    await assert.rejects(call, { kind: "Cancelled", name: "AbortError", phase: "unknown", cause: "enough" });
    await sleep(50);
    assert.equal(received[0].isLeft, true);
    await assert.rejects(client.invoke("demo", "add", {}, { signal: controller.signal }), { kind: "Cancelled", phase: "not_sent" });
    await assert.rejects(client.invoke("demo", "add", {}, { signal: AbortSignal.timeout(20) }), { kind: "Timeout" });
  }));

test("an abort between two tries is one before anything was sent", () =>
  at(inTurn(failure(503, "service_unavailable", undefined, { "retry-after": 5 })), async (client) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    await assert.rejects(client.invoke("demo", "add", {}, { signal: controller.signal }), { kind: "Cancelled", phase: "not_sent" });
  }));

test("a redirect is not followed", () =>
  at(inTurn(json(307, {}, { location: "/v1/mcp/invoke" }), data(RESULT)), async (client, { received }) => {
    await assert.rejects(client.invoke("demo", "add"), { kind: "Protocol", status: 307 });
    assert.equal(received.length, 1);
  }));

test("a list is asked for page by page, when the page is needed", () => {
  const page = (number) => data([{ id: `a${number}` }, { id: `b${number}` }], { pagination: { page: number, per_page: 2, total: 6, total_pages: 3 } });
  return at(inTurn(page(1), page(2), page(3)), async (client, { received }) => {
    const ids = [];
    for await (const { id } of client.mcps.list({ status: "active", per_page: 2 })) {
      ids.push(id);
      assert.equal(received.length, Math.ceil(ids.length / 2));
    }
    assert.deepEqual(ids, ["a1", "b1", "a2", "b2", "a3", "b3"]);
    assert.deepEqual(received.map(({ path }) => path), [1, 2, 3].map((number) => `/v1/mcps?status=active&per_page=2&page=${number}`));
  });
});

test("a list without its place, and a call without a result, is a fault of the protocol", () =>
  at(inTurn(data([{ id: "a" }]), data([], { pagination: null }), data({ metadata: {} })), async (client) => {
    await assert.rejects(client.keys.list().all(), { kind: "Protocol" });
    await assert.rejects(client.keys.list().page(1), { kind: "Protocol" });
    await assert.rejects(client.invoke("demo", "add"), { kind: "Protocol" });
  }));

const line = (number) => `event: line\nid: ${number}\ndata: ${JSON.stringify({ number, line: `l${number}` })}\n\n`;
const END = 'event: end\ndata: {"reason":"removed"}\n\n';

test("a log that is cut is followed on behind its last line, also where a proxy ends it in good order", () =>
  at(inTurn(stream([line(1), line(2)]), stream([line(3), END])), async (client, { received }) => {
    const log = client.logs.follow("demo", { tail: 2 });
    const numbers = [];
    for await (const { number } of log) numbers.push(number);
    assert.deepEqual(numbers, [1, 2, 3]);
    assert.equal(log.reason, "removed");
    assert.deepEqual(received.map(({ headers }) => headers["last-event-id"]), [undefined, "2"]);
  }));

test("a log that is cut again and again is given up", () =>
  at(inTurn(stream([])), async (client, { received }) => {
    await assert.rejects(client.logs.follow("demo")[Symbol.asyncIterator]().next(), { kind: "Protocol" });
    assert.equal(received.length, 3);
  }));

test("a log ends with an error for whoever may not read it any more, and gaps are told", () =>
  at(inTurn(stream([line(1), 'event: gap\ndata: {"lines":7}\n\n', 'event: end\ndata: {"reason":"revoked_key"}\n\n'])), async (client) => {
    const gaps = [];
    const log = client.logs.follow("demo", { onGap: (missed) => gaps.push(missed) })[Symbol.asyncIterator]();
    await log.next();
    await assert.rejects(log.next(), { kind: "Authentication", code: "revoked_key" });
    assert.deepEqual(gaps, [7]);
  }));

test("a stream that is left, closed or aborted has its connection closed", () =>
  at(inTurn(stream([line(1)], true)), async (client, { received }) => {
    for await (const _ of client.logs.follow("demo")) break;
    const closed = client.logs.follow("demo");
    const entries = closed[Symbol.asyncIterator]();
    await entries.next();
    setTimeout(() => closed.close(), 30);
    assert.deepEqual(await entries.next(), { done: true, value: undefined });
    const controller = new AbortController();
    const aborted = client.logs.follow("demo", { signal: controller.signal })[Symbol.asyncIterator]();
    await aborted.next();
    setTimeout(() => controller.abort(), 30);
    await assert.rejects(aborted.next(), { kind: "Cancelled" });
    await sleep(50);
    assert.deepEqual(received.map(({ isLeft }) => isLeft), [true, true, true]);
  }));

test("a refused stream is the error that the answer is", () =>
  at(inTurn(failure(403, "forbidden"), data([])), async (client) => {
    await assert.rejects(client.logs.follow("demo")[Symbol.asyncIterator]().next(), { kind: "PermissionDenied" });
    await assert.rejects(client.logs.follow("demo")[Symbol.asyncIterator]().next(), { kind: "Protocol" });
  }));

test("a streamed answer ends with its final event, and an error event is an error", () => {
  const events = (...last) => stream(['event: token\ndata: {"type":"token","text":"That "}\n\n', ...last]);
  const answers = inTurn(events('event: final\ndata: {"type":"final","result":"That is all."}\n\n'), events('event: error\ndata: {"type":"error","error":"the model fell silent","code":"timeout"}\n\n'), events());
  return at(answers, async (client, { received }) => {
    const texts = [];
    for await (const event of client.api.query("?", { server: "demo", stream: true })) texts.push(event.text ?? event.result);
    assert.deepEqual(texts, ["That ", "That is all."]);
    const failing = client.api.query("?", { server: "demo", stream: true })[Symbol.asyncIterator]();
    await failing.next();
    await assert.rejects(failing.next(), { kind: "Timeout", code: "timeout", status: null, message: "the model fell silent" });
    const broken = client.api.query("?", { server: "demo", stream: true })[Symbol.asyncIterator]();
    await broken.next();
    await assert.rejects(broken.next(), { kind: "Protocol", phase: "unknown" });
    assert.equal(received.length, 3, "nothing was asked twice");
    assert.deepEqual(JSON.parse(received[0].body), { query: "?", server: "demo", stream: true });
  });
});

test("names are escaped, and those that no path can have are refused here", () =>
  at(inTurn(json(200, { name: "x" })), async (client, { received }) => {
    await client.api.servers.get("naïve/ü 名?#%2F");
    assert.equal(received[0].path, `/api/servers/${encodeURIComponent("naïve/ü 名?#%2F")}`);
    for (const name of ["", ".", ".."]) await assert.rejects(async () => client.keys.revoke(name), { kind: "Validation", phase: "not_sent" });
    assert.equal(received.length, 1);
  }));

test("the base URL may end in a slash or in /v1, and have a path", () => {
  const url = (baseUrl) => new Client({ baseUrl, apiKey: null }).mcpUrl().url;
  assert.equal(url("https://api.example/v1"), "https://api.example/mcp");
  assert.equal(url("https://api.example/v1/"), "https://api.example/mcp");
  assert.equal(url("https://api.example/gate//"), "https://api.example/gate/mcp");
  const client = new Client({ baseUrl: "http://h", apiKey: "k" });
  assert.deepEqual(client.mcpUrl("a b"), { url: "http://h/mcp/a%20b", headers: { Authorization: "Bearer k" } });
  assert.equal(client.mcpUrl(["a", "b"]).url, "http://h/mcp/a,b");
  assert.deepEqual(new Client({ apiKey: null }).mcpUrl().headers, {});
});

test("digits are kept if asked to, and a reader of one's own is used", () =>
  at(inTurn(json(200, '{"success":true,"data":{"result":9223372036854775807,"content":[],"metadata":{}}}')), async (client, { url }) => {
    assert.equal((await client.invoke("demo", "big")).result, 9223372036854775808);
    assert.equal((await new Client({ baseUrl: url, bigint: true }).invoke("demo", "big")).result, 9223372036854775807n);
    const texts = [];
    const parse = (text) => (texts.push(text), JSON.parse(text));
    await new Client({ baseUrl: url, parse }).invoke("demo", "big");
    assert.match(texts[0], /9223372036854775807/);
  }));

test("the version is that of package.json", async () => {
  const { default: manifest } = await import("../package.json", { with: { type: "json" } });
  assert.equal(VERSION, manifest.version);
});
