// `mcpvisor stdio` behind the TypeScript SDK of the second line, which finds the era out over the pipes.

import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { main } from "./features.mjs";
import { command } from "./stdio_command.mjs";
import { Ts2 } from "./ts2.mjs";

class Stdio extends Ts2 {
  transport() {
    return new StdioClientTransport(command(this.url));
  }
}

await main(Stdio);
