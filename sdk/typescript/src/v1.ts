// The groups of routes of `/v1`, the PlexMCP API.

import { dataOf } from "./answer.js";
import { makeError, type ErrorKind } from "./errors.js";
import type { Paged } from "./pages.js";
import { pathWith, Routes, segment } from "./routes.js";
import { EventStream, type Take } from "./stream.js";
import type { Request, RequestOptions } from "./transport.js";
import type {
  ActivityCall,
  ActivityFilter,
  ActivityPage,
  ApiKey,
  KeyChange,
  KeyFilter,
  KeyRequest,
  KeyRevocation,
  LogLine,
  Mcp,
  McpDetail,
  McpFilter,
  Member,
  MemberFilter,
  NewApiKey,
  Organization,
  Resources as ResourceAnswer,
  RotatedApiKey,
  Usage as UsageAnswer,
  UsageBucket,
  UsageHistoryQuery,
  UsageQuery,
} from "./types.js";

/** Options of what is followed. */
export interface FollowOptions extends RequestOptions {
  /** Told how many entries were missed by a reader that was too slow. */
  onGap?: ((missed: number) => void) | undefined;
}

/** `client.mcps`: the MCP servers. An `id` is an id or an exact name. */
export class Mcps extends Routes {
  /** All that the key may use, the newest first. */
  list(filter: McpFilter = {}, options?: RequestOptions): Paged<Mcp> {
    return this.paged("/v1/mcps", filter, options);
  }

  /** One of them with its tools, as they were last announced. */
  get(id: string, options?: RequestOptions): Promise<McpDetail> {
    return this.object({ method: "GET", path: `/v1/mcps/${segment(id)}`, ...options });
  }

  /** The last `tail` lines (100; at most 1000) that its processes wrote beside their answers, the newest last. For administrators. */
  logs(id: string, tail?: number, options?: RequestOptions): Promise<LogLine[]> {
    return this.array({ method: "GET", path: pathWith(`/v1/mcps/${segment(id)}/logs`, { tail }), ...options });
  }

  /** Has its processes replaced, each when its successor is ready. For administrators, as are the four that follow. */
  restart(id: string, options?: RequestOptions): Promise<void> {
    return this.#act(id, "restart", options);
  }

  /** Starts one that is stopped, rests until its first call, or waits for its next start. */
  start(id: string, options?: RequestOptions): Promise<void> {
    return this.#act(id, "start", options);
  }

  /** Stops it until it is started or the daemon is. */
  stop(id: string, options?: RequestOptions): Promise<void> {
    return this.#act(id, "stop", options);
  }

  /** Switches it on in its definition. */
  enable(id: string, options?: RequestOptions): Promise<void> {
    return this.#act(id, "enable", options);
  }

  /** Switches it off in its definition. */
  disable(id: string, options?: RequestOptions): Promise<void> {
    return this.#act(id, "disable", options);
  }

  async #act(id: string, act: string, options?: RequestOptions): Promise<void> {
    await this.object({ method: "POST", path: `/v1/mcps/${segment(id)}/${act}`, ...options });
  }
}

/** `client.logs`. */
export class Logs extends Routes {
  /** Follows the log of an MCP, after its last `tail` lines (100). For administrators. */
  follow(mcp: string, options: FollowOptions & { tail?: number | undefined } = {}): EventStream<LogLine> {
    const { tail, onGap, ...request } = options;
    const path = pathWith(`/v1/mcps/${segment(mcp)}/logs`, { follow: true, tail });
    return new EventStream(this.transport, { method: "GET", path, ...request }, followed("line", "lines", onGap));
  }
}

/** `client.resources`. */
export class Resources extends Routes {
  /** What an MCP offers: `contents` has the resources, `resource_templates` the templates. */
  list(mcp: string, options?: RequestOptions): Promise<ResourceAnswer> {
    return this.#ask({ mcp_id: mcp }, options);
  }

  /** What is in a resource: `contents` has its parts, each with `text` or, in base64, `blob`. */
  read(mcp: string, uri: string, options?: RequestOptions): Promise<ResourceAnswer> {
    return this.#ask({ mcp_id: mcp, uri }, options);
  }

  #ask(body: object, options?: RequestOptions): Promise<ResourceAnswer> {
    return this.object({ method: "POST", path: "/v1/mcp/resources", body, sendsDeadline: options?.timeout !== undefined, ...options });
  }
}

/** `client.keys`. An `id` is that of a key, or `self`: the key that is sent. */
export class Keys extends Routes {
  /** The member's own keys, for administrators all, the newest first. */
  list(filter: KeyFilter = {}, options?: RequestOptions): Paged<ApiKey> {
    return this.paged("/v1/api-keys", filter, options);
  }

  /** One key, never its text. */
  get(id: string, options?: RequestOptions): Promise<ApiKey> {
    return this.object({ method: "GET", path: `/v1/api-keys/${segment(id)}`, ...options });
  }

