/**
 * Sweeps over a scenario of the FTL: it is played again with every member I/O failing, torn, or the
 * last before a power cut or a kill.
 */

import { playFtl } from './ftl-player.ts';
import type { FtlScenario } from './ftl-scenario.ts';
import type { FtlTrigger } from './ftl-world.ts';

export const FTL_SWEEPS = ['fail', 'tear', 'power', 'kill'] as const;

export interface FtlSweepResult {
  /** Member I/Os at which something happened. */
  readonly places: number;
  readonly failure: { readonly at: number; readonly violation: string } | null;
}

/** At `placesMax` member I/Os, evenly spread; all of them when there are fewer. */
export async function sweepFtl(
  { history }: FtlScenario,
  kind: FtlTrigger['kind'],
  placesMax: number,
): Promise<FtlSweepResult> {
  const calm = await playFtl(history);
  if (calm.violation !== null) {
    return { places: 0, failure: { at: -1, violation: calm.violation } };
  }
  const step = Math.max(1, calm.ios / placesMax);
  let places = 0;
  for (let place = 0; place < calm.ios; place += step) {
    const at = Math.floor(place);
    const outcome = await playFtl(history, { trigger: { kind, at } });
    if (outcome.triggered) places += 1;
    if (outcome.violation !== null) {
      return { places, failure: { at, violation: outcome.violation } };
    }
  }
  return { places, failure: null };
}
