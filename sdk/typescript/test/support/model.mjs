// A scripted model behind OpenAI's chat completions: it has `add` called with 19 and 23, and then says what came of it. A
// question that has `wait` in it is never answered.
import { createServer } from "node:http";

const chunk = (choice, more = {}) => `data: ${JSON.stringify({ object: "chat.completion.chunk", choices: [{ index: 0, finish_reason: null, delta: {}, ...choice }], ...more })}\n\n`;

/** Listens on a free port of loopback. */
export async function startModel() {
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request) text += piece;
    const { messages, tools = [] } = JSON.parse(text);
    if (JSON.stringify(messages.filter(({ role }) => role === "user")).includes("wait")) return;
    const { content } = messages.at(-1);
    const name = tools.map((tool) => tool.function.name).find((tool) => tool.endsWith("add"));
    const call = { index: 0, id: "call_1", type: "function", function: { name, arguments: '{"a":19,"b":23}' } };
    response.writeHead(200, { "content-type": "text/event-stream" });
    if (messages.at(-1).role === "tool") {
      response.write(chunk({ delta: { content: "That makes " } }));
      response.write(chunk({ delta: { content: `${JSON.parse(content).sum}.` } }));
      response.write(chunk({ finish_reason: "stop" }));
    } else {
      response.write(chunk({ delta: { tool_calls: [call] } }));
      response.write(chunk({ finish_reason: "tool_calls" }));
    }
    response.end("data: [DONE]\n\n");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/v1`, close: () => (server.closeAllConnections(), server.close()) };
}
