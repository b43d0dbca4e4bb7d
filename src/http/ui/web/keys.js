// Keys: made of what the catalog has, shown once, narrowed, rotated, ended; and what each of them sees.
import { useEffect, useState } from './hooks.mjs';
import { Act, Command, Copy, Dialog, Loading, Problem, Since, Virtual, count, html, local, plural, quote, seen } from './parts.js';
import { ask, setQuery, useAsk, useRoute, useStore } from './net.js';

const id = encodeURIComponent;

export function Keys() {
  const { query } = useRoute();
  const status = query.status ?? 'active';
  const { data, error, reload } = useAsk(`/v1/api-keys?per_page=100&status=${status}`);
  const [open, setOpen] = useState(null);
  return html`<div class="title"><h1>Keys</h1><button class="main push" onClick=${() => setOpen({ is: 'new' })}>Make a key</button></div>
    <div class="bar"><div class="chips" role="group" aria-label="Which keys">${['active', 'expired', 'revoked', 'all'].map((name) => html`<button class="chip" aria-pressed=${status === name} onClick=${() => setQuery({ status: name })}>${name}</button>`)}</div>
      ${data && html`<span class="dim">${plural(data.whole.pagination?.total ?? data.length, 'key')}${data.whole.pagination?.total > data.length ? `, the newest ${data.length} here` : ''}</span>`}</div>
    <${Problem} error=${error} retry=${reload} />
    ${!data && !error && html`<${Loading} />`}
    ${data?.length > 0 && html`<table class="cards"><thead><tr><th scope="col">Name</th><th scope="col">Owner</th><th scope="col">May use</th><th scope="col">Limits</th><th scope="col">Calls</th><th scope="col">Last used</th><th scope="col">Ends</th><th scope="col"><span class="off">Acts</span></th></tr></thead><tbody>
      ${data.map((key) => html`<tr key=${key.id}><th scope="row"><button class="link" onClick=${() => setOpen({ is: 'sees', key })}>${seen(key.name)}</button><div class="dim small"><code>${seen(key.prefix)}…</code></div></th>
        <td data-label="Owner">${seen(key.owner_id)}</td><td data-label="May use">${summary(key.permissions)}</td><td data-label="Limits">${limits(key.limits)}</td>
        <td data-label="Calls" class="n">${count(key.usage?.total_requests)}</td><td data-label="Last used">${key.last_used ? html`<${Since} at=${key.last_used} /> ago` : 'never'}</td><td data-label="Ends">${key.status !== 'active' ? key.status : key.expires_at ? local(key.expires_at) : 'never'}</td>
        <td class="actions">${key.status === 'active' && html`<button class="quiet" aria-label=${`Rotate ${seen(key.name)}`} onClick=${() => setOpen({ is: 'rotate', key })}>Rotate…</button><button class="quiet" aria-label=${`Revoke ${seen(key.name)}`} onClick=${() => setOpen({ is: 'revoke', key })}>Revoke…</button>`}</td></tr>`)}
    </tbody></table>`}
    ${data && !data.length && html`<p class="dim empty">No key is ${status}.</p>`}
    ${open?.is === 'new' && html`<${Make} onClose=${() => { setOpen(null); reload(); }} />`}
    ${open?.is === 'sees' && html`<${Sees} apiKey=${open.key} onClose=${() => setOpen(null)} />`}
    ${open?.is === 'rotate' && html`<${Rotate} apiKey=${open.key} onClose=${() => { setOpen(null); reload(); }} />`}
    ${open?.is === 'revoke' && html`<${Dialog} title=${`Revoke ${seen(open.key.name)}?`} onClose=${() => setOpen(null)}>
      <p>It is refused from the moment this is answered, also in calls that wait and in pages that are open with it. This cannot be undone.</p><${Command} text=${`mcpvisor keys rm ${open.key.id}`} />
      <footer><button onClick=${() => setOpen(null)}>Cancel</button><${Act} kind="main danger" act=${() => ask('DELETE', `/v1/api-keys/${id(open.key.id)}`)} done=${(told) => (told.durable === false ? told.warning : `${open.key.name} is revoked`)} onDone=${() => { setOpen(null); reload(); }}>Revoke</${Act}></footer></${Dialog}>`}`;
}

const limits = (of) => [of?.requests_per_second && `${of.requests_per_second}/s`, of?.monthly_requests && `${count(of.monthly_requests)} a month`, of?.calls_at_once && `${of.calls_at_once} at once`].filter(Boolean).join(', ') || '–';
const named = (servers, mcp) => seen(servers.get(mcp)?.name ?? mcp);

function summary(permissions) {
  const { mcps = '*', tools = '*' } = permissions ?? {};
  const on = mcps === '*' ? 'all servers' : plural(mcps.length, 'server');
  if (tools === '*') return on;
  const n = Array.isArray(tools) ? tools.length : Object.values(tools).reduce((sum, list) => sum + (list === '*' ? 0 : list.length), 0);
  return `${on}, ${plural(n, 'tool')}`;
}

