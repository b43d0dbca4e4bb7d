import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { dataOf, errorOf, readAnswer, secondsOf } from "../dist/esm/answer.js";
import * as errors from "../dist/esm/errors.js";

const answer = (status, body, more = {}) => ({ status, text: typeof body === "string" ? body : JSON.stringify(body), requestId: "req_1", retryAfter: null, ...more });
const v1 = (status, code, details) => errorOf(answer(status, { success: false, error: { code, message: `said ${code}`, details } }), JSON.parse);
const api = (status, body) => errorOf(answer(status, body), JSON.parse);

// Rows of the table `Errors of calls and changes` in the daemon's docs/errors.md.
const rows = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => /^\| `\w+` \|.*\| (caller|server|gateway) \|/.test(line))
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .map(([, outcome, , fault, again, inV1]) => ({ outcome: outcome.replaceAll("`", ""), fault, again, status: Number(inV1.slice(0, 3)), code: /`(\w+)`/.exec(inV1)[1] }));

const KIND_BY_STATUS = { 400: "Validation", 401: "Authentication", 403: "PermissionDenied", 404: "NotFound", 409: "Conflict", 413: "TooLarge", 422: "Validation", 429: "RateLimited", 500: "Internal", 502: "ServerFailed", 503: "ServerUnavailable", 504: "Timeout" };
const KIND_BY_CODE = { "422 mcp_error": "ToolFailed", "429 quota_exceeded": "QuotaExceeded", "502 mcp_unreachable": "ServerUnavailable" };

test("the table of the daemon's errors was read", () => assert.ok(rows.length > 40, `${rows.length} rows`));

for (const { outcome, fault, again, status, code } of rows) {
  test(`${outcome} is ${status} ${code}, of the class, fault and safety that docs/errors.md says`, () => {
    const error = v1(status, code);
    assert.equal(error.kind, KIND_BY_CODE[`${status} ${code}`] ?? KIND_BY_STATUS[status]);
    assert.ok(error instanceof errors[`${error.kind}Error`]);
    // A 500 may also be a panic, of which nothing is known: it is not taken for safe.
    if (again === "safe" && outcome !== "internal") assert.equal(error.isRetryable, true);
    if (again === "pointless" || again === "unknown") assert.equal(error.isRetryable, false);
    if (again === "safe or unknown" && status !== 503) {
      assert.equal(error.isRetryable, false);
      assert.equal(v1(status, code, { phase: "not_sent" }).isRetryable, true);
      assert.equal(v1(status, code, { phase: "in_flight" }).isRetryable, false);
    }
    // What a code shares with other outcomes cannot tell them apart, and a used-up allowance has a fault of its own.
    const shared = ["quota_exceeded", "rate_limited", "service_unavailable", "internal_error", "mcp_unreachable", "mcp_error", "conflict"];
    if (!shared.includes(code)) assert.equal(error.fault, fault);
  });
}

test("an error has what the answer says", () => {
  const error = v1(502, "mcp_unreachable", { phase: "in_flight", server: { state: "backoff" } });
  const { message, code, status, requestId, details, phase, fault, name } = error;
  assert.deepEqual(
    { message, code, status, requestId, details, phase, fault, name },
    { message: "said mcp_unreachable", code: "mcp_unreachable", status: 502, requestId: "req_1", details: { phase: "in_flight", server: { state: "backoff" } }, phase: "in_flight", fault: "server", name: "ServerUnavailableError" },
  );
});

test("a call with a key that has no reply was made before, and only one that runs is to be asked for again", () => {
  const seen = (details, status = 409, code = "conflict") => {
    const { kind, phase, isRetryable, fault } = v1(status, code, details);
    return [kind, phase, isRetryable, fault];
  };
  assert.deepEqual(seen({ idempotency: "running", phase: "in_flight" }), ["Conflict", "in_flight", true, "caller"]);
  assert.deepEqual(seen({ idempotency: "cancelled", phase: "in_flight" }), ["Conflict", "in_flight", false, "caller"]);
  assert.deepEqual(seen({ idempotency: "not_kept", phase: "in_flight" }), ["Conflict", "in_flight", false, "gateway"]);
  assert.deepEqual(seen({ idempotency: "of_the_future", phase: "in_flight" }), ["Conflict", "in_flight", false, "caller"]);
  assert.deepEqual(seen({ idempotency: "running" }, 409, "login_failed"), ["Conflict", "not_sent", true, "server"]);
  for (const details of [undefined, { phase: "not_sent" }, { server: { state: "disabled" } }]) assert.deepEqual(seen(details), ["Conflict", "not_sent", false, "caller"]);
});

