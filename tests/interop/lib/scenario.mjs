// What every TypeScript client does with the servers behind the gateway, written once. A client program
// supplies `open(url)`, which connects its SDK and returns the few verbs that are used here.
// `lib/scenario.py` holds the same walk for the Python SDKs.

import { ensure, equal, failure } from './checks.mjs';

const CALLS_AT_ONCE = 20;
/** The long-running tool would take this many seconds; the client gives up at its first progress note. */
const LONG_SECONDS = 30;
/** More than one pipe buffer and more than one socket buffer. */
const LARGE_TEXT_CHARS = 400_000;

/** @param base the merged endpoint, such as http://127.0.0.1:7332/mcp @param workdir the filesystem server's folder */
export async function walk(checks, base, workdir, tag, open) {
  await everything(checks, `${base}/everything`, open);
  await everythingOverHttp(checks, `${base}/everything-http`, open);
  await filesystem(checks, `${base}/filesystem`, open, workdir, tag);
  await memory(checks, `${base}/memory`, open, tag);
  await modernServer(checks, `${base}/modern`, open);
  await merged(checks, base, open, workdir, tag);
}

const text = (result) => result.content?.[0]?.text;

async function withClient(checks, name, open, url, body) {
  let client;
  await checks.check(`${name}: connects`, async () => {
    client = await open(url);
  });
  if (!client) return;
  try {
    await body(client, (title, run) => checks.check(`${name}: ${title}`, run));
  } finally {
    await checks.check(`${name}: closes`, () => client.close());
  }
}

async function everything(checks, url, open) {
  await withClient(checks, 'everything', open, url, async (client, check) => {
    await check('the server’s own instructions arrive', async () => {
      ensure(client.instructions()?.includes('Everything Server'), `instructions: ${client.instructions()}`);
    });
    await listsOfEverything(client, check);
    await callsOfEverything(client, check);
    await resourcesAndPrompts(client, check, '');
    await templatedResources(client, check);
    await concurrencyAndCancelling(client, check, '');
    await check('an unknown tool is an error that names it', async () => {
      const message = await refusal(client, 'no-such-tool');
      ensure(message.includes('no-such-tool'), `message: ${message}`);
    });
  });
}

async function listsOfEverything(client, check) {
  await check('tools/list has the tools under their own names', async () => {
    const names = (await client.tools()).map((tool) => tool.name);
    for (const name of ['echo', 'get-sum', 'get-tiny-image', 'get-structured-content', 'trigger-long-running-operation']) {
      ensure(names.includes(name), `${name} is missing from ${names}`);
    }
    ensure(!names.includes('get-roots-list'), 'a shared server was told that its client has roots');
  });
  await check('resources/list, templates and prompts are whole', async () => {
    const uris = (await client.resources()).map((resource) => resource.uri);
    ensure(uris.includes('demo://resource/static/document/architecture.md'), `resources: ${uris}`);
    const templates = (await client.templates()).map((template) => template.uriTemplate);
    equal(templates, ['demo://resource/dynamic/text/{resourceId}', 'demo://resource/dynamic/blob/{resourceId}'], 'templates');
    const prompts = (await client.prompts()).map((prompt) => prompt.name);
    equal(prompts, ['simple-prompt', 'args-prompt', 'completable-prompt', 'resource-prompt'], 'prompts');
  });
}

