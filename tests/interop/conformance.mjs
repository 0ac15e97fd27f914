#!/usr/bin/env node
// The official conformance suite against the fixture server, directly and through the gateway in every
// combination of transport and era. Requirement sets are frozen lists of scenarios; a scenario passes when none
// of its checks failed or warned.
// Usage: conformance.mjs GATEWAY RESULTS [CELL…]
//        GATEWAY is the merged endpoint, with a server `conf-<transport>-<era>` for each gateway cell.
//        FIXTURE in the environment is the fixture's binary. CELL limits the run to the cells named.

import { execFile, spawn } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { Judge, requiredScenarios, suiteProgram, verdict } from './lib/suite.mjs';

/** The requirement sets and how many scenarios each has for servers: a suite that shrank must not pass. */
const SETS = { '2025-11-25': 30, '2026-07-28': 37 };
/** The fixture alone must be whole, in the eras that it is told to speak. */
const DIRECT = {
  'direct-both': ['2025-11-25', '2026-07-28'],
  'direct-legacy': ['2025-11-25'],
  'direct-modern': ['2026-07-28'],
};
/** Behind the gateway both sets hold, whatever the server speaks. */
const BEHIND = ['stdio-both', 'stdio-legacy', 'stdio-modern', 'http-both', 'http-legacy', 'http-modern'];
const START_TIMEOUT_MS = 10_000;
const SCENARIO_TIMEOUT_MS = 15_000;
/** One run of a set, with some scenarios at their timeout. */
const RUN_TIMEOUT_MS = 240_000;

const [gateway, results, ...wanted] = process.argv.slice(2);
const fixture = process.env.FIXTURE;
if (!gateway || !results || !fixture) {
  console.error('usage: FIXTURE=path/to/conformance-server conformance.mjs GATEWAY RESULTS [CELL…]');
  process.exit(2);
}
mkdirSync(results, { recursive: true });

const judge = new Judge('conformance', 'expected-failures.txt');
const table = [];

for (const { cell, url, sets, stop } of await cells()) {
  for (const set of sets) await runSet(cell, url, set);
  stop?.();
}
judge.close((cell) => !wanted.length || wanted.includes(cell));
const width = Math.max(...table.map((row) => row.cell.length));
console.log(`\n${'cell'.padEnd(width)}  set         passed/required  (not required)`);
for (const { cell, set, passed, required, extra } of table) {
  console.log(`${cell.padEnd(width)}  ${set}  ${`${passed}/${required}`.padEnd(15)}  ${extra}`);
}
process.exit(judge.failed ? 1 : 0);

async function cells() {
  const all = [];
  for (const [cell, sets] of Object.entries(DIRECT)) {
    if (wanted.length && !wanted.includes(cell)) continue;
    all.push({ cell, sets, ...(await startFixture(cell.replace('direct-', ''))) });
  }
  for (const cell of BEHIND) {
    if (wanted.length && !wanted.includes(cell)) continue;
    all.push({ cell, sets: Object.keys(SETS), url: `${gateway}/conf-${cell}` });
  }
  return all;
}

/** The fixture says where it listens, before anything else. */
function startFixture(era) {
  const child = spawn(fixture, ['--transport', 'http', '--port', '0', '--era', era], { stdio: ['ignore', 'pipe', 'pipe'] });
  process.on('exit', () => child.kill());
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${fixture} did not say where it listens`)), START_TIMEOUT_MS);
    child.on('exit', (code) => reject(new Error(`${fixture} left with status ${code}`)));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        const url = /listening on (http:\S+)/.exec(line)?.[1];
        if (!url) return;
        clearTimeout(late);
        resolve({ url, stop: () => child.kill() });
      });
    }
  });
}

async function runSet(cell, url, set) {
  const folder = join(results, `${cell}-${set}`);
  const log = await suiteRun(url, set, folder);
  const required = requiredScenarios(set, 'server', SETS[set]);
  const verdicts = verdictsIn(folder);
  let passed = 0;
  for (const scenario of required) {
    const why = verdicts.has(scenario) ? verdicts.get(scenario) : `the scenario did not run; the suite said: ${log.slice(-300)}`;
    passed += why === '' ? 1 : 0;
    judge.rule(cell, set, scenario, why);
  }
  const others = [...verdicts].filter(([scenario]) => !required.includes(scenario));
  const extra = `${others.filter(([, why]) => why === '').length}/${others.length}`;
  table.push({ cell, set, passed, required: required.length, extra });
}

function suiteRun(url, set, folder) {
  const args = [suiteProgram, 'server', '--url', url, '--requirements', set, '--timeout', `${SCENARIO_TIMEOUT_MS}`, '-o', folder];
  return new Promise((resolve) => {
    // The exit status says less than the results folder, which is read below.
    execFile(process.execPath, args, { timeout: RUN_TIMEOUT_MS, maxBuffer: 1 << 28 }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

/** Scenario → '' when it passed, else why not. The suite leaves a folder `server-<scenario>-<time>` for each. */
function verdictsIn(folder) {
  const verdicts = new Map();
  for (const name of readdirSync(folder)) {
    const scenario = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(name)?.[1];
    if (!scenario) throw new Error(`unexpected folder ${name} in ${folder}`);
    verdicts.set(scenario, verdict(join(folder, name, 'checks.json')));
  }
  return verdicts;
}
