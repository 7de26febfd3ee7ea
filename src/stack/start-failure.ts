/**
 * What somebody can do when a member does not let its array start.                  (control plane)
 *
 * While an array runs, a member that cannot be written leaves service. At a start nobody has said
 * that the array may begin without it, so the start fails; where the level bears the loss, the
 * error says how to go on without that member.
 */

import { BandstandError } from '../block/errors.ts';
import type { Assembly } from '../raid/assemble.ts';
import { levelRules, survives } from '../raid/level-rules.ts';

/** `error` is as it came out of a start; one that is about no member, or needs all, comes back. */
export function startFailure(
  error: unknown,
  name: string,
  { superblock, slots }: Pick<Assembly, 'superblock' | 'slots'>,
): unknown {
  if (!(error instanceof BandstandError)) return error;
  const { device: failed } = error.details;
  const inService = slots.flatMap(({ device }) => (device === null ? [] : [device]));
  const others = inService.filter((device) => device !== failed);
  if (others.length === inService.length) return error;
  const absent = slots.length - others.length;
  if (!survives(levelRules(superblock.level), slots.length, absent)) return error;
  const devices = others.map((device) => `--device ${device}`).join(' ');
  return new BandstandError(error.code, {
    message: error.message,
    hint: `start without it: bandstand export ${name} --degraded ${devices}`,
    details: error.details,
    cause: error,
  });
}
