// Parts that several pages have. Text of servers, tools and logs only ever becomes text.
import { Component, h } from './preact.mjs';
import { useEffect, useLayoutEffect, useRef, useState } from './hooks.mjs';
import htm from './htm.mjs';
import { toast, useNow } from './net.js';

export const html = htm.bind(h);

// Characters that reorder or hide text around them.
const UNSEEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
/** Foreign text as it may be shown: whatever it is, a string, with what nobody sees written out. */
export const seen = (value) => (typeof value === 'string' ? value : value === undefined || value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value))
  .replace(UNSEEN, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);

/** Text of our own documents, in which backticks are code. */
export const prose = (text) => seen(text).split('`').map((part, n) => (n % 2 ? html`<code>${part}</code>` : part));

export function ago(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 ? ` ${s % 60} s` : ''}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}
export const bytes = (n) => (n === null || n === undefined ? '–' : n < 1000 ? `${n} B` : n < 1e6 ? `${Math.round(n / 1e3)} kB` : n < 1e9 ? `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} MB` : `${(n / 1e9).toFixed(2)} GB`);
export const ms = (n) => (n === null || n === undefined ? '–' : n < 1 ? '<1 ms' : n < 1000 ? `${Math.round(n)} ms` : `${(n / 1000).toFixed(1)} s`);
export const count = (n) => (n === null || n === undefined ? '–' : Number(n).toLocaleString('en'));
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const local = (at) => (at ? new Date(at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' }) : '–');
export const day = (at) => new Date(at).toLocaleDateString([], { dateStyle: 'medium', timeZone: 'UTC' });
export const clock = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

export const STATES = {
  ready: ['●', 'good'], idle: ['○', 'calm'], stopped: ['○', 'calm'], disabled: ['○', 'calm'], starting: ['◐', 'busy'], stopping: ['◐', 'busy'],
  degraded: ['▲', 'warn'], backoff: ['▲', 'warn'], unauthorized: ['▲', 'warn'], failed: ['✕', 'bad'], exited: ['✕', 'bad'],
};

export function State({ state, phase, loop }) {
  const [mark, kind] = STATES[state] ?? ['?', 'calm'];
  return html`<span class="state ${kind}"><span aria-hidden="true">${mark}</span> ${state}${phase && phase !== state ? ` · ${phase}` : ''}${loop ? ' · crash loop' : ''}</span>`;
}

export function Countdown({ to }) {
  const left = new Date(to) - useNow();
  return html`<span class="countdown">${left > 0 ? `next start in ${ago(left + 500)}` : 'starts now'}</span>`;
}

export function Since({ at, prefix = '' }) {
  return html`<time dateTime=${at} title=${local(at)}>${prefix}${ago(useNow() - new Date(at))}</time>`;
}

export function Problem({ error, retry }) {
  if (!error) return null;
  const details = error.details && typeof error.details === 'object' ? Object.entries(error.details).filter(([, value]) => typeof value === 'string') : [];
  return html`<div class="note bad" role="alert">
    <strong>${seen(error.message)}</strong>
    ${details.map(([name, text]) => html`<div><code>${seen(name)}</code> ${seen(text)}</div>`)}
    ${error.requestId && html`<div class="dim small">request ${seen(error.requestId)}</div>`}
    ${retry && html`<button class="quiet" onClick=${retry}>Try again</button>`}
  </div>`;
}

/** A part of a page. A fault in it is told in its place, and everything around it goes on. `of` is what it shows: it is tried
 * again when that is another one. Within a table it is a row. */
export class Part extends Component {
  static getDerivedStateFromError(fault) { return { fault }; }
  componentDidCatch(fault) { console.error(`${this.props.name}:`, fault); }
  componentDidUpdate(before) { if (this.state.fault && before.of !== this.props.of) this.setState({ fault: null }); }
  render({ name, children, columns }, { fault }) {
    if (!fault) return children;
    const told = html`<strong>${seen(name)} cannot be shown</strong> <span class="dim small">${seen(fault?.message ?? fault)}</span> <button type="button" class="quiet" onClick=${() => this.setState({ fault: null })}>Load it again</button>`;
    return columns ? html`<tr class="fault"><td colspan=${columns} role="alert">${told}</td></tr>` : html`<div class="note bad fault" role="alert">${told}</div>`;
  }
}

export const Loading = () => html`<p class="dim" role="status">Loading…</p>`;

async function put(text) {
  try { await navigator.clipboard.writeText(text); } catch {
    // Without HTTPS there is no clipboard for scripts, but a selection can be copied.
    const area = Object.assign(document.createElement('textarea'), { value: text, className: 'off' });
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}

export function Copy({ text, label = 'Copy', kind = 'quiet' }) {
  return html`<button type="button" class=${kind} onClick=${() => put(typeof text === 'function' ? text() : text).then(() => toast('Copied'))}>${label}</button>`;
}

/** A command as it would be typed, to read and to copy. */
export function Command({ text, label = 'The same on the command line' }) {
  return html`<figure class="command"><figcaption>${label}</figcaption><pre tabindex="0"><code>${text}</code></pre><${Copy} text=${text} /></figure>`;
}

/** Text for a shell: as it is if that is safe, else in single quotes. */
export const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${String(text).replaceAll("'", `'\\''`)}'`);

export function Dialog({ title, onClose, children, wide }) {
  const box = useRef(null);
  useEffect(() => {
    const [before, dialog] = [document.activeElement, box.current];
    dialog.showModal();
    // As long as it is open nothing behind it can have the focus.
    return () => { dialog.close(); before?.focus?.(); };
  }, []);
  return html`<dialog ref=${box} class=${wide ? 'wide' : ''} aria-label=${title} onCancel=${(event) => { event.preventDefault(); onClose(); }}>
    <header><h2>${title}</h2><button class="quiet" type="button" aria-label="Close" onClick=${onClose}>✕</button></header>
    ${children}
  </dialog>`;
}

/** A button whose act shows its outcome, and which cannot be pressed twice meanwhile. */
export function Act({ act, done, children, kind = '', disabled, onDone, title }) {
  const [busy, set] = useState(false);
  const press = async () => {
    set(true);
    try {
      const result = await act();
      if (done) toast(typeof done === 'function' ? done(result) : done);
      onDone?.(result);
    } catch (error) { toast(error.message, 'bad'); } finally { set(false); }
  };
  return html`<button type="button" class=${kind} title=${title} disabled=${busy || disabled} aria-busy=${busy} onClick=${press}>${children}</button>`;
}

/** What a function makes of something, made within the part around it. */
const Made = ({ of, by }) => by(of);

/** A long list of which only the rows in sight are in the page. Rows have one height; `id` keeps them apart. Arrows, Home and End go
 * through it, also to rows that are not in the page yet. */
export function Virtual({ rows, height, row, id, label, max = 560 }) {
  const box = useRef(null);
  const [top, scroll] = useState(0);
  const wanted = useRef(0);
  useLayoutEffect(() => {
    const found = wanted.current && box.current.querySelector(`[aria-posinset="${wanted.current}"] :is(a, input, button)`);
    if (found) { wanted.current = 0; found.focus({ preventScroll: true }); }
  });
  const press = (event) => {
    const from = Number(event.target.closest('[aria-posinset]')?.getAttribute('aria-posinset') ?? 0);
    const to = { ArrowDown: from + 1, ArrowUp: from - 1, Home: 1, End: rows.length }[event.key];
    if (to === undefined || to < 1 || to > rows.length) return;
    event.preventDefault();
    wanted.current = to;
    const [begin, area] = [(to - 1) * height, box.current];
    area.scrollTop = Math.min(begin, Math.max(area.scrollTop, begin + height - area.clientHeight));
    scroll(area.scrollTop + (area.scrollTop === top ? 0.01 : 0));
  };
  const room = Math.min(max, rows.length * height) || height;
  const first = Math.max(0, Math.floor(top / height) - 4);
  const shown = rows.slice(first, first + Math.ceil(room / height) + 8);
  return html`<div class="virtual" ref=${box} tabindex="0" role="list" aria-label=${label} style=${{ height: `${room}px` }} onKeyDown=${press} onScroll=${(event) => scroll(event.currentTarget.scrollTop)}>
    <div class="filler" role="presentation" style=${{ height: `${rows.length * height}px` }}>
      ${shown.map((entry, n) => html`<div key=${id(entry)} role="listitem" aria-setsize=${rows.length} aria-posinset=${first + n + 1} class="virtual-row" style=${{ top: `${(first + n) * height}px`, height: `${height}px` }}><${Part} name=${id(entry)} of=${entry}><${Made} of=${entry} by=${row} /></${Part}></div>`)}
    </div>
  </div>`;
}

/** Bars over time, as a picture with a table's worth of text for whoever does not see it. */
export function Bars({ buckets, label }) {
  const most = Math.max(1, ...buckets.map((bucket) => bucket.value));
  const width = 100 / Math.max(1, buckets.length);
  const sum = buckets.reduce((all, bucket) => all + bucket.value, 0);
  return html`<figure class="bars">
    <svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label=${`${label}: ${count(sum)} in all, at most ${count(most)}`}>
      ${buckets.map((bucket, n) => {
    const all = (bucket.value / most) * 29;
    const bad = bucket.value ? all * ((bucket.bad ?? 0) / bucket.value) : 0;
    return html`<g><title>${`${bucket.name}: ${count(bucket.value)}${bucket.bad ? `, ${count(bucket.bad)} failed` : ''}`}</title>
        <rect class="slot" x=${n * width} y="0" width=${width} height="30" /><rect class="bar" x=${n * width + width * 0.1} y=${30 - all} width=${width * 0.8} height=${all - bad} /><rect class="bar bad" x=${n * width + width * 0.1} y=${30 - bad} width=${width * 0.8} height=${bad} /></g>`;
  })}
    </svg>
    <figcaption><span>${buckets[0]?.name}</span><span>at most ${count(most)}</span><span>${buckets.at(-1)?.name}</span></figcaption>
  </figure>`;
}

/** Follows its end while new lines come, unless somebody has scrolled up to read. */
export function LogLines({ lines, lost }) {
  const box = useRef(null);
  const follows = useRef(true);
  useLayoutEffect(() => { if (follows.current && box.current) box.current.scrollTop = box.current.scrollHeight; }, [lines]);
  return html`<div class="log" ref=${box} tabindex="0" role="log" aria-label="Log" onScroll=${(event) => {
    const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
    follows.current = scrollHeight - scrollTop - clientHeight < 24;
  }}>
    ${lost > 0 && html`<div class="dim">${plural(lost, 'earlier line')} no longer kept</div>`}
    ${lines.map((line) => html`<div key=${line.number} class=${line.stream === 'stderr' ? '' : 'other'}><time class="dim">${clock(line.at)}</time> <span class="dim" title=${`process ${line.incarnation}`}>#${line.incarnation}</span> <span class="text">${seen(line.line)}</span></div>`)}
    ${!lines.length && html`<div class="dim">Nothing was written yet.</div>`}
  </div>`;
}
