/**
 * What is lost when a stack is started without its NV cache.                        (control plane)
 *
 * The stack is assembled here to be read, with its cache: nothing is written, anywhere. Each block
 * whose newest copy is in the ring is compared with what the FTL has, so that what was drained
 * already is no loss. What a killed server has left in the write buffer of the FTL is not looked
 * at, and so counts as lost, though the start may still find it there.
 *
 * Where the cache is missing, or cannot be used, all that is known is which one it was.
 */

import type { BlockDevice } from '../block/block-device.ts';
import { OP_READ } from '../block/block-io.ts';
import { submitStatus } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import { OK } from '../block/status.ts';
import type { Ftl } from '../ftl/ftl.ts';
import type { BlockRange } from '../nv-cache/cache-header.ts';
import type { NvCache } from '../nv-cache/nv-cache.ts';
import type { Ring } from '../reactor/ring.ts';
import type { OfflineWatch } from './offline-watch.ts';
import { Stack } from './stack.ts';
import type { StackPlan } from './worker-messages.ts';

export const LOSS_BLOCK_BYTES = 4096;
/** Ranges that are named; the others are counted. */
const RANGES_MAX = 64;
const RUN_BLOCKS_MAX = 64;
const COMPARING = 'Compare with the FTL';

export interface CacheLoss {
  /** Of the cache that is given up: its content, and how often that was started. */
  readonly uuid: string;
  readonly epoch: number;
  readonly device: string | null;
  /** Why it cannot be told what it has; null where it can. */
  readonly unknown: string | null;
  /** What is newer there than on the members: blocks, runs of them, and the first ones. */
  readonly blocks: number | null;
  readonly rangeCount: number | null;
  readonly ranges: readonly BlockRange[];
  /** Blocks that were trimmed, and would show what they had before. */
  readonly trimmedBlocks: number | null;
  /** Blocks that nobody has any more, and that would show older copies instead of an error. */
  readonly lostBlocks: number | null;
}

/** Ascending runs of blocks, of which the first are kept. */
class Runs {
  blocks = 0;
  count = 0;
  readonly first: { block: number; blockCount: number }[] = [];
  #end = -1;

  add(block: number): void {
    this.blocks += 1;
    if (block !== this.#end) {
      this.count += 1;
      if (this.count <= RANGES_MAX) this.first.push({ block, blockCount: 0 });
    }
    if (this.count <= RANGES_MAX) this.first.at(-1)!.blockCount += 1;
    this.#end = block + 1;
  }
}

/** Null when the stack has no NV cache. Throws what keeps the stack from being assembled at all. */
export async function cacheLoss(
  ring: Ring,
  plan: StackPlan,
  watch: OfflineWatch,
): Promise<CacheLoss | null> {
  const reading = { ...plan, readOnly: true, discardBuffer: true };
  try {
    const stack = new Stack(ring, { ...reading, discardCache: false }, () => {});
    return await opened(stack, watch, () => compare(ring, stack, watch));
  } catch (error) {
    const isCaches = error instanceof BandstandError && error.code.startsWith('BANDSTAND_CACHE_');
    if (!isCaches) throw error;
    const stack = new Stack(ring, { ...reading, discardCache: true }, () => {});
    return await opened(stack, watch, async () => unknownLoss(stack, plan, error.message));
  }
}

async function opened<T>(stack: Stack, watch: OfflineWatch, work: () => Promise<T>): Promise<T> {
  watch.starting(() => stack.startActivity);
  await stack.open();
  try {
    watch.begin('Look at the NV cache');
    return await work();
  } finally {
    watch.begin('Close the stack');
    await stack.close();
  }
}

function unknownLoss(stack: Stack, plan: StackPlan, why: string): CacheLoss | null {
  const named = stack.log?.ftl.device.cache ?? null;
  if (named === null) return null;
  return {
    ...named,
    device: plan.remembered?.cache?.path ?? null,
    unknown: why,
    blocks: null,
    rangeCount: null,
    ranges: [],
    trimmedBlocks: null,
    lostBlocks: null,
  };
}

async function compare(
  ring: Ring,
  stack: Stack,
  { advanced }: OfflineWatch,
): Promise<CacheLoss | null> {
  const { base = null, cache = null } = stack.log ?? {};
  if (cache === null) return null;
  const ftl = stack.log!.ftl.device;
  const { blocks, lost, trims } = cache.content();
  const runs = new Runs();
  const bytes = RUN_BLOCKS_MAX * LOSS_BLOCK_BYTES;
  const [here, behind] = [ring.arena.allocate(bytes), ring.arena.allocate(bytes)];
  try {
    for (let first = 0; first < blocks.length; ) {
      let count = 1;
      const most = Math.min(RUN_BLOCKS_MAX, blocks.length - first);
      while (count < most && blocks[first + count] === blocks[first]! + count) count += 1;
      await compareRun(ring, { cache, ftl, here, behind, runs }, blocks[first]!, count);
      first += count;
      advanced(COMPARING, first * LOSS_BLOCK_BYTES, blocks.length * LOSS_BLOCK_BYTES);
    }
  } finally {
    ring.arena.release(here, bytes);
    ring.arena.release(behind, bytes);
  }
  return {
    ...ftl.cache!,
    device: base?.name ?? null,
    unknown: null,
    blocks: runs.blocks,
    rangeCount: runs.count,
    ranges: runs.first,
    trimmedBlocks: trimmedBlocks(cache, ftl, trims),
    lostBlocks: lost.reduce((sum, { blockCount }) => sum + blockCount, 0),
  };
}

interface Comparison {
  readonly cache: NvCache;
  readonly ftl: Ftl;
  /** Bytes in the arena for a run of each. */
  readonly here: number;
  readonly behind: number;
  readonly runs: Runs;
}

/** What cannot be read, here or there, is not the same. */
async function compareRun(ring: Ring, parts: Comparison, block: number, count: number) {
  const { behind, cache, ftl, here, runs } = parts;
  const read = async (device: BlockDevice, at: number): Promise<boolean> =>
    (await submitStatus(device, OP_READ, block, count, at)) === OK;
  const isRead = (await read(cache, here)) && (await read(ftl, behind));
  for (let index = 0; index < count; index += 1) {
    const at = index * LOSS_BLOCK_BYTES;
    const isSame = isRead && ring.kernels.equal(here + at, behind + at, LOSS_BLOCK_BYTES);
    if (!isSame) runs.add(block + index);
  }
}

/** Blocks that read as zeroes, and that the FTL still has data of. */
function trimmedBlocks(cache: NvCache, ftl: Ftl, trims: readonly BlockRange[]): number {
  let count = 0;
  let done = 0;
  for (const { block, blockCount } of [...trims].sort((a, b) => a.block - b.block)) {
    const end = block + blockCount;
    for (let at = Math.max(done, block); at < end; ) {
      const here = cache.allocationAt(at, end - at);
      const behind = ftl.allocationAt(at, Math.min(Math.abs(here), end - at));
      const run = Math.abs(behind);
      if (here < 0 && behind > 0) count += run;
      at += run;
    }
    done = Math.max(done, end);
  }
  return count;
}
