// Streams of events, which go on where they were when a connection is lost.

import { protocolError } from "./answer.js";
import { McpvisorError } from "./errors.js";
import type { Exchange } from "./exchange.js";
import { retryDelay } from "./retry.js";
import { SseParser, type SseEvent } from "./sse.js";
import { pause, type Request, type Transport } from "./transport.js";

/** Milliseconds of silence after which a connection is lost: a stream that has nothing to say has a comment every 15 s. */
const SILENCE = 60_000;

/** Makes of an event, by its name and its data, something for the reader, the end of the stream, or nothing. */
export type Take<T> = (
  event: string,
  value: unknown,
  requestId: string,
) => { item: T; isLast?: boolean } | { end: string } | undefined;

/**
 * A stream to be read by `for await`, once. It ends when the server ends it (`reason` says why), when the loop is left, and
 * when it is closed; an aborted signal, and whatever goes wrong, is an error. One that only reads is asked for anew when its
 * connection is lost, and goes on behind what was read last.
 */
export class EventStream<T> implements AsyncIterable<T> {
  readonly #transport: Transport;
  readonly #request: Request;
  readonly #take: Take<T>;
  readonly #ending = new AbortController();
  readonly #items: AsyncGenerator<T, undefined>;
  #isClosed = false;
  #lastEventId = "";
  /** Word of the server for the end of the stream, such as `removed` or `shutting_down`; `null` until it has said one. */
  reason: string | null = null;

  constructor(transport: Transport, request: Request, take: Take<T>) {
    this.#transport = transport;
    this.#request = request;
    this.#take = take;
    this.#items = this.#read();
  }

  /** Ends the stream and closes its connection. Whoever waits for its next entry is told that there is none. */
  close(): void {
    this.#isClosed = true;
    this.#ending.abort();
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return this.#items;
  }

  async *#read(): AsyncGenerator<T, undefined> {
    const caller = this.#request.signal;
    const onAbort = () => this.#ending.abort(caller?.reason);
    if (caller?.aborted) onAbort();
    caller?.addEventListener("abort", onAbort);
    try {
      for (let failed = 0; !this.#isClosed; failed += 1) {
        const exchange = await this.#open();
        try {
          for await (const event of eventsOf(exchange)) {
            const taken = this.#take(event.event, this.#valueOf(event, exchange), exchange.requestId);
            this.#lastEventId = event.id;
            failed = 0;
            if (taken && "item" in taken) yield taken.item;
            if (taken && "end" in taken) this.reason = taken.end;
            if (taken && ("end" in taken || taken.isLast)) return undefined;
          }
          // A proxy may end a stream in good order that was cut behind it.
          throw exchange.failure(new Error("the stream has no end"));
        } catch (error) {
          const wait = this.#isClosed ? null : this.#delay(error, failed);
          if (wait === null) throw error;
          await pause(wait, this.#ending.signal, exchange.requestId);
        } finally {
          exchange.close();
        }
      }
    } catch (error) {
      if (!this.#isClosed) throw error;
    } finally {
      caller?.removeEventListener("abort", onAbort);
    }
    return undefined;
  }

  #open(): Promise<Exchange> {
    const { headers } = this.#request;
    const seen = this.#lastEventId === "" ? undefined : { "Last-Event-ID": this.#lastEventId };
    return this.#transport.open({ ...this.#request, headers: { ...headers, ...seen }, signal: this.#ending.signal });
  }

  #valueOf({ data }: SseEvent, { response, requestId }: Exchange): unknown {
    try {
      return this.#transport.settings.parse(data);
    } catch (error) {
      throw protocolError({ status: response.status, requestId }, "sent an event that is no JSON", error);
    }
  }

  #delay(error: unknown, failed: number): number | null {
    if (!(error instanceof McpvisorError)) return null;
    const { maxRetries } = this.#transport.settings;
    return retryDelay(error, { failed, maxRetries, left: Infinity, random: Math.random() });
  }
}

async function* eventsOf(exchange: Exchange): AsyncGenerator<SseEvent, undefined> {
  const reader = exchange.response.body?.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser();
  for (;;) {
    exchange.extend(SILENCE);
    let piece: string;
    try {
      const read = await reader?.read();
      if (!read || read.done) return undefined;
      piece = decoder.decode(read.value, { stream: true });
    } catch (error) {
      throw exchange.failure(error);
    }
    // While its reader is at work with what it has, a stream is not silent.
    exchange.extend(Infinity);
    yield* parser.push(piece);
  }
}
