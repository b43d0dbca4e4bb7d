// An HTTP/1.1 server on a raw socket, which can do what a well-kept server never does.
import { createServer } from "node:net";

/** What becomes of a request: written to its socket, which is kept, ended or reset. */
export const json = (status, value, headers = {}) => (socket) => {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const all = { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers };
  const head = Object.entries(all).map(([name, content]) => `${name}: ${content}\r\n`);
  socket.write(`HTTP/1.1 ${status} Told\r\n${head.join("")}\r\n${text}`);
};
export const data = (value, beside = {}) => json(200, { success: true, data: value, ...beside });
export const failure = (status, code, details, headers) => json(status, { success: false, error: { code, message: code, details } }, headers);
export const hangUp = (socket) => socket.end();
export const reset = (socket) => socket.resetAndDestroy();
export const silence = () => undefined;
/** An answer that announces more than comes. */
export const cut = (status = 200) => (socket) => socket.end(`HTTP/1.1 ${status} Told\r\ncontent-length: 500\r\n\r\n{"success":true,"data":{"resu`);
/** A stream of these texts; `isOpen`: it goes on in silence. */
export const stream = (pieces, isOpen = false) => (socket) => {
  socket.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
  for (const piece of pieces) socket.write(piece);
  if (!isOpen) socket.end();
};

/** Listens on a free port of loopback. `answer` says what becomes of a request; `received` has all, and whether their connection was closed. */
export async function listen(answer) {
  const received = [];
  const sockets = new Set();
  let connections = 0;
  const server = createServer((socket) => {
    const connection = (connections += 1);
    let pending = Buffer.alloc(0);
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      for (const request of received) if (request.connection === connection) request.isLeft = true;
    });
    socket.on("data", (piece) => {
      pending = Buffer.concat([pending, piece]);
      for (let request = take(); request; request = take()) {
        received.push({ ...request, connection, isLeft: false });
        answer(received.at(-1), received.length - 1)(socket);
      }
    });
    function take() {
      const end = pending.indexOf("\r\n\r\n");
      if (end < 0) return undefined;
      const [first, ...lines] = pending.subarray(0, end).toString("latin1").split("\r\n");
      const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
      const size = end + 4 + Number(headers["content-length"] ?? 0);
      if (pending.length < size) return undefined;
      const body = pending.subarray(end + 4, size).toString();
      pending = pending.subarray(size);
      const [method, path] = first.split(" ");
      return { method, path, headers, body };
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, received, close };
}

/** Answers by a list, one request after the other; the last answer holds for all that follow. */
export const inTurn = (...answers) => (_, number) => answers[Math.min(number, answers.length - 1)];
