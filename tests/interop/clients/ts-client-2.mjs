#!/usr/bin/env node
// The TypeScript client 2.x, in either era.
// Usage: ts-client-2.mjs URL legacy|modern WORKDIR

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Checks, equal } from '../lib/checks.mjs';
import { walk } from '../lib/scenario.mjs';

const MODES = { legacy: 'legacy', modern: { pin: '2026-07-28' } };

const [url, era, workdir] = process.argv.slice(2);
if (!url || !(era in MODES) || !workdir) {
  console.error('usage: ts-client-2.mjs URL legacy|modern WORKDIR');
  process.exit(2);
}

async function open(endpoint) {
  const client = new Client(
    { name: 'interop-ts-client-2', version: '1.0.0' },
    { versionNegotiation: { mode: MODES[era] } },
  );
  const transport = new StreamableHTTPClientTransport(new URL(endpoint));
  await client.connect(transport);
  equal(client.getProtocolEra(), era, 'negotiated era');
  return {
    instructions: () => client.getInstructions(),
    tools: async () => (await client.listTools()).tools,
    resources: async () => (await client.listResources()).resources,
    templates: async () => (await client.listResourceTemplates()).resourceTemplates,
    prompts: async () => (await client.listPrompts()).prompts,
    call: (name, args, options) => client.callTool({ name, arguments: args }, options),
    read: (uri) => client.readResource({ uri }),
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: (params) => client.complete(params),
    close: async () => {
      if (era === 'legacy') await transport.terminateSession();
      await client.close();
    },
  };
}

const checks = new Checks(`ts-client-2 ${era}`);
await walk(checks, url, workdir, `ts-client-2-${era}`, open);
checks.finish();
