// Named checks with a deadline each. One line per check on stdout, `ok - …` or `not ok - …: why`;
// `run` counts these lines, whichever language printed them.

import { isDeepStrictEqual, inspect } from 'node:util';

/** Longer than any check needs on a loaded two-core machine; a hang ends here and says so. */
const CHECK_DEADLINE_MS = 30_000;

export class Checks {
  #part;
  #failed = 0;

  constructor(part) {
    this.#part = part;
  }

  /** Runs `body`; whatever it throws, and a missed deadline, is the check's failure. */
  async check(name, body) {
    let timer;
    const deadline = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no end within ${CHECK_DEADLINE_MS} ms`)), CHECK_DEADLINE_MS);
    });
    try {
      await Promise.race([body(), deadline]);
      console.log(`ok - ${this.#part}: ${name}`);
    } catch (error) {
      this.#failed += 1;
      console.log(`not ok - ${this.#part}: ${name}: ${oneLine(error)}`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the process with what the checks found. */
  finish() {
    process.exit(this.#failed === 0 ? 0 : 1);
  }
}

/** Fails with both values shown when they differ. */
export function equal(actual, expected, what) {
  if (!isDeepStrictEqual(actual, expected)) {
    const show = (value) => inspect(value, { depth: 8, breakLength: Infinity, maxStringLength: 300 });
    throw new Error(`${what}: expected ${show(expected)}, got ${show(actual)}`);
  }
}

/** Fails with the given message when the condition does not hold. */
export function ensure(condition, message) {
  if (!condition) throw new Error(message);
}

/** Resolves to the error that `promise` fails with; fails itself when nothing fails. */
export async function failure(promise, what) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`${what}: succeeded, but had to fail`);
}

function oneLine(error) {
  const text = error instanceof Error ? `${error.message}` : inspect(error);
  return text.replaceAll('\n', ' ⏎ ').slice(0, 2000);
}