async function callsOfEverything(client, check) {
  await check('echo and get-sum answer', async () => {
    equal(text(await client.call('echo', { message: 'héllo "trunk" \u{1F4DE}' })), 'Echo: héllo "trunk" \u{1F4DE}', 'echo');
    equal(text(await client.call('get-sum', { a: 19, b: 23 })), 'The sum of 19 and 23 is 42.', 'get-sum');
  });
  await check('image, annotations, structured content, resource content and links survive', async () => {
    const image = (await client.call('get-tiny-image', {})).content.find((part) => part.type === 'image');
    equal([image.mimeType, image.data.slice(0, 8)], ['image/png', 'iVBORw0K'], 'image');
    const annotated = await client.call('get-annotated-message', { messageType: 'error', includeImage: true });
    equal(annotated.content[0].annotations, { priority: 1, audience: ['user', 'assistant'] }, 'annotations');
    const weather = await client.call('get-structured-content', { location: 'Chicago' });
    equal(weather.structuredContent, { temperature: 36, conditions: 'Light rain / drizzle', humidity: 82 }, 'structured');
    const reference = await client.call('get-resource-reference', { resourceType: 'Blob', resourceId: 7 });
    equal(reference.content[1].resource.uri, 'demo://resource/dynamic/blob/7', 'embedded resource');
    const links = await client.call('get-resource-links', { count: 4 });
    equal(links.content.filter((part) => part.type === 'resource_link').length, 4, 'resource links');
  });
  await check('progress notes reach their caller, in order', async () => {
    const notes = [];
    const result = await client.call('trigger-long-running-operation', { duration: 0.5, steps: 5 }, {
      onprogress: (note) => notes.push([note.progress, note.total]),
    });
    equal(text(result), 'Long running operation completed. Duration: 0.5 seconds, Steps: 5.', 'result');
    equal(notes, [[1, 5], [2, 5], [3, 5], [4, 5], [5, 5]], 'progress');
  });
  await check('a tool’s own error stays the tool’s', async () => {
    const result = await client.call('get-sum', { a: 'not a number', b: 1 });
    ensure(result.isError === true && text(result).includes('get-sum'), JSON.stringify(result));
  });
  await check('a resource that a call made can be read', async () => {
    const made = await client.call('gzip-file-as-resource', { name: 'made.gz', data: 'data:text/plain,trunkline' });
    equal(made.content[0].uri, 'demo://resource/session/made.gz', 'link');
    const read = await client.read(made.content[0].uri);
    equal(read.contents[0].mimeType, 'application/gzip', 'mime type');
  });
}

async function resourcesAndPrompts(client, check, prefix) {
  await check('a listed resource is read', async () => {
    const uri = 'demo://resource/static/document/architecture.md';
    const document = (await client.read(uri)).contents[0];
    equal([document.uri, document.mimeType], [uri, 'text/markdown'], 'document');
    ensure(document.text.includes('Everything Server'), 'document text');
  });
  await check('an unknown resource is an error', async () => {
    const error = await failure(client.read('demo://resource/static/document/none.md'), 'reading it');
    ensure([-32602, -32002].includes(error.code), `code ${error.code}: ${error.message}`);
  });
  await check('prompts are got, with and without arguments', async () => {
    const simple = await client.prompt(`${prefix}simple-prompt`);
    equal(simple.messages[0].content.text, 'This is a simple prompt without arguments.', 'simple');
    const args = await client.prompt(`${prefix}args-prompt`, { city: 'Bergen', state: 'Vestland' });
    equal(args.messages[0].content.text, "What's weather in Bergen, Vestland?", 'args');
    const embedded = await client.prompt(`${prefix}resource-prompt`, { resourceType: 'Text', resourceId: '2' });
    equal(embedded.messages[1].content.resource.uri, 'demo://resource/dynamic/text/2', 'embedded');
  });
  await check('completion answers for a prompt, with context too', async () => {
    const ref = { type: 'ref/prompt', name: `${prefix}completable-prompt` };
    const departments = await client.complete({ ref, argument: { name: 'department', value: 'S' } });
    equal(departments.completion.values, ['Sales', 'Support'], 'departments');
    const context = { arguments: { department: 'Sales' } };
    const names = await client.complete({ ref, argument: { name: 'name', value: 'D' }, context });
    equal(names.completion.values, ['David'], 'names');
  });
}

/** Resources from a template are asked for where it is clear whose they are; `merged` tests the other case. */
async function templatedResources(client, check) {
  await check('resources of a template are read, a text and a blob, and completed', async () => {
    const dynamic = (await client.read('demo://resource/dynamic/text/3')).contents[0];
    ensure(dynamic.text.startsWith('Resource 3: This is a plaintext resource'), dynamic.text);
    const blob = (await client.read('demo://resource/dynamic/blob/4')).contents[0];
    ensure(Buffer.from(blob.blob, 'base64').toString().startsWith('Resource 4: This is a base64 blob'), blob.blob);
    const ref = { type: 'ref/resource', uri: 'demo://resource/dynamic/text/{resourceId}' };
    const ids = await client.complete({ ref, argument: { name: 'resourceId', value: '12' } });
    equal(ids.completion.values, ['12'], 'ids');
  });
}

