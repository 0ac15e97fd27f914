#!/usr/bin/env node
// The command that the conformance suite runs in client mode: it starts a gateway with the suite's server behind it and
// drives it, by a client that says nothing but what the scenario needs.
// Usage: conformance-driver.mjs URL
//        TRUNKLINE in the environment is the gateway's binary, FRONT the era of the client (legacy, modern),
//        MCP_CONFORMANCE_SCENARIO and MCP_CONFORMANCE_CONTEXT are the suite's.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const url = process.argv[2];
const { TRUNKLINE: trunkline, FRONT: era, MCP_CONFORMANCE_SCENARIO: scenario } = process.env;
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
const READY_TIMEOUT_MS = 15_000;
const MODERN = '2026-07-28';
const LEGACY = '2025-11-25';
const CAPABILITIES = { elicitation: {}, sampling: {}, roots: {} };

const AUTH = scenario?.startsWith('auth/');
/** Logins that a person has the patience for. */
const MAX_LOGINS = 3;
/** The client id that the suite expects where metadata documents are taken. */
const METADATA_DOCUMENT = 'https://conformance-test.local/client-metadata.json';
let logins = 0;

const folder = mkdtempSync(join(tmpdir(), 'trunkline-conformance-'));
let gateway;
let base;
const said = [];
let status = 0;
try {
  const endpoint = await startGateway();
  await drive(era === 'modern' ? modernClient(endpoint) : await legacyClient(endpoint));
} catch (error) {
  console.error(`driver: ${error.message}`);
  status = 1;
} finally {
  await stopGateway();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(status);

async function drive(client) {
  const { tools } = await client.request('tools/list', {});
  const call = (name, args, more = {}) => client.request('tools/call', { name, arguments: args, ...more });
  switch (scenario) {
    case 'http-custom-headers':
      for (const { name, arguments: args } of context.toolCalls ?? []) await call(name, args);
      break;
    case 'sep-2322-client-request-state':
      for (const name of ['test_mrtr_echo_state', 'test_mrtr_no_state', 'test_mrtr_no_result_type']) {
        const result = await call(name, {});
        if (result.resultType !== 'input_required') continue;
        // In between, a call that must not carry anything of it.
        await call('test_mrtr_unrelated', {});
        const state = result.requestState === undefined ? {} : { requestState: result.requestState };
        await call(name, {}, { inputResponses: answers(result.inputRequests), ...state });
      }
      break;
    case 'json-schema-ref-no-deref':
      break;
    case 'http-standard-headers':
      for (const { name } of tools) await call(name, {});
      for (const { uri } of (await client.request('resources/list', {})).resources) await client.request('resources/read', { uri });
      for (const { name } of (await client.request('prompts/list', {})).prompts) await client.request('prompts/get', { name });
      break;
    case 'http-invalid-tool-headers':
      for (const { name } of tools) await call(name, { region: 'eu', value: 'x' });
      break;
    default:
      if (tools.length > 0) await loggedIn(() => call(tools[0].name, { a: 2, b: 3 }));
  }
}

/** Does something, and once more after each login that the gateway asks for. */
async function loggedIn(what) {
  for (;;) {
    try {
      return await what();
    } catch (error) {
      if (!AUTH || !error.message.includes('trunkline login') || logins >= MAX_LOGINS) throw error;
      await login();
      await untilReady();
    }
  }
}

/** The answer of a person who accepts what is proposed. */
function accept({ requestedSchema }) {
  const properties = Object.entries(requestedSchema?.properties ?? {});
  const content = properties.map(([name, { type, default: preset }]) => [name, preset ?? (type === 'boolean' ? true : 'yes')]);
  return { action: 'accept', content: Object.fromEntries(content) };
}

function answers(requests) {
  return Object.fromEntries(Object.entries(requests).map(([key, { params }]) => [key, accept(params)]));
}

// ── two clients ─────────────────────────────────────────────────────────────────────────────────────────────

function modernClient(base) {
  let id = 0;
  const tools = new Map();
  const request = async (method, params) => {
    const meta = {
      'io.modelcontextprotocol/protocolVersion': MODERN,
      'io.modelcontextprotocol/clientCapabilities': { elicitation: {} },
      'io.modelcontextprotocol/clientInfo': { name: 'driver', version: '1' },
    };
    const body = { jsonrpc: '2.0', id: ++id, method, params: { ...params, _meta: meta } };
    const headers = { 'mcp-protocol-version': MODERN, 'mcp-method': method, ...mirrored(method, params) };
    const named = { 'tools/call': params.name, 'prompts/get': params.name, 'resources/read': params.uri }[method];
    if (named !== undefined) headers['mcp-name'] = encoded(named);
    const result = await answer(await post(base, headers, body), body.id);
    result.tools?.forEach((tool) => tools.set(tool.name, tool));
    return result;
  };
  // What a client of this era owes to a tool that asks for it.
  const mirrored = (method, params) => {
    const headers = {};
    const walk = (schema, value) => {
      for (const [name, property] of Object.entries(schema?.properties ?? {})) {
        const given = value?.[name];
        if (given === undefined || given === null) continue;
        if (property['x-mcp-header']) headers[`mcp-param-${property['x-mcp-header']}`] = encoded(String(given));
        else if (property.type === 'object') walk(property, given);
      }
    };
    if (method === 'tools/call') walk(tools.get(params.name)?.inputSchema, params.arguments);
    return headers;
  };
  return { request };
}

/** A value as a header carries it: what is not plain goes in base64. */
function encoded(value) {
  return /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value) && !value.startsWith('=?base64?')
    ? value
    : `=?base64?${Buffer.from(value).toString('base64')}?=`;
}

