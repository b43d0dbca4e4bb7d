// The dashboard open for an hour while servers are called, crash and write: does the memory of daemon or browser grow?
//
//   soak.mjs --daemon PATH_TO_MCPVISOR [--seconds 3600] [--rate CALLS_A_SECOND] [--browser PROGRAM]
//
// The page is never loaded again. It goes from part to part as somebody who watches does, and is looked at on the table of the
// servers after garbage was collected: the memory of the daemon, the heap and the nodes of the page. A table of the samples,
// the medians of their first and last quarter, exit code 1 if one has grown, or if there are too few to say: ten minutes are the
// least.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { daemonAt, enter, flag, go, newHome, print, row, startBrowser, startDaemon } from './support.mjs';

const seconds = Number(flag('seconds') || 3600);
const rate = Number(flag('rate') || 20);
const SERVERS = 8;
// Growth of the last quarter's median over the first's that is still no growth: a share, and what one more page of an
// allocator or one compiled function more may be.
const MAY = { 'daemon MB': [0.05, 3], 'heap MB': [0.05, 0.5], nodes: [0.02, 60], listeners: [0.02, 20] };

// Each writes five lines a second beside its messages, and they die in turns.
const noisy = { command: '/bin/sh', args: ['-c', `(n=0; while :; do n=$((n+1)); echo "line $n of $$: all is well" >&2; sleep 0.2; done) & exec ${daemonAt} demo-server`] };
const servers = Object.fromEntries(Array.from({ length: SERVERS }, (_, n) => [`noisy-${n}`, noisy]));
servers.broken = { command: '/bin/sh', args: ['-c', 'echo "Error: Cannot find module" >&2; exit 1'] };
// Short rings, which are full before the first sample that counts.
const config = '[activity]\ncalls = 1000\n[organization]\nplan = "unlimited"\n';

const home = newHome();
const daemon = await startDaemon(home, servers, config).catch((error) => { console.error(error.message); process.exit(2); });
const browser = await startBrowser().catch(async (error) => { console.error(error.message); await daemon.end(); process.exit(2); });
let over = false;
let [calls, failed, deaths] = [0, 0, 0];

async function call() {
  while (!over) {
    const began = performance.now();
    const server = `noisy-${calls % SERVERS}`;
    const tool = calls % 17 ? { tool: 'add', arguments: { a: calls, b: 1 } } : { tool: 'fail', arguments: { message: 'on purpose' } };
    calls += 1;
    const told = await daemon.ask('POST', '/v1/mcp/invoke', { mcp_id: server, ...tool }).catch(() => null);
    if (!told?.success) failed += 1;
    await sleep(Math.max(0, 4000 / rate - (performance.now() - began)));
  }
}
async function kill() {
  while (!over) {
    await sleep(7000);
    const told = await daemon.ask('GET', `/v1/mcps/noisy-${deaths % SERVERS}`).catch(() => null);
    try { process.kill(told.data.supervision.pid, 'SIGKILL'); deaths += 1; } catch { /* it is being restarted */ }
  }
}

const page = await (await browser.newContext({ viewport: { width: 1280, height: 860 } })).newPage();
page.setDefaultTimeout(60000);
const wrong = [];
page.on('pageerror', (error) => wrong.push(error.message));
const cdp = await page.context().newCDPSession(page);
await cdp.send('Performance.enable');
await enter(page, daemon.at, daemon.key);
for (let n = 0; n < SERVERS; n += 1) await row(page, `noisy-${n}`).getByText('ready').waitFor();

const ROUND = [['#/server/noisy-0/log', '.log .text', 8], ['#/server/noisy-0/tools/add', '.try', 2], ['#/activity', 'tbody tr', 4], ['#/server/noisy-1', '.facts', 3], ['#/usage', '.bars', 1], ['#/audit', 'main h1', 1], ['#/keys', 'tbody tr', 1], ['#/api', '.route', 1], ['#/servers', '.servers', 4]];
const samples = [];
async function sample(since) {
  for (let n = 0; n < 3; n += 1) await cdp.send('HeapProfiler.collectGarbage');
  const { metrics } = await cdp.send('Performance.getMetrics');
  const of = (name) => metrics.find((metric) => metric.name === name).value;
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.child.pid}/status`, 'utf8'))[1]) / 1024;
  const told = { second: Math.round((performance.now() - since) / 1000), calls, deaths, 'daemon MB': rss, 'heap MB': of('JSHeapUsedSize') / 1e6, nodes: of('Nodes'), listeners: of('JSEventListeners') };
  samples.push(told);
  console.log(Object.entries(told).map(([name, value]) => `${name} ${Number.isInteger(value) ? value : value.toFixed(1)}`).join('  '));
}

const load = [call(), call(), call(), call(), kill()];
const since = performance.now();
let end = 0;
try {
  while (performance.now() - since < seconds * 1000) {
    for (const [hash, sign, time] of ROUND) {
      await go(page, hash);
      await page.locator(sign).first().waitFor();
      await sleep(time * 1000);
    }
    await sample(since);
  }
} catch (error) { wrong.push(error.message); }
over = true;
await Promise.all(load);
await browser.close();
await daemon.end();

const median = (values) => { const sorted = [...values].sort((a, b) => a - b); return sorted[Math.floor(sorted.length / 2)]; };
// What is loaded, compiled and filled by the first rounds is no growth.
const counted = samples.length > 8 ? samples.slice(Math.ceil(samples.length / 8)) : samples.slice(1);
const quarter = Math.max(1, Math.floor(counted.length / 4));
console.log(`\n${samples.length} samples, ${calls} calls (${failed} refused or failed), ${deaths} deaths`);
print(['', 'first quarter', 'last quarter', 'may grow by', ''], Object.entries(MAY).map(([name, [share, some]]) => {
  const [first, last] = [counted.slice(0, quarter), counted.slice(-quarter)].map((part) => median(part.map((one) => one[name])));
  const may = first * share + some;
  const isGrown = !(last - first <= may);
  if (isGrown) end = 1;
  return [name, first?.toFixed(1), last?.toFixed(1), may.toFixed(1), isGrown ? 'HAS GROWN' : 'flat'];
}));
if (samples.length < 16 || calls < seconds || !deaths) { console.log('too little happened to tell growth from warming up: ten minutes are the least'); end = 1; }
for (const text of wrong.slice(0, 5)) { console.log(`on the page: ${text}`); end = 1; }
process.exit(end);