async function concurrencyAndCancelling(client, check, prefix) {
  await check(`${CALLS_AT_ONCE} calls at once get their own replies`, async () => {
    const calls = Array.from({ length: CALLS_AT_ONCE }, (_, n) => n);
    const replies = await Promise.all(calls.map((n) => n % 2
      ? client.call(`${prefix}echo`, { message: `call ${n}` })
      : client.call(`${prefix}get-sum`, { a: n, b: 1000 })));
    const expected = calls.map((n) => n % 2 ? `Echo: call ${n}` : `The sum of ${n} and 1000 is ${n + 1000}.`);
    equal(replies.map(text), expected, 'replies');
  });
  await check('progress of calls at once is not crossed', async () => {
    const counts = await Promise.all([2, 3, 4].map(async (steps) => {
      const totals = [];
      const onprogress = (note) => totals.push(note.total);
      await client.call(`${prefix}trigger-long-running-operation`, { duration: 0.3, steps }, { onprogress });
      return totals;
    }));
    equal(counts, [[2, 2], [3, 3, 3], [4, 4, 4, 4]], 'totals by call');
  });
  await check('a cancelled call ends at once and the next one works', async () => {
    const giveUp = new AbortController();
    const started = Date.now();
    const onprogress = () => giveUp.abort(new Error('given up'));
    const long = client.call(`${prefix}trigger-long-running-operation`, { duration: LONG_SECONDS, steps: LONG_SECONDS * 5 }, {
      onprogress,
      signal: giveUp.signal,
    });
    await failure(long, 'the cancelled call');
    equal(text(await client.call(`${prefix}echo`, { message: 'after' })), 'Echo: after', 'echo after the cancel');
    ensure(Date.now() - started < (LONG_SECONDS / 2) * 1000, 'the cancelled call was waited for');
  });
}

/** An unknown name may be refused by the gateway (an error) or by the server (a result that is an error). */
async function refusal(client, name) {
  try {
    const result = await client.call(name, {});
    ensure(result.isError === true, `calling ${name} succeeded: ${JSON.stringify(result)}`);
    return text(result);
  } catch (error) {
    return error.message;
  }
}

async function everythingOverHttp(checks, url, open) {
  await withClient(checks, 'everything over HTTP', open, url, async (client, check) => {
    await callsOfEverything(client, check);
    await resourcesAndPrompts(client, check, '');
    await templatedResources(client, check);
    await concurrencyAndCancelling(client, check, '');
  });
}

async function filesystem(checks, url, open, workdir, tag) {
  await withClient(checks, 'filesystem', open, url, async (client, check) => {
    const path = `${workdir}/${tag}.txt`;
    await check('a file is written, listed, read and edited', async () => {
      await client.call('write_file', { path, content: 'first line\nsecond line, ünïcode\n' });
      const listed = text(await client.call('list_directory', { path: workdir }));
      ensure(listed.includes(`[FILE] ${tag}.txt`), listed);
      equal(text(await client.call('read_text_file', { path, head: 1 })), 'first line', 'head');
      await client.call('edit_file', { path, edits: [{ oldText: 'second', newText: 'other' }] });
      equal(text(await client.call('read_text_file', { path })), 'first line\nother line, ünïcode\n', 'text');
    });
    await check(`a text of ${LARGE_TEXT_CHARS} characters goes there and back`, async () => {
      const content = Array.from({ length: LARGE_TEXT_CHARS / 10 }, (_, n) => `${n}`.padStart(9) + '\n').join('');
      await client.call('write_file', { path, content });
      const back = await client.call('read_text_file', { path });
      ensure(text(back) === content, `${text(back)?.length} characters came back`);
      ensure(back.structuredContent.content === content, 'the structured copy differs');
    });
    await check('a path outside the allowed folder is the tool’s error', async () => {
      const result = await client.call('read_text_file', { path: '/etc/hostname' });
      ensure(result.isError === true && text(result).includes('Access denied'), JSON.stringify(result));
    });
  });
}

async function memory(checks, url, open, tag) {
  await withClient(checks, 'memory', open, url, async (client, check) => {
    const [line, box] = [`${tag}-line`, `${tag}-box`];
    await check('a graph is created, read and deleted', async () => {
      const entities = [line, box].map((name) => ({ name, entityType: 'telephony', observations: [`${name} rings`] }));
      const made = await client.call('create_entities', { entities });
      equal(made.structuredContent.entities, entities, 'created');
      const relation = { from: line, to: box, relationType: 'ends in' };
      await client.call('create_relations', { relations: [relation] });
      const opened = (await client.call('open_nodes', { names: [line, box] })).structuredContent;
      equal([opened.entities.length, opened.relations], [2, [relation]], 'opened');
      const graph = (await client.call('read_graph', {})).structuredContent;
      ensure(graph.entities.some((entity) => entity.name === line), JSON.stringify(graph));
      await client.call('delete_entities', { entityNames: [line, box] });
      equal((await client.call('open_nodes', { names: [line, box] })).structuredContent.entities, [], 'after delete');
    });
    await check('its resource is read', async () => {
      const graph = await client.read('memory://knowledge-graph');
      ensure('entities' in JSON.parse(graph.contents[0].text), JSON.stringify(graph));
    });
  });
}

