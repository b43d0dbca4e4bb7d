// The client: its options, the tool call, and the groups of routes.

import { dataOf, protocolError } from "./answer.js";
import { Api } from "./api.js";
import { parseJson } from "./json.js";
import { pathWith, Routes, segment, unusable, type Parameters } from "./routes.js";
import { environment, IS_BROWSER, uniqueId } from "./runtime.js";
import { Transport, type Request, type RequestOptions } from "./transport.js";
import type { ContentBlock, InvocationMetadata } from "./types.js";
import { Activity, Keys, Logs, Mcps, Organizations, Resources, Usage } from "./v1.js";
import { VERSION } from "./version.js";

/** Options of a client. */
export interface ClientOptions {
  /** Address of the daemon, or of PlexMCP's service: `http://127.0.0.1:5000` by default. A `/v1` at its end is left out. */
  baseUrl?: string | undefined;
  /** The key; `MCPVISOR_API_KEY` of the environment by default, where there is one. `null`: none is sent. */
  apiKey?: string | null | undefined;
  /** Milliseconds that a request may take, its retries included: 60,000 by default. */
  timeout?: number | undefined;
  /** How often a request is made once more at most, where nothing of it was carried out: 2 by default. */
  maxRetries?: number | undefined;
  /** What makes the requests, in place of the runtime's `fetch`. */
  fetch?: typeof fetch | undefined;
  /** Further headers of each request. */
  headers?: Record<string, string> | undefined;
  /** `true`: whole numbers beyond ±(2^53 - 1) are read as `bigint`. Without it they are rounded. Sent they may be in any case. */
  bigint?: boolean | undefined;
  /** What reads JSON, in place of this package; it throws where a text is none. */
  parse?: ((text: string) => unknown) | undefined;
}

/** Options of a tool call. */
export interface InvokeOptions extends RequestOptions {
  /**
   * Milliseconds to the deadline of the call, whole ones from 1 to 300,000, which the server keeps: it is sent along, and here
   * it is waited a little longer, so that the answer tells how far the call came. Without it the server's own deadline holds
   * (30 s, which progress of the tool extends), and the client's `timeout`.
   */
  timeout?: number | undefined;
  /** Particulars for the MCP server, which has them as `_meta["plexmcp/context"]`. */
  context?: Record<string, unknown> | undefined;
  /**
   * 1 to 255 visible ASCII characters that no other call has, sent as `Idempotency-Key`: the daemon carries the call out once,
   * however often it comes, and answers it again. After a lost connection or a passed deadline the same call with the same key
   * gets the reply of the first; PlexMCP's own service does not know the header, so that this is never done without being asked
   * for. In browsers, which repeat requests by themselves, one is made by default.
   */
  idempotencyKey?: string | undefined;
}

/** What a tool has answered. */
export interface InvokeResult<T = unknown> {
  /** The tool's structured content, if it has any; else, of a lone text, the JSON in it or the text; else the blocks. */
  result: T;
  /** The blocks as the tool gave them. */
  content: ContentBlock[];
  /** The MCP's id, the tool, how long it took and when it was. */
  metadata: InvocationMetadata;
  /** Id of the request, by which the daemon's log, audit and activity know it; `null` where the server told none. */
  requestId: string | null;
  /** `true` where this is the reply to an earlier request with the same `idempotencyKey`. */
  replayed: boolean;
}

/** Where a client of MCP itself finds the servers. */
export interface McpEndpoint {
  url: string;
  /** Headers to send with each request. */
  headers: Record<string, string>;
}

const DEFAULT_URL = "http://127.0.0.1:5000";
const DEFAULT_TIMEOUT = 60_000;
// A question may take the five minutes that the daemon gives it, and its answer has to arrive.
const QUESTION_TIMEOUT = 310_000;

