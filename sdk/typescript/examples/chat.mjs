// Asks a model questions, line by line, and shows its words and its tool calls as they come:
//
//     node examples/chat.mjs SERVER [BASE_URL]
//
// The daemon needs a model (section `[llm]` of its settings), and a key only where it is not run by the same user. Ctrl-C ends
// the question that is being answered, and with it the tool calls that it has led to; at the prompt it ends the program.
import { createInterface } from "node:readline";
import { Client, McpvisorError } from "mcpvisor";

const [server, baseUrl] = process.argv.slice(2);
if (!server) {
  console.error("usage: node chat.mjs SERVER [BASE_URL]");
  process.exit(2);
}

const client = new Client({ baseUrl });
const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: "> " });
let underWay;

// At a terminal the reader of lines has Ctrl-C, elsewhere the process.
const interrupt = () => (underWay ? underWay.abort() : lines.close());
lines.on("SIGINT", interrupt);
process.on("SIGINT", interrupt);
lines.prompt();
for await (const question of lines) {
  if (question.trim() !== "") await answer(question);
  lines.prompt();
}

async function answer(question) {
  underWay = new AbortController();
  try {
    for await (const event of client.api.query(question, { server, stream: true, signal: underWay.signal })) {
      if (event.type === "token") process.stdout.write(event.text);
      if (event.type === "tool_call") console.log(`→ ${event.tool} ${JSON.stringify(event.arguments)}`);
      if (event.type === "tool_result") console.log(`← ${event.tool} (${event.duration_ms} ms)${event.is_error ? " failed" : ""}`);
      if (event.type === "final" && event.finish_reason !== "stop") process.stdout.write(` [${event.finish_reason}]`);
    }
    console.log();
  } catch (error) {
    if (!(error instanceof McpvisorError)) throw error;
    console.log(error.kind === "Cancelled" ? "\n(cancelled)" : `\n${error.name}: ${error.message}`);
  } finally {
    underWay = undefined;
  }
}
