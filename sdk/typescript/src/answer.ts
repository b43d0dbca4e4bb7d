// What an answer means. Pure: texts, statuses and headers in, values and errors out.

import { makeError, type ErrorKind, type Fault, type McpvisorError, type Phase } from "./errors.js";

/** An answer that was read whole, or as far as it came. */
export interface Answer {
  status: number;
  text: string;
  requestId: string | null;
  /** Header `Retry-After`, as it came. */
  retryAfter: string | null;
  /** `true` where the call may have been at work before this was answered, whatever the code says. */
  isLate?: boolean | undefined;
}

/** Reads a text as JSON. */
export type Parse = (text: string) => unknown;

type Members = Record<string, unknown>;
/** Kind, fault, phase, and whether the closed set calls a further try safe. A phase of the answer's details comes first. */
type Row = [kind: ErrorKind, fault: Fault, phase: Phase, isSafe?: boolean];

// The closed set (`docs/errors.md` of the daemon). What is pointless to repeat is not safe here.
const BY_CODE: Record<string, Row> = {
  invalid_arguments: ["Validation", "caller", "in_flight"],
  tool_blocked: ["PermissionDenied", "server", "not_sent"],
  resource_not_found: ["NotFound", "caller", "unknown"],
  login_failed: ["Conflict", "server", "not_sent", true],
  secret_missing: ["Conflict", "caller", "not_sent", true],
  validation_error: ["Validation", "caller", "not_sent"],
  invalid_request: ["Validation", "caller", "not_sent"],
  rate_limited: ["RateLimited", "quota", "not_sent", true],
  internal_error: ["Internal", "gateway", "unknown"],
  mcp_unreachable: ["ServerUnavailable", "server", "unknown"],
  mcp_timeout: ["Timeout", "server", "unknown"],
  timeout: ["Timeout", "server", "unknown"],
  mcp_error: ["ServerFailed", "server", "in_flight"],
  llm_error: ["ServerFailed", "server", "unknown"],
  answer_dropped: ["ServerFailed", "caller", "in_flight"],
  service_unavailable: ["ServerUnavailable", "gateway", "not_sent", true],
};

// Codes that mean another thing with one status.
const BY_CODE_AND_STATUS: Record<string, Row> = {
  "mcp_error 422": ["ToolFailed", "server", "in_flight"],
  "quota_exceeded 429": ["QuotaExceeded", "quota", "not_sent", true],
  "quota_exceeded 403": ["PermissionDenied", "quota", "not_sent"],
  "invalid_request 408": ["Timeout", "caller", "not_sent", true],
};

// What is not in the set, such as the page of a proxy. What a proxy did with a call is not known.
const BY_STATUS: Record<number, Row> = {
  401: ["Authentication", "caller", "not_sent"],
  403: ["PermissionDenied", "caller", "not_sent"],
  404: ["NotFound", "caller", "not_sent"],
  408: ["Timeout", "caller", "unknown"],
  409: ["Conflict", "caller", "not_sent"],
  413: ["TooLarge", "caller", "not_sent"],
  422: ["Validation", "caller", "unknown"],
  429: ["RateLimited", "quota", "not_sent", true],
  500: ["Internal", "gateway", "unknown"],
  502: ["ServerFailed", "gateway", "unknown"],
  503: ["ServerUnavailable", "gateway", "unknown"],
  504: ["Timeout", "gateway", "unknown"],
};

/** The value of an answer of `/api`, and the envelope of one of `/v1`; an error of the answer is thrown. */
export function readAnswer(answer: Answer, parse: Parse): Members {
  if (answer.status < 200 || answer.status >= 300) throw errorOf(answer, parse);
  if (answer.status === 204) return { data: {} };
  const body = membersOf(answer.text, parse);
  if (body === null) throw protocolError(answer, `answered ${answer.status} with ${describe(answer.text)} where JSON was to come`);
  if (body["success"] === false || (typeof body["error"] === "string" && body["status"] === undefined)) throw errorOf(answer, parse);
  return body;
}

/** `data` of an envelope of `/v1`, which has to be an array (`[]`), an object (`{}`), or anything (`null`). */
export function dataOf<T>(answer: Pick<Answer, "status" | "requestId">, body: Members, shape: [] | Members | null): T {
  const data = body["data"];
  const fits = shape === null ? "data" in body : isObject(data) && Array.isArray(data) === Array.isArray(shape);
  if (!fits) throw protocolError(answer, "answered without the `data` that was to come");
  return data as T;
}

