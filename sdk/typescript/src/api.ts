// `client.api`: the routes of `/api`, the MCP CLI API. A key has to be an owner's or administrator's, unless the daemon wants none.

import { errorIn } from "./answer.js";
import { pathWith, Routes, segment } from "./routes.js";
import { EventStream, type Take } from "./stream.js";
import type { Request, RequestOptions, Transport } from "./transport.js";
import type {
  ApiStatus,
  Done,
  Login,
  LoginResult,
  QueryAnswer,
  QueryEvent,
  QueryParameters,
  ServerChange,
  ServerDefinition,
  ServerRequest,
  ServerTool,
} from "./types.js";

/** Options of a question. Its `timeout` is its deadline at the server as well; without it the server's own holds (5 minutes). */
export interface QueryOptions extends QueryParameters, RequestOptions {}

/** The routes of `/api`. */
export class Api extends Routes {
  /** `client.api.servers`: the servers as they are defined. */
  readonly servers: Servers;
  /** `client.api.tools`: their tools. */
  readonly tools: Tools;
  /** `client.api.config`: servers files on the daemon's machine. */
  readonly config: Config;

  constructor(transport: Transport) {
    super(transport);
    this.servers = new Servers(transport);
    this.tools = new Tools(transport);
    this.config = new Config(transport);
  }

  /** That the API answers, and its version. */
  async status(options?: RequestOptions): Promise<ApiStatus> {
    return this.whole({ method: "GET", path: "/api/status", ...options });
  }

  /** Has a model answer a question with the tools of `server`, or of `servers`. Aborting the signal cancels all of it. */
  query(text: string, options: QueryOptions & { stream: true }): EventStream<QueryEvent>;
  query(text: string, options: QueryOptions & { stream?: false | undefined }): Promise<QueryAnswer>;
  query(text: string, options: QueryOptions & { stream?: boolean | undefined }): EventStream<QueryEvent> | Promise<QueryAnswer> {
    const { stream, timeout, signal, ...parameters } = options;
    const request: Request = {
      method: "POST",
      path: "/api/query",
      body: { query: text, ...parameters, ...(stream ? { stream } : {}) },
      timeout: timeout ?? this.transport.settings.questionTimeout,
      signal,
      sendsDeadline: timeout !== undefined,
      isLate: true,
    };
    return stream ? new EventStream(this.transport, request, answered) : this.whole(request);
  }
}

/** Reads the events of a question. What goes wrong after the first of them is an event, with the body that an answer would have. */
const answered: Take<QueryEvent> = (event, value, requestId) => {
  if (event !== "error") return { item: value as QueryEvent, isLast: event === "final" };
  throw errorIn(value as Record<string, unknown> | null, { status: null, requestId, isLate: true }, "The question has failed");
};

/** `client.api.servers`. */
export class Servers extends Routes {
  /** All, in the order they were added. */
  async list(options?: RequestOptions): Promise<ServerDefinition[]> {
    const answer = await this.transport.send({ method: "GET", path: "/api/servers", ...options });
    return this.member(answer, "servers", Array.isArray);
  }

  /** One of them. */
  get(name: string, options?: RequestOptions): Promise<ServerDefinition> {
    return this.whole({ method: "GET", path: `/api/servers/${segment(name)}`, ...options });
  }

  /** Defines a server, which starts in the background. The same definition again is no change; another one is a conflict. */
  create(server: ServerRequest, options?: RequestOptions): Promise<Done> {
    return this.whole({ method: "POST", path: "/api/servers", body: server, ...options });
  }

  /** Replaces what is named of a definition; the server starts anew if that makes a difference. */
  update(name: string, change: ServerChange, options?: RequestOptions): Promise<Done> {
    return this.whole({ method: "PUT", path: `/api/servers/${segment(name)}`, body: change, ...options });
  }

  /** Removes a server; its process is ended in the background. */
  delete(name: string, options?: RequestOptions): Promise<Done> {
    return this.whole({ method: "DELETE", path: `/api/servers/${segment(name)}`, ...options });
  }

  /** Begins a login at a remote server: `authorization_url` is to be opened in a browser, which ends at `redirectUri`. */
  login(name: string, redirectUri: string, options?: RequestOptions): Promise<Login> {
    const body = { redirect_uri: redirectUri };
    return this.whole({ method: "POST", path: `/api/servers/${segment(name)}/login`, body, ...options });
  }

  /** Ends a login with what the browser brought back, within ten minutes. */
  finishLogin(name: string, result: LoginResult, options?: RequestOptions): Promise<Done> {
    return this.whole({ method: "POST", path: `/api/servers/${segment(name)}/login/finish`, body: result, ...options });
  }
}

/** `client.api.tools`. */
export class Tools extends Routes {
  /** The tools of a server, each with the schema that the server gave. One that is starting is waited for. */
  async list(server: string, options?: RequestOptions): Promise<ServerTool[]> {
    const answer = await this.transport.send({ method: "GET", path: pathWith(`/api/servers/${segment(server)}/tools`), ...options });
    return this.member(answer, "tools", Array.isArray);
  }
}

/** `client.api.config`. A path is one of the daemon's machine, and begins in the directory that its settings name. */
export class Config extends Routes {
  /** Writes all servers to a file, whole or not at all. */
  export(filepath: string, options?: RequestOptions): Promise<Done> {
    return this.whole({ method: "POST", path: "/api/config/export", body: { filepath }, ...options });
  }

  /** Replaces all servers by those of a file, all or nothing. */
  import(filepath: string, options?: RequestOptions): Promise<Done> {
    return this.whole({ method: "POST", path: "/api/config/import", body: { filepath }, ...options });
  }
}
