#!/usr/bin/env node
// The client mode of the official conformance suite: the suite is the server, and the gateway, driven by a client of
// either era in front of it, is the client. For each scenario a gateway of its own is started and made to do what the
// scenario watches. In the scenarios of logins (`auth/*`) the gateway logs in by `trunkline login`, and the driver is the
// person at the browser.
// Usage: conformance-client.mjs TRUNKLINE RESULTS [CELL…]      CELL is `front-legacy` or `front-modern`

import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Judge, requiredScenarios, suiteProgram, verdict } from './lib/suite.mjs';

const driver = join(dirname(fileURLToPath(import.meta.url)), 'clients/conformance-driver.mjs');

/** The requirement sets, and how many scenarios each has for clients, logins among them. */
const SETS = { '2025-11-25': 18, '2026-07-28': 32 };
/**
 * Scenarios of the extensions that the gateway speaks. It does not speak those of `auth/enterprise-managed-authorization`,
 * `auth/dpop`, `auth/dpop-nonce` and `auth/wif-jwt-bearer`.
 */
const EXTENSIONS = ['auth/client-credentials-basic', 'auth/client-credentials-jwt'];
/** A question on a stream needs a client in front that takes questions on streams. */
const LEGACY_ONLY = ['elicitation-sep1034-client-defaults'];
const CELLS = ['front-legacy', 'front-modern'];
const RUN_TIMEOUT_MS = 60_000;

const [trunkline, results, ...wanted] = process.argv.slice(2);
if (!trunkline || !results) {
  console.error('usage: conformance-client.mjs TRUNKLINE RESULTS [CELL…]');
  process.exit(2);
}
mkdirSync(results, { recursive: true });

const judge = new Judge('conformance-client', 'expected-failures-client.txt');
const table = [];
for (const cell of CELLS.filter((cell) => !wanted.length || wanted.includes(cell))) {
  for (const [set, count] of [...Object.entries(SETS), ['extensions', EXTENSIONS.length]]) {
    const required = set === 'extensions' ? EXTENSIONS : requiredScenarios(set, 'client', count);
    const applicable = required.filter((scenario) => cell === 'front-legacy' || !LEGACY_ONLY.includes(scenario));
    let passed = 0;
    for (const scenario of applicable) {
      const why = await runScenario(cell, set, scenario);
      passed += why === '' ? 1 : 0;
      judge.rule(cell, set, scenario, why);
    }
    table.push(`${cell}  ${set}  ${passed}/${applicable.length}`);
  }
}
judge.close((cell) => !wanted.length || wanted.includes(cell));
console.log(`\ncell          set         passed/required\n${table.join('\n')}`);
process.exit(judge.failed ? 1 : 0);

async function runScenario(cell, set, scenario) {
  const folder = join(results, `${cell}-${set}-${scenario.replace('/', '-')}`);
  const args = [suiteProgram, 'client', '--command', `${process.execPath} ${driver}`, '--scenario', scenario, '-o', folder];
  if (set !== 'extensions') args.push('--spec-version', set);
  const env = { ...process.env, TRUNKLINE: trunkline, FRONT: cell.replace('front-', '') };
  const log = await new Promise((resolve) => {
    // The exit status says less than the results folder, which is read below.
    execFile(process.execPath, args, { env, timeout: RUN_TIMEOUT_MS, maxBuffer: 1 << 28 }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
  let runs = [];
  try {
    runs = readdirSync(folder, { recursive: true }).filter((file) => basename(file) === 'checks.json');
  } catch {
    // Nothing was written: the suite did not get so far.
  }
  if (runs.length !== 1) return `the suite left ${runs.length} results and said: ${log.slice(-400)}`;
  const why = verdict(join(folder, runs[0]));
  // What the driver says against itself explains a scenario that has seen too little.
  const complaint = /driver: (.*)/.exec(log)?.[1];
  return why === '' || !complaint ? why : `${why}; the driver said: ${complaint}`;
}
