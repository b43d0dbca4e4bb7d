// `mcpvisor stdio` behind the TypeScript SDK of the first line, as most hosts have it that start commands.

import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

import { main } from "./features.mjs";
import { command } from "./stdio_command.mjs";
import { Ts1 } from "./ts1.mjs";

class Stdio extends Ts1 {
  transport() {
    return new StdioClientTransport(command(this.url));
  }

  version() {
    // The SDK tells the version to transports that send it in a header, which this one does not.
    return undefined;
  }
}

await main(Stdio);
