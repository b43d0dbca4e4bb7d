// Server-Sent Events (WHATWG HTML, section 9.2.6). Pure: pieces of text in, events out. A byte order mark is the decoder's.

/** An event of a stream. */
export interface SseEvent {
  /** Name; `message` where the stream gives none. */
  event: string;
  data: string;
  /** Id of the last event that had one; `""` without one. */
  id: string;
}

/** Characters that one event may have; a stream that has more is no stream of this API. */
const MOST = 64 * 1024 * 1024;

/** Makes events of the pieces of a stream, wherever it is cut. */
export class SseParser {
  // Pieces of the line that is not whole yet: each character is looked at once, however long a line is.
  #pieces: string[] = [];
  #size = 0;
  #endedInCr = false;
  #event = "";
  #data: string[] = [];
  #id = "";

  /**
   * The events that are whole with this piece.
   * @throws RangeError where one is longer than 64 Mi characters.
   */
  push(piece: string): SseEvent[] {
    if (piece === "") return [];
    // A line feed right behind a carriage return belongs to it, also in another piece.
    const text = this.#endedInCr && piece[0] === "\n" ? piece.slice(1) : piece;
    this.#endedInCr = piece.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    const left = lines.pop() ?? "";
    const events: SseEvent[] = [];
    for (const line of lines) {
      this.#pieces.push(line);
      this.#line(this.#pieces.join(""), events);
      this.#pieces = [];
    }
    this.#pieces.push(left);
    this.#size += left.length;
    if (this.#size > MOST) throw new RangeError("an event is too long");
    return events;
  }

  #line(line: string, events: SseEvent[]): void {
    if (line === "") return this.#dispatch(events);
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "data") this.#data.push(value);
    this.#size += line.length;
  }

  #dispatch(events: SseEvent[]): void {
    if (this.#data.length > 0) events.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
    this.#event = "";
    this.#data = [];
    this.#size = 0;
  }
}
