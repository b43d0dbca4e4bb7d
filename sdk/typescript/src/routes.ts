// What the groups of routes have in common. Pure but for the requests.

import { dataOf, protocolError } from "./answer.js";
import { makeError, type McpvisorError } from "./errors.js";
import { Paged, type Page } from "./pages.js";
import type { Read, Request, RequestOptions, Transport } from "./transport.js";

/** Values of a query; what is `undefined` or `null` is left out. */
export type Parameters = Readonly<Record<string, unknown>>;

/** The error of a request that cannot be made. */
export function unusable(message: string): McpvisorError {
  return makeError({ kind: "Validation", fault: "caller", phase: "not_sent", isRetryable: false, message });
}

/**
 * A text as a segment of a path.
 * @throws ValidationError where no path can have it: it is empty, or one or two dots, which every URL takes away.
 */
export function segment(text: string): string {
  if (/^\.{0,2}$/.test(text)) {
    throw unusable(`${JSON.stringify(text)} is no id or name`);
  }
  return encodeURIComponent(text);
}

/** A path with a query. */
export function pathWith(path: string, parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null) query.set(name, String(value));
  }
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** A group of routes of one client. */
export class Routes {
  constructor(protected readonly transport: Transport) {}

  /** `data` of an answer of `/v1` that is an object. */
  protected async object<T>(request: Request): Promise<T> {
    const answer = await this.transport.send(request);
    return dataOf<T>(answer, answer.body, {});
  }

  /** `data` of an answer of `/v1` that is an array. */
  protected async array<T>(request: Request): Promise<T[]> {
    const answer = await this.transport.send(request);
    return dataOf<T[]>(answer, answer.body, []);
  }

  /** A list in pages of `/v1`. */
  protected paged<T>(path: string, filter: Parameters, options: RequestOptions = {}): Paged<T> {
    return new Paged(async (page) => {
      const answer = await this.transport.send({ method: "GET", path: pathWith(path, { ...filter, page }), ...options });
      const items = dataOf<T[]>(answer, answer.body, []);
      const place = answer.body["pagination"] as Omit<Page<T>, "items"> | null | undefined;
      if (typeof place?.total_pages !== "number") throw protocolError(answer, "answered without the place of the page");
      return { items, ...place };
    });
  }

  /** An answer of `/api`, which has no envelope. */
  protected async whole<T>(request: Request): Promise<T> {
    return (await this.transport.send(request)).body as T;
  }

  /** A member of an answer of `/api`, of the type that the API says. */
  protected member<T>(answer: Read, name: string, isType: (value: unknown) => boolean): T {
    if (!isType(answer.body[name])) throw protocolError(answer, `answered without the \`${name}\` that was to come`);
    return answer.body[name] as T;
  }
}
