#!/usr/bin/env node
// The TypeScript SDK 1.x when its connections break: it comes back by itself, and must miss nothing. And the oldest
// HTTP transport: servers of it behind the gateway, and the SDK's client of it in front.
// Usage: ts-resume.mjs URL

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { Checks, ensure, equal } from '../lib/checks.mjs';

const [base] = process.argv.slice(2);
if (!base) {
  console.error('usage: ts-resume.mjs URL');
  process.exit(2);
}

/** How the SDK waits between attempts, shortened: no test waits longer than it must. */
const RECONNECTION = { initialReconnectionDelay: 100, maxReconnectionDelay: 1000, reconnectionDelayGrowFactor: 1.5, maxRetries: 5 };
const LARGE_TEXT_CHARS = 400_000;

/** A `fetch` whose streams of calls break after so many events, as a network does; it counts how often it was come back to. */
function breaking(after) {
  const seen = { broken: 0, resumed: 0 };
  const fetchIt = async (url, init) => {
    const headers = new Headers(init?.headers);
    if (headers.has('last-event-id')) seen.resumed += 1;
    const response = await fetch(url, init);
    const calls = init?.method === 'POST' && String(init.body).includes('"tools/call"');
    if (!calls || !response.headers.get('content-type')?.includes('text/event-stream')) return response;
    seen.broken += 1;
    let events = 0;
    const cut = new TransformStream({
      transform(chunk, controller) {
        controller.enqueue(chunk);
        events += new TextDecoder().decode(chunk).split('\n\n').length - 1;
        if (events >= after) controller.error(new Error('the network is gone'));
      },
    });
    return new Response(response.body.pipeThrough(cut), { status: response.status, headers: response.headers });
  };
  return { fetch: fetchIt, seen };
}

async function connect(endpoint, options = {}) {
  const client = new Client({ name: 'interop-ts-resume', version: '1.0.0' });
  const transport = new StreamableHTTPClientTransport(new URL(endpoint), { reconnectionOptions: RECONNECTION, ...options });
  await client.connect(transport);
  return { client, close: async () => { await transport.terminateSession(); await client.close(); } };
}

const text = (result) => result.content?.[0]?.text;
const checks = new Checks('ts-resume');

for (const after of [1, 3]) {
  await checks.check(`a stream that breaks after ${after} events is taken up again, and nothing is missing or twice`, async () => {
    const network = breaking(after);
    const { client, close } = await connect(`${base}/everything`, { fetch: network.fetch });
    const notes = [];
    const call = { name: 'trigger-long-running-operation', arguments: { duration: 2, steps: 8 } };
    const result = await client.callTool(call, undefined, { onprogress: (note) => notes.push(note.progress) });
    equal(text(result), 'Long running operation completed. Duration: 2 seconds, Steps: 8.', 'result');
    equal(notes, [1, 2, 3, 4, 5, 6, 7, 8], 'progress');
    ensure(network.seen.broken === 1 && network.seen.resumed >= 1, JSON.stringify(network.seen));
    await close();
  });
}

await checks.check('a program that was started again takes up its call by the resumption token', async () => {
  const call = { method: 'tools/call', params: { name: 'trigger-long-running-operation', arguments: { duration: 2, steps: 8 } } };
  const first = new StreamableHTTPClientTransport(new URL(`${base}/everything`), { reconnectionOptions: { ...RECONNECTION, maxRetries: 0 } });
  const client = new Client({ name: 'interop-ts-resume', version: '1.0.0' });
  await client.connect(first);
  let token;
  const gone = new Promise((resolve) => {
    const onprogress = async ({ progress }) => {
      if (progress !== 2) return;
      await client.close();
      resolve();
    };
    client.request(call, CallToolResultSchema, { onprogress, onresumptiontoken: (given) => { token = given; } }).catch(() => {});
  });
  await gone;
  const { client: again, close } = await connect(`${base}/everything`, { sessionId: first.sessionId });
  const result = await again.request(call, CallToolResultSchema, { resumptionToken: token });
  equal(text(result), 'Long running operation completed. Duration: 2 seconds, Steps: 8.', 'result');
  await close();
});

// Without Python, only one of them stands there.
const { servers } = await (await fetch(new URL('/readyz', base))).json();
for (const server of ['everything-sse', 'python-sse'].filter((name) => name in servers)) {
  await checks.check(`${server}: a server of the oldest HTTP transport is listed and called`, async () => {
    const { client, close } = await connect(`${base}/${server}`);
    const names = (await client.listTools()).tools.map((tool) => tool.name);
    ensure(names.includes('echo'), `tools: ${names}`);
    const large = 'x'.repeat(LARGE_TEXT_CHARS);
    const echoed = text(await client.callTool({ name: 'echo', arguments: { message: large } }));
    ensure(echoed === `Echo: ${large}`, `echo of ${LARGE_TEXT_CHARS} characters came back with ${echoed.length}`);
    const replies = await Promise.all(Array.from({ length: 20 }, (_, n) => client.callTool({ name: 'echo', arguments: { message: `${n}` } })));
    equal(replies.map(text), Array.from({ length: 20 }, (_, n) => `Echo: ${n}`), 'replies');
    await close();
  });
}

await checks.check('everything-sse: progress of the oldest transport reaches its caller', async () => {
  const { client, close } = await connect(`${base}/everything-sse`);
  const notes = [];
  const call = { name: 'trigger-long-running-operation', arguments: { duration: 0.5, steps: 5 } };
  await client.callTool(call, undefined, { onprogress: (note) => notes.push(note.progress) });
  equal(notes, [1, 2, 3, 4, 5], 'progress');
  await close();
});

for (const path of ['/sse/everything', '/sse']) {
  await checks.check(`${path}: the SDK's client of the oldest transport is served`, async () => {
    const client = new Client({ name: 'interop-ts-oldest', version: '1.0.0' });
    await client.connect(new SSEClientTransport(new URL(path, base)));
    const prefix = path === '/sse' ? 'everything__' : '';
    const notes = [];
    const call = { name: `${prefix}trigger-long-running-operation`, arguments: { duration: 0.5, steps: 5 } };
    await client.callTool(call, undefined, { onprogress: (note) => notes.push(note.progress) });
    // This SDK drops the notes that come in one piece with the answer, without the gateway too.
    ensure(notes.length > 0 && notes.every((progress, at) => progress === at + 1), `progress: ${notes}`);
    const replies = await Promise.all(Array.from({ length: 20 }, (_, n) => client.callTool({ name: `${prefix}echo`, arguments: { message: `${n}` } })));
    equal(replies.map(text), Array.from({ length: 20 }, (_, n) => `Echo: ${n}`), 'replies');
    await client.close();
  });
}

checks.finish();
