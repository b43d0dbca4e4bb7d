// One server: why it is as it is, its log, its tools and a call of them, what of them was not approved, its definition.
import { useEffect, useMemo, useRef, useState } from './hooks.mjs';
import { Act, Command, Copy, Countdown, Dialog, Loading, LogLines, Part, Problem, Since, State, Virtual, bytes, count, html, local, ms, plural, prose, quote, seen } from './parts.js';
import { Content, Field, JsonText, Text, initial, isTooLarge } from './form.js';
import { ask, followLog, outside, to, toast, useAsk, useStore } from './net.js';

const id = encodeURIComponent;

export function Server({ name, tab, tool }) {
  const { servers, me, has } = useStore();
  const row = [...servers.values()].find((row) => row.name === name || row.id === name);
  const [asks, setAsks] = useState('');
  // Asked again when the stream says that something of it is otherwise.
  const turn = row && [row.state, row.since, row.restarts, row.failures, row.tools, row.unapproved, row.breaker, row.update?.state, row.update?.cause].join();
  const detail = useAsk(row ? `/v1/mcps/${id(row.id)}` : '', [turn]);
  if (!row) return has ? html`<h1>${seen(name)}</h1><p>There is no such server, or your key does not see it. <a href=${to('servers')}>To the servers</a></p>` : html`<${Loading} />`;
  const tabs = [['overview', 'Overview'], ['tools', `Tools ${row.tools}`], ...(me.may.administer ? [['log', 'Log'], ['approvals', row.unapproved ? `Approvals ${row.unapproved}` : 'Approvals']] : []), ...(me.may.define ? [['definition', 'Definition']] : [])];
  return html`
    <p class="crumb"><a href=${to('servers')}>Servers</a> /</p>
    <div class="title"><h1>${seen(row.name)}</h1><${State} state=${row.state} phase=${row.phase} loop=${row.crash_loop} />
      ${row.next_start_at && html`<${Countdown} to=${row.next_start_at} />`}
      <div class="push actions">
        ${me.may.administer && html`<${Orders} row=${row} />`}
        ${me.may.define && html`<button onClick=${() => setAsks('remove')}>Remove…</button>`}
      </div></div>
    ${row.description && html`<p class="dim">${seen(row.description)}</p>`}
    <nav class="tabs" aria-label="Parts of the server">${tabs.map(([key, title]) => html`<a href=${to('server', row.name, key)} aria-current=${tab === key ? 'page' : undefined}>${title}</a>`)}</nav>
    <${Part} key=${tab} name=${`${tabs.find(([key]) => key === tab)?.[1] ?? tab} of ${row.name}`} of=${tool}>
      ${tab === 'overview' && html`<${Overview} row=${row} detail=${detail} />`}
      ${tab === 'tools' && html`<${Tools} row=${row} detail=${detail} tool=${tool} />`}
      ${tab === 'log' && me.may.administer && html`<${Log} row=${row} />`}
      ${tab === 'approvals' && me.may.administer && html`<${Approvals} row=${row} turn=${turn} />`}
      ${tab === 'definition' && me.may.define && html`<${Definition} row=${row} />`}
    </${Part}>
    ${asks === 'remove' && html`<${Dialog} title=${`Remove ${seen(row.name)}?`} onClose=${() => setAsks('')}>
      <p>Its processes are ended, and its calls are refused from then on. Its definition is not kept; what it has done stays in the records.</p>
      <${Command} text=${`mcpvisor rm ${quote(row.name)}`} />
      <footer><button onClick=${() => setAsks('')}>Cancel</button><${Act} kind="main danger" act=${() => ask('DELETE', `/api/servers/${id(row.name)}`)} done=${(told) => told.message} onDone=${() => { location.hash = to('servers'); }}>Remove</${Act}></footer>
    </${Dialog}>`}`;
}

/** What may be asked of a server as it is now: the word, how it is told of, and the title of its button. */
const orders = (row) => (!row.is_active ? [['enable', 'is enabled', 'Enable']]
  : ['idle', 'stopped', 'exited', 'failed'].includes(row.state) ? [['start', 'is being started', 'Start'], ['disable', 'is disabled', 'Disable']]
    : [['restart', 'is being restarted; a child that serves is replaced when its successor is ready', row.state === 'backoff' ? 'Start now' : 'Restart'], ['stop', 'is being stopped, and stays so until somebody starts it', 'Stop'], ['disable', 'is disabled', 'Disable']]);

