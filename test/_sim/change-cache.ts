/**
 * What an administrator does with the NV cache of a history, while users go on: what is refused has
 * to have a reason.
 */

import { BandstandError } from '../../src/block/errors.ts';
import type { Step } from './step.ts';
import type { SubjectCache } from './subject.ts';
import type { World } from './world.ts';

export type CacheRequest = Extract<Step, { do: 'cache' }>['what'];

export async function changeCache(world: World, what: CacheRequest): Promise<void> {
  const { cache } = world.subject;
  // Where there is one there cannot be another, and the other way round.
  if (cache === null || cache.inUse === (what === 'attach')) return;
  const { trace } = world.options;
  // It is refused before anything is looked at: what the FTL may name must not be made anew.
  if (what === 'attach' && world.subject.health().readOnly) return;
  if (what === 'attach' && world.halves?.renew() === false) return;
  const strikes = world.halves?.strikes;
  trace.say(`${what} the NV cache`);
  let isDone = true;
  try {
    if (what === 'attach') await attach(world, cache);
    else if (what === 'detach') isDone = await detach(world, cache);
    else isDone = await world.life.drive(cache.drain(), 'draining the NV cache');
  } catch (error) {
    if (!(error instanceof BandstandError)) throw error;
    trace.say(`refused: ${error.message}`);
    isDone = false;
    if (what === 'attach' && world.running) world.halves?.undecided();
  }
  // Half of a mirror that fails while that is made has its reasons.
  const isExcused = what === 'attach' && world.halves?.strikes !== strikes;
  if (!isDone && !isExcused && world.ios.strikes === 0) world.violate(`an NV cache cannot ${what}`);
}

async function detach(world: World, cache: SubjectCache): Promise<boolean> {
  world.retiring = true;
  if (!(await world.life.drive(cache.retire(), 'retiring the NV cache'))) return false;
  await world.user.drain();
  await world.life.drive(cache.leave(), 'leaving the NV cache');
  world.halves?.left();
  world.cacheChanged();
  return true;
}

async function attach(world: World, cache: SubjectCache): Promise<void> {
  await world.life.drive(cache.make(), 'making an NV cache');
  await world.user.drain();
  await world.life.drive(cache.join(), 'attaching the NV cache');
  world.retiring = false;
  world.whole.passedBy(world.model.newestVersion);
  world.cacheChanged();
}

/** Something goes wrong with its disk. */
export function disturbCache(world: World, step: Step): void {
  const { cacheFaults, cacheMedium } = world;
  if (cacheMedium === null || cacheMedium.away) return;
  if (step.do === 'cache-fault') cacheFaults.add(step.op, step.skip);
  else if (step.do === 'cache-latent') cacheFaults.spoil(step.block, step.count);
  else if (step.do === 'cache-unplug') world.unplugCache();
  if (cacheFaults.hurts > 0) world.retiring = true;
}