async function legacyClient(base) {
  let id = 0;
  let session = {};
  const headers = () => ({ 'mcp-protocol-version': LEGACY, ...session });
  const request = async (method, params) => {
    const body = { jsonrpc: '2.0', id: ++id, method, params };
    return answer(await post(base, headers(), body), body.id, async (question) => {
      // While the question is open, a call that must not carry anything of it.
      if (scenario === 'sep-2322-client-request-state') await request('tools/call', { name: 'test_mrtr_unrelated', arguments: {} });
      const result = question.method === 'elicitation/create' ? accept(question.params) : {};
      await post(base, headers(), { jsonrpc: '2.0', id: question.id, result });
    });
  };
  const hello = { jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: LEGACY, capabilities: CAPABILITIES, clientInfo: { name: 'driver', version: '1' } } };
  const opened = await post(base, {}, hello);
  session = { 'mcp-session-id': opened.headers.get('mcp-session-id') };
  await answer(opened, 0);
  await post(base, headers(), { jsonrpc: '2.0', method: 'notifications/initialized' });
  return { request };
}

function post(base, headers, body) {
  const fixed = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  return fetch(base, { method: 'POST', headers: { ...fixed, ...headers }, body: JSON.stringify(body) });
}

/** The result of a request, from JSON or from a stream; questions on the way are given to `ask`. */
async function answer(response, id, ask) {
  const streams = response.headers.get('content-type')?.startsWith('text/event-stream');
  const messages = streams ? events(response.body) : [await response.json()];
  for await (const message of messages) {
    if (message.method && message.id !== undefined) await ask?.(message);
    else if (message.id === id && message.result) return message.result;
    else if (message.id === id) throw new Error(JSON.stringify(message.error));
  }
  throw new Error(`no answer to request ${id} (${response.status})`);
}

async function* events(body) {
  let text = '';
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const data = text.slice(0, end).split('\n').filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
      if (data) yield JSON.parse(data);
    }
  }
}

// ── the gateway ─────────────────────────────────────────────────────────────────────────────────────────────

/** The endpoint of the suite's server behind a fresh gateway, once the server is ready. */
async function startGateway() {
  const config = join(folder, 'gateway.toml');
  const keys = AUTH ? await oauthKeys() : '';
  writeFileSync(config, `[gateway]\nlisten = "127.0.0.1:0"\ndata_dir = "${folder}/data"\n\n[servers.suite]\nurl = "${url}"\nquestions = true\nisolation = "session"\n${keys}`);
  gateway = spawn(trunkline, ['serve', '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  base = await new Promise((resolve, reject) => {
    gateway.on('exit', (code) => reject(new Error(`the gateway left with status ${code}: ${said.slice(-3).join(' ')}`)));
    createInterface({ input: gateway.stderr }).on('line', (line) => {
      said.push(line);
      const address = / listens on (http:\S+)/.exec(line)?.[1];
      if (address) resolve(address);
    });
  });
  await untilReady();
  return `${base}/mcp/suite`;
}

/** Waits for the suite's server, and logs in to it when it asks for that. */
async function untilReady() {
  let end = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const readiness = await (await fetch(`${base}/readyz`)).json();
    const why = readiness.degraded.suite ?? '';
    if (readiness.servers.suite === 'ready') return;
    if (AUTH && readiness.servers.suite === 'failed') {
      if (!why.includes('trunkline login') || logins >= MAX_LOGINS) throw new Error(why);
      await login();
      end = Date.now() + READY_TIMEOUT_MS;
      // It is noticed within a second; until then the state is the one before.
      await gone(why, end);
    }
    if (Date.now() > end) throw new Error(`the suite's server does not become ready: ${JSON.stringify(readiness)} ${said.slice(-3).join(' ')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until a state that is over is no longer shown. */
async function gone(why, end) {
  while (Date.now() < end) {
    const { degraded } = await (await fetch(`${base}/readyz`)).json();
    if (degraded.suite !== why) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What an operator writes into the entry who knows the authorization server. */
async function oauthKeys() {
  const { client_id: id, client_secret: secret, private_key_pem: key } = context;
  const text = (value) => JSON.stringify(value);
  const keys = [`client_metadata_url = ${text(METADATA_DOCUMENT)}`];
  if (id) {
    const { origin, pathname } = new URL(url);
    const metadata = await (await fetch(`${origin}/.well-known/oauth-protected-resource${pathname}`)).json();
    keys.push(`client_id = ${text(id)}`, `issuer = ${text(metadata.authorization_servers[0])}`);
  }
  if (secret) keys.push(`client_secret = ${text(secret)}`);
  if (key) keys.push(`private_key = ${text(key)}`);
  if (scenario.startsWith('auth/client-credentials')) keys.push('grant = "client_credentials"');
  return `[servers.suite.oauth]\n${keys.join('\n')}\n`;
}

/** `trunkline login`, and a browser whose person says yes to everything. */
async function login() {
  logins += 1;
  const terminal = spawn(trunkline, ['login', 'suite', '--no-browser', '--config', join(folder, 'gateway.toml')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let words = '';
  terminal.stderr.on('data', (piece) => (words += piece));
  const ended = new Promise((resolve) => terminal.once('close', resolve));
  createInterface({ input: terminal.stdout }).once('line', async (page) => {
    const response = await fetch(page, { redirect: 'manual' });
    const back = response.headers.get('location');
    // What the authorization server does not send back never ends.
    if (back) await fetch(back).catch(() => {});
    else terminal.kill();
  });
  const code = await ended;
  if (code !== 0) throw new Error(`the login failed: ${words.trim().split('\n').at(-1)}`);
}

async function stopGateway() {
  if (!gateway || gateway.exitCode !== null) return;
  const gone = new Promise((resolve) => gateway.once('exit', resolve));
  gateway.kill('SIGTERM');
  await gone;
}
