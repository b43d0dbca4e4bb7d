// What is tried with each client written in TypeScript, once for all of them; features.py is the same for Python,
// and says more. A client is an adapter: a subclass of `Client` that says how its library does a thing.

export const REVISION = { legacy: "2025-11-25", modern: "2026-07-28", auto: "2026-07-28" };
// The tools of child.py, three more than the fixture has.
const COUNTS = { tools: 32, resources: 3, templates: 1, prompts: 5 };
const WATCHED = "test://watched-resource";
export const MODEL_SAYS = "forty-two, said the model";
export const ROOT = "file:///a/folder/of/the/client";
const PATIENCE_MS = 20_000;
const SOON_MS = 5_000;
const ROUNDS = 10;

/** The library has nothing for it. */
export class NotOffered extends Error {}
/** It was done, and what came of it is not what should have. */
class Wrong extends Error {}

/** How an address names what the server has that is tried. Without anything said: as the server does. */
class Door {
  /** In front of the names of tools and prompts, and of the addresses of resources; tools that have another name. */
  constructor({ names = "", uris = "", renamed = {} } = {}) {
    Object.assign(this, { names, uris, renamed });
    this.own = Object.fromEntries(Object.entries(renamed).map(([before, name]) => [name, before]));
  }

  tool(own) {
    return this.renamed[own] ?? this.names + own;
  }

  /** Those of a list that are the server's, by its own names. */
  ownTools(names) {
    const known = names.filter((name) => name in this.own || name.startsWith(this.names));
    return known.map((name) => this.own[name] ?? name.slice(this.names.length));
  }

  ownPrompts(names) {
    return names.filter((name) => name.startsWith(this.names)).map((name) => name.slice(this.names.length));
  }

  ownUris(uris) {
    return uris.filter((uri) => uri.startsWith(this.uris)).map((uri) => uri.slice(this.uris.length));
  }
}

/** What came without being asked for, and the name that this client's user answers with. */
export class Heard {
  declines = false;
  logs = [];
  updated = [];
  changes = 0;

  constructor(name, door = new Door()) {
    Object.assign(this, { name, door });
  }

  /** What this client's user does with a form. */
  answer(properties) {
    if (this.declines) return { action: "decline" };
    return { action: "accept", content: Object.fromEntries(Object.keys(properties).map((key) => [key, this.name])) };
  }
}

/** The parts of an adapter that both lines of the SDK share. */
export class Client {
  constructor(url, era, heard) {
    Object.assign(this, { url, era, heard });
  }

  onElicitation({ params }) {
    return this.heard.answer(params.requestedSchema.properties);
  }

  onRoots() {
    return { roots: [{ uri: ROOT }] };
  }

  onSampling() {
    return { role: "assistant", model: "none", content: { type: "text", text: MODEL_SAYS } };
  }

  onLog({ params }) {
    this.heard.logs.push(params.data);
  }

  onUpdate({ params }) {
    this.heard.updated.push(...this.heard.door.ownUris([params.uri]));
  }

  onChange() {
    this.heard.changes += 1;
  }

  async tools() {
    return (await this.client.listTools()).tools.map((tool) => tool.name);
  }

  async resources() {
    return (await this.client.listResources()).resources.map((resource) => resource.uri);
  }

