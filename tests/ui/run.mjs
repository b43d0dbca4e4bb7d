// The dashboard in a real browser: Debian's Chromium, real servers that others wrote, and one that says what a page should not
// believe.
//
//   run.mjs --daemon PATH_TO_MCPVISOR [--short] [--pictures FOLDER] [--only CHECK] [--browser PROGRAM] [--web FOLDER]
//
// With `--web src/http/ui/web` the page's own scripts and styles come from there and not from the daemon: to try a change without
// building it anew.
// A line for each check. Exit codes: 0 all as it has to be; 1 something is not; 2 it could not be tried at all. `--short` leaves
// out axe-core's second turn and the large numbers. Nothing may be asked of another host, and nothing may be said on the console.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { HERE, PATIENCE, daemonAt, enter, flag, go, newHome, real, row, startBrowser, startDaemon } from './support.mjs';

const short = process.argv.includes('--short');
const pictures = flag('pictures');
const only = flag('only');
const web = flag('web');

const home = newHome();
const servers = {
  everything: { command: real('mcp-server-everything'), args: ['stdio'], description: 'A bit of everything MCP has' },
  memory: { command: real('mcp-server-memory'), env: { MEMORY_FILE_PATH: `${home}/memory.json` }, description: 'A small graph of facts' },
  hostile: { command: process.execPath, args: [`${HERE}/hostile.mjs`, '600'] },
  // Has one call at a time, and the others wait.
  narrow: { command: daemonAt, args: ['demo-server'], mcpvisor: { max_in_flight: 1, queue_age: '60s' } },
  // Dies when it is told to, and comes back by itself.
  mortal: { command: '/bin/sh', args: ['-c', `echo "it is $$" >&2; exec ${daemonAt} demo-server`], description: 'The demo server, by a shell' },
  broken: { command: process.execPath, args: ['-e', 'console.error("Error: Cannot find module \'left-pad\'"); process.exit(1)'], description: 'Never starts' },
  missing: { command: 'mcp-server-that-is-not-there' },
};
const config = '[[members]]\nid = "user_owner"\nrole = "owner"\n[[members]]\nid = "user_viewer"\nrole = "viewer"\n';

