// All servers, a line each, and the form that adds one.
import { useMemo, useState } from './hooks.mjs';
import { Command, Countdown, Dialog, Part, Problem, Since, STATES, State, bytes, count, html, ms, plural, quote, seen } from './parts.js';
import { ask, outside, setQuery, to, toast, useRoute, useStore } from './net.js';

const ORDER = { bad: 0, warn: 1, busy: 2, good: 3, calm: 4 };
const kindOf = (row) => (STATES[row.state] ?? ['', 'calm'])[1];

const COLUMNS = [
  ['name', 'Server', (row) => row.name.toLowerCase()],
  ['state', 'State', (row) => ORDER[kindOf(row)]],
  ['since', 'For', (row) => row.since],
  ['rate', 'Calls/s', (row) => -row.calls_per_second],
  ['p99', 'p50 / p99', (row) => -(row.p99_ms ?? -1)],
  ['errors', 'Errors', (row) => -row.errors],
  ['load', 'In flight', (row) => -(row.in_flight + row.queued)],
  ['memory', 'Memory', (row) => -(row.rss_bytes ?? -1)],
  ['cpu', 'CPU', (row) => -(row.cpu ?? -1)],
  ['restarts', 'Restarts', (row) => -row.restarts],
];

export function Servers() {
  const { servers, me, has } = useStore();
  const { query } = useRoute();
  const [adds, setAdds] = useState(false);
  const { q = '', state = '', sort = 'name' } = query;
  const all = [...servers.values()];
  const sums = useMemo(() => {
    const of = new Map();
    for (const row of all) of.set(row.state, (of.get(row.state) ?? 0) + 1);
    return [...of].sort();
  }, [servers]);
  const by = (COLUMNS.find(([name]) => name === sort) ?? COLUMNS[0])[2];
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = all
    .filter((row) => (!state || row.state === state) && words.every((word) => `${row.name} ${row.description ?? ''} ${row.cause ?? ''}`.toLowerCase().includes(word)))
    .sort((a, b) => { const [x, y] = [by(a), by(b)]; return x < y ? -1 : x > y ? 1 : a.name < b.name ? -1 : 1; });
  const rate = all.reduce((sum, row) => sum + row.calls_per_second, 0);
  return html`
    <div class="title"><h1>Servers</h1>
      <span class="dim">${has && `${plural(all.length, 'server')}, ${rate.toFixed(1)} calls/s`}</span>
      ${me.may.define && html`<button class="main push" onClick=${() => setAdds(true)}>Add a server</button>`}
    </div>
    <div class="bar">
      <input type="search" aria-label="Find a server" placeholder="Find: name, description, cause" value=${q} onInput=${(event) => setQuery({ q: event.target.value })} />
      <div class="chips" role="group" aria-label="States">${sums.map(([name, n]) => html`<button class="chip" aria-pressed=${state === name} onClick=${() => setQuery({ state: state === name ? '' : name })}><${State} state=${name} /> ${n}</button>`)}</div>
    </div>
    ${has && !all.length && html`<div class="empty"><p>There is no server yet.</p>${me.may.define && html`<p class="dim">Add one here, or with <code>mcpvisor add npx:PACKAGE</code>.</p>`}</div>`}
    ${shown.length > 0 && html`<table class="servers cards">
      <thead><tr>${COLUMNS.map(([name, title]) => html`<th scope="col" class=${name} aria-sort=${sort === name ? 'ascending' : undefined}><button class="sort" onClick=${() => setQuery({ sort: name === 'name' ? '' : name })}>${title}</button></th>`)}</tr></thead>
      <tbody>${shown.map((row) => html`<${Part} key=${row.id} name=${row.name} of=${row} columns=${COLUMNS.length}><${Row} row=${row} /></${Part}>`)}</tbody>
    </table>`}
    ${all.length > 0 && !shown.length && html`<p class="dim empty">None of ${plural(all.length, 'server')} fits. <button class="quiet" onClick=${() => setQuery({ q: '', state: '' })}>Show all</button></p>`}
    ${adds && html`<${Add} onClose=${() => setAdds(false)} />`}`;
}