const Orders = ({ row }) => orders(row).map(([order, told, title]) => html`<${Act} key=${order} title=${`mcpvisor ${order} ${quote(row.name)}`} act=${() => ask('POST', `/v1/mcps/${id(row.id)}/${order}`, {})} done=${`${row.name} ${told}`}>${title}</${Act}>`);

/** Whose calls wait, for whom it concerns. */
function Queue({ row }) {
  const { data, error } = useAsk(`/v1/mcps/${id(row.id)}/queue`, [row.queued, row.calls]);
  return html`<section class="card"><h2>Who waits</h2><p class="dim small">Each key has a line of its own, and the lines take turns.</p><${Problem} error=${error} />
    ${data?.length > 0 && html`<table class="compact"><thead><tr><th scope="col">Key</th><th scope="col" class="n">Calls</th></tr></thead><tbody>${data.slice(0, 12).map((line) => html`<tr key=${line.key_id}><th scope="row"><a href=${`${to('activity')}?key=${id(line.key_id)}`}>${seen(line.key_name ?? line.key_id)}</a></th><td class="n">${count(line.waiting)}</td></tr>`)}</tbody></table>${data.length > 12 && html`<p class="dim small">and ${plural(data.length - 12, 'other')}</p>`}`}
    ${data && !data.length && html`<p class="dim">Nobody any more.</p>`}</section>`;
}

/** What is found to be wrong with a server beside what is said above it, and what to do about both. */
function Findings({ row }) {
  const { data, error, reload } = useAsk(`/v1/doctor?server=${id(row.id)}`, [row.state, row.cause, row.update?.cause]);
  const isSaid = (one) => ['state', 'update'].includes(one.place);
  const found = data?.findings?.filter((one) => one.fix || !isSaid(one)) ?? [];
  if (!found.length && !error) return null;
  return html`<section class="card wide"><h2>What to do</h2><${Problem} error=${error} retry=${reload} />
    ${found.map((one) => html`<div class="finding">${!isSaid(one) && html`<p><strong class=${one.severity === 'error' ? 'bad' : one.severity === 'warning' ? 'warn' : ''}>${seen(one.cause)}</strong> <span class="dim small">${seen(one.place)}</span></p>`}${one.fix && html`<p>${prose(one.fix)}</p>`}${one.command && html`<${Command} text=${one.command} label="A command that helps" />`}</div>`)}</section>`;
}

const Fact = ({ name, children }) => html`<div><dt>${name}</dt><dd>${children}</dd></div>`;

