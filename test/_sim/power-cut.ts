/**
 * A crash, as the disks see it. What becomes of writes that nobody may rely on is drawn for each
 * disk: all lost, all kept, each write lost or kept, each unit lost or kept, or each write lost,
 * kept or torn.
 */

import type { Decide, SimMedium, SimWrite } from './medium.ts';
import type { Random } from './random.ts';
import type { CrashKind } from './step.ts';
import type { OpenCut } from './world-options.ts';

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

/** A disk at a crash, with its writes in flight that did not happen yet. */
export interface CutDisk {
  readonly medium: SimMedium;
  readonly flying: readonly SimWrite[];
}

/** The disks as they are before anything is decided. */
export function openCut(disks: readonly CutDisk[]): OpenCut {
  return {
    media: disks.map(({ medium }) => medium.clone()),
    flying: disks.map(({ flying }) => flying),
  };
}

export function settleDisks(disks: readonly CutDisk[], how: CrashKind, random: Random): void {
  for (const { medium, flying } of disks) {
    if (medium.away) continue;
    if (how === 'kill') medium.kill(drawDecision(random), flying);
    else medium.cutPower(drawDecision(random), flying);
  }
}
