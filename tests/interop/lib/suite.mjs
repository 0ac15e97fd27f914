// What both modes of the official conformance suite share: its requirement sets, its verdicts, and the exact list of
// what is expected to fail.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const interop = join(dirname(fileURLToPath(import.meta.url)), '..');
const suite = join(interop, 'node_modules/@modelcontextprotocol/conformance');

export const suiteProgram = join(suite, 'dist/index.js');

/** The `server:` or `client:` list of the set's own file in the suite, which must not have shrunk. */
export function requiredScenarios(set, leg, count, wanted = () => true) {
  const lines = readFileSync(join(suite, 'requirements', `${set}.yaml`), 'utf8').split('\n');
  const rest = [...lines.slice(lines.indexOf(`${leg}:`) + 1), 'end:'];
  const end = rest.findIndex((line) => /^\S/.test(line));
  const all = rest.slice(0, end).map((line) => /^  - (\S+)/.exec(line)?.[1]).filter(Boolean);
  const scenarios = all.filter(wanted);
  if (scenarios.length !== count) throw new Error(`requirement set ${set} has ${scenarios.length} ${leg} scenarios, not ${count}`);
  return scenarios;
}

/** '' when the scenario passed, else why not. */
export function verdict(file) {
  let checks;
  try {
    checks = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    return `no result: ${error.message}`;
  }
  const bad = checks.filter((check) => ['FAILURE', 'WARNING'].includes(check.status));
  if (bad.length > 0) return bad.map((check) => `${check.status} ${check.id}: ${check.errorMessage ?? check.description}`).join('; ');
  return checks.some((check) => check.status === 'SUCCESS') ? '' : 'no check succeeded';
}

/** Holds what happened against what is expected: an unexpected failure fails the run, and so does an expected one that passes. */
export class Judge {
  failed = false;

  constructor(part, file) {
    this.part = part;
    this.file = file;
    this.expected = new Map();
    for (const line of readFileSync(join(interop, file), 'utf8').split('\n')) {
      if (line.trim() === '' || line.startsWith('#')) continue;
      const parts = /^(\S+) (\S+) (\S+)\s+# (.+)$/.exec(line);
      if (!parts) throw new Error(`${file}: not '<cell> <set> <scenario>  # reason': ${line}`);
      this.expected.set(parts.slice(1, 4).join(' '), { cell: parts[1], reason: parts[4] });
    }
  }

  rule(cell, set, scenario, why) {
    const key = `${cell} ${set} ${scenario}`;
    const known = this.expected.get(key);
    this.expected.delete(key);
    if (known === undefined) return this.report(why === '', key, why);
    if (why === '') return this.report(false, key, `passes now: take it out of ${this.file}`);
    return this.report(true, `${key} fails as expected (${known.reason})`, '');
  }

  /** What was expected of the cells that ran and did not happen. */
  close(ran) {
    for (const [key, { cell }] of this.expected) {
      if (ran(cell)) this.report(false, key, `listed in ${this.file}, but no such scenario was run`);
    }
  }

  report(good, name, why) {
    this.failed ||= !good;
    console.log(good ? `ok - ${this.part}: ${name}` : `not ok - ${this.part}: ${name}: ${why.replaceAll('\n', ' ⏎ ').slice(0, 1500)}`);
  }
}
