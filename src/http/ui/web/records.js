// What was called, how much, and who did what.
import { useEffect, useMemo, useReducer, useRef, useState } from './hooks.mjs';
import { Bars, Command, Loading, Problem, bytes, count, day, html, local, ms, plural, quote, seen } from './parts.js';
import { ask, setQuery, to, useAsk, useNow, useRoute, useStore } from './net.js';

const Select = ({ name, label, value, choices }) => html`<label class="inline">${label} <select value=${value} onChange=${(event) => setQuery({ [name]: event.target.value })}>${choices.map(([key, title]) => html`<option value=${key}>${title}</option>`)}</select></label>`;
/** A choice among the servers, and a filter that was chosen elsewhere, to be taken away. */
const OfServer = ({ value }) => { const names = [...useStore().servers.values()].map((row) => row.name).sort(); return html`<${Select} name="server" label="Server" value=${value} choices=${[['', 'all'], ...names.map((name) => [name, seen(name)])]} />`; };
const Chip = ({ name, value }) => value && html`<button class="chip" aria-pressed="true" onClick=${() => setQuery({ [name]: '' })}>${name} ${seen(value)} ✕</button>`;
/** Filters as parameters of an address, those that are empty left out. */
const filtered = (filters) => Object.entries(filters).filter(([, value]) => value).map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join('');
const share = (part, whole) => (whole ? `${((part / whole) * 100).toFixed(part && part / whole < 0.1 ? 1 : 0)} %` : '–');

const SPANS_OF_USAGE = [['1h', 'the last hour'], ['24h', 'the last 24 hours'], ['day', 'today (UTC)'], ['week', 'this week'], ['month', 'this month'], ['own', 'from … until …']];
const LENGTHS = { '1h': 3600, '24h': 86400 };
const STEPS = { '5m': 300, '1h': 3600, '1d': 86400 };
/** A time as the API reads it, of milliseconds or of what a field for local time holds; nothing for what is none. */
const exact = (at) => { const time = new Date(at); return at && !Number.isNaN(+time) ? time.toISOString().replace(/\.\d+/, '') : ''; };

/** The span that was chosen: as parameters of /v1/usage, as flags of the command, and its length in seconds. */
function chosenSpan({ period = 'month', since = '', until = '' }, minute) {
  if (LENGTHS[period]) return { asked: `since=${exact(minute - LENGTHS[period] * 1000)}`, typed: `--since ${period}`, length: LENGTHS[period] };
  if (period !== 'own') return { asked: `period=${period}`, typed: `--period ${quote(period)}`, length: { day: 86400, week: 604800 }[period] ?? 2678400 };
  const [from, to] = [exact(since), exact(until)];
  if (!from) return { asked: '', typed: '', length: 0 };
  return { asked: `since=${from}${to ? `&until=${to}` : ''}`, typed: `--since ${from}${to ? ` --until ${to}` : ''}`, length: Math.max(0, ((to ? new Date(to) : minute) - new Date(from)) / 1000) };
}

/** The steps of a chart, those without a call among them: at most 400 of them, so that each can be seen. */
function bars(data) {
  const step = data.step_seconds * 1000;
  const end = Math.min(Date.now(), +new Date(data.end_date));
  const named = new Map(data.groups.map((group) => [+new Date(group.start), group]));
  const all = [];
  for (let at = Math.floor(new Date(data.start_date) / step) * step; at <= end && all.length < 400; at += step) all.push({ name: step === 86400000 ? day(at) : local(at), value: named.get(at)?.requests ?? 0, bad: named.get(at)?.errors ?? 0 });
  return all;
}

const Pick = ({ name, value, children }) => html`<button class="link" title=${`Only ${seen(children)}`} onClick=${() => setQuery({ [name]: value })}>${seen(children)}</button>`;

