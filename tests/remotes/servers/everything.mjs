// @modelcontextprotocol/server-everything as it was published, with a journal. It would listen on every address of the
// machine; here it is kept to loopback.
//
//   node everything.mjs PORT [JOURNAL] [--sse]

import { Server } from "node:http";

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";

import { given } from "./http.mjs";

const { port, journal } = given();
const transport = process.argv.includes("--sse") ? "sse" : "streamableHttp";

const { listen } = Server.prototype;
Server.prototype.listen = function (_port, ...rest) {
  return listen.call(journal.watch(this), port, "127.0.0.1", ...rest);
};

const { registerTool } = McpServer.prototype;
McpServer.prototype.registerTool = function (name, config, act) {
  // A tool of tasks is an object of handlers, and none of those that are tried.
  if (typeof act !== "function") return registerTool.call(this, name, config, act);
  return registerTool.call(this, name, config, (...given) => {
    journal.ran(name, given[0]);
    return act(...given);
  });
};

process.env.PORT = String(port);
await import(`../node_modules/@modelcontextprotocol/server-everything/dist/transports/${transport}.js`);