/** A server of the modern era alone; a legacy client must not notice. */
async function modernServer(checks, url, open) {
  await withClient(checks, 'a modern server', open, url, async (client, check) => {
    await check('its lists and instructions arrive', async () => {
      equal(client.instructions(), 'Counts and greets.', 'instructions');
      equal((await client.tools()).map((tool) => tool.name), ['greet', 'count'], 'tools');
      equal((await client.resources()).map((resource) => resource.uri), ['timetable://today'], 'resources');
      equal((await client.prompts()).map((prompt) => prompt.name), ['wake'], 'prompts');
    });
    await check('its tools, resource and prompt answer', async () => {
      equal(text(await client.call('greet', { name: 'Ada' })), 'Good day, Ada.', 'greet');
      equal((await client.read('timetable://today')).contents[0].text, 'Calls all day.', 'resource');
      equal((await client.prompt('wake', { hour: '7' })).messages[0].content.text, 'Wake me at 7.', 'prompt');
    });
    await check('its progress notes arrive', async () => {
      const notes = [];
      await client.call('count', { to: 3 }, { onprogress: (note) => notes.push([note.progress, note.total]) });
      equal(notes, [[1, 3], [2, 3], [3, 3]], 'progress');
    });
  });
}

async function merged(checks, url, open, workdir, tag) {
  await withClient(checks, 'merged', open, url, async (client, check) => {
    await check('every server’s tools and prompts are listed under its name', async () => {
      const tools = (await client.tools()).map((tool) => tool.name);
      const expected = ['everything__echo', 'everything-http__echo', 'filesystem__write_file', 'memory__read_graph',
        'thinking__sequentialthinking', 'modern__greet', 'demo__echo'];
      for (const name of expected) ensure(tools.includes(name), `${name} is missing from ${tools}`);
      equal(tools.filter((name) => !name.includes('__')), [], 'names without a server');
      equal(tools.length, new Set(tools).size, 'distinct names');
      const prompts = (await client.prompts()).map((prompt) => prompt.name);
      ensure(prompts.includes('everything__simple-prompt'), `prompts: ${prompts}`);
      const uris = (await client.resources()).map((resource) => resource.uri);
      ensure(uris.includes('memory://knowledge-graph'), `resources: ${uris}`);
      equal(uris.length, new Set(uris).size, 'a URI that two servers list is listed once');
    });
    await check('tools of every server are called', async () => {
      equal(text(await client.call('everything__echo', { message: 'a' })), 'Echo: a', 'everything');
      equal(text(await client.call('everything-http__get-sum', { a: 1, b: 2 })), 'The sum of 1 and 2 is 3.', 'over HTTP');
      const path = `${workdir}/${tag}-merged.txt`;
      await client.call('filesystem__write_file', { path, content: 'merged' });
      equal(text(await client.call('filesystem__read_text_file', { path })), 'merged', 'filesystem');
      ensure('entities' in (await client.call('memory__read_graph', {})).structuredContent, 'memory');
      const thought = { thought: 'one', nextThoughtNeeded: false, thoughtNumber: 1, totalThoughts: 1 };
      equal((await client.call('thinking__sequentialthinking', thought)).structuredContent.thoughtNumber, 1, 'thinking');
      equal(text(await client.call('modern__greet', { name: 'Bo' })), 'Good day, Bo.', 'modern');
      ensure(JSON.stringify(await client.call('demo__echo', { message: 'ring ring' })).includes('ring ring'), 'demo');
    });
    await resourcesAndPrompts(client, check, 'everything__');
    await concurrencyAndCancelling(client, check, 'everything__');
    await check('a resource of a template that two servers have is refused with the way out', async () => {
      const error = await failure(client.read('demo://resource/dynamic/text/3'), 'reading it');
      ensure([-32602, -32002].includes(error.code) && error.message.includes('/mcp/everything'), `${error.code} ${error.message}`);
    });
    await check('an unknown tool, an unknown server and an unprefixed name are refused', async () => {
      for (const name of ['everything__none', 'nobody__echo', 'echo']) {
        const error = await failure(client.call(name, { message: 'x' }), name);
        equal(error.code, -32602, `code for ${name} (${error.message})`);
      }
    });
  });
}
