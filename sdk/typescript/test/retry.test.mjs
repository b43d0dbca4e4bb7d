import assert from "node:assert/strict";
import { test } from "node:test";
import { makeError } from "../dist/esm/errors.js";
import { LONGEST_WAIT, retryDelay } from "../dist/esm/retry.js";

const KINDS = ["Authentication", "PermissionDenied", "NotFound", "Conflict", "Validation", "TooLarge", "ToolFailed", "RateLimited", "QuotaExceeded", "ServerUnavailable", "ServerFailed", "Timeout", "Internal", "Connection", "Protocol", "Cancelled"];
const error = (kind, isRetryable = true, retryAfter = null) => makeError({ kind, isRetryable, retryAfter, message: "x", fault: "server", phase: "not_sent" });
const tries = { failed: 0, maxRetries: 2, left: 60_000, random: 0.5 };

test("only what is safe is tried again, and of that only what may help", () => {
  const tried = KINDS.filter((kind) => retryDelay(error(kind), tries) !== null);
  assert.deepEqual(tried, ["RateLimited", "ServerUnavailable", "Connection", "Protocol"]);
  for (const kind of KINDS) assert.equal(retryDelay(error(kind, false), tries), null);
});

test("it waits as long as the server says, or twice as long at most with each try", () => {
  assert.equal(retryDelay(error("RateLimited", true, 3), tries), 3000);
  assert.equal(retryDelay(error("RateLimited", true, 0), tries), 0);
  assert.deepEqual([0, 1, 2, 3].map((failed) => retryDelay(error("Connection"), { ...tries, failed, maxRetries: 9 })), [250, 500, 1000, 2000]);
  assert.equal(retryDelay(error("Connection"), { ...tries, random: 0 }), 0);
});

test("it waits neither beyond the deadline nor longer than the cap, but gives up at once", () => {
  assert.equal(retryDelay(error("RateLimited", true, 5), { ...tries, left: 5000 }), null);
  assert.equal(retryDelay(error("RateLimited", true, 31), tries), null);
  assert.equal(retryDelay(error("RateLimited", true, LONGEST_WAIT / 1000), tries), LONGEST_WAIT);
  assert.equal(retryDelay(error("Connection"), { ...tries, left: 0 }), null);
});

test("a call with a key that still runs is asked for again within the same limits, and no other conflict is", () => {
  const conflict = (idempotency, retryAfter = 1) => makeError({ kind: "Conflict", isRetryable: idempotency === "running", retryAfter, message: "x", fault: "caller", phase: "in_flight", details: { idempotency } });
  assert.equal(retryDelay(conflict("running"), tries), 1000);
  assert.equal(retryDelay(conflict("running", null), { ...tries, failed: 1 }), 500);
  for (const limits of [{ left: 1000 }, { failed: 2 }, { maxRetries: 0 }]) assert.equal(retryDelay(conflict("running"), { ...tries, ...limits }), null);
  assert.equal(retryDelay(conflict("running", 31), tries), null);
  for (const why of ["cancelled", "not_kept", undefined]) assert.equal(retryDelay(conflict(why), tries), null);
});

test("it ends with the number of retries", () => {
  assert.equal(retryDelay(error("Connection"), { ...tries, failed: 2 }), null);
  assert.equal(retryDelay(error("Connection"), { ...tries, maxRetries: 0 }), null);
});
