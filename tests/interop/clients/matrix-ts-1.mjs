#!/usr/bin/env node
// The matrix from the TypeScript SDK 1.x.
// Usage: matrix-ts-1.mjs TARGET legacy   (what a target is: lib/reach.mjs)

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema, LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { Checks } from '../lib/checks.mjs';
import { matrix } from '../lib/matrix.mjs';

const [target, era] = process.argv.slice(2);
if (!target || era !== 'legacy') {
  console.error('usage: matrix-ts-1.mjs TARGET legacy   (this SDK speaks no other era)');
  process.exit(2);
}

async function open(place, answers) {
  const capabilities = { sampling: {}, elicitation: {}, roots: {} };
  const client = new Client({ name: 'matrix-ts-1', version: '1.0.0' }, { capabilities });
  client.setRequestHandler(CreateMessageRequestSchema, async ({ params }) => answers.sampling(params));
  client.setRequestHandler(ElicitRequestSchema, async ({ params }) => answers.elicitation(params));
  client.setRequestHandler(ListRootsRequestSchema, async () => answers.roots());
  const transport = place.url ? new StreamableHTTPClientTransport(place.url) : new StdioClientTransport(place);
  await client.connect(transport);
  return {
    call: (name, args, { level, ...options } = {}) => client.callTool({ name, arguments: args }, undefined, options),
    complete: (params) => client.complete(params),
    logged: async (hear, body) => {
      client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => hear(params));
      await client.setLoggingLevel('debug');
      await body();
    },
    subscribe: async (uri, hear) => {
      client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => hear(params.uri));
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    },
    close: async () => {
      if (place.url) await transport.terminateSession();
      await client.close();
    },
  };
}

const checks = new Checks('matrix ts-sdk-1 legacy');
await matrix(checks, target, open);
checks.finish();
