/**
 * rebuildMap: starts a stopped stack with the map of its FTL made anew, and stops it.
 *                                                                                 (control plane)
 * The start of a server, but in this process and without an export: members are opened for writing
 * and held, a write buffer that a killed server has left is taken over, and the clean stop at the
 * end leaves a complete map. Interrupted at any point it can be done again.
 */

import { existsSync } from 'node:fs';
import { BandstandError } from '../block/errors.ts';
import { loadAddon } from '../native/load.ts';
import { RingReactor } from '../reactor/ring-reactor.ts';
import type { BufferFile } from './buffer-file.ts';
import type { OfflineWatch } from './offline-watch.ts';
import { Stack } from './stack.ts';
import type { StackEvent, StackPlan } from './worker-messages.ts';

export interface RebuiltMap {
  readonly name: string;
  /** Blocks that the map points to now. */
  readonly usedBlocks: number;
  readonly outdatedBlocks: number;
  readonly wrongBlocks: number;
}

/** Throws BandstandError; then nothing is left open. */
export async function rebuildMap(
  plan: StackPlan,
  arenaBytes: number,
  buffer: BufferFile | null,
  emit: (event: StackEvent) => void,
  watch: OfflineWatch,
): Promise<RebuiltMap> {
  const left = buffer !== null && existsSync(buffer.path) ? { surviving: buffer } : {};
  const native = loadAddon();
  const reactor = RingReactor.create({ native, arenaBytes, hugePages: false, ...left });
  let rebuilt: RebuiltMap | null = null;
  const heard = (event: StackEvent): void => {
    if (event.event === 'ftl-rebuilt') rebuilt = { name: plan.name, ...event.map };
    else if (event.event === 'step-advanced') {
      watch.advanced(event.step, event.doneBytes, event.totalBytes);
    } else {
      if (event.event === 'step-started') watch.starting(() => stack.startActivity);
      emit(event);
    }
  };
  const stack = new Stack(reactor, { ...plan, readOnly: false, rebuildMap: true }, heard);
  try {
    await reactor.drive(stack.open());
    watch.begin('Close the stack');
    await reactor.drive(stack.close());
  } finally {
    await reactor.close();
  }
  if (rebuilt === null) throw withoutMap(plan.name);
  return rebuilt;
}

export function withoutMap(name: string): BandstandError {
  return new BandstandError('BANDSTAND_FTL_NOT_FOUND', {
    message: `cannot rebuild the map of ${name}: it has no FTL`,
    hint: `look whether its members agree: bandstand check ${name}`,
    details: { name },
  });
}
