// The frame: who is signed in, where one is, how old what is shown is.
import { h, render } from './preact.mjs';
import { useEffect, useRef, useState } from './hooks.mjs';
import { Part, Problem, ago, html, seen } from './parts.js';
import { outside, resume, signIn, signOut, store, to, useNow, useRoute, useStore } from './net.js';
import { Servers } from './servers.js';
import { Server } from './server.js';
import { Keys } from './keys.js';
import { Activity, Audit, Usage } from './records.js';
import { Settings } from './settings.js';
import { Api } from './api.js';

const PAGES = [
  ['servers', 'Servers', Servers],
  ['activity', 'Activity', Activity],
  ['usage', 'Usage', Usage],
  ['keys', 'Keys', Keys, (me) => me.may.call],
  ['audit', 'Audit', Audit, (me) => me.may.administer],
  ['settings', 'Settings', Settings, (me) => me.may.administer],
  ['api', 'API', Api],
];

function SignIn() {
  const { note } = useStore();
  const [key, setKey] = useState('');
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const enter = async (with_) => {
    setBusy(true);
    setError(null);
    try { await signIn(with_); } catch (refused) { setError(refused.status ? refused : { message: 'The daemon does not answer.' }); }
    setBusy(false);
  };
  useEffect(() => { document.title = 'Sign in · mcpvisor'; }, []);
  return html`<main class="sign-in">
    <h1><img src="icon.svg" alt="" width="28" height="28" /> mcpvisor</h1>
    ${note && html`<p class="note" role="status">${note}</p>`}
    <form onSubmit=${(event) => { event.preventDefault(); if (key.trim()) enter(key.trim()); }}>
      <label for="key">Key</label>
      <input id="key" type="password" autocomplete="current-password" spellcheck="false" placeholder="pk_live_…" value=${key} onInput=${(event) => setKey(event.target.value)} autofocus />
      <button class="main" disabled=${busy || !key.trim()}>Sign in</button>
    </form>
    <${Problem} error=${error} />
    <p class="or"><span>or</span></p>
    <button onClick=${() => enter('')} disabled=${busy}>Sign in as this machine's operator</button>
    <p class="dim small">Without a key only the user whom the daemon runs as comes in, on the same machine and directly. The owner's key is in <code>owner.key</code> in the data directory. A viewer's key looks on and changes nothing.</p>
  </main>`;
}

function Heard() {
  const { heard, live } = useStore();
  const age = useNow() - heard;
  const old = !live || age > 12000;
  return html`<span class=${`heard ${old ? 'warn' : 'good'}`} role="status">${!heard ? 'connecting…' : old ? `as of ${ago(age)} ago` : 'live'}</span>`;
}

function Toasts() {
  const { toasts } = useStore();
  return html`<div class="toasts" aria-live="polite">${toasts.map((toast) => html`<div class=${`toast ${toast.kind}`}>${seen(toast.text)}</div>`)}</div>`;
}

function App() {
  const { me, has } = useStore();
  const { parts } = useRoute();
  const main = useRef(null);
  const place = parts[0] === 'server' ? 'servers' : parts[0] ?? 'servers';
  const page = PAGES.find(([name]) => name === place);
  const where = parts[0] === 'server' ? parts[1] : undefined;
  useEffect(() => { resume(); }, []);
  useEffect(() => { if (me) document.title = `${where ? seen(where) : page?.[1] ?? 'Not found'} · mcpvisor`; }, [me, place, where]);
  if (me === undefined) return html`<main class="sign-in"><p class="dim" role="status">Loading…</p></main>`;
  if (!me) return html`<${SignIn} />`;
  const may = PAGES.filter(([, , , only]) => !only || only(me));
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>To the content</a>
    <header class="top">
      <a class="brand" href=${to('servers')}><img src="icon.svg" alt="" width="22" height="22" /><span>mcpvisor</span></a>
      <nav aria-label="Pages">${may.map(([name, title]) => html`<a href=${to(name)} aria-current=${name === place ? 'page' : undefined}>${title}</a>`)}</nav>
      <${Part} name="How old this is"><${Heard} /></${Part}>
      <details class="who"><summary title=${seen(me.member.name)}>${seen(me.member.name || me.member.id)}<span class="dim"> · ${me.member.role}</span></summary>
        <div><p>${seen(me.key.name)}<br /><code>${seen(me.key.id)}</code></p><p class="dim small">mcpvisor ${me.version}<br />${outside()}</p><button onClick=${signOut}>Sign out</button></div>
      </details>
    </header>
    <main id="main" tabindex="-1" ref=${main}>
      ${!may.includes(page) && parts[0] !== 'server' ? html`<h1>Not found</h1><p>There is no such page, or ${me.member.role}s may not see it. <a href=${to('servers')}>To the servers</a></p>`
    : parts[0] === 'server' ? html`<${Part} key=${where} name=${`The page of ${where}`} of=${parts[2]}><${Server} name=${where} tab=${parts[2] ?? 'overview'} tool=${parts[3]} /></${Part}>`
      : html`<${Part} key=${place} name=${page[1]}><${page[2]} /></${Part}>`}
      ${!has && place === 'servers' && html`<p class="dim" role="status">Waiting for the daemon…</p>`}
    </main>
    <${Toasts} />`;
}

render(h(App), document.getElementById('app'));
