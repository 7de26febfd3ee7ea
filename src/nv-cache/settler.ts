/**
 * Settler: asks the device behind to make durable what it has.                      (control plane)
 *
 * What was drained stays needed until then. First it is asked for what it can do without padding.
 * Where that does not move the tail, and much is in line or somebody waits, it is flushed: what it
 * gathers may be half full and have nothing coming to it.
 */

import { BlockIo, type Completer, OP_FLUSH } from '../block/block-io.ts';
import { OK } from '../block/status.ts';
import { type NvCore, STATE_STOPPED } from './nv-core.ts';

export class Settler implements Completer {
  readonly #core: NvCore;
  readonly #flush = new BlockIo();
  /** The mark that the device behind had accepted when it was last asked, or flushed. */
  #asked = -1;
  #flushed = -1;
  busy = false;
  /** Much was in line when it was asked, and nothing of it could leave the ring afterwards. */
  isInVain = false;

  constructor(core: NvCore) {
    this.#core = core;
    this.#flush.op = OP_FLUSH;
    this.#flush.completer = this;
  }

  /** Without padding. Asks once for what was accepted; `isStuck`: it matters whether it helps. */
  ask(isStuck: boolean): void {
    const { backing, reactor, ring, state, statistics } = this.#core;
    const { acceptedMark, settledMark } = backing;
    if (this.busy || settledMark >= acceptedMark || this.#asked === acceptedMark) return;
    if (state === STATE_STOPPED) return;
    this.busy = true;
    this.#asked = acceptedMark;
    statistics.settles += 1;
    reactor.keep(
      backing.settle().then(() => {
        this.busy = false;
        this.isInVain = isStuck && ring.releasable(backing.settledMark) === -1;
        this.#core.host.wake();
      }),
    );
  }

  /** With padding, when asking was in vain. */
  insist(): void {
    const { backing, state, statistics } = this.#core;
    const { acceptedMark, settledMark } = backing;
    if (this.busy || settledMark >= acceptedMark || this.#flushed === acceptedMark) return;
    if (state === STATE_STOPPED) return;
    this.busy = true;
    this.isInVain = false;
    this.#flushed = acceptedMark;
    statistics.backingFlushes += 1;
    backing.submit(this.#flush);
  }

  complete(io: BlockIo): void {
    this.busy = false;
    if (io.status !== OK) {
      this.#core.host.backingFailed(io.status, 'a flush of the device behind it has failed');
    }
    this.#core.host.wake();
  }
}