function Row({ row }) {
  return html`<tr>
    <th scope="row" class="name"><a href=${to('server', row.name)}>${seen(row.name)}</a><div class="dim small">${row.transport === 'stdio' ? '' : `${row.transport} · `}${plural(row.tools, 'tool')}${row.unapproved ? html` · <span class="warn">${row.unapproved} not approved</span>` : ''}</div></th>
    <td class="state"><div class="why"><${State} state=${row.state} phase=${row.phase} loop=${row.crash_loop} />
      ${row.next_start_at && html` <${Countdown} to=${row.next_start_at} />`}
      ${row.breaker !== 'closed' && html` <span class="warn">breaker ${row.breaker.replace('_', ' ')}</span>`}
      ${row.cause && html`<div class="cause" title=${seen(row.cause)}>${seen(row.cause)}</div>`}
      ${row.update && html`<div class="cause">its edit is ${row.update.state}${row.update.cause ? `: ${seen(row.update.cause)}` : ''}; the earlier one serves on</div>`}</div></td>
    <td data-label="For"><${Since} at=${row.since} /></td>
    <td data-label="Calls/s" class="n">${row.calls_per_second ? row.calls_per_second.toFixed(1) : '0'}</td>
    <td data-label="p50 / p99" class="n">${row.p50_ms === null ? '–' : `${ms(row.p50_ms)} / ${ms(row.p99_ms)}`}</td>
    <td data-label="Errors" class="n">${count(row.errors)}<span class="dim"> of ${count(row.calls)}</span></td>
    <td data-label="In flight" class="n">${row.in_flight}${row.queued ? html` <span class="warn">+${row.queued} queued</span>` : ''}</td>
    <td data-label="Memory" class="n">${row.processes ? bytes(row.rss_bytes) : '–'}</td>
    <td data-label="CPU" class="n">${row.processes ? `${Math.round((row.cpu ?? 0) * 100)} %` : '–'}</td>
    <td data-label="Restarts" class="n">${row.restarts}</td>
  </tr>`;
}

const KINDS = [['npx', 'npm package', 'npx:'], ['uvx', 'Python package', 'uvx:'], ['command', 'Command', ''], ['url', 'Address', '']];

/** Splits a line into arguments as a shell does, with quotes and backslashes and nothing else of it. */
export function split(line) {
  const out = [];
  let word = null;
  let within = '';
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at];
    if (within) {
      if (char === within) within = '';
      else if (char === '\\' && within === '"' && at + 1 < line.length) { at += 1; word += line[at]; } else word += char;
    } else if (char === '"' || char === "'") { within = char; word ??= ''; } else if (char === '\\' && at + 1 < line.length) { at += 1; word = (word ?? '') + line[at]; } else if (/\s/.test(char)) { if (word !== null) out.push(word); word = null; } else word = (word ?? '') + char;
  }
  if (word !== null) out.push(word);
  return out;
}

const suggested = (kind, what) => {
  const text = kind === 'url' ? what.replace(/^\w+:\/\//, '').split(/[/:]/)[0].split('.').at(-2) ?? '' : (split(what)[0] ?? '').replace(/(.)@.*$/, '$1').split('/').at(-1);
  return text.replace(/^(mcp-server-|server-)/, '').replace(/(-mcp|-server)+$/, '');
};

const pairs = (text) => Object.fromEntries(text.split('\n').map((line) => line.trim()).filter(Boolean).map((line) => { const at = line.indexOf('='); return at < 1 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)]; }));

