#!/usr/bin/env node
// The matrix from the TypeScript client 2.x, in either era.
// Usage: matrix-ts-2.mjs TARGET legacy|modern   (what a target is: lib/reach.mjs)

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Checks, equal } from '../lib/checks.mjs';
import { matrix } from '../lib/matrix.mjs';

const MODES = { legacy: 'legacy', modern: { pin: '2026-07-28' } };
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel';

const [target, era] = process.argv.slice(2);
if (!target || !(era in MODES)) {
  console.error('usage: matrix-ts-2.mjs TARGET legacy|modern');
  process.exit(2);
}

async function open(place, answers) {
  const client = new Client(
    { name: 'matrix-ts-2', version: '1.0.0' },
    { capabilities: { sampling: {}, elicitation: {}, roots: {} }, versionNegotiation: { mode: MODES[era] } },
  );
  client.setRequestHandler('sampling/createMessage', async ({ params }) => answers.sampling(params));
  client.setRequestHandler('elicitation/create', async ({ params }) => answers.elicitation(params));
  client.setRequestHandler('roots/list', async () => answers.roots());
  const transport = place.url ? new StreamableHTTPClientTransport(place.url) : new StdioClientTransport(place);
  await client.connect(transport);
  equal(client.getProtocolEra(), era, 'negotiated era');
  return {
    call: (name, args, { level, ...options } = {}) => {
      const meta = level && era === 'modern' ? { _meta: { [LOG_LEVEL]: level } } : {};
      return client.callTool({ name, arguments: args, ...meta }, options);
    },
    complete: (params) => client.complete(params),
    logged: async (hear, body) => {
      client.setNotificationHandler('notifications/message', ({ params }) => hear(params));
      if (era === 'legacy') await client.setLoggingLevel('debug');
      await body();
    },
    subscribe: async (uri, hear) => {
      client.setNotificationHandler('notifications/resources/updated', ({ params }) => hear(params.uri));
      if (era === 'legacy') {
        await client.subscribeResource({ uri });
        return () => client.unsubscribeResource({ uri });
      }
      const subscription = await client.listen({ resourceSubscriptions: [uri] });
      return () => subscription.close();
    },
    close: async () => {
      if (place.url && era === 'legacy') await transport.terminateSession();
      await client.close();
    },
  };
}

const checks = new Checks(`matrix ts-client-2 ${era}`);
await matrix(checks, target, open);
checks.finish();