/** A proxy that puts the daemon below a path of its own, as an nginx would, and speaks for others. */
async function startProxy(at, prefix) {
  const target = new URL(at);
  const proxy = http.createServer((asked, answer) => {
    if (!asked.url.startsWith(`${prefix}/`)) { answer.writeHead(404).end(); return; }
    const onward = http.request({ host: target.hostname, port: target.port, path: asked.url.slice(prefix.length), method: asked.method, headers: { ...asked.headers, 'x-forwarded-for': asked.socket.remoteAddress } }, (told) => { answer.writeHead(told.statusCode, told.headers); told.pipe(answer); });
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    asked.pipe(onward);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return { proxy, at: `http://127.0.0.1:${proxy.address().port}${prefix}` };
}

/** Runs a program to its end: its exit code, and what it wrote. */
async function ran(program, args, env = {}) {
  const running = spawn(program, args, { env: { PATH: process.env.PATH, HOME: home, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let told = '';
  running.stdout.on('data', (chunk) => { told += chunk; }); running.stderr.on('data', (chunk) => { told += chunk; });
  const [code] = await once(running, 'close');
  return { code, told };
}

class Wrong extends Error {}
const need = (condition, otherwise) => { if (!condition) throw new Wrong(otherwise); };

const daemon = await startDaemon(home, servers, config).catch((error) => { console.error(error.message); rmSync(home, { recursive: true, force: true }); process.exit(2); });
const { child, at, key, ask } = daemon;
const browser = await startBrowser().catch(async (error) => { console.error(error.message); await daemon.end(); process.exit(2); });
const complaints = [];
// What is refused on purpose is said on the console by the browser itself.
let expected = [];

async function newPage(base, { dark = false, width = 1280, context: shared } = {}) {
  const context = shared ?? await browser.newContext({ colorScheme: dark ? 'dark' : 'light', viewport: { width, height: 860 }, locale: 'en-GB' });
  const page = await context.newPage();
  if (web) await page.route(/\/ui\/[a-z]+\.(js|css)$/, (route) => { const name = new URL(route.request().url()).pathname.split('/').at(-1); return route.fulfill({ body: readFileSync(`${web}/${name}`), contentType: name.endsWith('.js') ? 'text/javascript' : 'text/css' }); });
  page.setDefaultTimeout(PATIENCE);
  page.on('console', (said) => { if (['error', 'warning'].includes(said.type()) && !expected.some((part) => said.text().includes(part))) complaints.push(`console: ${said.text()}`); });
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('request', (request) => { const url = request.url(); if (!url.startsWith(base) && !url.startsWith('blob:') && !url.startsWith('data:')) complaints.push(`asked of elsewhere: ${url}`); });
  return page;
}

const page = await newPage(at);
const checks = {
  async 'a wrong key is refused, a good one signs in'() {
    expected = ['401'];
    await page.goto(`${at}/ui`);
    await page.getByLabel('Key').fill('pk_live_wrong');
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByText('There is no such key here').waitFor();
    expected = [];
    await enter(page, at, key);
    need(page.url().startsWith(`${at}/ui/`), page.url());
    need(await page.evaluate(() => document.cookie) === '', 'a script reads the cookie');
    await page.reload();
    await page.getByRole('heading', { name: 'Servers' }).waitFor();
  },
  async 'all servers are there with their states and causes'() {
    for (const name of ['everything', 'memory', 'hostile', 'mortal']) await row(page, name).getByText('ready').waitFor();
    await row(page, 'broken').getByText("Cannot find module 'left-pad'").waitFor();
    await row(page, 'broken').getByText('next start').first().waitFor();
    await row(page, 'missing').getByText('was not found in PATH').waitFor();
    await page.getByText('live', { exact: true }).waitFor();
  },
  async 'a server crashes and comes back without a reload'() {
    await page.evaluate(() => { window.same = true; });
    const { data } = await ask('GET', '/v1/mcps/mortal');
    process.kill(data.supervision.pid, 'SIGKILL');
    await row(page, 'mortal').locator('td[data-label=Restarts]', { hasText: '1' }).waitFor();
    await row(page, 'mortal').getByText('ready').waitFor();
    need(await page.evaluate(() => window.same), 'the page was loaded again');
  },
  async 'a log is followed live'() {
    await go(page, '#/server/mortal/log');
    await page.getByRole('log').getByText(/it is \d+/).first().waitFor();
    const before = await page.getByRole('log').getByText(/it is \d+/).count();
    await page.getByRole('button', { name: 'Restart' }).click();
    await page.waitForFunction((n) => [...document.querySelectorAll('.log .text')].filter((line) => /it is \d+/.test(line.textContent)).length > n, before);
  },
  async 'a call with a nested schema, filled in by its form'() {
    await go(page, '#/server/memory/tools/create_entities');
    await page.getByRole('button', { name: 'Add entities' }).click();
    await page.getByLabel(/^name\*/).fill('Ada');
    await page.getByLabel(/^entityType\*/).fill('person');
    await page.getByRole('button', { name: 'Add observations' }).click();
    await page.locator('.item .item input, .item .item textarea').fill('likes looms');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.locator('.answer').getByText('likes looms').first().waitFor();
    await page.getByText('Answered in').waitFor();
  },
  async 'a picture, structured content and an error are shown as what they are'() {
    await go(page, '#/server/everything/tools/get-tiny-image');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    const image = page.locator('.answer img');
    await image.waitFor();
    await page.waitForFunction(() => document.querySelector('.answer img').naturalWidth > 0);
    await go(page, '#/server/everything/tools/get-structured-content');
    await page.locator('.try select').selectOption({ label: 'Chicago' });
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.locator('.answer').getByText('temperature').first().waitFor();
    await go(page, '#/server/mortal/tools/fail');
    expected = ['422'];
    await page.getByLabel(/^message/).fill('out of paper');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.getByText('The tool reported an error').waitFor();
    await page.locator('.answer').getByText('out of paper').waitFor();
    expected = [];
  },
  async 'what is copied as mcpvisor and as curl does the same'() {
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: at });
    await go(page, '#/server/mortal/tools/add');
    await page.getByLabel(/^a\*/).fill('40');
    await page.getByLabel(/^b\*/).fill('2');
    await page.getByRole('button', { name: 'Copy as mcpvisor …' }).click();
    await page.getByText('Copied').first().waitFor();
    const typed = await page.evaluate(() => navigator.clipboard.readText());
    await page.getByRole('button', { name: 'Copy as curl' }).click();
    const curl = await page.waitForFunction(() => navigator.clipboard.readText().then((text) => text.startsWith('curl') && text)).then((handle) => handle.jsonValue());
    for (const line of [typed.replace(/^mcpvisor/, `${daemonAt}`).concat(` --url ${at}`), curl]) {
      const { told } = await ran('/bin/sh', ['-c', line], { MCPVISOR_KEY: key });
      need(told.includes('42'), `${line}\n${told}`);
    }
  },
  async 'a server is added and removed, with the command shown'() {
    await go(page, '#/servers');
    await page.getByRole('button', { name: 'Add a server' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Command', { exact: true }).click();
    await dialog.getByLabel('Command with its arguments').fill(`${daemonAt} demo-server`);
    await dialog.getByLabel('Name', { exact: true }).fill('second');
    await dialog.getByText(`mcpvisor add --name second -- ${daemonAt} demo-server`).waitFor();
    await shot('add');
    await dialog.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByRole('heading', { name: 'second' }).waitFor();
    await page.locator('.title').getByText('ready').waitFor();
    await page.getByRole('button', { name: 'Remove…' }).click();
    await page.getByRole('dialog').getByText('mcpvisor rm second').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByRole('heading', { name: 'Servers' }).waitFor();
    await row(page, 'second').waitFor({ state: 'detached' });
  },
  async 'a failing edit shows both generations and why'() {
    await ask('PUT', '/api/servers/mortal', { command: '/bin/sh', args: ['-c', 'echo "cannot read its licence" >&2; exit 7'] });
    await go(page, '#/server/mortal');
    await page.getByText('A changed definition is on its way').waitFor();
    await page.getByText('cannot read its licence').first().waitFor();
    await page.locator('.title').getByText('ready').waitFor();
    await shot('edit');
    await ask('PUT', '/api/servers/mortal', { command: servers.mortal.command, args: servers.mortal.args });
    await page.getByText('A changed definition is on its way').waitFor({ state: 'detached' });
  },
  async 'a key is made of the catalog, used, and revoked, which ends its page at once'() {
    await go(page, '#/keys');
    await page.getByRole('button', { name: 'Make a key' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('Bob');
    await dialog.getByLabel('what is chosen here').check();
    await dialog.getByLabel('Find a tool').fill('mortal');
    await dialog.getByLabel('echo', { exact: true }).check();
    await dialog.getByText(/mcpvisor keys create --name Bob --servers mortal --tools echo/).waitFor();
    await shot('make-key');
    await dialog.getByRole('button', { name: 'Make it' }).click();
    const made = (await dialog.locator('.secret').textContent()).trim();
    need(made.startsWith('pk_live_'), made);
    await dialog.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Bob', exact: true }).click();
    await page.getByRole('dialog').getByText('1 server, 1 tool').waitFor();
    await page.getByRole('button', { name: 'Close' }).click();
    const other = await newPage(at);
    expected = ['401', '403'];
    await enter(other, at, made);
    await row(other, 'mortal').waitFor();
    need(await other.locator('tbody tr').count() === 1, 'Bob sees more than one server');
    await page.getByRole('button', { name: 'Revoke Bob' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke', exact: true }).click();
    await other.getByText('has been revoked').waitFor();
    await other.context().close();
    expected = [];
  },
  async 'what servers say is text wherever it is shown'() {
    expected = ['422'];
    for (const tab of ['overview', 'log', 'approvals', 'definition']) { await go(page, `#/server/hostile/${tab}`); await page.locator('.tabs [aria-current=page]').waitFor(); }
    for (let n = 0; n < (short ? 3 : 12); n += 1) {
      await go(page, `#/server/hostile/tools/say_${n}`);
      await page.getByRole('heading', { name: `say_${n}`, exact: true }).waitFor();
      await page.getByRole('button', { name: 'Call', exact: true }).click();
      await page.locator('.answer pre').first().waitFor();
      need(await page.locator('.answer img, .answer iframe, .answer script, .answer svg').count() === 0, `markup of say_${n}`);
    }
    // A daemon that keeps no single calls has no such route, which the browser itself says on the console.
    if ((await fetch(`${at}/v1/activity`, { headers: { Authorization: `Bearer ${key}` } })).status === 404) expected.push('404');
    for (const name of ['activity', 'usage', 'audit', 'api']) { await go(page, `#/${name}`); await page.locator('h1').waitFor(); }
    need(await page.evaluate(() => window.owned) === undefined, `a server's script ran: ${await page.evaluate(() => window.owned)}`);
    need(await page.evaluate(() => document.querySelectorAll('base, main iframe, main script, main style').length) === 0, 'a server put an element into the page');
    expected = [];
  },
  async 'schemas that are none make a form or its text, and never blank the page'() {
    for (let n = 0; n < 8; n += 1) {
      await go(page, `#/server/hostile/tools/odd_${n}`);
      await page.getByRole('heading', { name: `odd_${n}`, exact: true }).waitFor();
      need(await page.locator('.field, .fault').count() < 500, `odd_${n} makes ${await page.locator('.field').count()} fields`);
      need(await page.locator('.try button.main').count() === 1, `odd_${n} has no button to call it`);
    }
    await go(page, '#/server/hostile/tools/odd_1');
    await page.getByRole('heading', { name: 'odd_1', exact: true }).waitFor();
    expected = ['502'];
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.locator('.answer').getByText(/./).first().waitFor();
    expected = [];
    need(await page.getByRole('navigation', { name: 'Pages' }).isVisible(), 'the page is blank');
  },
  async 'a fault in one part names it and leaves the others, and that part comes back'() {
    // What a daemon of another version or a proxy between might answer: shapes that nothing here expects.
    const other = await newPage(at);
    await enter(other, at, key);
    expected = ['TypeError', 'An event cannot be read'];
    let odd = true;
    await other.route('**/ui/api/v1/mcps/*', (route) => (odd ? route.fulfill({ json: { success: true, data: { tools: { filter: 'text' }, supervision: { last_stderr: { length: 2 }, replicas: { length: 1 }, remarks: { map: 7 } } } } }) : route.continue()));
    await other.route('**/ui/api/v1/audit*', (route) => (odd ? route.fulfill({ json: { success: true, data: [{ number: 1, details: 7n.toString(), at: {} }, null] } }) : route.continue()));
    await go(other, '#/server/broken');
    await other.getByRole('alert').getByText('Overview of broken cannot be shown').waitFor();
    need(await other.getByRole('heading', { name: 'broken' }).isVisible() && await other.getByRole('link', { name: 'Definition' }).isVisible(), 'what is around the fault is gone');
    await go(other, '#/server/broken/log');
    await other.getByRole('log').getByText('left-pad').first().waitFor();
    await go(other, '#/audit');
    await other.getByText('Audit cannot be shown').waitFor();
    await go(other, '#/servers');
    await row(other, 'memory').getByText('ready').waitFor();
    await go(other, '#/audit');
    await other.getByText('Audit cannot be shown').waitFor();
    odd = false;
    await other.getByRole('button', { name: 'Load it again' }).click();
    await other.locator('tbody tr').first().waitFor();
    need(await other.locator('.fault').count() === 0, 'it is still told to be faulty');
    // An event that reads as nothing known is left out, and the others go on.
    await other.context().close();
    const third = await newPage(at);
    await third.route('**/ui/events*', (route) => route.fulfill({ contentType: 'text/event-stream', body: 'event: servers\ndata: {"all":true,"rows":7,"gone":[]}\n\nevent: servers\ndata: {"all":true,"rows":[{"id":"a","name":"odd","state":"ready","tools":{}},{"id":"b","name":"plain","state":"ready","tools":1,"calls_per_second":0,"p50_ms":null,"since":"2026-01-01T00:00:00Z","breaker":"closed","calls":0,"errors":0,"in_flight":0,"queued":0,"restarts":0}],"gone":[]}\n\n' }));
    await enter(third, at, key);
    await third.getByText('odd cannot be shown').waitFor();
    await row(third, 'plain').getByText('ready').waitFor();
    await third.context().close();
    expected = [];
  },
  async 'a page that loses its sign-in says so and leads to the sign-in'() {
    const context = await browser.newContext();
    const [one, two] = [await newPage(at, { context }), await newPage(at, { context })];
    await enter(one, at, key);
    await two.goto(`${at}/ui/#/server/mortal/log`);
    await two.getByRole('log').getByText(/it is/).first().waitFor();
    await one.locator('.who summary').click();
    await one.getByRole('button', { name: 'Sign out' }).click();
    await one.getByLabel('Key').waitFor();
    await two.getByText('You are no longer signed in').waitFor();
    await two.getByLabel('Key').fill(key);
    await two.getByRole('button', { name: 'Sign in', exact: true }).click();
    // It is back where it was.
    await two.getByRole('log').getByText(/it is/).first().waitFor();
    await context.close();
  },
  async 'settings are shown with where each comes from'() {
    await go(page, '#/settings');
    await page.getByRole('rowheader', { name: 'allowed_origins' }).waitFor();
    await page.getByRole('button', { name: 'not at their default' }).click();
    await page.getByRole('rowheader', { name: 'data_dir' }).waitFor();
    await page.getByRole('cell', { name: '--data-dir' }).waitFor();
    need(await page.getByRole('rowheader', { name: 'allowed_origins' }).count() === 0, 'a default is shown as none');
  },
  async 'a server is stopped, started, disabled and enabled'() {
    await go(page, '#/server/mortal');
    for (const [button, state] of [['Stop', 'stopped'], ['Start', 'ready'], ['Disable', 'disabled'], ['Enable', 'ready']]) {
      await page.getByRole('button', { name: button, exact: true }).click();
      await page.locator('.title').getByText(state, { exact: false }).waitFor();
    }
  },
  async 'of 600 tools only those in sight are in the page'() {
    await go(page, '#/server/hostile/tools');
    await page.getByPlaceholder('Find among 620 tools').waitFor();
    need(await page.locator('.virtual-row').count() < 40, `${await page.locator('.virtual-row').count()} rows`);
    await page.getByPlaceholder('Find among 620 tools').fill('tool_0599');
    await page.getByText('tool_0599').waitFor();
    await page.getByPlaceholder('Find among 620 tools').fill('tool_');
    // By keyboard to one that is not in the page yet, and back.
    const focused = () => page.evaluate(() => document.activeElement.querySelector('strong')?.textContent);
    await page.getByRole('list', { name: 'Tools' }).focus();
    for (const [key, name] of [['ArrowDown', 'tool_0000'], ['End', 'tool_0599'], ['ArrowUp', 'tool_0598'], ['Home', 'tool_0000'], ['ArrowDown', 'tool_0001']]) {
      await page.keyboard.press(key);
      need(await focused() === name, `${key} leads to ${await focused()}, not to ${name}`);
    }
    const place = await page.evaluate(() => { const row = document.activeElement.closest('[role=listitem]'); return `${row.getAttribute('aria-posinset')} of ${row.getAttribute('aria-setsize')}`; });
    need(place === '2 of 600', `a screen reader hears ${place}`);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'tool_0001', exact: true }).waitFor();
  },
  async 'usage, audit and the API have their pages'() {
    await ask('POST', '/v1/mcp/invoke', { mcp_id: 'everything', tool: 'get-tiny-image', arguments: {} });
    await go(page, '#/usage');
    await page.locator('.bars svg').waitFor();
    await page.getByRole('rowheader', { name: 'get-tiny-image' }).first().waitFor();
    // By the hour, by key, server and tool across each other, narrowed by a click, and a span of one's own.
    await page.getByRole('combobox', { name: /^Of/ }).selectOption({ label: 'the last hour' });
    await page.getByText('mcpvisor usage --since 1h --by key,server,tool').waitFor();
    const crossed = page.locator('section', { has: page.getByRole('heading', { name: 'Who called what' }) }).locator('tbody tr');
    await crossed.filter({ hasText: 'get-tiny-image' }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll('.bars g').length > 11);
    await page.getByRole('button', { name: 'get-tiny-image', exact: true }).click();
    await page.getByRole('button', { name: 'tool get-tiny-image ✕' }).waitFor();
    await page.waitForFunction(() => [...document.querySelectorAll('h2')].some((title) => title.textContent === 'Who called what' && title.parentElement.querySelectorAll('tbody tr').length === 1));
    await page.getByRole('button', { name: 'tool get-tiny-image ✕' }).click();
    await page.getByRole('combobox', { name: /^Of/ }).selectOption({ label: 'from … until …' });
    await page.getByText('Say from when on.').waitFor();
    const earlier = new Date(Date.now() - 7200000);
    const field = new Date(earlier - earlier.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
    await page.getByRole('textbox', { name: 'From' }).fill(field);
    await page.getByRole('textbox', { name: 'From' }).blur();
    await page.getByText(`mcpvisor usage --since ${earlier.toISOString().slice(0, 19)}Z --by key,server,tool`).waitFor();
    await crossed.filter({ hasText: 'get-tiny-image' }).waitFor();
    await go(page, '#/audit?action=key');
    await page.getByText('key.revoke').first().waitFor();
    await go(page, '#/api');
    await page.getByText('/v1/mcp/invoke').first().click();
    await page.getByRole('button', { name: 'Copy as curl' }).first().waitFor();
  },
  async 'an owner takes a backup along, and a daemon is restored of it'() {
    await go(page, '#/settings');
    const saves = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Back up' }).click();
    const saved = await saves;
    need(/^mcpvisor-backup-\w+\.json$/.test(saved.suggestedFilename()), saved.suggestedFilename());
    const { code, told } = await ran(daemonAt, ['restore', await saved.path(), '--data-dir', `${home}/elsewhere`]);
    need(code === 0 && /restored \d+ records/.test(told), `exit code ${code}: ${told}`);
    const exports = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Servers file' }).click();
    const file = JSON.parse(readFileSync(await (await exports).path(), 'utf8'));
    need(Object.keys(file.mcpServers).includes('everything'), Object.keys(file.mcpServers).join());
  },
  async 'whose calls wait is shown as long as they wait'() {
    const made = await ask('POST', '/v1/api-keys', { name: 'Crowd' });
    const first = new AbortController();
    const invoke = (duration_ms, signal) => fetch(`${at}/v1/mcp/invoke`, { method: 'POST', signal, headers: { Authorization: `Bearer ${made.data.key}`, 'Content-Type': 'application/json' }, body: JSON.stringify({ mcp_id: 'narrow', tool: 'slow', arguments: { duration_ms } }) }).then((told) => told.status, (left) => left.name);
    const long = invoke(60000, first.signal);
    // It has the only place before the others come.
    await go(page, '#/server/narrow');
    await page.getByText('1 / 0', { exact: true }).waitFor();
    const others = [1, 1, 1].map((ms) => invoke(ms));
    const waits = page.locator('section', { has: page.getByRole('heading', { name: 'Who waits' }) });
    await waits.locator('tbody tr', { hasText: 'Crowd' }).locator('td', { hasText: '3' }).waitFor();
    await shot('who-waits');
    first.abort();
    need((await Promise.all(others)).every((status) => status === 200), `the calls that waited: ${await Promise.all(others)}`);
    need(await long === 'AbortError', `the call that was left: ${await long}`);
    await waits.waitFor({ state: 'detached' });
  },
  async 'it works by keyboard'() {
    await go(page, '#/servers');
    await row(page, 'memory').waitFor();
    await page.reload();
    await row(page, 'memory').waitFor();
    await page.keyboard.press('Tab');
    need(await page.evaluate(() => document.activeElement.textContent) === 'To the content', 'no way past the menu');
    await page.getByRole('button', { name: 'Add a server' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    need(await page.evaluate(() => document.activeElement.textContent) === 'Add a server', 'the focus is lost');
  },
  async 'a viewer has no button that changes something'() {
    const { data } = await ask('POST', '/v1/api-keys', { name: 'eyes', owner_id: 'user_viewer' });
    const eyes = await newPage(at);
    await enter(eyes, at, data.key);
    await row(eyes, 'memory').waitFor();
    need(await eyes.getByRole('button', { name: 'Add a server' }).count() === 0, 'a viewer may add');
    await go(eyes, '#/server/memory/tools/read_graph');
    need(await eyes.getByRole('button', { name: 'Call', exact: true }).isDisabled(), 'a viewer may call');
    need(await eyes.getByRole('button', { name: 'Restart' }).count() === 0, 'a viewer may restart');
    await eyes.context().close();
  },
  async 'it works below a path of a proxy'() {
    const { proxy, at: below } = await startProxy(at, '/mcp-admin');
    const other = await newPage(below);
    await enter(other, below, key);
    await row(other, 'memory').getByText('ready').waitFor();
    need(other.url().startsWith(`${below}/ui/`), other.url());
    const cookies = await other.context().cookies();
    need(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === 'Strict' && cookies[0].path.startsWith('/mcp-admin/ui'), JSON.stringify(cookies));
    await other.context().close();
    proxy.closeAllConnections();
    proxy.close();
  },
  async 'axe-core finds nothing, in light and dark, and nothing is wider than a phone'() {
    const axe = readFileSync(`${HERE}/node_modules/axe-core/axe.min.js`, 'utf8');
    const found = [];
    if ((await fetch(`${at}/v1/activity`, { headers: { Authorization: `Bearer ${key}` } })).status === 404) expected.push('404');
    for (const dark of short ? [false] : [false, true]) {
      for (const width of short ? [1280] : [1280, 400]) {
        const other = await newPage(at, { dark, width });
        await other.addInitScript(axe);
        await other.goto(`${at}/ui`);
        await other.getByLabel('Key').waitFor();
        const look = async (name) => {
          // A dialog that is still rising is pale.
          await other.evaluate(() => Promise.all(document.getAnimations().filter((one) => Number.isFinite(one.effect.getComputedTiming().endTime)).map((one) => one.finished)));
          const told = await other.evaluate(() => window.axe.run(document));
          for (const bad of told.violations) found.push(`${name} ${dark ? 'dark' : 'light'} ${width}: ${bad.id}: ${bad.nodes.map((node) => node.html.slice(0, 140)).slice(0, 3).join(' | ')}`);
          const over = await other.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          if (over > 0) found.push(`${name} ${width}: ${over} pixels too wide`);
          await other.mouse.move(0, 0);
          if (pictures) { mkdirSync(pictures, { recursive: true }); await other.screenshot({ path: `${pictures}/${name}-${width === 400 ? 'phone' : 'wide'}-${dark ? 'dark' : 'light'}.png` }); }
        };
        await look('sign-in');
        await enter(other, at, key);
        for (const [name, hash, sign] of [['servers', '#/servers', 'tbody tr'], ['server', '#/server/broken', '.facts'], ['tools', '#/server/everything/tools/get-structured-content', '.try'], ['log', '#/server/mortal/log', '.log .text'], ['approvals', '#/server/memory/approvals', 'main p'], ['definition', '#/server/memory/definition', 'textarea'], ['activity', '#/activity', 'h1'], ['usage', '#/usage', '.bars'], ['keys', '#/keys', 'tbody tr'], ['audit', '#/audit', 'tbody tr'], ['settings', '#/settings', 'tbody tr'], ['api', '#/api', '.route']]) {
          await go(other, hash);
          await other.locator(sign).first().waitFor();
          await look(name);
        }
        for (const [name, hash, button] of [['add-dialog', '#/servers', 'Add a server'], ['key-dialog', '#/keys', 'Make a key']]) {
          await go(other, hash);
          await other.getByRole('button', { name: button }).click();
          await other.getByRole('dialog').waitFor();
          await look(name);
          await other.keyboard.press('Escape');
        }
        await other.context().close();
      }
    }
    expected = [];
    need(!found.length, `\n  ${found.join('\n  ')}`);
  },
  async 'the daemon ends, the page says how old it is'() {
    await go(page, '#/servers');
    expected = ['ERR_', '503', 'Failed to load'];
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await page.getByText(/as of .* ago/).waitFor();
    const [code] = await ended;
    need(code === 0, `the daemon ended with ${code}`);
  },
};
async function shot(name) { if (pictures) { mkdirSync(pictures, { recursive: true }); await page.screenshot({ path: `${pictures}/${name}.png` }); } }

let bad = 0;
for (const [name, check] of Object.entries(checks)) {
  const isFrame = name.startsWith('a wrong key') || name.startsWith('the daemon ends');
  if (only && !isFrame && !name.includes(only)) continue;
  const begun = performance.now();
  try {
    await check();
    need(!complaints.length, complaints.join('\n  '));
    console.log(`ok   ${name} ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  } catch (error) {
    bad += 1;
    expected = [];
    console.log(`NO   ${name}: ${error.message}`);
    if (pictures) await page.screenshot({ path: `${pictures}/failed-${bad}.png` }).catch(() => {});
  }
  complaints.length = 0;
}
await browser.close();
await daemon.end();
process.exit(bad ? 1 : 0);
