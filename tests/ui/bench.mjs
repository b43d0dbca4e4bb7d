// How long 100 servers take to be seen, one of which has 600 tools: the daemon's time for all requests of a page, its first paint
// and its whole table, by the browser's own clocks, with nothing cached.
//
//   bench.mjs --daemon PATH_TO_MCPVISOR [--loads 7] [--browser PROGRAM]
//
// Exit code 1 if the daemon's time reaches 200 ms, the first paint a second, or the page has more rows than are in sight.
import { readFileSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { HERE, daemonAt, enter, flag, go, newHome, print, startBrowser, startDaemon } from './support.mjs';

const SERVERS = 100;
const TOOLS = 600;
const BARS = { server: 200, paint: 1000, nodes: 6000 };
const loads = Number(flag('loads') || 7);
const servers = Object.fromEntries(Array.from({ length: SERVERS - 1 }, (_, n) => [`server-${String(n).padStart(3, '0')}`, { command: daemonAt, args: ['demo-server'], description: `Number ${n}` }]));
servers.many = { command: process.execPath, args: [`${HERE}/hostile.mjs`, String(TOOLS)] };

const home = newHome();
const daemon = await startDaemon(home, servers, '[starts]\nconcurrent = 16\nper_second = 100\n[organization]\nplan = "unlimited"\n').catch((error) => { console.error(error.message); process.exit(2); });
const browser = await startBrowser().catch(async (error) => { console.error(error.message); await daemon.end(); process.exit(2); });
let end = 0;
/** Milliseconds that the daemon was on a processor so far. */
const busyTime = () => readdirSync(`/proc/${daemon.child.pid}/task`).reduce((sum, task) => sum + Number(readFileSync(`/proc/${daemon.child.pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1e6, 0);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
try {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 860 } })).newPage();
  page.setDefaultTimeout(180000);
  await enter(page, daemon.at, daemon.key);
  await page.waitForFunction((n) => [...document.querySelectorAll('.servers td.state')].filter((cell) => cell.textContent.includes('ready')).length === n, SERVERS);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Network.enable');
  await cdp.send('Network.setCacheDisabled', { cacheDisabled: true });
  await page.addInitScript((n) => {
    new MutationObserver((_, watch) => { if (document.querySelectorAll('.servers tbody tr').length === n) { watch.disconnect(); requestAnimationFrame(() => { window.whole = performance.now(); }); } }).observe(document, { childList: true, subtree: true });
  }, SERVERS);
  // The daemon's time, without the browser's: the page's requests once more, one after the other, until the last byte; of the stream
  // until its first event, which has all servers.
  const replay = async (requests) => {
    const cookie = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
    const token = await page.evaluate(() => Object.values(localStorage)[0]);
    let sum = 0;
    const busy = busyTime();
    for (const [target] of requests) {
      const began = performance.now();
      const abort = new AbortController();
      const answer = await fetch(daemon.at + target, { headers: { cookie, 'x-csrf-token': token, 'sec-fetch-site': 'same-origin', 'accept-encoding': 'gzip' }, signal: abort.signal });
      if (!answer.ok) throw new Error(`${target}: ${answer.status}`);
      if (target.startsWith('/ui/events')) { await answer.body.getReader().read(); sum += performance.now() - began; abort.abort(); } else { await answer.arrayBuffer(); sum += performance.now() - began; }
    }
    return { sum, busy: busyTime() - busy };
  };
  /** What one load of a page took. */
  const load = async (hash, sign) => {
    await page.goto('about:blank');
    await page.goto(`${daemon.at}/ui/${hash}`);
    await sign();
    const told = await page.evaluate(() => {
      const asked = [performance.getEntriesByType('navigation')[0], ...performance.getEntriesByType('resource')];
      // A stream has no end: what counts is its head.
      const time = (one) => (one.name.includes('/events') || !one.responseEnd ? one.responseStart : one.responseEnd) - one.requestStart;
      const paint = Object.fromEntries(performance.getEntriesByType('paint').map((one) => [one.name, one.startTime]));
      return { requests: asked.map((one) => [new URL(one.name).pathname + new URL(one.name).search, one.requestStart ? time(one) : 0]), bytes: asked.reduce((sum, one) => sum + one.encodedBodySize, 0), paint: paint['first-contentful-paint'], whole: window.whole, nodes: document.getElementsByTagName('*').length };
    });
    return { ...told, server: await replay(told.requests) };
  };
  const tell = (title, told) => {
    // The least of all: what else the machine does is no time of the daemon.
    const server = Math.min(...told.map((one) => one.server.sum));
    const busy = median(told.map((one) => one.server.busy));
    const paint = median(told.map((one) => one.paint));
    const nodes = told[0].nodes;
    const slow = [...told[0].requests].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name, time]) => `${name} ${time.toFixed(1)}`).join(', ');
    console.log(`  as the browser saw it, the slowest requests of ${title}, ms: ${slow}`);
    for (const [what, value, bar] of [['daemon', server, BARS.server], ['first paint', paint, BARS.paint], ['elements', nodes, BARS.nodes]]) {
      if (!(value < bar)) { console.log(`  ${title}: ${what} ${value} reaches ${bar}`); end = 1; }
    }
    return [title, told[0].requests.length, server.toFixed(0), busy.toFixed(0), paint.toFixed(0), told[0].whole ? median(told.map((one) => one.whole)).toFixed(0) : '', (told[0].bytes / 1000).toFixed(0), nodes];
  };
  const table = [];
  for (const [title, hash, sign] of [
    ['all servers', '#/servers', () => page.waitForFunction(() => window.whole)],
    [`${TOOLS} tools`, '#/server/many/tools', () => page.locator('.virtual-row').first().waitFor()],
    ['audit', '#/audit', () => page.locator('tbody tr').first().waitFor()],
  ]) {
    const told = [];
    for (let n = 0; n < loads; n += 1) told.push(await load(hash, sign));
    table.push(tell(title, told));
  }
  await go(page, '#/server/many/tools');
  await page.locator('.virtual-row').first().waitFor();
  const rows = await page.locator('.virtual-row').count();
  if (rows > 40) { console.log(`  ${rows} rows of ${TOOLS} tools are in the page`); end = 1; }
  console.log(`${SERVERS} servers on ${cpus().length} cores, median of ${loads} loads, nothing cached; ${rows} rows of ${TOOLS} in the page`);
  print(['page', 'requests', 'daemon ms', 'of them CPU', 'first paint ms', 'whole table ms', 'kB', 'elements'], table);
} catch (error) { console.error(error.message); end = 2; }
await browser.close();
await daemon.end();
process.exit(end);
