// What the page knows and how it asks: one table of the servers, fed by one stream of events, and requests that carry the
// token which signing in gave to this page. The cookie alone opens nothing.
import { useEffect, useReducer, useState } from './hooks.mjs';

const folder = location.pathname.replace(/[^/]*$/, '');
const KEPT = `mcpvisor ${folder}`;
const listeners = new Set();

/** The state of the page. `me` is undefined until it is known, null if nobody is signed in. */
export const store = { me: undefined, servers: new Map(), has: false, heard: 0, live: false, note: '', toasts: [] };

export function changed() { for (const listener of listeners) listener(); }

/** Renders the caller again whenever the state changes. */
export function useStore() {
  const [, again] = useReducer((n) => n + 1, 0);
  useEffect(() => { listeners.add(again); return () => listeners.delete(again); }, []);
  return store;
}

/** The time, again each second. */
export function useNow() {
  const [now, set] = useState(Date.now());
  useEffect(() => { const timer = setInterval(() => set(Date.now()), 1000); return () => clearInterval(timer); }, []);
  return now;
}

export function toast(text, kind = 'good') {
  const entry = { text, kind };
  store.toasts = [...store.toasts, entry].slice(-4);
  changed();
  setTimeout(() => { store.toasts = store.toasts.filter((other) => other !== entry); changed(); }, kind === 'bad' ? 12000 : 5000);
}

export class Refused extends Error {
  constructor(status, body, requestId) {
    const said = body?.error;
    super(typeof said === 'string' ? said : said?.message ?? body?.message ?? `The daemon answered with status ${status}`);
    Object.assign(this, { status, code: said?.code ?? body?.code, details: said?.details, requestId });
  }
}

const token = () => { try { return localStorage.getItem(KEPT) ?? ''; } catch { return ''; } };
const keep = (value) => { try { value ? localStorage.setItem(KEPT, value) : localStorage.removeItem(KEPT); } catch { /* for this page only */ } };

/** What whoever has lost a sign-in without doing so here is told. */
const OVER = 'You are no longer signed in: you signed out in another window, the key has ended, or twelve hours are over. Sign in again.';

async function send(method, path, { body, headers = {}, signal } = {}) {
  const response = await fetch(folder + path, {
    method, signal, credentials: 'same-origin', cache: 'no-store',
    headers: { 'X-CSRF-Token': token(), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  const refused = new Refused(response.status, told, response.headers.get('X-Request-Id'));
  if (response.status === 401 && path !== 'session') signedOut(OVER);
  throw refused;
}

/** Asks a route of /v1 or /api and returns what it answers; `.whole` has the envelope with pages and warnings. */
export async function ask(method, path, body, signal) {
  const response = await send(method, `api${path}`, { body, signal });
  if (response.status === 204) return null;
  const told = await response.json();
  const data = told && typeof told === 'object' && 'success' in told && 'data' in told ? told.data : told;
  if (data && typeof data === 'object') Object.defineProperty(data, 'whole', { value: told, enumerable: false });
  return data;
}

/** The same, whose answer is shown and asked again when one of `again` changes. */
export function useAsk(path, again = []) {
  const [state, set] = useState({ data: undefined, error: undefined });
  const [turn, more] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    if (!path) { set({ data: undefined, error: undefined }); return undefined; }
    const abort = new AbortController();
    ask('GET', path, undefined, abort.signal)
      .then((data) => set({ data, error: undefined, path }))
      .catch((error) => { if (error.name !== 'AbortError') set({ data: undefined, error, path }); });
    return () => abort.abort();
  }, [path, turn, ...again]);
  // What was answered to another question is not shown for this one.
  const current = state.path === path ? state : { data: undefined, error: undefined };
  return { ...current, reload: more };
}

/** Asks for a file and has the browser keep it, under the name that the daemon gives it. Returns that name. */
export async function keepFile(method, path) {
  const response = await send(method, `api${path}`);
  const name = /filename="([^"]+)"/.exec(response.headers.get('Content-Disposition') ?? '')?.[1] ?? 'mcpvisor.json';
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(await response.blob()), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  return name;
}

export const fetchText = async (path) => (await send('GET', `api${path}`)).text();

// Signing in and out -------------------------------------------------------------------------------------------------

