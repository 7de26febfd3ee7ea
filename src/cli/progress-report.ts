/**
 * How far it is: a bar for a person, lines of `N/100` for a program.                (control plane)
 *
 * The bar is drawn on a terminal only, in place, and is gone when the work is. The lines are those
 * of nbdcopy: whole numbers that never go back, the last one 100/100.
 */

import { writeSync } from 'node:fs';
import type { StatusDocument } from '../control/schema.ts';
import { activityLine } from './status-text.ts';
import { printable } from './table.ts';

const BAR_CELLS = 24;
const EIGHTHS = ' ▏▎▍▌▋▊▉';
const COLUMNS_DEFAULT = 80;

/** `█████▌···`: as long as `cells`, in steps of an eighth of one. */
export function bar(share: number, cells: number): string {
  const eighths = Math.floor(Math.min(1, Math.max(0, share)) * cells * 8);
  const whole = Math.floor(eighths / 8);
  const part = eighths % 8;
  const partial = part === 0 ? '' : EIGHTHS.charAt(part);
  return `${'█'.repeat(whole)}${partial}`.padEnd(cells, '·');
}

function shareOf({ activity }: StatusDocument): number {
  const { done_bytes: done, total_bytes: total } = activity;
  return done === null || total === null || total === 0 ? 0 : Math.min(1, done / total);
}

export class ProgressReport {
  readonly #terminal: NodeJS.WriteStream | null;
  readonly #write: ((line: string) => void) | null;
  #percent = -1;
  #drawn = false;

  /** `terminal`: where to draw, or null. `write`: takes the lines for a program, or null. */
  constructor(terminal: NodeJS.WriteStream | null, write: ((line: string) => void) | null) {
    this.#terminal = terminal;
    this.#write = write;
  }

  show(status: StatusDocument): void {
    const share = shareOf(status);
    this.#tell(Math.min(99, Math.floor(share * 100)));
    if (this.#terminal === null) return;
    const { name, activity } = status;
    const drawn = bar(share, BAR_CELLS);
    const text = `${name}: ${activity.kind} ${drawn} ${activityLine(activity)}`;
    const columns = this.#terminal.columns ?? COLUMNS_DEFAULT;
    this.#terminal.write(`\r\u001b[K${printable(text).slice(0, columns - 1)}`);
    this.#drawn = true;
  }

  /** Clears the bar; with `done` the program reads that all is done. */
  end(done: boolean): void {
    if (this.#drawn) this.#terminal?.write('\r\u001b[K');
    this.#drawn = false;
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
