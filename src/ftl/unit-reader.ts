/**
 * UnitReader: reads units and summaries at a start.                                 (control plane)
 *
 * A few buffers of one unit each, so that a scan keeps the base busy; what is read is looked at in
 * the arena, one unit after another, and nothing of it is kept.
 */

import { OP_READ, OP_WRITE } from '../block/block-io.ts';
import { submitOrThrow, submitStatus } from '../block/control-io.ts';
import { OK } from '../block/status.ts';
import type { FtlCore } from './ftl-core.ts';
import { FTL_BLOCK_BYTES } from './geometry.ts';

/** Units that are read at once, within this memory. */
const DEPTH_MAX = 32;
const MEMORY_BYTES = 8 * 2 ** 20;

export class UnitReader {
  readonly #core: FtlCore;
  readonly #bytes: number;
  readonly #memory: number;
  readonly #depth: number;
  /** Blocks of 4096 bytes that were read. */
  blocksRead = 0;

  constructor(core: FtlCore) {
    this.#core = core;
    this.#bytes = core.geometry.unitBlocks * FTL_BLOCK_BYTES;
    const fits = Math.floor(MEMORY_BYTES / this.#bytes);
    const most = Math.floor((core.reactor.arena.freeBytes * 0.5) / this.#bytes);
    this.#depth = Math.max(1, Math.min(DEPTH_MAX, fits, most));
    this.#memory = core.reactor.arena.allocate(this.#depth * this.#bytes);
  }

  dispose(): void {
    this.#core.reactor.arena.release(this.#memory, this.#depth * this.#bytes);
  }

  /** Reads the first `blocks` blocks of a unit to byte `at`; gives a status. */
  async read(unit: number, first: number, blocks: number, at: number): Promise<number> {
    const { base, factor, geometry } = this.#core;
    const block = this.#core.baseBlock(unit * geometry.unitBlocks + first);
    const count = blocks * factor;
    this.blocksRead += blocks;
    return submitStatus(base, OP_READ, block, count, at);
  }

  /**
   * Reads the summaries of `count` units, in no order, several at once. `look` is told of each in
   * turn: its index, the status, and the byte where it is, with room for the whole unit.
   */
  async summaries(
    count: number,
    unitOf: (index: number) => number,
    look: (index: number, status: number, at: number) => Promise<void>,
  ): Promise<void> {
    let next = 0;
    let failed: unknown = null;
    const { summaryBlocks } = this.#core.geometry;
    const work = async (at: number): Promise<void> => {
      while (next < count && failed === null) {
        const index = next;
        next += 1;
        const status = await this.read(unitOf(index), 0, summaryBlocks, at);
        await look(index, status, at);
      }
    };
    const lanes = Array.from({ length: Math.min(this.#depth, count) }, (_, lane) =>
      work(this.#memory + lane * this.#bytes).catch((error: unknown) => {
        failed ??= error;
      }),
    );
    // All lanes end before the memory is given back.
    await Promise.all(lanes);
    if (failed !== null) throw failed;
  }

  /** Reads the data of a unit whose summary is at `at` behind it; true when that succeeded. */
  async data(unit: number, dataCount: number, at: number): Promise<boolean> {
    if (dataCount === 0) return true;
    const { summaryBlocks } = this.#core.geometry;
    const into = at + summaryBlocks * FTL_BLOCK_BYTES;
    return (await this.read(unit, summaryBlocks, dataCount, into)) === OK;
  }

  /**
   * Writes a unit again that was read to `at`, with its data: a crash may have left mirrors that
   * differ in it, or parity that does not match. Every byte is what is there already, in the
   * padding too. The unit may have been flushed, and with other padding goes other parity: a start
   * that is cut when one of them is written, and then the loss of a member, would take it along.
   *
   * Throws BANDSTAND_DEVICE_IO.
   */
  async rewrite(unit: number, dataCount: number, at: number): Promise<void> {
    const { base, factor, geometry } = this.#core;
    const step = base.geometry.writeUnitBlocks;
    const used = geometry.summaryBlocks + dataCount;
    const blocks = Math.ceil((used * factor) / step) * step;
    await this.#readPadding(unit, used, Math.ceil(blocks / factor), at);
    const block = this.#core.baseBlock(unit * geometry.unitBlocks);
    await submitOrThrow(base, OP_WRITE, block, blocks, at);
  }

  /** What cannot be read is zeroes then: nothing can be computed with it either. */
  async #readPadding(unit: number, first: number, end: number, at: number): Promise<void> {
    const byteOf = (block: number): number => at + block * FTL_BLOCK_BYTES;
    if (first === end) return;
    if ((await this.read(unit, first, end - first, byteOf(first))) === OK) return;
    for (let block = first; block < end; block += 1) {
      if ((await this.read(unit, block, 1, byteOf(block))) === OK) continue;
      this.#core.reactor.kernels.zero(byteOf(block), FTL_BLOCK_BYTES);
    }
  }
}
