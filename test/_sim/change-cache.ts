/**
 * What an administrator does with the NV cache of a history, while users go on: what is refused has
 * to have a reason.
 */

import { BandstandError } from '../../src/block/errors.ts';
import type { Step } from './step.ts';
import type { World } from './world.ts';

export type CacheRequest = Extract<Step, { do: 'cache' }>['what'];

export async function changeCache(world: World, what: CacheRequest): Promise<void> {
  const { life, options } = world;
  const { cache } = world.subject;
  // Where there is one there cannot be another, and the other way round.
  if (cache === null || cache.inUse === (what === 'attach')) return;
  options.trace.say(`${what} the NV cache`);
  if (what === 'detach') world.retiring = true;
  let isDone = true;
  try {
    if (what === 'attach') await life.drive(cache.attach(), 'attaching an NV cache');
    else if (what === 'drain') isDone = await life.drive(cache.drain(), 'draining the NV cache');
    else isDone = await life.drive(cache.detach(), 'detaching the NV cache');
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    options.trace.say(`refused: ${error.message}`);
    isDone = false;
  }
  if (!isDone && world.ios.strikes === 0) world.violate(`an NV cache cannot ${what}`);
}
