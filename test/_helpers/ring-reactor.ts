/**
 * A RingReactor for tests: small enough that many in one process fit the locked-memory limit.
 */

import { loadAddon } from '../../src/native/load.ts';
import { RingReactor, type RingReactorOptions } from '../../src/reactor/ring-reactor.ts';

export function openRingReactor(options: Partial<RingReactorOptions> = {}): RingReactor {
  return RingReactor.create({
    native: loadAddon(),
    arenaBytes: 16 * 2 ** 20,
    hugePages: false,
    seed: 1,
    ...options,
  });
}
