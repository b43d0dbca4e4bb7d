// What the programs here share: a daemon of their own in a folder of its own, Debian's Chromium, and a page that is signed in.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const HERE = path.dirname(fileURLToPath(import.meta.url));
export const ROOT = path.resolve(HERE, '../..');
export const PATIENCE = 30000;
/** The value of a flag of this program. */
export const flag = (name) => { const at = process.argv.indexOf(`--${name}`); return at < 0 ? undefined : process.argv[at + 1]; };
export const daemonAt = path.resolve(flag('daemon') ?? `${ROOT}/target/debug/mcpvisor`);
/** A server that others wrote, as `make real-servers` installs it. */
export const real = (name) => `${ROOT}/tests/real/node_modules/.bin/${name}`;
export const newHome = () => mkdtempSync(path.join(tmpdir(), 'mcpvisor-ui-'));

/** Starts the daemon in a folder with these servers and this configuration, and says where it is. */
export async function startDaemon(home, servers, config, env = {}) {
  writeFileSync(`${home}/servers.json`, JSON.stringify({ mcpServers: servers }));
  writeFileSync(`${home}/mcpvisor.toml`, config);
  const child = spawn(daemonAt, ['serve', '--port', '0', '--data-dir', `${home}/data`, '--config', `${home}/mcpvisor.toml`, '--servers', `${home}/servers.json`], { cwd: home, env: { PATH: process.env.PATH, HOME: home, XDG_RUNTIME_DIR: home, NO_COLOR: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const at = await new Promise((resolve, reject) => {
    const hear = (chunk) => { if (said.length < 100000) said += chunk; const found = /PlexMCP API\s+(http:\/\/127\.0\.0\.1:\d+)\//.exec(said); if (found) resolve(found[1]); };
    child.stdout.on('data', hear); child.stderr.on('data', hear);
    child.once('exit', () => reject(new Error(`the daemon ended:\n${said}`)));
    setTimeout(() => reject(new Error(`the daemon does not say where it is:\n${said}`)), PATIENCE).unref();
  });
  const key = readFileSync(`${home}/data/owner.key`, 'utf8').trim();
  const ask = async (method, route, body) => {
    const told = await fetch(at + route, { method, headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) });
    return told.json();
  };
  const end = async () => { if (child.exitCode === null && child.signalCode === null) { child.kill('SIGTERM'); await once(child, 'exit'); } rmSync(home, { recursive: true, force: true }); };
  return { child, at, key, ask, end };
}

export const startBrowser = () => chromium.launch({ executablePath: flag('browser') ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });

/** Signs in with a key. */
export async function enter(page, base, key) {
  await page.goto(`${base}/ui`);
  await page.getByLabel('Key').fill(key);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('heading', { name: 'Servers' }).waitFor();
}
/** Goes to a page of the dashboard without loading it again. */
export const go = async (page, hash) => { await page.evaluate((to) => { location.hash = to; }, hash); };
/** The line of a server. */
export const row = (page, name) => page.locator('tbody tr', { has: page.getByRole('link', { name, exact: true }) });

/** A table for a terminal. */
export function print(head, rows) {
  const all = [head, ...rows].map((line) => line.map(String));
  const wide = head.map((_, n) => Math.max(...all.map((line) => line[n].length)));
  for (const line of all) console.log(line.map((cell, n) => (n ? cell.padStart(wide[n]) : cell.padEnd(wide[n]))).join('  '));
}
