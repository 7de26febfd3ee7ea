/**
 * What somebody can do when something does not let a stack start.                   (control plane)
 *
 * While an array runs, a member that cannot be written leaves service. At a start nobody has said
 * that the array may begin without it, so the start fails; where the level bears the loss, the
 * error says how to go on without that member.
 */

import { BandstandError } from '../block/errors.ts';
import type { Assembly } from '../raid/assemble.ts';
import { levelRules, survives } from '../raid/level-rules.ts';
import type { Superblock } from '../raid/superblock.ts';

/** An array of this level without an FTL is not exported for writing. */
export function takesStripesOnly(name: string, level: string): BandstandError {
  return new BandstandError('BANDSTAND_STACK_READ_ONLY', {
    message: `cannot export ${name} for writing: ${level} takes full stripes only, which an FTL makes, and it was created without one`,
    hint: `add --read-only: bandstand export ${name} --read-only`,
    details: { name, level },
  });
}

/** What lies on it is another stack's cache, and nothing that anybody could use by itself. */
export function mirrorOfCache(name: string, { uuid }: Pick<Superblock, 'uuid'>): BandstandError {
  return new BandstandError('BANDSTAND_CACHE_MIRROR', {
    message: `cannot export ${name}: these devices are the mirrored NV cache ${uuid} of another stack`,
    hint: 'export that stack, which finds its cache; name its own members with --device',
    details: { name, uuid },
  });
}

/**
 * `error` is as it came out of a start; one that is about no member, or needs all, comes back.
 * `whose`: the option that names members of the array; a mirror under a cache has one left then.
 */
export function startFailure(
  error: unknown,
  name: string,
  { superblock, slots }: Pick<Assembly, 'superblock' | 'slots'>,
  whose: 'device' | 'cache' = 'device',
): unknown {
  if (!(error instanceof BandstandError)) return error;
  const { device: failed } = error.details;
  const inService = slots.flatMap(({ device }) => (device === null ? [] : [device]));
  const others = inService.filter((device) => device !== failed);
  if (others.length === inService.length) return error;
  const absent = slots.length - others.length;
  if (!survives(levelRules(superblock.level), slots.length, absent)) return error;
  const devices = others.map((device) => `--${whose} ${device}`).join(' ');
  return new BandstandError(error.code, {
    message: error.message,
    hint: `start without it: bandstand export ${name} --degraded ${devices}`,
    details: error.details,
    cause: error,
  });
}
