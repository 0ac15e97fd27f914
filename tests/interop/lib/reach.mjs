// How a client reaches a server behind the gateway. TARGET, as the client programs take it, is one of
//   http://HOST:PORT/mcp          the gateway's endpoint
//   own:FILE                      `trunkline stdio` with the fleet of this configuration
//   bridge:http://HOST:PORT/mcp   `trunkline stdio --connect` to the gateway that runs there
// On pipes, everything that the program says is kept beside what the SDK reads of it. `reach.py` is the twin.

import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { equal } from './checks.mjs';

/** Starts the program that follows and keeps its output in the first file. */
const KEPT = '"${@:2}" | tee "$1"';

/** `{ url }`, or `{ command, args, verify }`: what to start, and what has to hold of what it has said. */
export function reach(target, server) {
  const [, way, place] = /^(own|bridge):(.*)$/.exec(target) ?? [];
  if (!way) return { url: new URL(`${target}/${server}`) };
  const said = join(mkdtempSync(join(tmpdir(), 'interop-')), 'said');
  const from = way === 'own' ? '--config' : '--connect';
  const program = [process.env.TRUNKLINE, 'stdio', from, place, '--server', server];
  const verify = () => {
    for (const line of readFileSync(said, 'utf8').split('\n').slice(0, -1)) {
      equal(JSON.parse(line).jsonrpc, '2.0', line.slice(0, 200));
    }
  };
  return { command: 'bash', args: ['-c', KEPT, 'bash', said, ...program], verify };
}