function Overview({ row, detail }) {
  const { me } = useStore();
  const { data, error, reload } = detail;
  const how = data?.supervision;
  const edit = how?.update;
  return html`<div class="columns">
    <section class=${row.cause ? 'card wide' : 'card wide plain'}>
      ${row.cause ? html`<h2>${row.state === 'ready' ? 'What is wrong' : 'Why it does not serve'}</h2><p class="cause big">${seen(row.cause)}</p>` : html`<h2>State</h2><p>${row.state} <${Since} at=${row.since} prefix="for " />.</p>`}
      ${how && html`<p class="dim">${how.failures > 0 ? `${plural(how.failures, 'failure')} in a row. ` : ''}${how.last_exit && seen(how.last_exit) !== seen(row.cause) ? `Last end: ${seen(how.last_exit)}. ` : ''}${how.next_start_at ? html`The ${row.crash_loop ? 'back-off is long by now' : 'back-off grows with each failure'}: <${Countdown} to=${how.next_start_at} />.` : ''}</p>`}
      ${how?.first_stderr?.length > 0 && html`<h3>First lines on stderr</h3><pre class="stderr" tabindex="0">${how.first_stderr.map(seen).join('\n')}</pre>`}
      ${row.cause && how?.last_stderr?.length > 0 && html`<h3>Last lines on stderr</h3><pre class="stderr" tabindex="0">${how.last_stderr.map(seen).join('\n')}</pre>`}
      ${how?.remarks?.map((text) => html`<p class="note">${seen(text)}</p>`)}
      ${how?.unenforced?.map((text) => html`<p class="note warn">Not enforced here: ${seen(text)}</p>`)}
      <${Problem} error=${error} retry=${reload} />
    </section>
    ${me.may.administer && html`<${Findings} row=${row} />`}
    ${edit && html`<section class="card wide"><h2>A changed definition is on its way: ${edit.state}</h2><p>The earlier one serves on until the new one is ready, so no call is lost.</p>${edit.cause && html`<p class="cause big">${seen(edit.cause)}</p>`}${edit.next_start_at && html`<p><${Countdown} to=${edit.next_start_at} /></p>`}${edit.last_stderr?.length > 0 && html`<pre class="stderr" tabindex="0">${edit.last_stderr.map(seen).join('\n')}</pre>`}</section>`}
    <section class="card"><h2>Calls</h2><dl class="facts">
      <${Fact} name="Calls a second">${row.calls_per_second}</${Fact}><${Fact} name="Median / 99 %">${ms(row.p50_ms)} / ${ms(row.p99_ms)}</${Fact}>
      <${Fact} name="All / failed">${count(row.calls)} / ${count(row.errors)}</${Fact}><${Fact} name="In flight / queued">${row.in_flight} / ${row.queued}</${Fact}>
      <${Fact} name="Breaker">${row.breaker.replace('_', ' ')}${row.breaker_until ? `, a trial at ${local(row.breaker_until)}` : ''}</${Fact}>
      <${Fact} name="Last call">${data ? local(data.last_active) : '–'}</${Fact}></dl></section>
    ${me.may.administer && row.queued > 0 && html`<${Queue} row=${row} />`}
    <section class="card"><h2>Processes</h2><dl class="facts">
      <${Fact} name="State for"><${Since} at=${row.since} /></${Fact}><${Fact} name="Restarts">${row.restarts}</${Fact}>
      <${Fact} name="Memory of the tree">${bytes(row.rss_bytes)}</${Fact}><${Fact} name="CPU of the tree">${row.cpu === null ? '–' : `${Math.round(row.cpu * 100)} %`}</${Fact}>
      <${Fact} name="Processes">${row.processes ?? '–'}${how?.pid ? `, pid ${how.pid}` : ''}</${Fact}><${Fact} name="Speaks">${data?.protocol_version ? `MCP ${seen(data.protocol_version)}` : '–'}</${Fact}>
      <${Fact} name="Is">${data?.server_info ? `${seen(data.server_info.name)} ${seen(data.server_info.version)}` : '–'}</${Fact}><${Fact} name="Reached by">${row.transport}</${Fact}></dl></section>
    ${how?.replicas?.length > 0 && html`<section class="card wide"><h2>${how.replicas.some((one) => one.outdated) ? 'Both generations' : 'Replicas'}</h2><table class="cards"><thead><tr><th scope="col">Place</th><th scope="col">State</th><th scope="col">Since</th><th scope="col">Run</th><th scope="col">pid</th><th scope="col">Definition</th></tr></thead>
      <tbody>${how.replicas.map((one) => html`<tr key=${one.number}><th scope="row">${one.number}</th><td><${State} state=${one.state} /></td><td data-label="Since"><${Since} at=${one.since} /></td><td data-label="Run">${one.incarnation}</td><td data-label="pid">${one.pid ?? '–'}</td><td data-label="Definition">${one.outdated ? 'the earlier one' : 'as it is now'}</td></tr>`)}</tbody></table></section>`}
    <section class="card wide"><${Command} text=${`mcpvisor status ${quote(row.name)}`} /></section>
  </div>`;
}