/** Does a tool's name fit a pattern, in which `*` stands for any characters? */
const fits = (pattern, name) => new RegExp(`^${pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`, 's').test(name);

export function mayUse({ mcps = '*', tools = '*' }, server, tool) {
  if (mcps !== '*' && !mcps.includes(server)) return false;
  if (tools === '*') return true;
  const list = Array.isArray(tools) ? tools : tools[server] ?? tools['*'] ?? [];
  return list === '*' || list.some((pattern) => fits(pattern, tool));
}

/** The tools of servers, asked for as they are needed. */
function useCatalog(ids) {
  const [of, set] = useState({});
  useEffect(() => {
    for (const mcp of ids) {
      if (of[mcp] === undefined) {
        set((before) => ({ ...before, [mcp]: null }));
        ask('GET', `/v1/mcps/${id(mcp)}`).then((told) => set((before) => ({ ...before, [mcp]: told.tools }))).catch(() => set((before) => ({ ...before, [mcp]: [] })));
      }
    }
  }, [ids.join()]);
  return of;
}

function Sees({ apiKey, onClose }) {
  const { servers } = useStore();
  const own = [...servers.values()].filter((row) => (apiKey.permissions?.mcps ?? '*') === '*' || apiKey.permissions.mcps.includes(row.id));
  const catalog = useCatalog(own.map((row) => row.id));
  const rows = own.flatMap((row) => [{ server: row }, ...(catalog[row.id] ?? []).map((tool) => ({ server: row, tool, may: mayUse(apiKey.permissions ?? {}, row.id, tool.name) }))]).filter((entry) => !entry.tool || entry.may);
  return html`<${Dialog} title=${`What ${seen(apiKey.name)} sees`} onClose=${onClose} wide>
    <p class="dim">${plural(own.length, 'server')}, ${plural(rows.filter((entry) => entry.tool).length, 'tool')} of those announced now. Limits: ${limits(apiKey.limits)}.</p>
    ${rows.length > 0 && html`<${Virtual} rows=${rows} height=${36} max=${400} id=${(entry) => `${entry.server.id} ${entry.tool?.name ?? ''}`} label="What it sees" row=${(entry) => (entry.tool ? html`<div class="tool indent"><span>${seen(entry.tool.name)}</span> <span class="dim small line">${seen(entry.tool.description)}</span></div>` : html`<div class="tool"><strong>${seen(entry.server.name)}</strong></div>`)} />`}
    <dl class="facts"><div><dt>Id</dt><dd><code>${seen(apiKey.id)}</code></dd></div><div><dt>Made</dt><dd>${local(apiKey.created_at)}</dd></div><div><dt>By</dt><dd>${seen(apiKey.created_by?.key_id ?? '–')}</dd></div></dl>
  </${Dialog}>`;
}

function Shown({ text, warnings, onClose }) {
  return html`<p><strong>The key is shown this once.</strong> Only its hash is kept.</p>
    <pre class="secret" tabindex="0">${text}</pre><div class="actions"><${Copy} text=${text} kind="main" label="Copy the key" /></div>
    ${warnings?.map((warning) => html`<p class="note warn">${seen(warning)}</p>`)}
    <footer><button onClick=${onClose}>Done</button></footer>`;
}

function Rotate({ apiKey, onClose }) {
  const [grace, setGrace] = useState('1h');
  const [made, setMade] = useState(null);
  return html`<${Dialog} title=${`Rotate ${seen(apiKey.name)}`} onClose=${onClose}>
    ${made ? html`<${Shown} text=${made.key} onClose=${onClose} />` : html`
      <label>The text of now is good for <select value=${grace} onChange=${(event) => setGrace(event.target.value)}>${['0s', '10m', '1h', '24h', '168h'].map((time) => html`<option value=${time}>${time === '0s' ? 'no longer' : time}</option>`)}</select></label>
      <${Command} text=${`mcpvisor keys rotate ${apiKey.id}${grace === '0s' ? '' : ` --grace ${grace}`}`} />
      <footer><button onClick=${onClose}>Cancel</button><${Act} kind="main" act=${() => ask('POST', `/v1/api-keys/${id(apiKey.id)}/rotate`, grace === '0s' ? {} : { grace })} onDone=${setMade}>Rotate</${Act}></footer>`}
  </${Dialog}>`;
}