  async templates() {
    return (await this.client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
  }

  async prompts() {
    return (await this.client.listPrompts()).prompts.map((prompt) => prompt.name);
  }

  async read(uri) {
    return (await this.client.readResource({ uri })).contents[0].text;
  }

  async prompt(name, args) {
    return (await this.client.getPrompt({ name, arguments: args })).messages[0].content.text;
  }

  async complete(prompt, name, value) {
    const ref = { type: "ref/prompt", name: prompt };
    return (await this.client.complete({ ref, argument: { name, value } })).completion.values;
  }

  /** Begins a call and, when the server has it, gives it up as the SDK has it: by its signal. */
  async cancelACall(name, underWay) {
    const giving = new AbortController();
    const call = this.call(name, {}, { signal: giving.signal }).then(
      () => false,
      () => true,
    );
    await underWay();
    giving.abort();
    require(await call, "the call that was given up has an answer");
  }
}

/** A client that is told the server's own names and uses those of the door. */
function behind(door, Kind) {
  return class extends Kind {
    async tools() {
      return door.ownTools(await super.tools());
    }

    async resources() {
      return door.ownUris(await super.resources());
    }

    async templates() {
      return door.ownUris(await super.templates());
    }

    async prompts() {
      return door.ownPrompts(await super.prompts());
    }

    call(name, args, options) {
      return super.call(door.tool(name), args, options);
    }

    read(uri) {
      return super.read(door.uris + uri);
    }

    prompt(name, args) {
      return super.prompt(door.names + name, args);
    }

    complete(prompt, name, value) {
      return super.complete(door.names + prompt, name, value);
    }

    watch(uri) {
      return super.watch(door.uris + uri);
    }
  };
}

function require(condition, otherwise) {
  if (!condition) throw new Wrong(otherwise);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function within(ms, condition) {
  for (const end = Date.now() + ms; !condition(); await pause(20)) {
    if (Date.now() > end) return false;
  }
  return true;
}

function requireAll(found, kind, known) {
  require(found.length === COUNTS[kind] && found.includes(known), `${kind}: ${found.join(", ")}`);
}

async function hearLogs(client) {
  client.heard.logs.length = 0;
  await client.call("test_tool_with_logging");
  await within(1000, () => client.heard.logs.length >= 3);
  require(client.heard.logs.length === 3, `heard ${JSON.stringify(client.heard.logs)}`);
}

async function answered(client, tool, args, word) {
  const { text, failed } = await client.call(tool, args);
  require(text.includes(word) && !failed, `${JSON.stringify(text)}, failed: ${failed}`);
}

async function withOther(client, use) {
  const second = new client.constructor(client.url, client.era, new Heard("berta", client.heard.door));
  await second.open();
  try {
    await use(second);
  } finally {
    await second.close();
  }
}

const header = (client) =>
  answered(client, "test_x_mcp_header", { region: "north", level: 3 }, "Region north, level 3");
const echo = (client, word) => client.call("json_schema_2020_12_tool", { name: word, phone: "1" });

const FEATURES = {
  tools: async (client) => requireAll(await client.tools(), "tools", "test_simple_text"),
  resources: async (client) => requireAll(await client.resources(), "resources", WATCHED),
  templates: async (client) => requireAll(await client.templates(), "templates", "test://template/{id}/data"),
  prompts: async (client) => requireAll(await client.prompts(), "prompts", "test_simple_prompt"),

  simple: (client) => answered(client, "test_simple_text", {}, "One sentence"),

  async progress(client) {
    const events = [];
    await client.call("test_tool_with_progress", {}, { onprogress: ({ progress }) => events.push(progress) });
    await within(1000, () => events.length >= 3);
    require(String(events) === "0,50,100", `events ${events}`);
  },

  async unasked_logs(client) {
    if (client.era !== "legacy") throw new NotOffered();
    await hearLogs(client);
  },

  async logging(client) {
    await client.askForLogs();
    await hearLogs(client);
  },

  elicitation: (client) => answered(client, "test_elicitation", { message: "Who are you?" }, client.heard.name),

  sampling: (client) => answered(client, "test_sampling", { prompt: "What is the answer?" }, MODEL_SAYS),

  async decline(client) {
    client.heard.declines = true;
    try {
      await answered(client, "test_elicitation", { message: "Who are you?" }, '"decline"');
    } finally {
      client.heard.declines = false;
    }
  },

  two_rounds: (client) =>
    answered(client, "test_input_required_result_multi_round", {}, `${client.heard.name} likes ${client.heard.name}`),

  async asking_prompt(client) {
    const text = await client.prompt("test_input_required_result_prompt", {});
    require(text.includes(client.heard.name), JSON.stringify(text));
  },

  roots: (client) => answered(client, "test_input_required_result_list_roots", {}, ROOT),

  three_questions: (client) => answered(client, "test_input_required_result_multiple_inputs", {}, MODEL_SAYS),

  async slow(client) {
    // One server is enough: it is a matter of the gateway alone.
    if (!client.url.endsWith("/dual")) throw new NotOffered();
    await answered(client, "test_slow", {}, "There at last");
  },

  async error(client) {
    const { text, failed } = await client.call("test_error_handling");
    require(failed && text.includes("nothing but fail"), `${JSON.stringify(text)}, failed: ${failed}`);
  },

  async read(client) {
    const text = await client.read("test://static-text");
    require(text === "A text that stays as it is.", JSON.stringify(text));
  },

  async prompt(client) {
    const text = await client.prompt("test_prompt_with_arguments", { arg1: "red", arg2: "blue" });
    require(text.includes("'red'") && text.includes("'blue'"), JSON.stringify(text));
  },

  async complete(client) {
    const values = await client.complete("test_prompt_with_arguments", "arg1", "test");
    require(String(values) === "test,testing", `values ${values}`);
  },

  async cancel(client) {
    const counts = async () => (await client.call("test_count_given_up")).text.match(/\d+/g).map(Number);
    const isPast = async (which, before) => {
      let count;
      const end = Date.now() + SOON_MS;
      while ((count = (await counts())[which]) === before && Date.now() < end) await pause(100);
      return count;
    };
    const [begun, givenUp] = await counts();
    await client.cancelACall("test_wait_long", async () => {
      // A cancellation that overtakes its request is about nothing.
      require((await isPast(0, begun)) > begun, `the call was not begun after ${SOON_MS} ms`);
    });
    const after = await isPast(1, givenUp);
    require(after === givenUp + 1, `the server knows of ${after - givenUp} given up after ${SOON_MS} ms`);
  },

  async subscribe(client) {
    await client.watch(WATCHED);
    client.heard.updated.length = 0;
    await client.call("test_trigger_resource_change");
    require(await within(SOON_MS, () => client.heard.updated.includes(WATCHED)), `no update after ${SOON_MS} ms`);
  },

  async list_changed(client) {
    await client.listen();
    const before = client.heard.changes;
    await client.call("test_trigger_tool_change");
    require(await within(SOON_MS, () => client.heard.changes > before), `no change after ${SOON_MS} ms`);
  },

  header,
  header_unlisted: (client) => withOther(client, header),

  beside: (client) =>
    withOther(client, async (second) => {
      for (let number = 0; number < ROUNDS; number += 1) {
        const words = [`mine${number}`, `yours${number}`];
        const both = await Promise.all([echo(client, words[0]), echo(second, words[1])]);
        const texts = both.map(({ text }) => text);
        require(texts.every((text, at) => text.includes(words[at])), JSON.stringify(texts));
      }
    }),

  ask_beside: (client) =>
    withOther(client, async (second) => {
      const clients = [client, second];
      const both = await Promise.all(clients.map((each) => each.call("test_elicitation", { message: "Who?" })));
      const texts = both.map(({ text }) => text);
      require(texts.every((text, at) => text.includes(clients[at].heard.name)), JSON.stringify(texts));
    }),
};

function report(feature, outcome, detail = "") {
  process.stdout.write(`${JSON.stringify({ feature, outcome, detail })}\n`);
}

function reason(error) {
  const text = String(error?.message ?? error).replace(/\s+/g, " ");
  return (error instanceof Wrong ? text : `${error?.name}: ${text}`).slice(0, 300);
}

async function tried(feature, act) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Wrong(`nothing after ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    await Promise.race([act(), late]);
    report(feature, "ok");
    return true;
  } catch (error) {
    if (error instanceof NotOffered) {
      report(feature, "none");
    } else {
      console.error(error);
      report(feature, "no", reason(error));
    }
    return false;
  } finally {
    clearTimeout(timer);
  }
}

async function open(client) {
  await client.open();
  const version = client.version();
  require(version === undefined || version === REVISION[client.era], `agreed on ${version}`);
}

export async function main(Kind) {
  const [url, era, named] = process.argv.slice(2);
  const door = named && new Door(JSON.parse(named));
  const Given = door ? behind(door, Kind) : Kind;
  const client = new Given(url, era, new Heard("anna", door));
  if (!(await tried("open", () => open(client)))) process.exit(0);
  for (const [name, feature] of Object.entries(FEATURES)) await tried(name, () => feature(client));
  await tried("close", () => client.close());
  // What a feature left behind that failed must not keep the process.
  process.exit(0);
}
