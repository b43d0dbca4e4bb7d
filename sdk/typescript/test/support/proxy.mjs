// A proxy that loses replies: what comes second on a connection reaches the server behind it, and then the connection is closed in
// silence.
import { createServer } from "node:http";

const PASSED = ["authorization", "content-type", "idempotency-key", "origin", "x-request-id"];
/** Headers of a single connection, and those that are made anew. */
const OWN = new Set(["connection", "content-length", "date", "keep-alive", "transfer-encoding"]);

/** Listens on a free port of loopback. `/` is the page; `passed` has the calls that reached the server, and whether it said that it repeats a reply. */
export async function startProxy(target, page) {
  const passed = [];
  const used = new WeakSet();
  const server = createServer(async (request, response) => {
    if (request.method !== "POST") {
      response.writeHead(request.url === "/" ? 200 : 404, { "content-type": "text/html", connection: "close" });
      return response.end(request.url === "/" ? page : "");
    }
    const pieces = await request.toArray();
    const body = Buffer.concat(pieces);
    const headers = Object.fromEntries(PASSED.filter((name) => name in request.headers).map((name) => [name, request.headers[name]]));
    const answer = await fetch(target + request.url, { method: "POST", headers, body });
    const text = await answer.text();
    passed.push({ ...JSON.parse(body).arguments, isReplay: answer.headers.get("idempotent-replayed") === "true" });
    if (used.has(request.socket)) return request.socket.end();
    used.add(request.socket);
    response.writeHead(answer.status, [...answer.headers].filter(([name]) => !OWN.has(name)).flat());
    return response.end(text);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, passed, close: () => (server.closeAllConnections(), server.close()) };
}
