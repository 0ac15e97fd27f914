#!/usr/bin/env node
// A server of the modern era alone, written with the TypeScript server SDK 2.x as its users write one. The
// servers in the registries still speak the legacy era, so this is the other half of the translation.

import { McpServer, fromJsonSchema } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

const text = (value) => ({ content: [{ type: 'text', text: value }] });
const object = (properties) => fromJsonSchema({ type: 'object', properties, required: Object.keys(properties) });

serveStdio(() => {
  const server = new McpServer({ name: 'ts-server-2', version: '1.0.0' }, { instructions: 'Counts and greets.' });

  server.registerTool(
    'greet',
    { description: 'Greets by name.', inputSchema: object({ name: { type: 'string' } }) },
    async ({ name }) => text(`Good day, ${name}.`),
  );

  server.registerTool(
    'count',
    { description: 'Counts up to a number, with a progress note each.', inputSchema: object({ to: { type: 'integer' } }) },
    async ({ to }, context) => {
      const progressToken = context.mcpReq._meta?.progressToken;
      for (let progress = 1; progress <= to && progressToken !== undefined; progress += 1) {
        await context.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: to } });
      }
      return text(`Counted to ${to}.`);
    },
  );

  server.registerResource('timetable', 'timetable://today', { mimeType: 'text/plain' }, async (uri) => ({
    contents: [{ uri: uri.href, mimeType: 'text/plain', text: 'Calls all day.' }],
  }));

  server.registerPrompt('wake', { description: 'A wake-up call.', argsSchema: object({ hour: { type: 'string' } }) }, ({ hour }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Wake me at ${hour}.` } }],
  }));

  return server;
}, { legacy: 'reject' });
