/**
 * Which boot of the machine this is: what lies in memory is there until the next one.
 *                                                                                 (control plane)
 */

import { readFileSync } from 'node:fs';
import { parseUuid } from '../block/uuid.ts';

const PATH = '/proc/sys/kernel/random/boot_id';

/** A UUID that the kernel draws at each boot; null where it does not tell. */
export function bootId(path = PATH): string | null {
  try {
    return parseUuid(readFileSync(path, 'utf8').trim());
  } catch {
    return null;
  }
}
