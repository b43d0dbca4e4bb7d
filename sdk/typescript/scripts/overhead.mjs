// CPU time of a call with the client against one with bare fetch, which sends the same bytes and reads the same JSON: `sdk/overhead.sh`
// calls this with the address of a server that answers all calls alike, and has the same for the other languages.
//
//     node scripts/overhead.mjs ADDRESS [ROUNDS] [CALLS]
//
// In each round all ways take turns, some calls each, so that whatever else the machine does meets all alike; what the client takes on
// top is said of the round. The middle of the rounds decides, with the quarters around it: more than a tenth on top of a fetch that
// has a deadline, as the client's has, fails.
import { Client } from "../dist/esm/index.js";

const MOST = 10;
/** Calls of one turn. */
const TURN = 20;
const [address, rounds = "15", calls = "1000"] = process.argv.slice(2);
if (!address) {
  console.error("usage: node overhead.mjs ADDRESS [ROUNDS] [CALLS]");
  process.exit(2);
}
const apiKey = "pk_live_0123456789abcdefghijklmnopqrstuvwxyz";
const body = { mcp_id: "demo", tool: "add", arguments: { a: 2, b: 40 } };
const client = (size) => new Client({ baseUrl: `${address}/${size}`, apiKey, maxRetries: 0 });

/** The last call as the server saw it. */
async function seen() {
  const { head, body } = await (await fetch(`${address}/seen`)).json();
  const headers = new Map(head.split("\r\n").slice(1).filter(Boolean).map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
  return { headers, body };
}

/** The headers of the client's calls that fetch does not send by itself. */
async function headersOfClient() {
  await client("small").invoke("demo", "add", body.arguments);
  const ours = await seen();
  await (await fetch(`${address}/small/`, { method: "POST", body: JSON.stringify(body) })).text();
  const plain = await seen();
  return Object.fromEntries([...ours.headers].filter(([name, value]) => plain.headers.get(name) !== value));
}

const headers = await headersOfClient();

/** Bare, bare with a deadline, and the client. */
function waysOf(size) {
  const url = `${address}/${size}/v1/mcp/invoke`;
  const read = async (init) => {
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), ...init });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return (await response.json()).data.result;
  };
  const ours = client(size);
  return [
    () => read(),
    async () => {
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), 60_000);
      try {
        return await read({ signal: controller.signal });
      } finally {
        clearTimeout(timer);
      }
    },
    async () => (await ours.invoke("demo", "add", body.arguments)).result,
  ];
}

/** Microseconds of CPU that a turn takes, each answer of which is looked at. */
async function measure(call) {
  const before = process.cpuUsage();
  for (let done = 0; done < TURN; done += 1) {
    const result = await call();
    if (result.sum !== 42) throw new Error(`another answer: ${JSON.stringify(result)}`);
  }
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/** Microseconds of CPU of a call each way. */
async function play(ways) {
  const spent = ways.map(() => 0);
  const turns = Math.ceil(Number(calls) / TURN);
  for (let turn = 0; turn < turns; turn += 1) {
    for (let step = 0; step < ways.length; step += 1) {
      const place = (turn + step) % ways.length;
      spent[place] += await measure(ways[place]);
    }
  }
  return spent.map((time) => time / turns / TURN);
}

/** Fails unless the ways send the same; ids, of which each call has its own, need to be as long. */
async function compare(ways) {
  const requests = [];
  for (const call of ways) {
    await call();
    const { headers, body } = await seen();
    requests.push(JSON.stringify([body, [...headers].map(([name, value]) => [name, /id|key/.test(name) ? value.length : value]).sort()]));
  }
  if (new Set(requests).size > 1) throw new Error(`the requests differ:\n${requests.join("\n")}`);
}

/** The middle, and the quarters around it. */
function middle(numbers, digits) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.round(part * (sorted.length - 1))];
  return { value: at(0.5), text: `${at(0.5).toFixed(digits)} (${at(0.25).toFixed(digits)} to ${at(0.75).toFixed(digits)})` };
}

for (const size of ["small", "large"]) {
  const ways = waysOf(size);
  await compare(ways);
  await play(ways); // for the compiler of the runtime
  const times = [];
  while (times.length < Number(rounds)) times.push(await play(ways));
  const of = (way) => middle(times.map((round) => round[way]), 0).text;
  const onTop = (way) => middle(times.map((round) => (round[2] / round[way] - 1) * 100), 1);
  const isGood = onTop(1).value <= MOST;
  console.log(`${isGood ? "ok  " : "FAIL"} TypeScript, ${size} answers: fetch ${of(0)} µs of CPU a call, with a deadline ${of(1)}, the client ${of(2)}: ${onTop(1).text} % on top of fetch with a deadline, ${onTop(0).text} % on top of fetch without`);
  if (!isGood) process.exitCode = 1;
}
