// One try of a request: when it ends, and what went wrong with it.

import { protocolError } from "./answer.js";
import { makeError, type McpvisorError, type Phase } from "./errors.js";
import { isTimeOfRuntime, wasNotSent } from "./runtime.js";

/** Name of the header with the id of a request. */
export const REQUEST_ID = "X-Request-Id";
/** Longest time that a timer of JavaScript can be set to, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** A try of a request, which ends when its time is over or its caller wants it to end, and knows which of the two it was. */
export class Exchange {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #isRead: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isLate = false;
  #response: Response | undefined;
  /** Id of the request as its answer has it; `null` until one has. */
  toldId: string | null = null;

  /**
   * Begins a try of a request that only reads, or does not.
   * @throws CancelledError where the caller has left before.
   */
  constructor(
    caller: AbortSignal | undefined,
    isRead: boolean,
    readonly sentId: string,
  ) {
    this.#caller = caller;
    this.#isRead = isRead;
    if (caller?.aborted) throw cancelled(caller, sentId, "not_sent");
    caller?.addEventListener("abort", this.close);
  }

  /** What ends the request of the runtime. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Id of the request, as the server knows it if it has told one. */
  get requestId(): string {
    return this.toldId ?? this.sentId;
  }

  /** The answer, of which the headers have come. */
  get response(): Response {
    return this.#response as Response;
  }

  /** Takes the answer. */
  begin(response: Response): void {
    this.#response = response;
    this.toldId = response.headers.get(REQUEST_ID);
  }

  /** Sets the time anew, in milliseconds, after which it is given up. */
  extend(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#expire, Math.min(milliseconds, LONGEST_TIMER));
  }

  /** Lets go of it when it is over. */
  done(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener("abort", this.close);
  }

  /** Ends it: the connection is closed, which cancels what is under way at the server. */
  readonly close = (): void => {
    this.done();
    this.#controller.abort();
  };

  /** The error that a failed `fetch`, or a failed read of the answer, is. */
  failure(error: unknown): McpvisorError {
    const { requestId } = this;
    if (this.#isLate || isTimeOfRuntime(error)) return late(requestId, error);
    if (this.#caller?.aborted) return cancelled(this.#caller, requestId, "unknown");
    if (this.#response) return protocolError({ status: this.#response.status, requestId }, "ended in the middle of its answer", error, this.#isRead);
    return lost(error, requestId, this.#isRead);
  }

  readonly #expire = (): void => {
    this.#isLate = true;
    this.close();
  };
}

/** The error of a request that its caller has left. A signal of `AbortSignal.timeout` is a deadline. */
export function cancelled(signal: AbortSignal, requestId: string, phase: Phase): McpvisorError {
  const cause: unknown = signal.reason;
  if ((cause as { name?: unknown } | null)?.name === "TimeoutError") return late(requestId, cause, phase);
  return makeError({ kind: "Cancelled", fault: "caller", phase, isRetryable: false, message: "The request was cancelled", requestId, cause });
}

function late(requestId: string, cause: unknown, phase: Phase = "unknown"): McpvisorError {
  const message = "No answer came within the time that the request may take";
  return makeError({ kind: "Timeout", fault: "network", phase, isRetryable: phase === "not_sent", message, requestId, cause });
}

function lost(cause: unknown, requestId: string, isRead: boolean): McpvisorError {
  const phase = wasNotSent(cause) ? "not_sent" : "unknown";
  const reason = (cause as { cause?: { message?: unknown } } | null)?.cause?.message ?? (cause as { message?: unknown } | null)?.message;
  const message = phase === "not_sent" ? `Could not connect: ${reason}` : `The connection was lost before an answer came: ${reason}`;
  return makeError({ kind: "Connection", fault: "network", phase, isRetryable: phase === "not_sent" || isRead, message, requestId, cause });
}
