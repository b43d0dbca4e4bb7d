// The TypeScript SDK of the first line, which speaks the legacy era only.

import { Client as SdkClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
import { pathToFileURL } from "node:url";

import { Client, main } from "./features.mjs";

export class Ts1 extends Client {
  /** How the SDK reaches the server; the bridge has another. */
  transport() {
    return new StreamableHTTPClientTransport(new URL(this.url));
  }

  async open() {
    const capabilities = { elicitation: { form: {} }, sampling: {}, roots: {} };
    this.client = new SdkClient({ name: "ts1", version: "1" }, { capabilities });
    this.client.setRequestHandler(types.ElicitRequestSchema, (request) => this.onElicitation(request));
    this.client.setRequestHandler(types.CreateMessageRequestSchema, () => this.onSampling());
    this.client.setRequestHandler(types.ListRootsRequestSchema, () => this.onRoots());
    const hears = (schema, act) => this.client.setNotificationHandler(schema, (notification) => act(notification));
    hears(types.LoggingMessageNotificationSchema, (notification) => this.onLog(notification));
    hears(types.ResourceUpdatedNotificationSchema, (notification) => this.onUpdate(notification));
    hears(types.ToolListChangedNotificationSchema, () => this.onChange());
    this.connection = this.transport();
    await this.client.connect(this.connection);
  }

  version() {
    return this.connection.protocolVersion;
  }

  async call(name, args = {}, options = {}) {
    const result = await this.client.callTool({ name, arguments: args }, undefined, options);
    return { text: result.content[0].text, failed: result.isError === true };
  }

  async askForLogs() {
    await this.client.setLoggingLevel("debug");
  }

  async watch(uri) {
    await this.client.subscribeResource({ uri });
  }

  async listen() {
    // In this era the server tells of it unasked.
  }

  async close() {
    await this.connection.terminateSession?.();
    await this.client.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(Ts1);