function Log({ row }) {
  const [lines, setLines] = useState([]);
  const [lost, setLost] = useState(0);
  const [end, setEnd] = useState('');
  const [find, setFind] = useState('');
  useEffect(() => {
    setLines([]); setLost(0); setEnd('');
    followLog(row.id, (told) => {
      if (told.end) { setEnd(told.end); return; }
      if (told.lost) setLost((before) => before + told.lost);
      setLines((before) => [...before, ...told.lines.filter((line) => !before.length || line.number > before.at(-1).number)].slice(-2000));
    });
    return () => followLog(null, null);
  }, [row.id]);
  const shown = find ? lines.filter((line) => line.line.toLowerCase().includes(find.toLowerCase())) : lines;
  return html`<div class="bar"><input type="search" aria-label="Find in the log" placeholder="Find in these lines" value=${find} onInput=${(event) => setFind(event.target.value)} /><span class="dim" role="status">${end ? `the log has ended: ${end.replaceAll('_', ' ')}` : find ? `${shown.length} of ${plural(lines.length, 'line')}` : `${plural(lines.length, 'line')}, as they come`}</span></div>
    <${LogLines} lines=${shown} lost=${lost} />
    <${Command} text=${`mcpvisor logs ${quote(row.name)} -f`} />`;
}

function Tools({ row, detail, tool }) {
  const { data, error, reload } = detail;
  const [find, setFind] = useState('');
  const tools = data?.tools ?? [];
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = useMemo(() => tools.filter((one) => words.every((word) => `${one.name} ${one.description ?? ''}`.toLowerCase().includes(word))), [data, find]);
  const chosen = tools.find((one) => one.name === tool);
  if (error) return html`<${Problem} error=${error} retry=${reload} />`;
  if (!data) return html`<${Loading} />`;
  if (!tools.length) return html`<p class="empty dim">${row.state === 'ready' ? 'It offers no tools that your key may use.' : 'It has announced no tools yet.'}</p>`;
  return html`<div class=${chosen ? 'split has-one' : 'split'}>
    <div class="list"><input type="search" aria-label="Find a tool" placeholder=${`Find among ${plural(tools.length, 'tool')}`} value=${find} onInput=${(event) => setFind(event.target.value)} />
      <${Virtual} rows=${shown} height=${54} id=${(one) => one.name} label="Tools" row=${(one) => html`<a class="tool" href=${to('server', row.name, 'tools', one.name)} aria-current=${one.name === tool ? 'true' : undefined}><strong>${seen(one.name)}</strong>${one.pin && one.pin !== 'pinned' && one.pin !== 'reordered' ? html` <span class="warn small">${one.pin}</span>` : ''}<span class="dim small line">${seen(one.description)}</span></a>`} />
      ${!shown.length && html`<p class="dim">No tool fits.</p>`}</div>
    <div class="one">${chosen ? html`<${Part} key=${chosen.name} name=${`The tool ${chosen.name}`}><${Tool} row=${row} tool=${chosen} /></${Part}>` : html`<p class="dim">Choose a tool to see its schema and to try it.</p>`}</div>
  </div>`;
}

/** Arguments as `mcpvisor call` takes them: plain ones as NAME=VALUE, all others as NAME:=JSON. */
const words = (args) => Object.entries(args).map(([key, value]) => (typeof value === 'string' && value !== '' ? quote(`${key}=${value}`) : quote(`${key}:=${JSON.stringify(value)}`))).join(' ');

