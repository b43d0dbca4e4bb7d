// A form made of a JSON Schema, and what a tool answers. What a form cannot say, its text of JSON can.
import { useEffect, useMemo, useState } from './hooks.mjs';
import { bytes, html, seen } from './parts.js';

const DEEPEST = 8;
/** Most parts that are put together for one schema: a foreign one may name itself many times. */
const MOST_PARTS = 200;
/** Most fields of a form. */
const MOST_FIELDS = 400;

const named = (pointer) => { try { return decodeURIComponent(pointer).replaceAll('~1', '/').replaceAll('~0', '~'); } catch { return pointer; } };
const list = (value) => (Array.isArray(value) ? value : []);

/** Follows a reference within the schema, and takes the parts of allOf together. */
export function resolve(schema, root, left = 12, budget = { left: MOST_PARTS }) {
  budget.left -= 1;
  if (schema === true || !schema || typeof schema !== 'object' || budget.left < 0) return {};
  if (schema.$ref && left > 0) {
    const found = typeof schema.$ref === 'string' && schema.$ref.startsWith('#') ? schema.$ref.slice(1).split('/').filter(Boolean).map(named).reduce((at, part) => (at && Object.hasOwn(at, part) ? at[part] : undefined), root) : undefined;
    const { $ref, ...rest } = schema;
    return { ...resolve(found, root, left - 1, budget), ...rest };
  }
  if (Array.isArray(schema.allOf) && left > 0) {
    const { allOf, ...rest } = schema;
    return allOf.map((part) => resolve(part, root, left - 1, budget)).reduce((all, part) => ({ ...all, ...part, properties: { ...all.properties, ...part.properties }, required: [...list(all.required), ...list(part.required)] }), rest);
  }
  return schema;
}

const typeOf = (schema) => {
  if (Array.isArray(schema.type)) return schema.type.find((type) => type !== 'null');
  return schema.type ?? (schema.properties ? 'object' : schema.items || schema.prefixItems ? 'array' : undefined);
};

/** Has a form of this schema more fields than somebody fills in? One that names itself twice within has thousands. */
export function isTooLarge(schema, root, budget = { left: MOST_FIELDS }, depth = 0) {
  budget.left -= 1;
  if (budget.left < 0) return true;
  if (depth >= DEEPEST) return false;
  const of = resolve(schema, root);
  const variant = list(of.oneOf ?? of.anyOf)[0];
  const parts = of.properties && typeof of.properties === 'object' ? Object.values(of.properties) : variant ? [variant] : [];
  return parts.some((part) => isTooLarge(part, root, budget, depth + 1));
}

/** What a field begins with: its default, or the parts that an object cannot be without. */
export function initial(schema, root, depth = 0, budget = { left: MOST_FIELDS }) {
  budget.left -= 1;
  if (budget.left < 0) return undefined;
  const of = resolve(schema, root);
  if (of.default !== undefined) return of.default;
  if (of.const !== undefined) return of.const;
  if (typeOf(of) === 'object' && depth < DEEPEST) {
    const parts = Object.entries(of.properties ?? {}).map(([name, part]) => [name, list(of.required).includes(name) || resolve(part, root).default !== undefined ? initial(part, root, depth + 1, budget) : undefined]);
    return Object.fromEntries(parts.filter(([, value]) => value !== undefined));
  }
  return undefined;
}

let ids = 0;