test("another call with a key that was used is not sent", () => {
  const { kind, phase, isRetryable } = v1(422, "validation_error");
  assert.deepEqual([kind, phase, isRetryable], ["Validation", "not_sent", false]);
});

test("a tool's own error has its text and its blocks", () => {
  const content = [{ type: "text", text: "out of paper" }];
  const error = v1(422, "mcp_error", { mcp_error: "out of paper", content });
  assert.equal(error.text, "out of paper");
  assert.deepEqual(error.content, content);
  assert.equal(error.phase, "in_flight");
});

test("errors of /api are told apart by their code where their status is 500", () => {
  assert.equal(api(500, { error: "down", code: "mcp_unreachable" }).kind, "ServerUnavailable");
  assert.equal(api(500, { error: "slow", code: "mcp_timeout" }).kind, "Timeout");
  assert.equal(api(500, { error: "bad", code: "mcp_error" }).kind, "ServerFailed");
  assert.equal(api(500, { error: "oops" }).kind, "Internal");
  const { kind, message, details } = api(404, { error: "Server 'x' not found", available_servers: ["demo"] });
  assert.deepEqual({ kind, message, details }, { kind: "NotFound", message: "Server 'x' not found", details: { available_servers: ["demo"] } });
});

test("a proxy's page is an error of its status, and nothing is known of the call", () => {
  for (const [status, kind] of [[502, "ServerFailed"], [503, "ServerUnavailable"], [504, "Timeout"]]) {
    const error = api(status, "<html><h1>Bad Gateway</h1></html>");
    assert.deepEqual([error.kind, error.phase, error.isRetryable, error.code], [kind, "unknown", false, null]);
  }
});

test("any status and any body is an error of a known class", () => {
  const bodies = ["", "null", "[]", "3", "{", '{"error":null}', '{"error":{}}', '{"error":[]}', '{"error":{"code":7,"message":false}}', '{"error":"x","code":401}', '{"detail":"x"}', "\u0000"];
  for (let status = 200; status < 700; status += 1) {
    for (const body of bodies) {
      const error = errorOf(answer(status, body), JSON.parse);
      assert.ok(error instanceof errors.McpvisorError && error.message.length > 0 && errors[`${error.kind}Error`]);
      if (status >= 500 && error.code === null) assert.equal(error.isRetryable, false, `${status} ${body}`);
    }
  }
});

test("a refusal that may come after work was done is not safe", () => {
  const late = errorOf(answer(503, { error: "stopping", code: "service_unavailable" }, { isLate: true }), JSON.parse);
  assert.deepEqual([late.kind, late.phase, late.isRetryable], ["ServerUnavailable", "unknown", false]);
  const limited = errorOf(answer(429, { error: "slow down", code: "rate_limited" }, { isLate: true }), JSON.parse);
  assert.deepEqual([limited.phase, limited.isRetryable], ["not_sent", true]);
});

test("a success that is no JSON, or has no data, is a fault of the protocol", () => {
  for (const text of ["", "<html>", "[1]", '"x"', '{"success":tr']) assert.throws(() => readAnswer(answer(200, text), JSON.parse), { kind: "Protocol", status: 200 });
  for (const [body, shape] of [[{}, {}], [{ data: null }, {}], [{ data: 3 }, {}], [{ data: [] }, {}], [{ data: {} }, []]]) {
    assert.throws(() => dataOf(answer(200, body), body, shape), { kind: "Protocol" });
  }
  assert.deepEqual(dataOf(answer(200, ""), { data: [1] }, []), [1]);
});

test("an error with status 200 is an error", () => {
  assert.throws(() => readAnswer(answer(200, { success: false, error: { code: "mcp_error", message: "no" } }), JSON.parse), { kind: "ServerFailed" });
  assert.throws(() => readAnswer(answer(200, { error: "no" }), JSON.parse), { message: "no" });
});

test("Retry-After is seconds or a date", () => {
  const now = Date.parse("2026-11-30T08:00:00Z");
  assert.equal(secondsOf("7", now), 7);
  assert.equal(secondsOf(" 1.5 ", now), 1.5);
  assert.equal(secondsOf("Mon, 30 Nov 2026 08:00:09 GMT", now), 9);
  assert.equal(secondsOf("Mon, 30 Nov 2026 07:00:00 GMT", now), 0);
  for (const text of [null, "", "soon", "-"]) assert.equal(secondsOf(text, now), null);
});
