// The settings that are in force, and where each comes from. To be read: they are changed where they are written. And for owners
// all that is configured, as files.
import { Act, Command, Loading, Problem, count, html, seen } from './parts.js';
import { keepFile, setQuery, useAsk, useRoute, useStore } from './net.js';

/** What an owner takes along: everything, or the servers as other clients read them. */
const Files = () => html`<section class="card wide"><h2>Take it along</h2>
  <p class="dim">A backup has servers, keys (their hashes only), approvals and what was counted, as of one moment; <code>mcpvisor restore</code> takes it, here or elsewhere. The servers file is what MCP clients and <code>mcpvisor import</code> read. Both hold what definitions hold in <code>env</code> and <code>headers</code>, as it was written.</p>
  <div class="actions"><${Act} act=${() => keepFile('POST', '/v1/backup')} done=${(name) => `Saved as ${name}`}>Back up</${Act}><${Act} act=${() => keepFile('POST', '/v1/export')} done=${(name) => `Saved as ${name}`}>Servers file</${Act}></div>
  <${Command} text="mcpvisor backup FILE" /></section>`;

export function Settings() {
  const { query } = useRoute();
  const { q = '', only = '' } = query;
  const { me } = useStore();
  const { data, error, reload } = useAsk('/v1/settings');
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const own = data?.filter((one) => one.origin !== 'default') ?? [];
  const shown = (only ? own : data ?? []).filter((one) => words.every((word) => `${one.setting} ${one.value ?? ''} ${one.origin}`.toLowerCase().includes(word)));
  const groups = new Map();
  for (const one of shown) {
    const at = one.setting.lastIndexOf('.');
    const group = at < 0 ? 'Environment' : one.setting.slice(0, at);
    groups.set(group, [...(groups.get(group) ?? []), { ...one, name: one.setting.slice(at + 1) }]);
  }
  return html`<div class="title"><h1>Settings</h1>${data && html`<span class="dim">${count(data.length)}, ${count(own.length)} of them not at their default</span>`}</div>
    <p class="dim">As the daemon was started with them. They are changed in the configuration file or by a variable, and most of them by a restart; what may be a secret is shown as a reference only.</p>
    ${me.member.role === 'owner' && me.may.define && html`<${Files} />`}
    <div class="bar"><input type="search" aria-label="Find a setting" placeholder="Find: name, value, origin" value=${q} onInput=${(event) => setQuery({ q: event.target.value })} />
      <div class="chips" role="group" aria-label="Which settings">${[['', 'all'], ['own', 'not at their default']].map(([key, title]) => html`<button class="chip" aria-pressed=${only === key} onClick=${() => setQuery({ only: key })}>${title}</button>`)}</div></div>
    <${Problem} error=${error} retry=${reload} />${!data && !error && html`<${Loading} />`}
    ${shown.length > 0 && html`<table class="settings"><thead><tr><th scope="col">Setting</th><th scope="col">Value</th><th scope="col">From</th></tr></thead>
      ${[...groups].map(([group, all]) => html`<tbody key=${group}><tr class="group"><th scope="rowgroup" colspan="3"><code>[${seen(group)}]</code></th></tr>
        ${all.map((one) => html`<tr key=${one.setting}><th scope="row"><code>${seen(one.name)}</code></th><td class="wrap">${one.value === null ? html`<span class="dim">not set</span>` : html`<code>${seen(one.value)}</code>`}</td><td class=${one.origin === 'default' ? 'dim' : 'wrap'}>${seen(one.origin)}</td></tr>`)}</tbody>`)}
    </table>`}
    ${data && !shown.length && html`<p class="dim empty">No setting fits.</p>`}
    <${Command} text="mcpvisor config show" label="The same on the command line, of a daemon that is started there" />`;
}
