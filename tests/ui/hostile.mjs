// An MCP server that says whatever a page should not believe: markup in names, descriptions, logs and results, an SVG that
// would run, and as many tools as it is told. `hostile.mjs [NUMBER OF TOOLS]`
import { createInterface } from 'node:readline';

const CORPUS = [
  '<script>window.owned = 1</script>', '<img src=x onerror="window.owned = 2">', '"><svg onload="window.owned = 3">',
  "javascript:window.owned=4//", '</textarea><script>window.owned=5</script>', '{{constructor.constructor("window.owned=6")()}}',
  '${window.owned=7}', '<a href="javascript:window.owned=8">x</a>', '<iframe srcdoc="<script>parent.owned=9</script>">',
  '\u202eright to left\u202c and \u200bhidden', '<style>*{display:none}</style>', '<base href="https://elsewhere.invalid/">',
];
const SVG = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" onload="window.owned=10"><script>window.owned=11</script></svg>').toString('base64');
const many = Number(process.argv[2] ?? 0);
const schema = { type: 'object', title: CORPUS[0], properties: { [CORPUS[1]]: { type: 'string', description: CORPUS[2], enum: CORPUS }, text: { type: 'string' } } };
// Schemas that are none, and ones that would make forms without an end.
const twice = { type: 'object', properties: Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`part_${n}`, { $ref: '#' }])), required: Array.from({ length: 12 }, (_, n) => `part_${n}`) };
const ODD = [
  twice, { type: 'object', properties: { a: null, b: 5, c: 'text', d: [], e: true } }, { type: 'object', properties: [null, 5] }, { type: 'object', properties: { a: { enum: {} }, b: { oneOf: {}, anyOf: 7 }, c: { items: 'x', type: 'array' } } },
  { type: 'object', properties: { a: { type: { toString: 7 }, title: {}, description: [], format: {} } }, required: { length: 4 } }, { type: 'object', default: 'text', properties: { a: { default: { b: 1 }, type: 'string' } } },
  { type: 'object', properties: { a: { oneOf: [{ title: {}, type: 'string' }, { const: {} }, null, 5] }, constructor: { $ref: '#/properties/__proto__' }, __proto__: { type: 'number' } } }, { type: 'object', allOf: [{ properties: 'x' }, { $ref: 7 }, null, { $ref: '#/allOf/3' }] },
];
const tools = [
  ...ODD.map((inputSchema, n) => ({ name: `odd_${n}`, description: `Odd ${n}`, inputSchema })),
  ...CORPUS.map((text, n) => ({ name: `say_${n}`, title: text, description: text, inputSchema: schema })),
  ...Array.from({ length: many }, (_, n) => ({ name: `tool_${String(n).padStart(4, '0')}`, description: `Number ${n} of many`, inputSchema: { type: 'object' } })),
];
const content = (n) => [
  { type: 'text', text: CORPUS[n] ?? '' }, { type: 'image', mimeType: 'image/svg+xml', data: SVG }, { type: 'image', mimeType: 'text/html', data: Buffer.from(CORPUS[0]).toString('base64') },
  { type: 'resource_link', name: CORPUS[1], uri: 'javascript:window.owned=12', description: CORPUS[2] }, { type: 'resource', resource: { uri: CORPUS[3], text: CORPUS[4] } },
];
const ODD_CONTENT = [null, 5, [], { type: {} }, { type: 'text', text: { a: 1 } }, { type: 'image', mimeType: {}, data: {} }, { type: 'image', mimeType: 'image/png', data: '!!' }, { type: 'resource', resource: 7 }, { type: 'resource_link', name: {}, uri: null }];
const answer = (id, result) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, result })}\n`);

for (const text of CORPUS) process.stderr.write(`${text}\n`);
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  if (method === 'initialize') answer(id, { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: CORPUS[0], version: CORPUS[1] }, instructions: CORPUS[2] });
  else if (method === 'tools/list') answer(id, { tools });
  else if (method === 'tools/call') answer(id, { content: params.name === 'odd_1' ? ODD_CONTENT : content(Number(params.name.slice(4))), structuredContent: { [CORPUS[0]]: CORPUS }, isError: params.name === 'say_1' });
  else if (method === 'ping') answer(id, {});
  else process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: CORPUS[0] } })}\n`);
}).on('close', () => process.exit(0));