export function Field({ schema, root, value, onChange, name, required, depth = 0 }) {
  const of = useMemo(() => resolve(schema, root), [schema, root]);
  const [id] = useState(() => `f${ids += 1}`);
  const variants = list(of.oneOf ?? of.anyOf).map((part) => resolve(part, root)).filter((part) => part.type !== 'null');
  const [variant, choose] = useState(0);
  const type = typeOf(of);
  const title = html`<span class="field-name">${seen(name ?? of.title ?? '')}${required ? html`<span class="must" title="required">*</span>` : ''}</span> <span class="dim small">${seen(of.enum ? 'one of' : type ?? (variants.length > 1 ? 'one of several' : 'any'))}${of.format ? ` · ${seen(of.format)}` : ''}</span>`;
  const help = of.description && html`<div class="help" id=${`${id}h`}>${seen(of.description)}</div>`;
  const common = { id, 'aria-describedby': of.description ? `${id}h` : undefined };
  const wrap = (input) => html`<div class="field"><label for=${id}>${title}</label>${input}${help}</div>`;

  if (variants.length === 1 && !type) return html`<${Field} schema=${{ ...variants[0], title: of.title, description: of.description ?? variants[0].description }} root=${root} value=${value} onChange=${onChange} name=${name} required=${required} depth=${depth} />`;
  if (variants.length > 1 && !of.properties && depth < DEEPEST) {
    return html`<fieldset class="field"><legend>${title}</legend>${help}
      <select aria-label=${`Kind of ${name ?? 'value'}`} value=${variant} onChange=${(event) => { choose(Number(event.target.value)); onChange(initial(variants[event.target.value], root)); }}>${variants.map((part, n) => html`<option value=${n}>${seen(part.title ?? (part.const !== undefined ? JSON.stringify(part.const) : part.type ?? `variant ${n + 1}`))}</option>`)}</select>
      <${Field} key=${variant} schema=${variants[variant]} root=${root} value=${value} onChange=${onChange} name=${variants[variant].title ?? 'value'} required=${required} depth=${depth + 1} /></fieldset>`;
  }
  if (Array.isArray(of.enum) || of.const !== undefined) {
    const choices = of.enum ?? [of.const];
    return wrap(html`<select ...${common} value=${choices.findIndex((choice) => JSON.stringify(choice) === JSON.stringify(value))} onChange=${(event) => onChange(event.target.value === '-1' ? undefined : choices[event.target.value])}>
      <option value="-1">${required ? 'choose…' : '(left out)'}</option>${choices.map((choice, n) => html`<option value=${n}>${seen(choice)}</option>`)}</select>`);
  }
  if (type === 'boolean') {
    return wrap(html`<select ...${common} value=${value === undefined ? '' : String(value)} onChange=${(event) => onChange(event.target.value === '' ? undefined : event.target.value === 'true')}><option value="">${required ? 'choose…' : '(left out)'}</option><option value="true">true</option><option value="false">false</option></select>`);
  }
  if (type === 'number' || type === 'integer') {
    return wrap(html`<input ...${common} type="number" step=${type === 'integer' ? '1' : 'any'} min=${of.minimum} max=${of.maximum} required=${required} value=${value ?? ''} onInput=${(event) => onChange(event.target.value === '' ? undefined : Number(event.target.value))} />`);
  }
  if (type === 'string') {
    const long = (of.maxLength ?? 0) > 200 || /text|content|body|query|code|prompt|message/i.test(name ?? '');
    const input = { ...common, required, spellcheck: false, value: value ?? '', minLength: of.minLength, onInput: (event) => onChange(event.target.value === '' && !required ? undefined : event.target.value) };
    return wrap(long ? html`<textarea rows="2" ...${input}></textarea>` : html`<input type="text" ...${input} placeholder=${seen(of.examples?.[0] ?? '')} />`);
  }
  if (type === 'array' && of.items !== false && depth < DEEPEST) {
    const list = Array.isArray(value) ? value : [];
    const item = of.items ?? {};
    const set = (n, next) => onChange(list.map((old, at) => (at === n ? next : old)));
    return html`<fieldset class="field"><legend>${title}</legend>${help}
      ${list.map((entry, n) => html`<div class="item" key=${n}><${Field} schema=${item} root=${root} value=${entry} onChange=${(next) => set(n, next)} name=${`${n + 1}`} required depth=${depth + 1} /><button type="button" class="quiet" aria-label=${`Remove ${name ?? 'entry'} ${n + 1}`} onClick=${() => onChange(list.filter((_, at) => at !== n).length || required ? list.filter((_, at) => at !== n) : undefined)}>✕</button></div>`)}
      <button type="button" class="quiet" onClick=${() => onChange([...list, initial(item, root) ?? (typeOf(resolve(item, root)) === 'string' ? '' : null)])}>Add ${seen(name ?? 'an entry')}</button></fieldset>`;
  }
  if (type === 'object' && of.properties && depth < DEEPEST) {
    const own = value && typeof value === 'object' && !Array.isArray(value) ? value : {};
    const parts = Object.entries(of.properties).map(([part, sub]) => html`<${Field} key=${part} schema=${sub} root=${root} name=${part} required=${list(of.required).includes(part)} value=${Object.hasOwn(own, part) ? own[part] : undefined} depth=${depth + 1} onChange=${(next) => {
      const { [part]: old, ...rest } = own;
      // In the order of the schema, so that what is copied reads as the form does.
      const all = next === undefined ? rest : { ...rest, [part]: next };
      const order = Object.keys(of.properties);
      onChange(Object.fromEntries(Object.entries(all).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))));
    }} />`);
    return depth === 0 ? html`<div>${parts}</div>` : html`<fieldset class="field"><legend>${title}</legend>${help}${parts}</fieldset>`;
  }
  return html`<div class="field"><label for=${id}>${title}</label><${JsonText} id=${id} value=${value} onChange=${onChange} />${help}</div>`;
}

