// mcp-remote: a bridge from stdin and stdout to a URL, for hosts that only start commands. In front of it is the
// TypeScript SDK of the first line, as in most such hosts; the era is the one that the bridge speaks to the URL.

import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { fileURLToPath } from "node:url";

import { main } from "./features.mjs";
import { Ts1 } from "./ts1.mjs";

const BRIDGE = fileURLToPath(new URL("node_modules/mcp-remote/dist/proxy.js", import.meta.url));

class Bridge extends Ts1 {
  transport() {
    return new StdioClientTransport({
      command: process.execPath,
      args: [BRIDGE, this.url, "--transport", "http-only", "--protocol", this.era],
      // It keeps what it learns of servers; run.py gives it a folder of its own.
      env: { PATH: process.env.PATH, HOME: process.env.HOME },
    });
  }

  async watch(uri) {
    await super.watch(uri);
    // Towards a modern server the bridge answers at once, and listens two seconds later.
    await new Promise((resolve) => setTimeout(resolve, this.era === "auto" ? 2500 : 0));
  }

  version() {
    // What the bridge told the client about itself says nothing of the other side.
    return undefined;
  }
}

await main(Bridge);