function Add({ onClose }) {
  const [kind, setKind] = useState('npx');
  const [what, setWhat] = useState('');
  const [more, setMore] = useState('');
  const [name, setName] = useState('');
  const [env, setEnv] = useState('');
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const called = name.trim() || suggested(kind, what);
  const variables = pairs(env);
  const words = split(more);
  const command = split(what);
  const definition = kind === 'url' ? { name: called, url: what.trim(), ...(Object.keys(variables).length ? { headers: variables } : {}) }
    : { name: called, ...(kind === 'command' ? { command: command[0] ?? '', args: command.slice(1) } : kind === 'npx' ? { command: 'npx', args: ['-y', what.trim(), ...words] } : { command: 'uvx', args: [what.trim(), ...words] }), ...(Object.keys(variables).length ? { env: variables } : {}) };
  const flags = [`--name ${quote(called || 'NAME')}`, ...Object.entries(variables).map(([key, value]) => (kind === 'url' ? `--header ${quote(`${key}: ${value}`)}` : `--env ${quote(`${key}=${value}`)}`))];
  const line = kind === 'command' ? `mcpvisor add ${flags.join(' ')} -- ${command.map(quote).join(' ') || 'COMMAND'}`
    : `mcpvisor add ${flags.join(' ')} ${quote((kind === 'url' ? '' : `${kind}:`) + (what.trim() || (kind === 'url' ? 'https://…' : 'PACKAGE')))}${words.length ? ` -- ${words.map(quote).join(' ')}` : ''}`;
  const add = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const told = await ask('POST', '/api/servers', definition);
      toast(told.message);
      onClose();
      location.hash = to('server', called);
    } catch (refused) { setError(refused); }
    setBusy(false);
  };
  const curl = `curl -s ${outside()}/api/servers -H "Authorization: Bearer $MCPVISOR_KEY" -H 'Content-Type: application/json' -d ${quote(JSON.stringify(definition))}`;
  return html`<${Dialog} title="Add a server" onClose=${onClose} wide>
    <form onSubmit=${add}>
      <div class="tabs" role="radiogroup" aria-label="Kind">${KINDS.map(([id, title]) => html`<label class="chip"><input type="radio" name="kind" checked=${kind === id} onChange=${() => setKind(id)} /> ${title}</label>`)}</div>
      <label>${{ npx: 'Package', uvx: 'Package', command: 'Command with its arguments', url: 'Address' }[kind]}
        <input required spellcheck="false" value=${what} onInput=${(event) => setWhat(event.target.value)} placeholder=${{ npx: '@modelcontextprotocol/server-everything', uvx: 'mcp-server-time', command: '/usr/local/bin/my-server --verbose', url: 'https://mcp.example.com/mcp' }[kind]} /></label>
      ${(kind === 'npx' || kind === 'uvx') && html`<label>Arguments of the package<input spellcheck="false" value=${more} onInput=${(event) => setMore(event.target.value)} placeholder="none" /></label>`}
      <label>Name<input spellcheck="false" value=${name} onInput=${(event) => setName(event.target.value)} placeholder=${suggested(kind, what) || 'its name here'} /></label>
      <label>${kind === 'url' ? 'Headers' : 'Environment'}<textarea rows="2" spellcheck="false" value=${env} onInput=${(event) => setEnv(event.target.value)} placeholder=${kind === 'url' ? 'Authorization=Bearer ${env:TOKEN}' : 'TOKEN=${env:TOKEN}'}></textarea><span class="dim small">One a line, NAME=value. A reference such as <code>${'${env:TOKEN}'}</code> keeps the secret out of here.</span></label>
      <${Command} text=${line} label="The same on the command line" />
      <${Problem} error=${error} />
      <p class="dim small">The answer means "stored": a first start may download for minutes, and the page shows how far it is.</p>
      <footer><button type="button" onClick=${onClose}>Cancel</button><button class="main" disabled=${busy || !what.trim() || !called}>Add</button></footer>
      <details><summary>As curl</summary><${Command} text=${curl} label="The same as a request" /></details>
    </form>
  </${Dialog}>`;
}
