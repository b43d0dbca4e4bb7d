// A server on the TypeScript SDK of the first line: the legacy era, with sessions and without an event store.
//
//   node ts1.mjs PORT [JOURNAL]

import { randomUUID } from "node:crypto";

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";

import { given, listen, sessions } from "./http.mjs";
import { offer, offerGrown, QUESTION } from "./offers.mjs";

const { port, journal } = given();

function made() {
  const server = new McpServer({ name: "remote-ts1", version: "1" }, { capabilities: { logging: {} } });
  let grown = 0;
  const sdk = {
    token: (extra) => extra._meta?.progressToken,
    signal: (extra) => extra.signal,
    notify: (extra, message) => extra.sendNotification(message),
    log: (extra, data) => extra.sendNotification({ method: "notifications/message", params: { level: "info", data } }),
    ask: async (extra) => {
      const { action, content } = await server.server.elicitInput(QUESTION, { relatedRequestId: extra.requestId });
      return action === "accept" ? content.name : action;
    },
    // The SDK tells of it by itself.
    grow: () => {
      const name = `grown${++grown}`;
      offerGrown(server, name, journal);
      return name;
    },
  };
  offer(server, sdk, journal);
  return server;
}

listen(port, journal, sessions(async (callbacks) => {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, ...callbacks });
  await made().connect(transport);
  return transport;
}));
