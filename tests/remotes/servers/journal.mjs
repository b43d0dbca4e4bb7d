// What a server was asked and what it did, a line of JSON each, for run.py to count. journal.py writes the same.
//
//   asked     a request of HTTP began            n verb path session version
//   message   its body was read                  n method id
//   answered  the head of its answer was sent    n status session type length
//   ended     its answer is over                 n whole
//   ran       a tool began to do its work        tool arguments
//   stopped   a tool was told to give up         tool
//
// Each line is written at once: the process is killed in the middle of things.

import { appendFileSync } from "node:fs";

const MAX_KEPT = 256 * 1024;

export class Journal {
  #file;
  #requests = 0;

  constructor(file) {
    this.#file = file;
  }

  write(what, told) {
    if (!this.#file) return;
    appendFileSync(this.#file, `${JSON.stringify({ what, pid: process.pid, at: Date.now() / 1000, ...told })}\n`);
  }

  ran(tool, args) {
    this.write("ran", { tool, arguments: JSON.stringify(args ?? {}).slice(0, 200) });
  }

  stopped(tool) {
    this.write("stopped", { tool });
  }

  // Before any other listener of this server, so that nothing of a request is missed.
  watch(server) {
    server.prependListener("request", (req, res) => this.#watch(req, res));
    return server;
  }

  #watch(req, res) {
    const n = ++this.#requests;
    const told = { verb: req.method, path: req.url, session: req.headers["mcp-session-id"] ?? null };
    this.write("asked", { n, ...told, version: req.headers["mcp-protocol-version"] ?? null });
    this.#overhear(req, n);
    const writeHead = res.writeHead;
    res.writeHead = (status, ...rest) => {
      const result = writeHead.call(res, status, ...rest);
      const header = (name) => res.getHeader(name) ?? inHead(rest, name) ?? null;
      const [session, type] = [header("mcp-session-id"), header("content-type")];
      this.write("answered", { n, status, session, type, length: header("content-length") });
      return result;
    };
    res.once("close", () => this.write("ended", { n, whole: res.writableFinished }));
  }

  // Looks over the shoulder of whoever reads the body: a listener of our own would start the flow before it is there.
  #overhear(req, n) {
    const emit = req.emit;
    let text = "";
    req.emit = (event, ...given) => {
      if (event === "data" && text.length < MAX_KEPT) text += given[0].toString("latin1");
      if (event === "end" && req.method === "POST") this.write("message", { n, ...described(text) });
      return emit.call(req, event, ...given);
    };
  }
}

// Headers that are given with the status only are not among those that the answer knows of.
function inHead(rest, name) {
  const headers = rest.find((one) => typeof one === "object" && one !== null && !Array.isArray(one)) ?? {};
  return headers[Object.keys(headers).find((key) => key.toLowerCase() === name)];
}

function described(text) {
  try {
    const message = JSON.parse(text);
    return { method: message.method ?? null, id: message.id ?? null };
  } catch {
    return { method: null, id: null };
  }
}
