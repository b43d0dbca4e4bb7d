// What the servers of our own in TypeScript offer, alike for both lines of the SDK and the same as offers.py. What the
// lines have different names for is in `sdk`, as each server gives it:
//
//   token(context)            the progress token of the call, if it has one
//   signal(context)           what says that the call is to be given up
//   notify(context, message)  sends a notification that belongs to the call
//   log(context, text)        sends a log message that belongs to the call
//   ask(context)              the name that the client gives, or what the SDK takes for a question
//   grow()                    adds a tool, tells of it as the SDK does, and returns its name

import * as z from "zod/v4";

const STEP_S = 0.2;
export const QUESTION = {
  message: "What is your name?",
  requestedSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
};

export const said = (text) => ({ content: [{ type: "text", text: String(text) }] });

export function offer(server, sdk, journal) {
  const tool = (name, shape, act) => {
    const run = async (args, context) => {
      journal.ran(name, args);
      const result = await act(args, context);
      return typeof result === "object" ? result : said(result);
    };
    server.registerTool(name, { description: `The tool ${name}`, inputSchema: z.object(shape) }, run);
  };
  // Of this server object, which is as good as a session wherever there are any.
  let count = 0;
  tool("echo", { text: z.string() }, ({ text }) => text);
  tool("add", { a: z.number(), b: z.number() }, ({ a, b }) => a + b);
  tool("slow", { seconds: z.number() }, (args, context) => slow(args.seconds, context, sdk, journal));
  tool("ask", {}, (_args, context) => sdk.ask(context));
  tool("log", { text: z.string() }, async ({ text }, context) => {
    await sdk.log(context, text);
    return "logged";
  });
  tool("grow", {}, () => sdk.grow());
  tool("count", {}, () => ++count);
  tool("big", { bytes: z.number() }, ({ bytes }) => "x".repeat(bytes));
  server.registerResource("note", "note://one", { mimeType: "text/plain" }, (uri) => ({
    contents: [{ uri: uri.href, mimeType: "text/plain", text: "a note" }],
  }));
  server.registerPrompt("greet", { description: "A greeting" }, () => ({
    messages: [{ role: "user", content: { type: "text", text: "Hello!" } }],
  }));
}

// A tool that has been added later, by its name.
export function offerGrown(server, name, journal) {
  server.registerTool(name, { description: `The tool ${name}`, inputSchema: z.object({}) }, (args) => {
    journal.ran(name, args);
    return said(name);
  });
}

async function slow(seconds, context, sdk, journal) {
  const steps = Math.ceil(seconds / STEP_S);
  for (let step = 1; step <= steps; step++) {
    await new Promise((resolve) => setTimeout(resolve, STEP_S * 1000));
    if (sdk.signal(context).aborted) {
      journal.stopped("slow");
      return "stopped";
    }
    const progressToken = sdk.token(context);
    if (progressToken !== undefined) {
      const params = { progressToken, progress: step, total: steps };
      await sdk.notify(context, { method: "notifications/progress", params });
    }
  }
  return "done";
}
