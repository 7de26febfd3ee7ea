/**
 * Would a server of a stack start?                                                  (control plane)
 *
 * A device that has gone from its place does no harm to a server that holds it open, and keeps the
 * next one from starting. So before a server lets go, what a start does is done, as far as nothing
 * is written (stack/assembly-look.ts). The server writes its metadata meanwhile, and what is read
 * of it then may not fit together: only what is wrong every time is.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { BandstandError } from '../block/errors.ts';
import { type AssemblyLook, lookAtAssembly } from '../stack/assembly-look.ts';
import { withRing } from '../stack/offline-ring.ts';
import type { RememberedStack } from '../stack/state-store.ts';
import { arenaBytesFor } from './server-memory.ts';

const LOOKS = 3;
const BETWEEN_MS = 300;
const WOULD_NOT_START = 'the next one would not start';

/** Throws what the next server would be refused with; the one that runs goes on then. */
export async function refuseUnstartable(remembered: RememberedStack): Promise<void> {
  let error: BandstandError | null = null;
  for (let looks = 0; looks < LOOKS; looks += 1) {
    if (looks > 0) await sleep(BETWEEN_MS);
    error = await startError(remembered);
    if (error === null) return;
  }
  const { name } = remembered;
  throw new BandstandError(error!.code, {
    message: `cannot replace the server of ${name}: ${WOULD_NOT_START}: ${error!.message}`,
    hint: 'nothing has changed, and the old one goes on; mend that first, or take the device out of the stack: bandstand-member(8), bandstand-cache(8)',
    details: error!.details,
    cause: error!,
  });
}

async function startError(remembered: RememberedStack): Promise<BandstandError | null> {
  const { error, ftl, cache } = await lookAtStart(remembered);
  return error ?? ftl.error ?? cache.error;
}

/** With as much memory as a server has. Throws where there is no io_uring to look with. */
export async function lookAtStart(remembered: RememberedStack): Promise<AssemblyLook> {
  const { name, uuid } = remembered;
  const plan = { name, uuid, devices: [], remembered, degraded: false, readOnly: true } as const;
  const requests = [{ via: 'nbd', nbd: null, queues: null, depth: null } as const];
  const bytes = arenaBytesFor({ remembered, requests, bufferSurvives: true });
  return await withRing((ring) => lookAtAssembly(ring, plan), bytes);
}
