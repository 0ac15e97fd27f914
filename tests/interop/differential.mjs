#!/usr/bin/env node
// Direct against through the gateway: every list, and a call of every tool, of three real servers. What the
// server said over its own pipe must arrive byte for byte; only what is the gateway's own may differ: ids and
// sessions, and in the modern era the result fields that a legacy server does not know.
// Usage: differential.mjs URL legacy|modern WORKDIR      (WORKDIR is the filesystem server's folder)

import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as cases from './lib/cases.mjs';
import { Checks, ensure, equal } from './lib/checks.mjs';
import { overLegacyHttp, overModernHttp, overStdio } from './lib/rawclients.mjs';
import { elements, member, members } from './lib/rawjson.mjs';

const LISTS = {
  'tools/list': 'tools',
  'resources/list': 'resources',
  'resources/templates/list': 'resourceTemplates',
  'prompts/list': 'prompts',
};
/** Result fields that the gateway adds for a modern client of a legacy server. */
const MODERN_FIELDS = { resultType: '"complete"' };
const CACHE_FIELDS = { ...MODERN_FIELDS, ttlMs: '0', cacheScope: '"private"' };
const CACHED = [...Object.keys(LISTS), 'resources/read'];
const SERVER_INFO = 'io.modelcontextprotocol/serverInfo';
const METHOD_NOT_FOUND = -32601;
const RESOURCE_NOT_FOUND = -32002;
const INVALID_PARAMS = -32602;
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

const [url, era, given] = process.argv.slice(2);
if (!url || !['legacy', 'modern'].includes(era) || !given) {
  console.error('usage: differential.mjs URL legacy|modern WORKDIR');
  process.exit(2);
}
const workdir = realpathSync(given);
const packages = join(dirname(fileURLToPath(import.meta.url)), 'node_modules/@modelcontextprotocol');
const scratch = mkdtempSync(join(tmpdir(), 'interop-differential-'));
const checks = new Checks(`differential ${era}`);
const open = era === 'legacy' ? overLegacyHttp : overModernHttp;

const SERVERS = [
  { name: 'everything', program: 'server-everything', args: ['stdio'], cases: cases.everything, prepare: () => {} },
  { name: 'everything-http', program: 'server-everything', args: ['stdio'], cases: cases.everything, prepare: () => {} },
  { name: 'filesystem', program: 'server-filesystem', args: [workdir], cases: cases.filesystem(workdir), prepare: layFolder },
  { name: 'memory', program: 'server-memory', args: [], cases: cases.memory, prepare: () => {} },
];

