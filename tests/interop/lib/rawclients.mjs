// Three clients without an SDK: JSON lines over a child's pipes, and plain HTTP in each era. Each answers
// `request(method, params)` with `{ raw, notes }`: the raw text of the whole reply, and of the
// notifications that came before it for this request.

import { spawn } from 'node:child_process';
import { member } from './rawjson.mjs';

const LEGACY_VERSION = '2025-11-25';
const MODERN_VERSION = '2026-07-28';
const META = 'io.modelcontextprotocol';
const CLIENT = { name: 'interop-raw', version: '1.0.0' };
/** Longer than any request here takes. */
const REPLY_DEADLINE_MS = 20_000;
/** The server changes its lists right after the handshake; lists are read once it was quiet this long. */
const QUIET_MS = 400;

/** Starts a server and speaks to it by hand; `hello` is the raw reply to `initialize`. */
export async function overStdio(command, args, env) {
  const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'ignore'] });
  const waiting = new Map();
  let notes = [];
  let nextId = 1;
  let buffered = '';
  let lastLine = Date.now();

  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk) => {
    buffered += chunk;
    const lines = buffered.split('\n');
    buffered = lines.pop();
    for (const line of lines.filter(Boolean)) take(line);
  });
  child.on('exit', (code) => {
    for (const { reject } of waiting.values()) reject(new Error(`the server left with status ${code}`));
  });

  function take(line) {
    lastLine = Date.now();
    const message = JSON.parse(line);
    if (message.method !== undefined) notes.push(line);
    else waiting.get(message.id)?.resolve(line);
  }

  async function request(method, params) {
    const id = nextId++;
    notes = [];
    const reply = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    const raw = await withDeadline(reply, `${method} on the pipe`);
    waiting.delete(id);
    return { raw, notes };
  }

  const opening = { protocolVersion: LEGACY_VERSION, capabilities: {}, clientInfo: CLIENT };
  const hello = await request('initialize', opening);
  child.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
  while (Date.now() - lastLine < QUIET_MS) await new Promise((resolve) => setTimeout(resolve, QUIET_MS / 4));

  return { request, hello, close: () => child.kill() };
}

/** A legacy client: `initialize`, then a session. */
export async function overLegacyHttp(url) {
  const post = poster(url);
  const opening = { protocolVersion: LEGACY_VERSION, capabilities: {}, clientInfo: CLIENT };
  const hello = await post('initialize', opening, {});
  const headers = { 'mcp-session-id': hello.session, 'mcp-protocol-version': LEGACY_VERSION };
  await fetch(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: '{"jsonrpc":"2.0","method":"notifications/initialized"}',
  });
  return {
    hello,
    request: (method, params) => post(method, params, headers),
    close: () => fetch(url, { method: 'DELETE', headers }).then((response) => response.arrayBuffer()),
  };
}

/** A modern client: every request carries what it needs; `hello` is the raw reply to `server/discover`. */
export async function overModernHttp(url) {
  const post = poster(url);
  const request = (method, params = {}) => {
    const headers = { 'mcp-protocol-version': MODERN_VERSION, 'mcp-method': method };
    const name = params.name ?? params.uri;
    if (name !== undefined && ['tools/call', 'prompts/get', 'resources/read'].includes(method)) headers['mcp-name'] = name;
    const own = { [`${META}/protocolVersion`]: MODERN_VERSION, [`${META}/clientCapabilities`]: {}, [`${META}/clientInfo`]: CLIENT };
    return post(method, { ...params, _meta: { ...own, ...params._meta } }, headers);
  };
  return { request, hello: await request('server/discover'), close: async () => {} };
}

function poster(url) {
  let nextId = 1;
  return async (method, params, headers) => {
    // A string, so that a gateway which puts a number of its own back is found out.
    const id = `raw-${nextId++}`;
    const response = await withDeadline(fetch(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({ jsonrpc: '2.0', id, method, params }),
    }), `${method} to ${url}`);
    const body = await withDeadline(response.text(), `the answer to ${method} from ${url}`);
    const messages = isStream(response) ? streamed(body) : [body];
    const raw = messages.find((message) => member(message, 'method') === undefined);
    if (raw === undefined) throw new Error(`${method}: HTTP ${response.status} without a reply: ${body.slice(0, 300)}`);
    if (member(raw, 'id') !== JSON.stringify(id)) throw new Error(`${method}: asked as "${id}", answered as ${member(raw, 'id')}`);
    const notes = messages.filter((message) => member(message, 'method') !== undefined);
    return { raw, notes, status: response.status, session: response.headers.get('mcp-session-id') };
  };
}

function isStream(response) {
  return (response.headers.get('content-type') ?? '').startsWith('text/event-stream');
}

/** The `data` of each event that has any. */
function streamed(body) {
  return body.split(/\r?\n\r?\n/)
    .map((event) => event.split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => line.slice(5).replace(/^ /, '')).join('\n'))
    .filter((data) => data.trim() !== '');
}

function withDeadline(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer within ${REPLY_DEADLINE_MS} ms`)), REPLY_DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
