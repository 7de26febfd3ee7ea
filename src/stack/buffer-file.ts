/**
 * Where the write buffer of an FTL lies, so that it outlives its server.            (control plane)
 *
 * In the run directory where that is in memory, as /run is. Elsewhere (a run directory somebody has
 * chosen on a disk) in /dev/shm, under a name that no other run directory has. Where neither is in
 * memory there is none, and a write of an FTL waits for the base.
 */

import { createHash } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { StackPlan } from './worker-messages.ts';

const TMPFS_MAGIC = 0x01021994;
const SHARED_MEMORY = '/dev/shm';
/** A unit is a stripe, or this where stripes are smaller. */
const UNIT_BYTES_LEAST = 256 * 1024;
/** Units that are filled, on their way, or wait, for a full queue of small writes. */
const UNITS = 40;
const BYTES_MAX = 256 * 2 ** 20;

export interface BufferFile {
  readonly path: string;
  readonly bytes: number;
}

/** Null when the stack has no FTL, or nothing is in memory. */
export function bufferFile(
  { name, remembered }: Pick<StackPlan, 'name' | 'remembered'>,
  runDir: string,
): BufferFile | null {
  if (remembered?.ftl === false) return null;
  const stripe = remembered === null ? 0 : remembered.stripBytes * remembered.members.length;
  const bytes = Math.min(BYTES_MAX, Math.max(UNIT_BYTES_LEAST, stripe) * UNITS);
  if (isInMemory(runDir)) return { path: join(runDir, `${name}.buffer`), bytes };
  if (!isInMemory(SHARED_MEMORY)) return null;
  const place = createHash('sha256').update(runDir).digest('hex').slice(0, 16);
  return { path: join(SHARED_MEMORY, `bandstand-${place}-${name}.buffer`), bytes };
}

function isInMemory(directory: string): boolean {
  try {
    return statfsSync(directory).type === TMPFS_MAGIC;
  } catch {
    return false;
  }
}
