import assert from "node:assert/strict";
import { test } from "node:test";
import { SseParser } from "../dist/esm/sse.js";

const TEXT = ": hello\n\nevent: line\nid: 7\ndata: {\"a\":\ndata:  1}\n\r\ndata:x\rid\r\revent: gap\ndata: y\n\nid: 8\n\nevent: end\ndata\n\nretry: 5\nunknown: z\ndata: last\n\ndata: not whole\n";
const EVENTS = [
  { event: "line", data: '{"a":\n 1}', id: "7" },
  { event: "message", data: "x", id: "" },
  { event: "gap", data: "y", id: "" },
  { event: "end", data: "", id: "8" },
  { event: "message", data: "last", id: "8" },
];

test("a stream is read as WHATWG HTML says", () => assert.deepEqual(new SseParser().push(TEXT), EVENTS));

test("wherever it is cut, the events are the same", () => {
  for (let round = 0; round < 500; round += 1) {
    const parser = new SseParser();
    const events = [];
    for (let at = 0; at < TEXT.length; ) {
      const size = Math.floor(Math.random() * (round % 10 === 0 ? 2 : 12));
      events.push(...parser.push(TEXT.slice(at, at + size)));
      at += size;
    }
    assert.deepEqual(events, EVENTS);
  }
});

test("a long event in small pieces takes time in proportion", { timeout: 20_000 }, () => {
  const parser = new SseParser();
  parser.push("data: ");
  for (let piece = 0; piece < 16_384; piece += 1) parser.push("x".repeat(1024));
  assert.equal(parser.push("\n\n")[0].data.length, 16 * 1024 * 1024);
});

test("a line without an end is given up", () => {
  const parser = new SseParser();
  assert.throws(() => {
    for (;;) parser.push("x".repeat(1024 * 1024));
  }, RangeError);
});