try {
  for (const server of SERVERS) await whole(server.name, () => compare(server));
  await whole('merged', compareMerged);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
checks.finish();

/** What breaks a conversation before its first reply, such as a refused connection, is one failed check. */
async function whole(name, body) {
  try {
    await body();
  } catch (error) {
    await checks.check(`${name}: the conversation`, async () => {
      throw error;
    });
  }
}

/** One server's whole conversation, first on its own pipe and then through the gateway. */
async function compare(server) {
  const questions = [...Object.keys(LISTS).map((method) => ({ method, params: {}, masks: [] })), ...server.cases];
  const direct = await converse(() => startDirect(server), server, questions);
  const through = await converse(() => open(`${url}/${server.name}`), server, questions);

  await checks.check(`${server.name}: every listed tool has a case`, async () => {
    const listed = elements(member(result(direct.replies[0].raw), 'tools')).map((tool) => JSON.parse(tool).name);
    const tried = new Set(server.cases.map((one) => one.tool));
    equal(listed.filter((name) => !tried.has(name)), [], 'tools without a case');
  });
  await checks.check(`${server.name}: instructions`, async () => {
    const instructions = (hello) => JSON.parse(hello.raw).result?.instructions;
    equal(instructions(through.hello), instructions(direct.hello), 'instructions');
  });
  for (const [at, question] of questions.entries()) {
    const args = question.params.arguments ?? question.params.ref ?? question.params.uri ?? {};
    const title = `${server.name}: ${question.method} ${question.params.name ?? ''} ${JSON.stringify(args).slice(0, 60).replace(/[^ -~]/g, '·')}`;
    await checks.check(title, async () => sameReply(question, direct.replies[at], through.replies[at]));
    if (question.tool === 'get-env' && server.name === 'everything') await checks.check(`${server.name}: the child’s environment`, async () => smallEnvironment(through.replies[at]));
  }
}

async function converse(connect, server, questions) {
  server.prepare();
  const client = await connect();
  try {
    const replies = [];
    for (const { method, params, progress } of questions) {
      // A token of our own kind: it must come back, whatever the gateway uses towards the server.
      const asked = progress ? { ...params, _meta: { progressToken: 'differential' } } : params;
      replies.push(await client.request(method, asked).catch((error) => ({ error })));
    }
    return { hello: client.hello, replies };
  } finally {
    await client.close();
  }
}

function startDirect(server) {
  const env = { PATH: process.env.PATH, MEMORY_FILE_PATH: join(scratch, `${server.name}.json`) };
  return overStdio(process.execPath, [join(packages, server.program, 'dist/index.js'), ...server.args], env);
}

function sameReply(question, direct, through) {
  for (const { error } of [direct, through]) if (error) throw error;
  const [expected, actual] = [masked(direct.raw, question), masked(through.raw, question)];
  if (question.progress) equal(through.notes.map(noteOf), direct.notes.filter(isProgress).map(noteOf), 'progress notes');
  const error = member(expected, 'error');
  if (error !== undefined && question.method in LISTS && JSON.parse(error).code === METHOD_NOT_FOUND) {
    // What a server does not offer is an empty list at the gateway, which declares every list, or the same refusal.
    const list = member(actual, 'result');
    if (list !== undefined) return equal(elements(member(list, LISTS[question.method])), [], 'entries of a list that the server lacks');
  }
  if (error !== undefined) return sameError(question, error, member(actual, 'error') ?? actual);
  return sameResult(question, member(expected, 'result'), member(actual, 'result') ?? actual);
}

/** Errors arrive as they are, but for the one code that the modern era has renumbered. */
function sameError(question, expected, actual) {
  const renumbered = era === 'modern' && question.method === 'resources/read' && JSON.parse(expected).code === RESOURCE_NOT_FOUND;
  equal(actual, renumbered ? expected.replace(`${RESOURCE_NOT_FOUND}`, `${INVALID_PARAMS}`) : expected, 'error');
}

function sameResult(question, expected, actual) {
  const own = era === 'legacy' ? {} : CACHED.includes(question.method) ? CACHE_FIELDS : MODERN_FIELDS;
  const rest = [];
  for (const [key, value] of members(actual)) {
    if (key in own) equal(value, own[key], `added field ${key}`);
    else if (key === '_meta' && era === 'modern') rest.push(...withoutServerInfo(value));
    else rest.push([key, value]);
  }
  for (const key of Object.keys(own)) ensure(member(actual, key) !== undefined, `the result has no ${key}`);
  const key = LISTS[question.method];
  if (key) {
    const at = rest.findIndex(([name]) => name === key);
    ensure(at >= 0, `the result has no ${key}`);
    sameEntries(elements(rest[at][1]).filter(isLasting), elements(member(expected, key)));
    rest[at] = [key, member(expected, key)];
  }
  equal(rest, members(expected), 'raw members');
}

/** Says which entries differ, not only that the lists do. */
function sameEntries(actual, expected) {
  equal(expected.filter((entry) => !actual.includes(entry)), [], 'raw entries that are missing or changed');
  equal(actual.filter((entry) => !expected.includes(entry)), [], 'raw entries that the server did not send');
  equal(actual, expected, 'order of the entries');
}

/** The child behind the gateway is shared and keeps what other clients' calls made; a fresh child has none of it. */
function isLasting(entry) {
  return !entry.includes('"uri":"demo://resource/session/');
}

/** A modern result names its server in `_meta`; whatever else is there came from the server. */
function withoutServerInfo(meta) {
  ensure(member(meta, SERVER_INFO) !== undefined, `no ${SERVER_INFO} in ${meta}`);
  const others = members(meta).filter(([key]) => key !== SERVER_INFO);
  return others.length === 0 ? [] : [['_meta', `{${others.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`]];
}

/** The merged lists hold the servers' raw entries in which only the name was replaced. */
async function compareMerged() {
  const client = await open(url);
  const merged = {};
  for (const [method, key] of Object.entries(LISTS)) {
    merged[method] = elements(member(result((await client.request(method, {})).raw), key));
  }
  await client.close();
  for (const server of SERVERS.filter((one) => one.name !== 'everything-http')) {
    const direct = await startDirect(server);
    for (const [method, key] of Object.entries(LISTS)) {
      const { raw } = await direct.request(method, {});
      if (member(raw, 'result') === undefined) continue;
      await checks.check(`merged ${method} holds ${server.name}’s raw entries`, async () => {
        const named = ['tools', 'prompts'].includes(key);
        const expected = elements(member(result(raw), key)).map((entry) => (named ? prefixed(entry, server.name) : entry));
        // Two servers list the same templates; a copy of an entry is no difference.
        sameEntries([...new Set(merged[method])].filter((entry) => expected.includes(entry)), expected);
      });
    }
    direct.close();
  }
}

function prefixed(entry, server) {
  const name = member(entry, 'name');
  return entry.replace(`"name":${name}`, `"name":"${server}__${JSON.parse(name)}"`);
}

/** Nothing of the gateway's own environment reaches a child of its; the runner plants a canary there. */
function smallEnvironment(reply) {
  const names = Object.keys(JSON.parse(JSON.parse(reply.raw).result.content[0].text));
  ensure(names.includes('PATH'), `names: ${names}`);
  equal(names.filter((name) => name === 'INTEROP_CANARY' || name.startsWith('TRUNKLINE')), [], 'leaked variables');
}

function result(raw) {
  const found = member(raw, 'result');
  if (found === undefined) throw new Error(`no result in ${raw.slice(0, 300)}`);
  return found;
}

function masked(raw, { masks }) {
  return masks.reduce((text, { find, put }) => text.replace(find, put), raw);
}

function isProgress(note) {
  return JSON.parse(note).method === 'notifications/progress';
}

/** A note without its place on the line: which key comes first is each writer's own. */
function noteOf(note) {
  const { method, params } = JSON.parse(note);
  return { method, params };
}

function layFolder() {
  for (const entry of readdirSync(workdir)) rmSync(join(workdir, entry), { recursive: true, force: true });
  mkdirSync(join(workdir, 'sub'));
  writeFileSync(join(workdir, 'notes.txt'), 'one\ntwo\nthree\n');
  writeFileSync(join(workdir, 'pixel.png'), Buffer.from(PNG, 'base64'));
}