export function Usage() {
  const { query } = useRoute();
  const { period = 'month', server = '', tool = '', key = '' } = query;
  // A span that ends now ends when it was chosen, until somebody wants it counted again.
  const [turn, again] = useReducer((n) => n + 1, 0);
  const minute = useMemo(() => Math.floor(Date.now() / 60000) * 60000, [period, turn]);
  const span = chosenSpan(query, minute);
  // As fine as 100 bars or so show it; what is older is kept in longer steps, and told so by the answer.
  const step = STEPS[query.step] ? query.step : span.length <= 21600 ? '5m' : span.length <= 345600 ? '1h' : '1d';
  const narrowed = filtered({ mcp_id: server, tool, key_id: key });
  const { data, error, reload } = useAsk(span.asked && `/v1/usage?${span.asked}${narrowed}&by=key,server,tool`);
  const chart = useAsk(span.asked && `/v1/usage?${span.asked}${narrowed}&step=${step}`);
  const parts = [['by_mcp', 'server', 'server', (entry) => entry.name ?? entry.mcp_id, (entry) => entry.name ?? entry.mcp_id], ['by_tool', 'tool', 'tool', (entry) => entry.tool, (entry) => entry.tool], ['by_api_key', 'key', 'key', (entry) => entry.name ?? entry.key_id, (entry) => entry.key_id]];
  const moment = (name, title) => html`<label class="inline">${title} <input type="datetime-local" step="1" value=${query[name] ?? ''} onChange=${(event) => setQuery({ [name]: event.target.value })} /></label>`;
  return html`<div class="title"><h1>Usage</h1>${data && html`<span class="dim">${local(data.start_date)} to ${local(data.end_date)}, counted by the ${seen(data.resolution)}</span>`}</div>
    <div class="bar"><${Select} name="period" label="Of" value=${period} choices=${SPANS_OF_USAGE} />${period === 'own' && html`${moment('since', 'From')}${moment('until', 'until')}`}
      <${OfServer} value=${server} /><${Select} name="step" label="Bars of" value=${query.step ?? ''} choices=${[['', 'what fits'], ['5m', '5 minutes'], ['1h', 'an hour'], ['1d', 'a day']]} />
      <${Chip} name="tool" value=${tool} /><${Chip} name="key" value=${key} />
      <button class="quiet" onClick=${() => { again(); reload(); chart.reload(); }}>Count again</button></div>
    <${Problem} error=${error ?? chart.error} retry=${reload} />
    ${!span.asked && html`<p class="dim empty">Say from when on.</p>`}${span.asked && !data && !error && html`<${Loading} />`}
    ${chart.data && html`<section class="card wide"><${Bars} buckets=${bars(chart.data)} label="Calls" />${chart.data.step_seconds !== STEPS[step] && html`<p class="dim small">So long ago, calls are kept by the ${seen(chart.data.resolution)}.</p>`}</section>`}
    ${data && html`<section class="card wide"><dl class="facts"><div><dt>Calls</dt><dd>${count(data.requests.total)}${data.requests.limit ? ` of ${count(data.requests.limit)}` : ''}</dd></div><div><dt>Failed</dt><dd>${count(data.by_status.error)} (${share(data.by_status.error, data.requests.total)})</dd></div><div><dt>Mean duration</dt><dd>${ms(data.avg_latency_ms)}</dd></div><div><dt>Arguments / results</dt><dd>${bytes(data.bytes?.arguments)} / ${bytes(data.bytes?.results)}</dd></div></dl></section>
      <div class="columns">${parts.map(([part, title, filter, name, value]) => html`<section class="card"><h2>By ${title}</h2>${data[part]?.length ? html`<table class="compact"><thead><tr><th scope="col">${title}</th><th scope="col" class="n">Calls</th><th scope="col" class="n">${part === 'by_api_key' ? 'Share' : 'Failed'}</th></tr></thead><tbody>${data[part].slice(0, 25).map((entry) => html`<tr><th scope="row"><${Pick} name=${filter} value=${value(entry)}>${name(entry)}</${Pick}></th><td class="n">${count(entry.requests)}</td><td class="n">${part === 'by_api_key' ? share(entry.requests, data.requests.total) : count(entry.errors)}</td></tr>`)}</tbody></table>${data[part].length > 25 && html`<p class="dim small">and ${plural(data[part].length - 25, 'other')}</p>`}` : html`<p class="dim">No calls.</p>`}</section>`)}
        <section class="card"><h2>By outcome</h2>${Object.keys(data.by_outcome).length ? html`<table class="compact"><thead><tr><th scope="col">outcome</th><th scope="col" class="n">Calls</th></tr></thead><tbody>${Object.entries(data.by_outcome).map(([outcome, n]) => html`<tr><th scope="row">${outcome}</th><td class="n">${count(n)}</td></tr>`)}</tbody></table>` : html`<p class="dim">No calls.</p>`}</section></div>
      ${data.groups?.length > 0 && html`<section class="card wide"><h2>Who called what</h2><table class="cards"><thead><tr><th scope="col">Key</th><th scope="col">Server</th><th scope="col">Tool</th><th scope="col" class="n">Calls</th><th scope="col" class="n">Failed</th><th scope="col" class="n">Mean</th></tr></thead><tbody>${data.groups.slice(0, 100).map((group) => html`<tr><th scope="row" class="wrap"><a href=${`${to('activity')}?key=${encodeURIComponent(group.key_id)}${group.tool ? `&tool=${encodeURIComponent(group.tool)}` : ''}`}>${seen(group.key_name ?? group.key_id)}</a></th><td data-label="Server">${seen(group.mcp_name ?? group.mcp_id)}</td><td data-label="Tool">${seen(group.tool ?? '–')}</td><td data-label="Calls" class="n">${count(group.requests)}</td><td data-label="Failed" class="n">${count(group.errors)}</td><td data-label="Mean" class="n">${ms(group.avg_latency_ms)}</td></tr>`)}</tbody></table>${data.groups.length > 100 && html`<p class="dim small">and ${plural(data.groups.length - 100 + (data.groups_left_out ?? 0), 'other')}: the command below has all of them</p>`}</section>`}`}
    ${span.typed && html`<${Command} text=${`mcpvisor usage ${span.typed} --by key,server,tool`} />`}`;
}