function Tool({ row, tool }) {
  const { me } = useStore();
  const schema = tool.input_schema && typeof tool.input_schema === 'object' ? tool.input_schema : {};
  const [args, setArgs] = useState(() => initial(schema, schema) ?? {});
  const large = useMemo(() => isTooLarge(schema, schema), [tool]);
  const [raw, setRaw] = useState(large || (!schema.properties && schema.additionalProperties !== false));
  const [timeout, setTimeout_] = useState('');
  const [result, setResult] = useState(null);
  const [busy, setBusy] = useState(null);
  const out = useRef(null);
  const body = { mcp_id: row.name, tool: tool.name, arguments: args, ...(timeout ? { timeout: Math.round(Number(timeout) * 1000) } : {}) };
  const call = async (event) => {
    event.preventDefault();
    const abort = new AbortController();
    setBusy(abort);
    const began = performance.now();
    try { setResult({ data: await ask('POST', '/v1/mcp/invoke', body, abort.signal) }); } catch (error) {
      setResult(error.name === 'AbortError' ? { error: { message: 'You have given the call up.' } } : { error, took: performance.now() - began });
    }
    setBusy(null);
    out.current?.focus();
  };
  const curl = `curl -s ${outside()}/v1/mcp/invoke -H "Authorization: Bearer $MCPVISOR_KEY" -H 'Content-Type: application/json' -d ${quote(JSON.stringify(body))}`;
  const typed = `mcpvisor call ${quote(`${row.name}.${tool.name}`)}${Object.keys(args).length ? ` ${words(args)}` : ''}${timeout ? ` --timeout ${timeout}s` : ''}`;
  const { data, error } = result ?? {};
  const failed = error?.details?.content;
  const state = error?.details?.mcp_state ?? error?.details?.state;
  return html`<h2>${seen(tool.name)}</h2><p class="description">${seen(tool.description)}</p>
    <form onSubmit=${call} class="try">
      ${raw ? html`<${JsonText} label="Arguments as JSON" rows=${8} value=${args} onChange=${(next) => setArgs(next && typeof next === 'object' && !Array.isArray(next) ? next : {})} />` : html`<${Part} name="The form"><${Field} schema=${schema} root=${schema} value=${args} onChange=${(next) => setArgs(next ?? {})} /></${Part}>`}
      ${!raw && schema.properties && !Object.keys(schema.properties).length && html`<p class="dim">It takes no arguments.</p>`}
      <div class="actions">
        <button class="main" disabled=${busy || !me.may.call} title=${me.may.call ? '' : 'Viewers call no tools'}>${busy ? 'Calling…' : 'Call'}</button>
        ${busy && html`<button type="button" onClick=${() => busy.abort()}>Give up</button>`}
        <button type="button" class="quiet" disabled=${large} title=${large ? 'A form of it would have too many fields' : ''} onClick=${() => setRaw(!raw)}>${raw ? 'As a form' : 'As JSON'}</button>
        <label class="inline">Seconds <input type="number" min="0.1" step="any" value=${timeout} placeholder="default" onInput=${(event) => setTimeout_(event.target.value)} /></label>
        <${Copy} text=${curl} label="Copy as curl" /><${Copy} text=${typed} label="Copy as mcpvisor …" />
      </div>
      ${!me.may.call && html`<p class="note">A viewer's key calls no tools.</p>`}
    </form>
    <div class="answer" tabindex="-1" ref=${out} role="region" aria-label="Answer" aria-live="polite">
      <${Part} name="The answer" of=${result}>${data && html`<p class="good small">Answered in ${ms(data.metadata?.latency_ms)}</p><${Content} blocks=${data.content} />
        ${data.result && typeof data.result === 'object' && !Array.isArray(data.result) && JSON.stringify(data.result) !== data.content?.[0]?.text && html`<details open=${!data.content?.length}><summary>Structured content</summary><${Text} text=${data.result} /></details>`}
        ${Array.isArray(data.content) && !data.content.length && html`<p class="dim">It answered with nothing.</p>`}`}
      ${error && (failed ? html`<p class="bad" role="alert"><strong>The tool reported an error</strong></p><${Content} blocks=${failed} bad />` : html`<${Problem} error=${error} />`)}
      ${error?.details?.phase && html`<p class="dim">${{ in_flight: 'It had reached the server, so it may have been carried out.', not_sent: 'It did not reach the server, so nothing was carried out.', queued: 'It waited for its turn and did not reach the server.' }[error.details.phase] ?? seen(error.details.phase)}</p>`}
      ${state && typeof state === 'object' && html`<p class="dim">The server: ${seen(state.state)}${state.cause ? `, ${seen(state.cause)}` : ''}</p>`}</${Part}>
    </div>
    <details><summary>Schema of the arguments</summary><${Text} text=${schema} /></details>`;
}

function Approvals({ row, turn }) {
  const { me } = useStore();
  const { data, error, reload } = useAsk(`/v1/mcps/${id(row.id)}/pins`, [turn]);
  const [chosen, setChosen] = useState(new Set());
  if (error) return html`<${Problem} error=${error} retry=${reload} />`;
  if (!data) return html`<${Loading} />`;
  const open = data.tools.filter((one) => !['pinned', 'reordered'].includes(one.state));
  const approve = (tools) => ask('POST', `/v1/mcps/${id(row.id)}/pins/approve`, { digest: data.digest, ...(tools ? { tools } : {}) });
  const flip = (name) => setChosen((before) => { const next = new Set(before); if (!next.delete(name)) next.add(name); return next; });
  return html`<p>${data.pin === 'off' ? 'Tools are not compared with what was approved of them: ' : data.pin === 'block' ? 'Tools that are not as they were approved are blocked: ' : 'Tools that are not as they were approved are marked: '}<code>pin = ${data.pin}</code>.</p>
    ${!open.length && html`<p class="good">${data.tools.length ? `All ${plural(data.tools.length, 'tool')} are as they were approved.` : 'There are no tools yet.'}</p>`}
    ${open.map((one) => html`<section class="card wide" key=${one.name}>
      <h2><label class="inline"><input type="checkbox" checked=${chosen.has(one.name)} onChange=${() => flip(one.name)} disabled=${!me.may.define} /> ${seen(one.name)}</label> <span class="warn small">${one.state}</span></h2>
      ${one.approved_at && html`<p class="dim small">approved ${local(one.approved_at)} by ${seen(one.approved_by ?? 'its first sight')}</p>`}
      ${one.hidden_characters && (one.hidden_characters === true || one.hidden_characters.length > 0) && html`<p class="note bad">It has characters that nobody sees.</p>`}
      <table class="diff"><tbody>${one.differences?.map((diff) => html`<tr><th scope="row"><code>${seen(diff.path)}</code></th><td>${diff.before !== undefined && html`<del>${seen(diff.before)}</del>`}${diff.after !== undefined && html`<ins>${seen(diff.after)}</ins>`}</td></tr>`)}</tbody></table>
      ${one.more_differences && html`<p class="dim">There are more differences.</p>`}
    </section>`)}
    ${open.length > 0 && html`<div class="actions">
      <${Act} kind="main" disabled=${!chosen.size || !me.may.define} act=${() => approve([...chosen])} done="Approved" onDone=${() => { setChosen(new Set()); reload(); }}>Approve ${chosen.size || 'the chosen'}</${Act}>
      <${Act} disabled=${!me.may.define} act=${() => approve(null)} done="Approved" onDone=${reload}>Approve all ${open.length}</${Act}></div>
      <${Command} text=${`mcpvisor pins approve ${quote(row.name)} --digest ${data.digest}`} />`}`;
}

function Definition({ row }) {
  const { data, error, reload } = useAsk(`/api/servers/${id(row.name)}`, [row.since]);
  const [edited, setEdited] = useState(null);
  const [refused, setRefused] = useState(null);
  if (error) return html`<${Problem} error=${error} retry=${reload} />`;
  if (!data) return html`<${Loading} />`;
  const { name, ...stored } = data;
  const changes = edited ? Object.fromEntries([...new Set([...Object.keys(stored), ...Object.keys(edited)])].filter((key) => JSON.stringify(stored[key]) !== JSON.stringify(edited[key])).map((key) => [key, edited[key] ?? (Array.isArray(stored[key]) ? [] : {})])) : {};
  const store = async () => {
    setRefused(null);
    try { toast((await ask('PUT', `/api/servers/${id(row.name)}`, changes)).message); setEdited(null); reload(); } catch (error) { setRefused(error); }
  };
  const curl = `curl -s -X PUT ${outside()}/api/servers/${id(row.name)} -H "Authorization: Bearer $MCPVISOR_KEY" -H 'Content-Type: application/json' -d ${quote(JSON.stringify(changes))}`;
  return html`<p class="dim">A definition that does not work never takes the place of one that does: the earlier one serves until the new one is ready.</p>
    <${JsonText} key=${JSON.stringify(stored)} label="Definition" rows=${12} value=${stored} onChange=${(next) => setEdited(next && typeof next === 'object' ? next : null)} />
    <${Problem} error=${refused} />
    <div class="actions"><button class="main" disabled=${!Object.keys(changes).length} onClick=${store}>Change ${Object.keys(changes).map(seen).join(', ')}</button></div>
    ${Object.keys(changes).length > 0 && html`<${Command} text=${curl} label="What will be asked, as curl" />`}
    <${Command} text=${Object.keys(changes).length ? `mcpvisor edit ${quote(row.name)} --file - <<'END'\n${JSON.stringify(edited, null, 2)}\nEND` : `mcpvisor edit ${quote(row.name)}`} />`;
}