/** A value as a text of JSON, which may be wrong while it is written. */
export function JsonText({ id, value, onChange, label, rows = 3 }) {
  const [text, setText] = useState(value === undefined ? '' : JSON.stringify(value, null, 2));
  const [wrong, setWrong] = useState('');
  return html`<textarea id=${id} class="code" rows=${rows} spellcheck="false" aria-label=${label} aria-invalid=${Boolean(wrong)} value=${text} onInput=${(event) => {
    setText(event.target.value);
    try { onChange(event.target.value.trim() ? JSON.parse(event.target.value) : undefined); setWrong(''); } catch (error) { setWrong(error.message); }
  }}></textarea>${wrong && html`<div class="bad small" role="alert">No JSON yet: ${wrong}</div>`}`;
}

// Results ------------------------------------------------------------------------------------------------------------

const PICTURES = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;
const SOUNDS = /^audio\/[\w.+-]+$/;

/** The bytes of base64 at an address of this page, for as long as they are shown. */
function useBytes(data, type) {
  const [at, set] = useState(null);
  useEffect(() => {
    let url = null;
    try { url = URL.createObjectURL(new Blob([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], { type })); set({ url }); } catch { set({ wrong: true }); }
    return () => url && URL.revokeObjectURL(url);
  }, [data, type]);
  return at;
}

function Media({ block }) {
  const type = typeof block.mimeType === 'string' ? block.mimeType : '';
  const data = typeof block.data === 'string' ? block.data : typeof block.blob === 'string' ? block.blob : '';
  const shown = PICTURES.test(type) || SOUNDS.test(type);
  const at = useBytes(data, shown ? type : 'application/octet-stream');
  const size = bytes(data.length * 0.75);
  if (!at) return null;
  if (at.wrong) return html`<p class="bad">What should be base64 of ${seen(type)} is not.</p>`;
  return html`<figure class="media">${PICTURES.test(type) ? html`<img src=${at.url} alt=${`Picture that the tool answered with, ${seen(type)}`} />` : SOUNDS.test(type) ? html`<audio controls src=${at.url}></audio>` : ''}<figcaption class="dim small">${seen(type || 'bytes')}, ${size} · <a href=${at.url} download="result">Save</a></figcaption></figure>`;
}

const pretty = (text) => { try { return /^\s*[[{]/.test(text) ? JSON.stringify(JSON.parse(text), null, 2) : text; } catch { return text; } };

export function Text({ text, bad }) {
  const [all, set] = useState(false);
  const whole = seen(pretty(typeof text === 'string' ? text : JSON.stringify(text, null, 2) ?? ''));
  const cut = !all && whole.length > 20000;
  return html`<pre class=${bad ? 'result bad' : 'result'} tabindex="0">${cut ? whole.slice(0, 20000) : whole}</pre>${cut && html`<button type="button" class="quiet" onClick=${() => set(true)}>Show all ${bytes(whole.length)}</button>`}`;
}

export function Content({ blocks, bad }) {
  return (Array.isArray(blocks) ? blocks : []).map((block) => {
    if (!block || typeof block !== 'object') return html`<${Text} text=${block} />`;
    if (block.type === 'text') return html`<${Text} text=${block.text} bad=${bad} />`;
    if (block.type === 'image' || block.type === 'audio') return html`<${Media} block=${block} />`;
    if (block.type === 'resource_link') return html`<p class="resource"><strong>${seen(block.title ?? block.name)}</strong> <code>${seen(block.uri)}</code> <span class="dim">${seen(block.mimeType)}</span><br /><span class="dim">${seen(block.description)}</span></p>`;
    if (block.type === 'resource' && block.resource) return html`<div class="resource"><code>${seen(block.resource.uri)}</code>${typeof block.resource.text === 'string' ? html`<${Text} text=${block.resource.text} />` : html`<${Media} block=${block.resource} />`}</div>`;
    return html`<${Text} text=${block} />`;
  });
}