export function Audit() {
  const { query } = useRoute();
  const page = Number(query.page ?? 1);
  const { action, outcome, member_id, key_id } = query;
  const filters = filtered({ action, outcome, member_id, key_id });
  const { data, error, reload } = useAsk(`/v1/audit?per_page=50&page=${page}${filters}`);
  const pages = data?.whole.pagination?.total_pages ?? 1;
  return html`<div class="title"><h1>Audit</h1>${data && html`<span class="dim">${count(data.whole.pagination?.total)} lines</span>`}</div>
    <div class="bar"><label class="inline">Action <input size="14" placeholder="key, server.add, …" value=${query.action ?? ''} onChange=${(event) => setQuery({ action: event.target.value.trim(), page: '' })} /></label>
      <${Select} name="outcome" label="Outcome" value=${query.outcome ?? ''} choices=${[['', 'all'], ...['done', 'refused', 'failed', 'unknown'].map((name) => [name, name])]} /><button class="quiet" onClick=${reload}>Look again</button>${filters && html`<button class="quiet" onClick=${() => setQuery({ action: '', outcome: '', member_id: '', key_id: '', page: '' })}>All</button>`}</div>
    <${Problem} error=${error} retry=${reload} />${!data && !error && html`<${Loading} />`}
    ${data?.length > 0 && html`<table class="cards"><thead><tr><th scope="col">No.</th><th scope="col">When</th><th scope="col">What</th><th scope="col">On</th><th scope="col">Outcome</th><th scope="col">Who</th><th scope="col">From</th></tr></thead><tbody>${data.map((line) => html`<tr key=${line.number}><th scope="row" class="n">${line.number}</th><td data-label="When">${local(line.at)}</td><td data-label="What"><code>${seen(line.action)}</code></td><td data-label="On" class="wrap">${seen(line.target)}${line.details && Object.keys(line.details).length ? html`<details class="small"><summary>details</summary><pre class="result" tabindex="0">${seen(JSON.stringify(line.details, null, 2).slice(0, 4000))}</pre></details>` : ''}</td><td data-label="Outcome" class=${line.outcome === 'done' ? 'good' : 'bad'}>${line.outcome}${line.status ? ` ${line.status}` : ''}</td><td data-label="Who">${line.member_id ? html`<button class="link" onClick=${() => setQuery({ member_id: line.member_id, page: '' })}>${seen(line.member_id)}</button>` : '–'}</td><td data-label="From" class="dim small">${seen(line.peer ?? '')}<br />${seen(line.request_id ?? '')}</td></tr>`)}</tbody></table>`}
    ${data && !data.length && html`<p class="dim empty">No line fits.</p>`}
    ${pages > 1 && html`<div class="actions"><button disabled=${page <= 1} onClick=${() => setQuery({ page: page - 1 })}>Newer</button><span>${page} of ${pages}</span><button disabled=${page >= pages} onClick=${() => setQuery({ page: page + 1 })}>Older</button></div>`}
    <${Command} text=${`mcpvisor audit${query.action ? ` --action ${quote(query.action)}` : ''} -n 50`} />`;
}

