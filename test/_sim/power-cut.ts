/**
 * What becomes of writes that nobody may rely on, drawn for one disk at one crash: all lost, all
 * kept, each write lost or kept, each unit lost or kept, or each write lost, kept or torn.
 */

import type { Decide, SimWrite } from './medium.ts';
import type { Random } from './random.ts';

const MODES = ['lost', 'kept', 'writes', 'units', 'torn'] as const;

export function drawDecision(random: Random): Decide {
  const mode = random.pick(MODES);
  if (mode === 'lost') return () => false;
  if (mode === 'kept') return () => true;
  if (mode === 'units') return () => random.chance(0.5);
  const shares = mode === 'writes' ? [0, 1] : [0, 0.5, 1];
  const fates = new Map<SimWrite, number>();
  return (write) => {
    const share = fates.get(write) ?? random.pick(shares);
    fates.set(write, share);
    return random.chance(share);
  };
}