/** The error that an answer is. */
export function errorOf(answer: Answer, parse: Parse): McpvisorError {
  const message = `The server answered ${answer.status} with ${describe(answer.text)}`;
  return errorIn(membersOf(answer.text, parse), answer, message);
}

/** What is known of an error beside its body. */
export interface Circumstances extends Pick<Answer, "requestId" | "isLate"> {
  /** `null` where the error came as an event. */
  status: number | null;
  retryAfter?: string | null;
}

/** The error that a body says, of `/v1` or of `/api`; the message is for a body that says none. */
export function errorIn(body: Members | null, seen: Circumstances, message: string): McpvisorError {
  const said = body?.["error"];
  const isOfV1 = isObject(said);
  const code = textOf(isOfV1 ? said["code"] : body?.["code"]);
  const details = objectOf(isOfV1 ? said["details"] : rest(body));
  const [kind, fault, phase, isSafe] = rowOf(seen.status ?? 500, code, details, seen.isLate === true);
  return makeError({
    kind,
    fault,
    phase,
    isRetryable: isSafe === true || (phase === "not_sent" && (kind === "ServerUnavailable" || kind === "Timeout")),
    message: textOf(isOfV1 ? said["message"] : said) ?? message,
    code,
    status: seen.status,
    // A defect is told with the id, also where a proxy keeps the header to itself.
    requestId: textOf(details?.["request_id"]) ?? seen.requestId,
    details,
    retryAfter: secondsOf(seen.retryAfter ?? null, Date.now()),
  });
}

/** The error of an answer that is not what the API says. */
export function protocolError(answer: Pick<Circumstances, "status" | "requestId">, what: string, cause?: unknown, isRetryable = false): McpvisorError {
  const { status, requestId } = answer;
  return makeError({ kind: "Protocol", fault: "gateway", phase: "unknown", isRetryable, message: `The server ${what}`, status, requestId, cause });
}

/** Seconds of a `Retry-After`, which is a number of them or a date (RFC 9110, section 10.2.3); `null` for anything else. */
export function secondsOf(header: string | null, now: number): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = /^\s*\d+(\.\d+)?\s*$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

function rowOf(status: number, code: string | null, details: Members | null, isLate: boolean): Row {
  let [kind, fault, phase, isSafe] = BY_CODE_AND_STATUS[`${code} ${status}`] ?? BY_CODE[code ?? ""] ?? BY_STATUS[status] ?? byClass(status);
  const told = details?.["phase"];
  if (told === "not_sent" || told === "in_flight") phase = told;
  if (code === "service_unavailable" && details?.["breaker"] !== undefined) fault = "server";
  // Of a call with a key of its own there is no reply: it was made before, and only one that is still running is to be asked for again.
  const earlier = code === "conflict" ? details?.["idempotency"] : undefined;
  if (earlier !== undefined) [fault, phase, isSafe] = [earlier === "not_kept" ? "gateway" : fault, "in_flight", earlier === "running"];
  if (isLate && status >= 500) [phase, isSafe] = ["unknown", false];
  return [kind, fault, phase, isSafe ?? false];
}

function byClass(status: number): Row {
  if (status >= 500) return ["Internal", "gateway", "unknown"];
  return status >= 400 ? ["Validation", "caller", "not_sent"] : ["Protocol", "gateway", "unknown"];
}

function membersOf(text: string, parse: Parse): Members | null {
  try {
    return objectOf(parse(text));
  } catch {
    return null;
  }
}

/** What an error of `/api` says beside its text and code. */
function rest(body: Members | null): Members {
  const others = { ...body };
  for (const name of ["error", "code", "type"]) delete others[name];
  return others;
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null;
}

function objectOf(value: unknown): Members | null {
  return isObject(value) && !Array.isArray(value) && Object.keys(value).length > 0 ? value : null;
}

function textOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function describe(text: string): string {
  return text.trim() === "" ? "nothing" : `${JSON.stringify(text.trim().slice(0, 80))}${text.length > 80 ? "…" : ""}`;
}