const SPANS = [['300', 'the last 5 minutes'], ['3600', 'the last hour'], ['86400', 'the last day'], ['', 'all that is kept']];

export function Activity() {
  const { query } = useRoute();
  const { servers } = useStore();
  const [calls, setCalls] = useState(undefined);
  const [error, setError] = useState(null);
  const [next, setNext] = useState(null);
  const [follows, setFollows] = useState(true);
  const [open, setOpen] = useState(false);
  const { server = '', tool = '', key = '', outcome = '', span = '3600' } = query;
  const path = () => `/v1/activity?limit=100${filtered({ server, tool, key, outcome, since: span && exact(Date.now() - span * 1000) })}`;
  // Another look when some server has another number of calls, each few seconds at most, and not while one reads on below.
  const sum = [...servers.values()].reduce((all, row) => all + row.calls, 0);
  const due = Math.floor(useNow() / 3000);
  const looked = useRef({ sum: -1, due });
  if (follows && !open && looked.current.sum !== sum && looked.current.due !== due) looked.current = { sum, due };
  const look = looked.current;
  useEffect(() => {
    const abort = new AbortController();
    ask('GET', path(), undefined, abort.signal).then((told) => { setCalls(told.calls); setNext(told.next_cursor); setError(null); }).catch((refused) => { if (refused.name !== 'AbortError') setError(refused); });
    return () => abort.abort();
  }, [server, tool, key, outcome, span, look]);
  useEffect(() => { setOpen(false); }, [server, tool, key, outcome, span]);
  const more = () => ask('GET', `${path()}&cursor=${next}`).then((told) => { setOpen(true); setCalls([...calls, ...told.calls]); setNext(told.next_cursor); }).catch(setError);
  return html`<div class="title"><h1>Activity</h1><label class="inline push"><input type="checkbox" checked=${follows} onChange=${() => setFollows(!follows)} /> follow</label></div>
    <div class="bar"><${Select} name="span" label="Of" value=${span} choices=${SPANS} /><${OfServer} value=${server} />
      <label class="inline">Tool <input size="12" value=${tool} onChange=${(event) => setQuery({ tool: event.target.value.trim() })} /></label><${Select} name="outcome" label="Outcome" value=${outcome} choices=${['', 'ok', 'failed', 'tool_error', 'timed_out', 'unreachable', 'cancelled'].map((name) => [name, name || 'all'])} /><${Chip} name="key" value=${key} /></div>
    ${error?.status === 404 ? html`<p class="note">This daemon keeps no record of single calls. <a href=${to('usage')}>Usage</a> has their sums.</p>` : html`<${Problem} error=${error} />`}
    ${!calls && !error && html`<${Loading} />`}
    ${calls?.length > 0 && html`<table class="cards"><thead><tr><th scope="col">When</th><th scope="col">Server</th><th scope="col">Tool</th><th scope="col">Outcome</th><th scope="col" class="n">Took</th><th scope="col">Key</th><th scope="col">Request</th></tr></thead><tbody>${calls.map((call) => html`<tr key=${call.number}><td data-label="When">${local(call.started_at)}</td><th scope="row" class="wrap"><a href=${to('server', call.mcp_name)}>${seen(call.mcp_name)}</a></th><td data-label="Tool"><button class="link" onClick=${() => setQuery({ tool: call.tool ?? '' })}>${seen(call.tool ?? call.kind)}</button></td><td data-label="Outcome" class=${call.outcome === 'ok' ? 'good' : 'bad'}>${call.outcome}${call.reached ? '' : html` <span class="dim small">reached nobody</span>`}</td><td data-label="Took" class="n">${ms(call.duration_ms)}</td><td data-label="Key"><button class="link" onClick=${() => setQuery({ key: call.key_id })}>${seen(call.key_name || call.key_id)}</button></td><td data-label="Request" class="dim small"><code>${seen(call.request_id)}</code></td></tr>`)}</tbody></table>`}
    ${calls && !calls.length && html`<p class="dim empty">No call fits.</p>`}
    ${next && calls?.length > 0 && html`<div class="actions"><button onClick=${more}>Older ones</button></div>`}
    <${Command} text=${`mcpvisor activity${server ? ` --server ${quote(server)}` : ''}${outcome ? ` --outcome ${quote(outcome)}` : ''} -f`} />`;
}
