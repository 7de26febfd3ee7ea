/**
 * How far a stack is with what is waited for: for a person, and for a program.      (control plane)
 *
 * A person sees the line of progress-line.ts. The lines for a program are those of nbdcopy:
 * `N/100` in whole numbers that never go back, the last one 100/100.
 */

import { writeSync } from 'node:fs';
import type { StatusDocument } from '../control/schema.ts';
import { activityWork } from './activity-work.ts';
import { isStarting } from './cache-progress.ts';
import type { ProgressLine } from './progress-line.ts';
import { shareOf } from './progress-text.ts';

export class ProgressReport {
  readonly #line: ProgressLine;
  readonly #write: ((line: string) => void) | null;
  #percent = -1;

  /** `write`: takes the lines for a program, or null. */
  constructor(line: ProgressLine, write: ((line: string) => void) | null) {
    this.#line = line;
    this.#write = write;
  }

  show(status: StatusDocument): void {
    const work = activityWork(status.name, status.activity);
    const share = isStarting(status) ? 0 : shareOf(work);
    this.#tell(Math.min(99, Math.floor(share * 100)));
    this.#line.show(work);
  }

  /** Clears the line; with `done` the program reads that all is done. */
  end(done: boolean): void {
    this.#line.end();
    if (done) this.#tell(100);
  }

  #tell(percent: number): void {
    if (percent <= this.#percent) return;
    this.#percent = percent;
    this.#write?.(`${percent}/100\n`);
  }
}

/** Writes to a descriptor that the caller has opened; a reader that has gone is no error. */
export function writeTo(fd: number): (line: string) => void {
  let gone = false;
  return (line) => {
    if (gone) return;
    try {
      writeSync(fd, line);
    } catch {
      gone = true;
    }
  };
}
