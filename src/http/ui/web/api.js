// The documents of the API, as they are served: routes by path, what each takes and answers.
import { useState } from './hooks.mjs';
import { Copy, Loading, Problem, html, prose, quote, seen } from './parts.js';
import { outside, setQuery, useAsk, useRoute } from './net.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

/** Follows the references of a schema, as far as a reader does. */
function shown(schema, root, depth = 0) {
  if (!schema || typeof schema !== 'object') return 'any';
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1);
    return depth > 3 ? name : shown(schema.$ref.slice(2).split('/').reduce((at, part) => at?.[part], root), root, depth + 1);
  }
  if (schema.allOf?.length === 1) return shown(schema.allOf[0], root, depth);
  if (schema.properties && depth < 5) {
    return Object.fromEntries(Object.entries(schema.properties).map(([name, part]) => [schema.required?.includes(name) ? name : `${name}?`, shown(part, root, depth + 1)]));
  }
  if (schema.items) return [shown(schema.items, root, depth + 1)];
  const variants = schema.anyOf ?? schema.oneOf;
  if (variants) return variants.map((part) => { const text = shown(part, root, depth + 1); return typeof text === 'string' ? text : JSON.stringify(text); }).join(' | ');
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  return (Array.isArray(schema.type) ? schema.type.join(' | ') : schema.type ?? 'any') + (schema.format ? ` (${schema.format})` : '');
}

export function Api() {
  const { query } = useRoute();
  const which = query.of ?? 'v1';
  const find = query.q ?? '';
  const { data, error, reload } = useAsk(`/${which}/openapi.json`);
  const routes = data ? Object.entries(data.paths).flatMap(([path, of]) => METHODS.filter((method) => of[method]).map((method) => ({ path, method, of: of[method] }))) : [];
  const fits = routes.filter(({ path, method, of }) => `${method} ${path} ${of.summary ?? ''} ${of.tags?.join(' ') ?? ''}`.toLowerCase().includes(find.toLowerCase()));
  return html`<div class="title"><h1>API</h1><span class="dim">${data && `${seen(data.info?.title)} ${seen(data.info?.version)}`}</span></div>
    <div class="bar"><div class="chips" role="group" aria-label="Dialect">${[['v1', '/v1'], ['api', '/api']].map(([name, title]) => html`<button class="chip" aria-pressed=${which === name} onClick=${() => setQuery({ of: name })}>${title}</button>`)}</div><input type="search" aria-label="Find a route" placeholder="Find a route" value=${find} onInput=${(event) => setQuery({ q: event.target.value })} /><a href=${`${outside()}/${which}/openapi.json`} download>openapi.json</a></div>
    <p class="dim">Programs send a key: <code>Authorization: Bearer $MCPVISOR_KEY</code>. MCP clients use <code>${outside()}/mcp</code>, or <code>/mcp/NAME</code> for one server.</p>
    <${Problem} error=${error} retry=${reload} />${!data && !error && html`<${Loading} />`}
    <div class="routes">${fits.map((route) => html`<${Route} key=${`${route.method} ${route.path}`} ...${route} root=${data} />`)}</div>`;
}

function Route({ path, method, of, root }) {
  const [open, setOpen] = useState(false);
  const body = of.requestBody?.content?.['application/json']?.schema;
  const curl = `curl -s${method === 'get' ? '' : ` -X ${method.toUpperCase()}`} ${quote(outside() + path)} -H "Authorization: Bearer $MCPVISOR_KEY"${body ? ` -H 'Content-Type: application/json' -d '{}'` : ''}`;
  return html`<details class="route" onToggle=${(event) => setOpen(event.currentTarget.open)}><summary><span class=${`method ${method}`}>${method.toUpperCase()}</span> <code>${path}</code> <span class="dim">${seen(of.summary)}</span></summary>
    ${open && html`<div class="route-body">${of.description && html`<p>${prose(of.description)}</p>`}
      ${of.parameters?.length > 0 && html`<h3>Parameters</h3><dl class="params">${of.parameters.map((given) => { const one = given.$ref ? given.$ref.slice(2).split('/').reduce((at, part) => at?.[part], root) : given; return html`<div><dt><code>${seen(one?.name)}</code> <span class="dim small">${one?.in}, ${seen(shown(one?.schema, root))}</span></dt><dd>${prose(one?.description)}</dd></div>`; })}</dl>`}
      ${body && html`<h3>Body</h3><pre class="result" tabindex="0">${seen(JSON.stringify(shown(body, root), null, 2))}</pre>`}
      <h3>Answers</h3><dl class="params">${Object.entries(of.responses ?? {}).map(([status, given]) => { const one = given.$ref ? given.$ref.slice(2).split('/').reduce((at, part) => at?.[part], root) : given; const schema = one?.content?.['application/json']?.schema; return html`<div><dt><code>${status}</code></dt><dd>${prose(one?.description)}${status < '300' && schema && html`<pre class="result" tabindex="0">${seen(JSON.stringify(shown(schema, root), null, 2))}</pre>`}</dd></div>`; })}</dl>
      <${Copy} text=${curl} label="Copy as curl" /></div>`}</details>`;
}
