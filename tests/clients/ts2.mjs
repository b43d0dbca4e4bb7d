// The TypeScript SDK of the second line. It speaks the legacy era unless it is told to find out.

import { Client as SdkClient, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { pathToFileURL } from "node:url";

import { Client, main } from "./features.mjs";

const MODES = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } };

export class Ts2 extends Client {
  subscriptions = [];

  transport() {
    return new StreamableHTTPClientTransport(new URL(this.url));
  }

  async open() {
    const capabilities = { elicitation: { form: {} }, sampling: {}, roots: {} };
    const options = { capabilities, versionNegotiation: { mode: MODES[this.era] } };
    this.client = new SdkClient({ name: "ts2", version: "2" }, options);
    this.client.setRequestHandler("elicitation/create", (request) => this.onElicitation(request));
    this.client.setRequestHandler("sampling/createMessage", () => this.onSampling());
    this.client.setRequestHandler("roots/list", () => this.onRoots());
    const hears = (name, act) => this.client.setNotificationHandler(`notifications/${name}`, act);
    hears("message", (notification) => this.onLog(notification));
    hears("resources/updated", (notification) => this.onUpdate(notification));
    hears("tools/list_changed", () => this.onChange());
    this.connection = this.transport();
    await this.client.connect(this.connection);
  }

  version() {
    return this.client.getNegotiatedProtocolVersion();
  }

  async call(name, args = {}, options = {}) {
    const params = { name, arguments: args, ...(this.meta && { _meta: this.meta }) };
    const result = await this.client.callTool(params, options);
    return { text: result.content[0].text, failed: result.isError === true };
  }

  async askForLogs() {
    if (this.era === "legacy") {
      await this.client.setLoggingLevel("debug");
    } else {
      // Each request has to say it; the SDK has no setting for all of them.
      this.meta = { "io.modelcontextprotocol/logLevel": "debug" };
    }
  }

  async watch(uri) {
    if (this.era === "legacy") {
      await this.client.subscribeResource({ uri });
    } else {
      this.subscriptions.push(await this.client.listen({ resourceSubscriptions: [uri] }));
    }
  }

  async listen() {
    // In the legacy era the server tells of it unasked.
    if (this.era !== "legacy") this.subscriptions.push(await this.client.listen({ toolsListChanged: true }));
  }

  async close() {
    for (const subscription of this.subscriptions) await subscription.close();
    if (this.era === "legacy") await this.connection.terminateSession?.();
    await this.client.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(Ts2);
