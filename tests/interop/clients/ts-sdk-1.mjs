#!/usr/bin/env node
// The TypeScript SDK 1.x, as most of today's clients use it.
// Usage: ts-sdk-1.mjs URL legacy WORKDIR

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Checks } from '../lib/checks.mjs';
import { walk } from '../lib/scenario.mjs';

const [url, era, workdir] = process.argv.slice(2);
if (!url || era !== 'legacy' || !workdir) {
  console.error('usage: ts-sdk-1.mjs URL legacy WORKDIR   (this SDK speaks no other era)');
  process.exit(2);
}

async function open(endpoint) {
  const client = new Client({ name: 'interop-ts-sdk-1', version: '1.0.0' });
  const transport = new StreamableHTTPClientTransport(new URL(endpoint));
  await client.connect(transport);
  return {
    instructions: () => client.getInstructions(),
    tools: async () => (await client.listTools()).tools,
    resources: async () => (await client.listResources()).resources,
    templates: async () => (await client.listResourceTemplates()).resourceTemplates,
    prompts: async () => (await client.listPrompts()).prompts,
    call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
    read: (uri) => client.readResource({ uri }),
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: (params) => client.complete(params),
    close: async () => {
      await transport.terminateSession();
      await client.close();
    },
  };
}

const checks = new Checks('ts-sdk-1 legacy');
await walk(checks, url, workdir, 'ts-sdk-1-legacy', open);
checks.finish();
