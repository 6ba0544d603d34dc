// What every JavaScript suite shares: named checks, and how long one waits.

import process from 'node:process';

/** How long a check waits for anything before it fails. */
export const PATIENCE_MS = 10_000;

/** Fails with `what` unless the promise is settled in time. */
export function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${PATIENCE_MS} ms for ${what}`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Prints `ok NAME` or `not ok NAME: why` for each check, and `N passed, N failed` at the end. */
export class Counts {
  constructor() {
    this.passed = 0;
    this.failed = 0;
  }

  /** Makes one check: an asynchronous function that throws where the judged is at fault. */
  async check(name, run) {
    try {
      await run();
      this.passed += 1;
      console.log(`ok ${name}`);
    } catch (error) {
      this.failed += 1;
      const why = String(error?.message ?? error).replaceAll(/\s*\n\s*/g, ' ');
      console.log(`not ok ${name}: ${why}`);
    }
  }

  /** Ends the process. */
  end() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exit(this.failed === 0 ? 0 : 1);
  }
}
