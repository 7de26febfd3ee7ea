/**
 * Whether a process still runs: a zombie that nobody has reaped yet does not.       (control plane)
 *
 * A process whose first thread has ended is shown as a zombie, too, while others of its threads
 * still end: those have its files open, and what it served is not free before they are gone.
 */

import { readdirSync, readFileSync } from 'node:fs';

export function processAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may contain anything; the state follows the last one.
    const [, state] = stat.slice(stat.lastIndexOf(')')).split(' ');
    if (state === 'Z') return readdirSync(`/proc/${pid}/task`).length > 1;
    return state !== 'X';
  } catch {
    return false;
  }
}