function Make({ onClose }) {
  const { servers } = useStore();
  const [name, setName] = useState('');
  const [rate, setRate] = useState('');
  const [ends, setEnds] = useState('');
  const [all, setAll] = useState(true);
  const [chosen, setChosen] = useState({});
  const [find, setFind] = useState('');
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const rows = [...servers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const catalog = useCatalog(all ? [] : rows.map((row) => row.id));
  const flip = (mcp, tool) => setChosen((before) => {
    const now = before[mcp];
    let next;
    if (tool === undefined) next = now ? undefined : '*';
    else if (now === '*') next = (catalog[mcp] ?? []).map((one) => one.name).filter((other) => other !== tool);
    else next = now?.includes(tool) ? now.filter((other) => other !== tool) : [...(now ?? []), tool];
    return { ...before, [mcp]: next?.length ? next : undefined };
  });
  const picked = Object.entries(chosen).filter(([, tools]) => tools);
  const permissions = all ? { mcps: '*' } : { mcps: picked.map(([mcp]) => mcp), ...(picked.every(([, tools]) => tools === '*') ? {} : { tools: Object.fromEntries(picked) }) };
  const expires = ends ? new Date(Date.now() + Number(ends) * 86400000).toISOString().replace(/\.\d+/, '') : undefined;
  const body = { name: name.trim(), permissions, ...(rate ? { limits: { requests_per_second: Number(rate) } } : {}), ...(expires ? { expires_at: expires } : {}) };
  const patterns = picked.flatMap(([mcp, tools]) => (tools === '*' ? (picked.every(([, other]) => other === '*') ? [] : [`${named(servers, mcp)}.*`]) : tools.map((tool) => (picked.length > 1 ? `${named(servers, mcp)}.${tool}` : tool))));
  const typed = ['mcpvisor keys create', `--name ${quote(name.trim() || 'NAME')}`, ...(all ? [] : [`--servers ${quote(picked.map(([mcp]) => named(servers, mcp)).join(','))}`]), ...(patterns.length ? [`--tools ${quote(patterns.join(','))}`] : []), ...(rate ? [`--rate ${quote(rate)}`] : []), ...(ends ? [`--expires ${ends}d`] : [])].join(' ');
  const word = find.toLowerCase();
  const list = rows.flatMap((row) => [{ row }, ...(catalog[row.id] ?? []).map((tool) => ({ row, tool }))]).filter((entry) => !word || `${entry.row.name} ${entry.tool?.name ?? ''}`.toLowerCase().includes(word));
  const make = async (event) => {
    event.preventDefault();
    setError(null);
    try { setMade(await ask('POST', '/v1/api-keys', body)); } catch (refused) { setError(refused); }
  };
  if (made) return html`<${Dialog} title=${`${seen(made.name)} is made`} onClose=${onClose}><${Shown} text=${made.key} warnings=${made.whole.warnings} onClose=${onClose} /></${Dialog}>`;
  return html`<${Dialog} title="Make a key" onClose=${onClose} wide><form onSubmit=${make}>
    <label>Name<input required maxlength="100" value=${name} onInput=${(event) => setName(event.target.value)} placeholder="who or what will use it" /></label>
    <div class="pair"><label>Requests a second<input type="number" min="1" max="1000000" value=${rate} onInput=${(event) => setRate(event.target.value)} placeholder="no limit of its own" /></label>
      <label>Ends<select value=${ends} onChange=${(event) => setEnds(event.target.value)}><option value="">never</option>${[1, 7, 30, 90, 365].map((days) => html`<option value=${days}>in ${plural(days, 'day')}</option>`)}</select></label></div>
    <fieldset class="field"><legend>May use</legend>
      <label class="inline"><input type="radio" name="all" checked=${all} onChange=${() => setAll(true)} /> all servers, also those to come</label>
      <label class="inline"><input type="radio" name="all" checked=${!all} onChange=${() => setAll(false)} /> what is chosen here</label>
      ${!all && html`<input type="search" aria-label="Find a tool" placeholder="Find a server or tool" value=${find} onInput=${(event) => setFind(event.target.value)} />
        <${Virtual} rows=${list} height=${34} max=${272} label="Servers and tools" id=${(entry) => `${entry.row.id} ${entry.tool?.name ?? ''}`} row=${({ row, tool }) => {
    const of = chosen[row.id];
    const on = tool ? of === '*' || Boolean(of?.includes(tool.name)) : Boolean(of);
    return html`<label class=${tool ? 'inline tool indent' : 'inline tool'}><input type="checkbox" checked=${on} indeterminate=${!tool && Array.isArray(of)} onChange=${() => flip(row.id, tool?.name)} /> ${tool ? seen(tool.name) : html`<strong>${seen(row.name)}</strong>`}${!tool && of === '*' ? html` <span class="dim small">all its tools</span>` : ''}</label>`;
  }} />`}
    </fieldset>
    <${Command} text=${typed} />
    <${Problem} error=${error} />
    <footer><button type="button" onClick=${onClose}>Cancel</button><button class="main" disabled=${!name.trim() || (!all && !picked.length)}>Make it</button></footer>
  </form></${Dialog}>`;
}
