#!/usr/bin/env node
// A server of the HTTP+SSE transport of 2024-11-05, by the TypeScript SDK 1.x, with the tools that the matrix calls.
// Usage: sse.mjs PORT

import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import {
  CallToolRequestSchema, CompleteRequestSchema, ListPromptsRequestSchema, ListResourcesRequestSchema,
  ListToolsRequestSchema, SetLevelRequestSchema, SubscribeRequestSchema, UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';

const WATCHED = 'test://watched-resource';
const SLOW_MS = 30_000;
/** Between notes and the reply: a client of this SDK on pipes loses a note that it reads together with the reply. */
const PAUSE_MS = 50;
const NOTES = ['Tool execution started', 'Tool processing data', 'Tool execution completed'];
let cancelled = 0;

const text = (value) => ({ content: [{ type: 'text', text: value }] });
const form = {
  type: 'object',
  properties: { username: { type: 'string' }, email: { type: 'string' } },
  required: ['username', 'email'],
};

function session() {
  const capabilities = { tools: {}, prompts: {}, resources: { subscribe: true }, completions: {}, logging: {} };
  const server = new Server({ name: 'matrix-sse', version: '1.0.0' }, { capabilities });
  const watched = new Set();

  const tools = {
    test_simple_text: async () => text('This is a simple text response for testing.'),
    test_tool_with_progress: async (_args, extra) => {
      for (const progress of [0, 50, 100]) {
        await report(extra, progress, 100);
        await sleep(PAUSE_MS);
      }
      return text('done');
    },
    test_tool_with_logging: async (_args, extra) => {
      for (const data of NOTES) {
        await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
      }
      return text('done');
    },
    json_schema_2020_12_tool: async (args) => text(`Called with ${JSON.stringify(args)}`),
    test_slow: async (_args, extra) => {
      await report(extra, 1);
      await sleep(SLOW_MS, undefined, { signal: extra.signal }).catch(() => { cancelled += 1; });
      return text('It took its time.');
    },
    test_cancelled: async () => text(`${cancelled}`),
    test_elicitation: async ({ message }) => {
      return text(JSON.stringify(await server.elicitInput({ message, requestedSchema: form })));
    },
    test_sampling: async ({ prompt }) => {
      const messages = [{ role: 'user', content: { type: 'text', text: prompt } }];
      return text((await server.createMessage({ messages, maxTokens: 100 })).content.text);
    },
    test_input_required_result_list_roots: async () => text(JSON.stringify(await server.listRoots())),
    test_trigger_resource_update: async () => {
      if (watched.has(WATCHED)) await server.sendResourceUpdated({ uri: WATCHED });
      return text('told');
    },
  };

  server.setRequestHandler(ListToolsRequestSchema, async () => ({
    tools: Object.keys(tools).map((name) => ({ name, inputSchema: { type: 'object' } })),
  }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => tools[params.name](params.arguments ?? {}, extra));
  server.setRequestHandler(ListPromptsRequestSchema, async () => ({
    prompts: [{ name: 'test_prompt_with_arguments', arguments: [{ name: 'arg1' }] }],
  }));
  server.setRequestHandler(ListResourcesRequestSchema, async () => ({ resources: [{ uri: WATCHED, name: 'Watched' }] }));
  server.setRequestHandler(CompleteRequestSchema, async ({ params }) => {
    const values = ['testing', 'paris', 'park'].filter((word) => word.startsWith(params.argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  });
  server.setRequestHandler(SetLevelRequestSchema, async () => ({}));
  server.setRequestHandler(SubscribeRequestSchema, async ({ params }) => { watched.add(params.uri); return {}; });
  server.setRequestHandler(UnsubscribeRequestSchema, async ({ params }) => { watched.delete(params.uri); return {}; });
  return server;
}

async function report(extra, progress, total) {
  const progressToken = extra._meta?.progressToken;
  if (progressToken === undefined) return;
  await extra.sendNotification({ method: 'notifications/progress', params: { progressToken, progress, total } });
}

const open = new Map();
const http = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (request.method === 'GET' && url.pathname === '/sse') {
    const transport = new SSEServerTransport('/messages', response);
    open.set(transport.sessionId, transport);
    response.on('close', () => open.delete(transport.sessionId));
    await session().connect(transport);
    return;
  }
  const transport = open.get(url.searchParams.get('sessionId'));
  if (request.method === 'POST' && url.pathname === '/messages' && transport) {
    await transport.handlePostMessage(request, response);
    return;
  }
  // As the servers of that time answer the POST of a newer client.
  response.writeHead(request.method === 'POST' && url.pathname === '/sse' ? 405 : 404).end();
});
http.listen(Number(process.argv[2]), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${http.address().port}/sse`));
