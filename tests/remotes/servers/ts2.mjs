// A server on the TypeScript SDK of the second line, in one of its two ways over HTTP.
//
//   node ts2.mjs PORT [JOURNAL]              createMcpHandler: both eras, a server object for each request, no session
//   node ts2.mjs PORT [JOURNAL] --sessions   the Node transport: the legacy era, with sessions

import { randomUUID } from "node:crypto";

import { NodeStreamableHTTPServerTransport, toNodeHandler } from "@modelcontextprotocol/node";
import { acceptedContent, createMcpHandler, inputRequired, McpServer } from "@modelcontextprotocol/server";

import { given, listen, sessions } from "./http.mjs";
import { offer, offerGrown, QUESTION } from "./offers.mjs";

const { port, journal } = given();
// Of the whole process, for server objects that live as long as a request.
const grown = [];

function made(tell) {
  const capabilities = { logging: {}, tools: { listChanged: true } };
  const server = new McpServer({ name: "remote-ts2", version: "1" }, { capabilities });
  const sdk = {
    token: (context) => context.mcpReq._meta?.progressToken,
    signal: (context) => context.mcpReq.signal,
    notify: (context, message) => context.mcpReq.notify(message),
    log: (context, text) => context.mcpReq.log("info", text),
    // Of a legacy client the SDK asks by a request of its own, and calls the tool again with the answer.
    ask: (context) => {
      const answer = acceptedContent(context.mcpReq.inputResponses, "name");
      return answer?.name ?? inputRequired({ inputRequests: { name: inputRequired.elicit(QUESTION) } });
    },
    grow: () => {
      const name = `grown${grown.length + 1}`;
      grown.push(name);
      tell(server, name);
      return name;
    },
  };
  offer(server, sdk, journal);
  return server;
}

if (process.argv.includes("--sessions")) {
  // The SDK tells of it by itself.
  const tell = (server, name) => offerGrown(server, name, journal);
  listen(port, journal, sessions(async (callbacks) => {
    const transport = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, ...callbacks });
    await made(tell).connect(transport);
    return transport;
  }));
} else {
  const handler = createMcpHandler(() => {
    const server = made(() => handler.notify.toolsChanged());
    for (const name of grown) offerGrown(server, name, journal);
    return server;
  });
  listen(port, journal, toNodeHandler(handler));
}
