// The matrix: every feature of the protocol that needs more than a request and a reply, against a server of each
// transport and era, from a TypeScript client of either generation. A client program supplies `open(place, answers)`,
// which connects its SDK to a place of `reach.mjs`, declares sampling, elicitation and roots, and returns the few verbs
// that are used here.
// `lib/matrix.py` holds the same cells for the Python SDKs.

import { ensure, equal, failure } from './checks.mjs';
import { reach } from './reach.mjs';

/** The servers of the configuration that `run` writes; the same fixture under each way of reaching it. */
export const SERVERS = ['stdio-legacy', 'stdio-modern', 'http-legacy', 'http-modern', 'sse'];
/** More than one pipe buffer and more than one socket buffer. */
const LARGE_CHARS = 1_000_000;
/** An update is announced at once; this is for a loaded machine. */
const UPDATE_MS = 10_000;

const text = (result) => result.content?.[0]?.text;

export async function matrix(checks, target, open) {
  for (const server of SERVERS) {
    const place = reach(target, `cell-${server}`);
    const asked = [];
    const answers = {
      sampling: (params) => {
        asked.push(params.messages[0].content.text);
        return { role: 'assistant', model: 'matrix', content: { type: 'text', text: 'Paris' } };
      },
      elicitation: (params) => {
        asked.push(params.message);
        return { action: 'accept', content: { username: 'ada', email: 'ada@example.com', name: 'Ada' } };
      },
      roots: () => {
        asked.push('roots');
        return { roots: [{ uri: 'file:///matrix', name: 'matrix' }] };
      },
    };
    let client;
    await checks.check(`${server}: connects`, async () => {
      client = await open(place, answers);
    });
    if (!client) continue;
    const check = (feature, body) => checks.check(`${server}: ${feature}`, async () => {
      asked.length = 0;
      await body();
    });
    try {
      await calls(check, client, place);
      await questions(check, client, asked);
      await notifications(check, client);
    } finally {
      await checks.check(`${server}: closes`, () => client.close());
      if (place.verify) await checks.check(`${server}: said nothing but MCP`, async () => place.verify());
    }
  }
}

async function calls(check, client, place) {
  await check('tool with progress', async () => {
    let notes;
    const call = async () => {
      notes = [];
      await client.call('test_tool_with_progress', {}, { onprogress: (note) => notes.push(note.progress) });
      return notes.length === 3;
    };
    // On pipes the SDK drops a note that it reads together with the reply, as it does when the machine is busy: its
    // handlers of notes run a turn later than those of replies.
    if (place.url) await call();
    else await until(call, 'progress before the reply');
    equal(notes, [0, 50, 100], 'progress');
  });
  await check('completion', async () => {
    const ref = { type: 'ref/prompt', name: 'test_prompt_with_arguments' };
    const { completion } = await client.complete({ ref, argument: { name: 'arg1', value: 'par' } });
    equal(completion.values, ['paris', 'park'], 'values');
  });
  await check('large result', async () => {
    const name = 'x'.repeat(LARGE_CHARS);
    const back = text(await client.call('json_schema_2020_12_tool', { name }));
    ensure(back.includes(name), `${back.length} characters came back`);
  });
  await check('cancel', async () => {
    const before = text(await client.call('test_cancelled', {}));
    const giveUp = new AbortController();
    const long = client.call('test_slow', {}, { onprogress: () => giveUp.abort(new Error('given up')), signal: giveUp.signal });
    await failure(long, 'the cancelled call');
    ensure(text(await client.call('test_simple_text', {})).includes('simple text'), 'the next call');
    await until(async () => text(await client.call('test_cancelled', {})) !== before, 'the server heard of it');
  });
}

async function questions(check, client, asked) {
  await check('elicitation', async () => {
    const result = text(await client.call('test_elicitation', { message: 'Who are you?' }));
    equal(asked, ['Who are you?'], 'asked');
    ensure(result.includes('ada@example.com'), result);
  });
  await check('sampling', async () => {
    const result = text(await client.call('test_sampling', { prompt: 'What is the capital of France?' }));
    equal(asked, ['What is the capital of France?'], 'asked');
    ensure(result.includes('Paris'), result);
  });
  await check('roots', async () => {
    const result = text(await client.call('test_input_required_result_list_roots', {}));
    equal(asked, ['roots'], 'asked');
    ensure(result.includes('file:///matrix'), result);
  });
}

async function notifications(check, client) {
  await check('log', async () => {
    const logged = [];
    await client.logged((note) => logged.push(note.data), async () => {
      await client.call('test_tool_with_logging', {}, { level: 'debug' });
      await until(async () => logged.length === 3, 'three notes');
    });
    equal(logged, ['Tool execution started', 'Tool processing data', 'Tool execution completed'], 'notes');
  });
  await check('subscription', async () => {
    const updated = [];
    const end = await client.subscribe('test://watched-resource', (uri) => updated.push(uri));
    await client.call('test_trigger_resource_update', {});
    await until(async () => updated.length > 0, 'an update');
    equal(updated[0], 'test://watched-resource', 'what was updated');
    await end();
  });
}

async function until(holds, what) {
  const end = Date.now() + UPDATE_MS;
  while (!(await holds())) {
    ensure(Date.now() < end, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
