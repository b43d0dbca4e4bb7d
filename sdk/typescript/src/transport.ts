// Requests and their tries. What an answer means is in answer.ts, when to try again in retry.ts, how one try ends in exchange.ts.

import { errorOf, protocolError, readAnswer, type Answer, type Parse } from "./answer.js";
import { McpvisorError, type Phase } from "./errors.js";
import { cancelled, Exchange, REQUEST_ID } from "./exchange.js";
import { stringifyJson } from "./json.js";
import { retryDelay } from "./retry.js";
import { bodyOnce, uniqueId } from "./runtime.js";

/** What every request may be given. */
export interface RequestOptions {
  /** Milliseconds that the request may take, all tries and waits included; the client's `timeout` by default. */
  timeout?: number | undefined;
  /** Ends the request when it is aborted, and with it the call at the server. */
  signal?: AbortSignal | undefined;
}

/** A request, whatever it asks for. */
export interface Request extends RequestOptions {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path with its query, behind the base URL. */
  path: string;
  body?: object | undefined;
  headers?: Record<string, string> | undefined;
  /** `true`: what is left of the time goes along as `timeout` in the body, and here it is waited a little longer. */
  sendsDeadline?: boolean | undefined;
  /** `true` where even an answer that looks like a refusal may come when something has been carried out. */
  isLate?: boolean | undefined;
}

/** What all requests of a client share. */
export interface Settings {
  baseUrl: string;
  headers: Record<string, string>;
  timeout: number;
  /** `timeout` of questions to a model, which take longer than other requests. */
  questionTimeout: number;
  maxRetries: number;
  fetch: typeof fetch;
  parse: Parse;
}

/** An answer that is a success, read as JSON. */
export interface Read extends Pick<Answer, "status" | "requestId"> {
  body: Record<string, unknown>;
  /** Id of the request as the answer has it; `null` where it has none, and the server may not know the one that was sent. */
  toldId: string | null;
  headers: Headers;
}

/** Milliseconds by which an answer may be late that the server gives when the deadline that it was told has passed. */
const GRACE = 2_000;

/** Makes the requests of one client. */
export class Transport {
  constructor(readonly settings: Settings) {}

  /** The answer to a request, read whole. Rejects with the error of the last try. */
  send(request: Request): Promise<Read> {
    return this.#tries(request, async (exchange) => {
      const answer = answerOf(exchange, await wholeText(exchange), request);
      const { status, requestId } = answer;
      return { status, requestId, toldId: exchange.toldId, headers: exchange.response.headers, body: readAnswer(answer, this.settings.parse) };
    });
  }

  /** The beginning of an answer that is a stream of events. Rejects as `send` does. */
  open(request: Request): Promise<Exchange> {
    return this.#tries(request, async (exchange) => {
      const { response } = exchange;
      if (response.ok && response.headers.get("content-type")?.startsWith("text/event-stream")) return exchange;
      const answer = answerOf(exchange, await wholeText(exchange), request);
      if (!response.ok) throw errorOf(answer, this.settings.parse);
      throw protocolError(answer, "answered without a stream of events");
    });
  }

  async #tries<T>(request: Request, read: (exchange: Exchange) => Promise<T>): Promise<T> {
    const { maxRetries, timeout } = this.settings;
    const requestId = `req_${uniqueId()}`;
    const deadline = Date.now() + (request.timeout ?? timeout);
    let runs = false; // A call with the same key does, as the server has said.
    for (let failed = 0; ; failed += 1) {
      try {
        return await read(await this.#once(request, requestId, deadline - Date.now()));
      } catch (error) {
        if (!(error instanceof McpvisorError)) throw error;
        const wait = retryDelay(error, { failed, maxRetries, left: deadline - Date.now(), random: Math.random() });
        // The last try carried nothing out; that call may have.
        if (wait === null) throw runs && error.phase === "not_sent" ? Object.assign(error, { phase: "in_flight" }) : error;
        runs ||= error.phase === "in_flight";
        await pause(wait, request.signal, requestId, runs ? "in_flight" : "not_sent");
      }
    }
  }

  /** One try, up to its headers. */
  async #once(request: Request, requestId: string, left: number): Promise<Exchange> {
    const { settings } = this;
    const { fetch } = settings;
    const exchange = new Exchange(request.signal, request.method === "GET", requestId);
    exchange.extend(left + (request.sendsDeadline ? GRACE : 0));
    try {
      exchange.begin(await fetch(settings.baseUrl + request.path, initOf(request, settings, requestId, left, exchange.signal)));
      return exchange;
    } catch (error) {
      exchange.done();
      throw exchange.failure(error);
    }
  }
}

function initOf(request: Request, settings: Settings, requestId: string, left: number, signal: AbortSignal): RequestInit {
  const headers: Record<string, string> = { ...settings.headers, ...request.headers, [REQUEST_ID]: requestId };
  // A redirect would carry the call to another place, and perhaps out a second time.
  const init: RequestInit = { method: request.method, headers, signal, redirect: "manual" };
  if (request.body !== undefined) {
    headers["Content-Type"] = "application/json";
    const body = request.sendsDeadline ? { ...request.body, timeout: Math.max(1, Math.ceil(left)) } : request.body;
    init.body = bodyOnce(stringifyJson(body));
  }
  return init;
}

/** The text of an answer. That of an error is nothing where it is cut: the status still says what it is. */
async function wholeText(exchange: Exchange): Promise<string> {
  try {
    const text = await exchange.response.text();
    exchange.done();
    return text;
  } catch (error) {
    exchange.close();
    const failure = exchange.failure(error);
    if (exchange.response.ok || failure.kind !== "Protocol") throw failure;
    return "";
  }
}

function answerOf({ response, requestId }: Exchange, text: string, request: Request): Answer {
  const retryAfter = response.ok ? null : response.headers.get("Retry-After");
  return { status: response.status, text, requestId, retryAfter, isLate: request.isLate };
}

/** Waits, and gives up when the caller does. Before a further try nothing is under way, unless an earlier request began it. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined, requestId: string, phase: Phase = "not_sent"): Promise<void> {
  let onAbort: () => void = () => undefined;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    onAbort = () => {
      clearTimeout(timer);
      resolve();
    };
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort);
  });
  signal?.removeEventListener("abort", onAbort);
  if (signal?.aborted) throw cancelled(signal, requestId, phase);
}
