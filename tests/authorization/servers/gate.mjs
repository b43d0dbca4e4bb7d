// What can be in the way of requests for a token. A mode holds until another one is set:
//
//   open     nothing
//   before   they are kept waiting before the server does anything; one whose client leaves is never looked at
//   after    the server does it all, a rotated token included, and its answer is kept waiting
//   busy     HTTP 503, and nothing is done
//   cut      their connection is closed, and nothing is done
//
// The journal has a line `held`, with the mode, for each that came to it.

const MODES = ["open", "before", "after", "busy", "cut"];

export class Gate {
  #journal;
  #mode = "open";
  #release = () => {};
  #released = Promise.resolve();

  constructor(journal) {
    this.#journal = journal;
  }

  set(mode) {
    if (!MODES.includes(mode)) throw new Error(`no such mode: ${mode}`);
    this.#release();
    this.#mode = mode;
    this.#released = new Promise((resolve) => (this.#release = resolve));
  }

  async pass(ctx, serve) {
    // As it is now: who has been kept waiting before is not kept waiting behind.
    const mode = this.#mode;
    if (mode === "open") return serve();
    const released = this.#released;
    if (mode === "after") await serve();
    this.#journal.write("held", { mode });
    if (mode === "busy") return Object.assign(ctx, { status: 503, body: { error: "temporarily_unavailable" } });
    if (mode === "cut") return Object.assign(ctx, { respond: false }).req.socket.destroy();
    const left = new Promise((resolve) => ctx.res.once("close", () => resolve("left")));
    const isThere = (await Promise.race([left, released])) !== "left";
    return mode === "before" && isThere ? serve() : undefined;
  }
}
