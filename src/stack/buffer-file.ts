/**
 * Where the write buffer of an FTL lies, so that it outlives its server.            (control plane)
 *
 * In the run directory where that is in memory, as /run is. Elsewhere (a run directory somebody has
 * chosen on a disk) in /dev/shm, under a name that no other run directory has. Where neither is in
 * memory there is none, and a write of an FTL waits for the base.
 *
 * It has to be there before any member is opened. So its size follows what is remembered of the
 * stack; of one that is not known here, units may be as large as any, and it gets a share of what
 * is free.
 */

import { createHash } from 'node:crypto';
import { type StatsFs, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { StackPlan } from './worker-messages.ts';

const TMPFS_MAGIC = 0x01021994;
const SHARED_MEMORY = '/dev/shm';
/** A unit is a stripe, or this where stripes are smaller. */
const UNIT_BYTES_LEAST = 256 * 1024;
/** Units that are filled, on their way, or wait, for a full queue of small writes. */
const UNITS = 40;
const BYTES_MAX = 256 * 2 ** 20;
/** Of what is free, for a stack that is not known here. */
const UNKNOWN_SHARE = 0.25;

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
  const run = inMemory(runDir);
  if (run !== null) {
    return {
      path: join(runDir, `${name}.buffer`),
      bytes: bytesFor({ remembered }, freeBytes(run)),
    };
  }
  const shared = inMemory(SHARED_MEMORY);
  if (shared === null) return null;
  const place = createHash('sha256').update(runDir).digest('hex').slice(0, 16);
  const path = join(SHARED_MEMORY, `bandstand-${place}-${name}.buffer`);
  return { path, bytes: bytesFor({ remembered }, freeBytes(shared)) };
}

/** With so much free where the buffer is to lie. */
export function bytesFor({ remembered }: Pick<StackPlan, 'remembered'>, free: number): number {
  const wanted =
    remembered === null
      ? Math.floor(free * UNKNOWN_SHARE)
      : remembered.stripBytes * remembered.members.length * UNITS;
  return Math.min(BYTES_MAX, Math.max(UNIT_BYTES_LEAST * UNITS, wanted));
}

function freeBytes({ bavail, bsize }: StatsFs): number {
  return bavail * bsize;
}

/** The file system of the directory; null unless it is in memory. */
function inMemory(directory: string): StatsFs | null {
  try {
    const stats = statfsSync(directory);
    return stats.type === TMPFS_MAGIC ? stats : null;
  } catch {
    return null;
  }
}