  /** Makes a key. Its text is in `key`, this once; `warnings` say what does not come true today. */
  create(key: KeyRequest, options?: RequestOptions): Promise<NewApiKey & { warnings: string[] }> {
    return this.#warned({ method: "POST", path: "/v1/api-keys", body: key, ...options });
  }

  /** Changes what is named. The key is so from its next request on. */
  update(id: string, change: KeyChange, options?: RequestOptions): Promise<ApiKey & { warnings: string[] }> {
    return this.#warned({ method: "PATCH", path: `/v1/api-keys/${segment(id)}`, body: change, ...options });
  }

  /**
   * Revokes a key, at once and for good; with `descendants` of `"true"` all that it has made as well, with `"only"` only those.
   */
  revoke(id: string, descendants?: "true" | "only", options?: RequestOptions): Promise<KeyRevocation> {
    return this.object({ method: "DELETE", path: pathWith(`/v1/api-keys/${segment(id)}`, { descendants }), ...options });
  }

  /** Gives a key another text. The one before is good for `grace` (such as `"1h"`, at most `"168h"`), without it no longer. */
  rotate(id: string, grace?: string, options?: RequestOptions): Promise<RotatedApiKey> {
    const body = grace === undefined ? {} : { grace };
    return this.object({ method: "POST", path: `/v1/api-keys/${segment(id)}/rotate`, body, ...options });
  }

  async #warned<T>(request: Request): Promise<T & { warnings: string[] }> {
    const answer = await this.transport.send(request);
    const warnings = (answer.body["warnings"] ?? []) as string[];
    return { ...dataOf<T>(answer, answer.body, {}), warnings };
  }
}

/** `client.usage`: what was called, in sums. Of all for administrators, else of the member's own keys. */
export class Usage extends Routes {
  /** The sums of a span, this month's by default. */
  get(query: UsageQuery = {}, options?: RequestOptions): Promise<UsageAnswer> {
    return this.object({ method: "GET", path: pathWith("/v1/usage", query), ...options });
  }

  /** The sums of each hour, day or month of a span, the newest first. */
  history(query: UsageHistoryQuery = {}, options?: RequestOptions): Paged<UsageBucket> {
    return this.paged("/v1/usage/history", query, options);
  }
}

/** `client.organization`. */
export class Organizations extends Routes {
  /** The organization, its limits and what it uses of them. */
  get(options?: RequestOptions): Promise<Organization> {
    return this.object({ method: "GET", path: "/v1/organization", ...options });
  }

  /** Its members. */
  members(filter: MemberFilter = {}, options?: RequestOptions): Paged<Member> {
    return this.paged("/v1/organization/members", filter, options);
  }
}

/** `client.activity`: the calls of late one by one, of every dialect, as long as they are kept. */
export class Activity extends Routes {
  /** The calls that match, the newest first; `limit` (100; at most 1000) is how many come with one request. */
  list(filter: ActivityFilter = {}, options?: RequestOptions): CallList {
    return new CallList((cursor) =>
      this.object({ method: "GET", path: pathWith("/v1/activity", { ...filter, cursor }), ...options }),
    );
  }

  /** Follows the calls that match, each as it ends, after the last `limit` (10) of those that are there. */
  follow(filter: ActivityFilter = {}, options: FollowOptions = {}): EventStream<ActivityCall> {
    const { onGap, ...request } = options;
    const path = pathWith("/v1/activity", { ...filter, follow: true });
    return new EventStream(this.transport, { method: "GET", path, ...request }, followed("call", "calls", onGap));
  }
}

/** Calls: `for await` goes over all of them and asks for further ones when they are needed. */
export class CallList implements AsyncIterable<ActivityCall> {
  constructor(readonly page: (cursor?: number) => Promise<ActivityPage>) {}

  async *[Symbol.asyncIterator](): AsyncIterator<ActivityCall, undefined> {
    let cursor: number | undefined;
    do {
      const page: ActivityPage = await this.page(cursor);
      yield* page.calls;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    return undefined;
  }
}

/** Reads the events of what `/v1` follows. A stream that ends since its reader may not have it any more is an error. */
function followed<T>(item: string, unit: string, onGap: FollowOptions["onGap"]): Take<T> {
  return (event, value, requestId) => {
    if (event === item) return { item: value as T };
    const told = value as Record<string, unknown>;
    if (event === "gap") onGap?.(Number(told[unit]));
    if (event !== "end") return undefined;
    const code = String(told["reason"]);
    const kind = ENDS[code];
    if (kind === undefined) return { end: code };
    const message = `The stream has ended: ${code}`;
    throw makeError({ kind, fault: "caller", phase: "not_sent", isRetryable: false, message, code, requestId });
  };
}

const ENDS: Record<string, ErrorKind> = {
  revoked_key: "Authentication",
  expired_key: "Authentication",
  forbidden: "PermissionDenied",
  mcp_not_permitted: "PermissionDenied",
};