export async function signIn(key) {
  const response = await send('POST', 'session', { headers: key ? { Authorization: `Bearer ${key}` } : {} });
  const who = await response.json();
  keep(who.token);
  delete who.token;
  store.me = who;
  store.note = '';
  changed();
  listen();
}

export async function resume() {
  if (!token()) { store.me = null; changed(); return; }
  try {
    store.me = await (await send('GET', 'session')).json();
    listen();
  } catch (error) {
    store.me = null;
    if (!error.status) store.note = 'The daemon does not answer.';
    else if (error.status === 401) { keep(''); store.note = OVER; }
  }
  changed();
}

export async function signOut() {
  try { await send('DELETE', 'session'); } catch { /* it had ended */ }
  signedOut('');
}

function signedOut(note) {
  keep('');
  stream?.abort();
  Object.assign(store, { me: null, note, servers: new Map(), has: false, live: false });
  changed();
}

// The stream of events -----------------------------------------------------------------------------------------------

let stream = null;
let log = { server: null, after: 0, on: null };
let wait = 1000;

/** Has the stream bring the lines of a server's log, too; null for none. */
export function followLog(server, on) {
  log = { server, after: 0, on };
  if (store.me) listen();
}

async function listen() {
  stream?.abort();
  const abort = new AbortController();
  stream = abort;
  const own = log;
  const query = own.server ? `?log=${encodeURIComponent(own.server)}${own.after ? `&after=${own.after}` : ''}` : '';
  try {
    const response = await send('GET', `events${query}`, { signal: abort.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done || abort.signal.aborted) break;
      rest += value;
      const events = rest.split('\n\n');
      rest = events.pop();
      for (const event of events) {
        // One that cannot be read is no reason to be without the others.
        try { heard(event, own); } catch (fault) { console.error('An event cannot be read:', fault); toast(`Something that the daemon sent cannot be read: ${fault.message}`, 'bad'); }
      }
    }
  } catch (error) {
    if (abort.signal.aborted) return;
    if (error.status === 403 && own.server) { own.on?.({ end: 'refused' }); log = { server: null, after: 0, on: null }; }
  }
  if (abort !== stream || !store.me) return;
  store.live = false;
  changed();
  setTimeout(() => { if (abort === stream && store.me) listen(); }, wait);
  wait = Math.min(wait * 2, 15000);
}

function heard(text, own) {
  let name = 'message';
  let data = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    else if (line.startsWith('data:')) data += line.slice(5).trimStart();
  }
  Object.assign(store, { heard: Date.now(), live: true });
  wait = 1000;
  if (!data) return changed();
  const told = JSON.parse(data);
  if (name === 'servers') {
    const servers = told.all ? new Map() : new Map(store.servers);
    for (const id of told.gone) servers.delete(id);
    for (const row of told.rows) servers.set(row.id, row);
    store.servers = servers;
    store.has = true;
  } else if (name === 'log') {
    if (told.lines.length) own.after = told.lines.at(-1).number;
    own.on?.(told);
  } else if (name === 'log_end') {
    own.on?.({ end: told.reason });
  } else if (name === 'end' && told.reason !== 'shutting_down') {
    return signedOut(told.reason === 'revoked' ? 'The key that you signed in with has been revoked or has expired. Sign in with another one.' : OVER);
  }
  return changed();
}

// Addresses ----------------------------------------------------------------------------------------------------------

const readHash = () => {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  return { parts: path.split('/').filter(Boolean).map((part) => { try { return decodeURIComponent(part); } catch { return part; } }), query: Object.fromEntries(new URLSearchParams(query)) };
};

export function useRoute() {
  const [route, set] = useState(readHash);
  useEffect(() => {
    const on = () => set(readHash());
    addEventListener('hashchange', on);
    return () => removeEventListener('hashchange', on);
  }, []);
  return route;
}

export const to = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;

/** Puts a filter into the address, so that what is seen can be sent to somebody. */
export function setQuery(changes) {
  const { parts, query } = readHash();
  const all = Object.entries({ ...query, ...changes }).filter(([, value]) => value !== '' && value !== undefined);
  const text = new URLSearchParams(all).toString();
  history.replaceState(null, '', to(...parts) + (text ? `?${text}` : ''));
  dispatchEvent(new HashChangeEvent('hashchange'));
}

/** Where programs reach this daemon. */
export const outside = () => location.origin + folder.replace(/\/ui\/$/, '');