/** A client of the HTTP API. It holds no connection of its own and needs no closing. */
export class Client extends Routes {
  readonly mcps: Mcps;
  readonly logs: Logs;
  readonly resources: Resources;
  readonly keys: Keys;
  readonly usage: Usage;
  readonly organization: Organizations;
  readonly activity: Activity;
  /** The routes of `/api`. */
  readonly api: Api;
  readonly #baseUrl: string;
  readonly #authorization: Record<string, string>;

  constructor(options: ClientOptions = {}) {
    const apiKey = options.apiKey === undefined ? environment("MCPVISOR_API_KEY") : options.apiKey;
    const authorization: Record<string, string> = apiKey ? { Authorization: `Bearer ${apiKey}` } : {};
    const baseUrl = (options.baseUrl ?? DEFAULT_URL).replace(/\/+$/, "").replace(/\/v1$/, "");
    const transport = new Transport({
      baseUrl,
      headers: { ...(IS_BROWSER ? {} : { "User-Agent": `mcpvisor-typescript/${VERSION}` }), ...authorization, ...options.headers },
      timeout: options.timeout ?? DEFAULT_TIMEOUT,
      questionTimeout: options.timeout ?? QUESTION_TIMEOUT,
      maxRetries: options.maxRetries ?? 2,
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
      parse: options.parse ?? ((text) => parseJson(text, { bigint: options.bigint })),
    });
    super(transport);
    this.#baseUrl = baseUrl;
    this.#authorization = authorization;
    this.mcps = new Mcps(transport);
    this.logs = new Logs(transport);
    this.resources = new Resources(transport);
    this.keys = new Keys(transport);
    this.usage = new Usage(transport);
    this.organization = new Organizations(transport);
    this.activity = new Activity(transport);
    this.api = new Api(transport);
  }

  /**
   * Calls a tool. `T` is the type that its result is taken for, unchecked. A call that a server may have seen is never made
   * again by itself; aborting the signal closes the connection, which cancels the call at the server: with a key after five
   * seconds in which it was not asked for again.
   */
  async invoke<T = unknown>(mcp: string, tool: string, args: object = {}, options: InvokeOptions = {}): Promise<InvokeResult<T>> {
    const { context, idempotencyKey = IS_BROWSER ? uniqueId() : undefined, timeout, signal } = options;
    if (idempotencyKey !== undefined && !/^[!-~]{1,255}$/.test(idempotencyKey)) throw unusable("idempotencyKey has to be 1 to 255 visible ASCII characters");
    const answer = await this.transport.send({
      method: "POST",
      path: "/v1/mcp/invoke",
      body: { mcp_id: mcp, tool, arguments: args, context },
      headers: idempotencyKey === undefined ? undefined : { "Idempotency-Key": idempotencyKey },
      sendsDeadline: timeout !== undefined,
      timeout,
      signal,
    });
    const data = dataOf<InvokeResult<T>>(answer, answer.body, {});
    if (!("result" in data)) throw protocolError(answer, "answered without a result");
    const { result, content = [], metadata } = data;
    const replayed = idempotencyKey !== undefined && answer.headers.get("Idempotent-Replayed") === "true";
    return { result, content, metadata, requestId: answer.toldId, replayed };
  }

  /** The address of MCP itself: of one server, of several together, or without any of all. */
  mcpUrl(server?: string | readonly string[]): McpEndpoint {
    const names = server === undefined ? [] : [server].flat();
    const path = names.length > 0 ? `/${names.map(segment).join(",")}` : "";
    return { url: `${this.#baseUrl}/mcp${path}`, headers: { ...this.#authorization } };
  }

  /** A request to any other route of `/v1` or `/api`: its answer whole, read as JSON. */
  async request<T = Record<string, unknown>>(
    method: Request["method"],
    path: string,
    options: RequestOptions & { query?: Parameters | undefined; body?: object | undefined } = {},
  ): Promise<T> {
    const { query, ...request } = options;
    return (await this.transport.send({ method, path: pathWith(path, query), ...request })).body as T;
  }
}
