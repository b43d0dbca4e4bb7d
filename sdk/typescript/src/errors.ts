// The errors of the client: one class for each kind, all of them a McpvisorError. Pure: what an answer means is in answer.ts.

/** Kind of an error: the name of its class without `Error`. It tells errors apart also where two copies of this package are loaded. */
export type ErrorKind =
  | "Authentication"
  | "PermissionDenied"
  | "NotFound"
  | "Conflict"
  | "Validation"
  | "TooLarge"
  | "ToolFailed"
  | "RateLimited"
  | "QuotaExceeded"
  | "ServerUnavailable"
  | "ServerFailed"
  | "Timeout"
  | "Internal"
  | "Connection"
  | "Protocol"
  | "Cancelled";

/** Whose fault an error is: the caller's, the MCP server's, the gateway's, the network's, or a used-up allowance's. */
export type Fault = "caller" | "server" | "gateway" | "network" | "quota";

/**
 * How far a call came: `not_sent`: the MCP server cannot have seen it; `in_flight`: it may have carried it out, or has;
 * `unknown`: there is no telling.
 */
export type Phase = "not_sent" | "in_flight" | "unknown";

/** Everything that is known of an error. */
export interface ErrorFacts {
  kind: ErrorKind;
  message: string;
  fault: Fault;
  phase: Phase;
  isRetryable: boolean;
  code?: string | null;
  status?: number | null;
  requestId?: string | null;
  details?: Record<string, unknown> | null;
  retryAfter?: number | null;
  cause?: unknown;
}

/** What every method of the client rejects with. */
export class McpvisorError extends Error {
  /** Kind of the error: the name of its class without `Error`. */
  readonly kind: ErrorKind;
  /** Word of the server for it, such as `mcp_unreachable` (`docs/errors.md` of the daemon has them all); `null` without one. */
  readonly code: string | null;
  /** HTTP status of the answer; `null` where none came. */
  readonly status: number | null;
  /** Id of the request, by which the daemon's log, audit and activity know it; also where no answer came. */
  readonly requestId: string | null;
  /** Particulars from the answer, which depend on `code`; `null` without any. */
  readonly details: Record<string, unknown> | null;
  /** `true` where the same request may be sent again: nothing was carried out, it only reads, or its key has a call that still runs. */
  readonly isRetryable: boolean;
  /** Whose fault it is. */
  readonly fault: Fault;
  /** How far the call came. */
  readonly phase: Phase;
  /** Seconds after which the server wants to be asked again; `null` where it does not say. */
  readonly retryAfter: number | null;

  constructor(facts: ErrorFacts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = facts.kind === "Cancelled" ? "AbortError" : `${facts.kind}Error`;
    this.kind = facts.kind;
    this.code = facts.code ?? null;
    this.status = facts.status ?? null;
    this.requestId = facts.requestId ?? null;
    this.details = facts.details ?? null;
    this.isRetryable = facts.isRetryable;
    this.fault = facts.fault;
    this.phase = facts.phase;
    this.retryAfter = facts.retryAfter ?? null;
  }
}

/** 401: no key, an unknown one, or one that was revoked or has expired. */
export class AuthenticationError extends McpvisorError {}
/** 403: the role or the key does not allow it, or the tool is blocked. */
export class PermissionDeniedError extends McpvisorError {}
/** 404: no such MCP, tool, resource, key or route. */
export class NotFoundError extends McpvisorError {}
/**
 * 409: what there is stands against it, such as an MCP that is switched off. Where it is the call that was made with the same
 * `idempotencyKey`, `details.idempotency` says why that has no reply: `running`, `cancelled` or `not_kept`.
 */
export class ConflictError extends McpvisorError {}
/** 400, 405, 415, 422: the request cannot be carried out as it was made. */
export class ValidationError extends McpvisorError {}
/** 413: the request is larger than is taken. */
export class TooLargeError extends McpvisorError {}
/** 422 `mcp_error`: the tool ran and reports an error. */
export class ToolFailedError extends McpvisorError {
  /** The tool's own words, a line for each text that it gave. */
  get text(): string {
    return String(this.details?.["mcp_error"] ?? this.message);
  }
  /** Blocks of content that the tool gave, as it gave them. */
  get content(): unknown[] {
    const content = this.details?.["content"];
    return Array.isArray(content) ? content : [];
  }
}
/** 429 `rate_limited`: too many requests a second, or calls at once. */
export class RateLimitedError extends McpvisorError {}
/** 429 `quota_exceeded`: the calls of the month are used up. */
export class QuotaExceededError extends McpvisorError {}
/** 502 `mcp_unreachable`, 503: the MCP server is down or busy, or the gateway is. */
export class ServerUnavailableError extends McpvisorError {}
/** 502: the MCP server, or a proxy on the way, answered what cannot be used. */
export class ServerFailedError extends McpvisorError {}
/** 504, or the deadline passed here. */
export class TimeoutError extends McpvisorError {}
/** 500: a defect of the gateway. */
export class InternalError extends McpvisorError {}
/** No answer came. */
export class ConnectionError extends McpvisorError {}
/** The answer is not what the API says: no JSON, the wrong shape, or cut. */
export class ProtocolError extends McpvisorError {}
/** The caller's signal was aborted. Its `name` is `AbortError`, as everywhere where `fetch` is; `cause` is the signal's reason. */
export class CancelledError extends McpvisorError {}

const CLASSES: Record<ErrorKind, typeof McpvisorError> = {
  Authentication: AuthenticationError,
  PermissionDenied: PermissionDeniedError,
  NotFound: NotFoundError,
  Conflict: ConflictError,
  Validation: ValidationError,
  TooLarge: TooLargeError,
  ToolFailed: ToolFailedError,
  RateLimited: RateLimitedError,
  QuotaExceeded: QuotaExceededError,
  ServerUnavailable: ServerUnavailableError,
  ServerFailed: ServerFailedError,
  Timeout: TimeoutError,
  Internal: InternalError,
  Connection: ConnectionError,
  Protocol: ProtocolError,
  Cancelled: CancelledError,
};

/** Makes the error of the class that its kind names. */
export function makeError(facts: ErrorFacts): McpvisorError {
  return new CLASSES[facts.kind](facts);
}
