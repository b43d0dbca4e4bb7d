// The little HTTP that the servers of our own in TypeScript need: one path, bodies of JSON, and the sessions of a
// transport that leaves them to the application.

import { createServer } from "node:http";

import { Journal } from "./journal.mjs";

const PATH = "/mcp";

// How a server was started: `SERVER PORT [JOURNAL]`, with flags that are its own.
export function given() {
  const [port, file] = process.argv.slice(2).filter((one) => !one.startsWith("--"));
  if (!Number.isInteger(Number(port)) || !port) {
    console.error("usage: SERVER PORT [JOURNAL]");
    process.exit(2);
  }
  return { port: Number(port), journal: new Journal(file) };
}

export function listen(port, journal, answer) {
  const server = createServer((req, res) => {
    if (new URL(req.url, "http://server").pathname !== PATH) return refuse(res, 404, -32000, "Not Found");
    Promise.resolve(answer(req, res)).catch((error) => {
      console.error(error);
      if (!res.headersSent) refuse(res, 500, -32603, "Internal error");
      else res.destroy();
    });
  });
  journal.watch(server).listen(port, "127.0.0.1");
}

// Sessions as the SDK's own examples have them: only an `initialize` without an id opens one, another request without
// one is 400, and an id that nobody knows is 404. `open` makes a transport that is connected to a server.
export function sessions(open) {
  const transports = new Map();
  return async (req, res) => {
    const id = req.headers["mcp-session-id"];
    const body = req.method === "POST" ? await read(req) : undefined;
    if (id !== undefined) {
      const transport = transports.get(id);
      return transport ? transport.handleRequest(req, res, body) : refuse(res, 404, -32001, "Session not found");
    }
    const opens = body?.method === "initialize";
    if (!opens) return refuse(res, 400, -32000, "Bad Request: Mcp-Session-Id header is required");
    const transport = await open({
      onsessioninitialized: (opened) => transports.set(opened, transport),
      onsessionclosed: (closed) => transports.delete(closed),
    });
    await transport.handleRequest(req, res, body);
  };
}

async function read(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

function refuse(res, status, code, message) {
  res.writeHead(status, { "Content-Type": "application/json" });
  res.end(JSON.stringify({ jsonrpc: "2.0", error: { code, message }, id: null }));
}
