/**
 * Whole bitmaps: reading a member's copy, putting copies together, writing one.     (control plane)
 *
 * For start and for a member that enters service; while an array runs, single blocks are written as
 * regions change. What cannot be read or believed counts as all set, never as clear.
 */

import { assert } from '../block/assert.ts';
import type { BlockDevice } from '../block/block-device.ts';
import { flushDevice } from '../block/control-io.ts';
import { BandstandError } from '../block/errors.ts';
import type { Reactor } from '../block/reactor.ts';
import {
  type BitmapBlockKey,
  bitmapBlocks,
  decodeBitmapBlock,
  encodeBitmapBlock,
  REGION_ALL,
  REGIONS_PER_BLOCK,
} from './bitmap-format.ts';
import { BITMAP_BLOCK_BYTES, type LabelBitmap } from './label.ts';
import { readArea, writeArea } from './metadata-io.ts';

export interface BitmapCopy {
  /** One byte for each region of the array. */
  readonly states: Uint8Array;
  /** One byte for each block: 1 = damaged, and its regions are all set. */
  readonly damaged: Uint8Array;
  readonly damagedBlocks: number;
}

/**
 * The copy on `device`, as its label describes it, of an array with so many regions. What the
 * label's bitmap does not cover counts as damaged.
 */
export async function readBitmap(
  reactor: Reactor,
  device: BlockDevice,
  bitmap: LabelBitmap,
  arrayUuid: string,
  regions: number,
): Promise<BitmapCopy> {
  const states = new Uint8Array(regions).fill(REGION_ALL);
  const blocks = bitmapBlocks(regions);
  const damaged = new Uint8Array(blocks);
  const there = Math.min(blocks, bitmap.bytes / BITMAP_BLOCK_BYTES);
  const bytes = await readOrNull(reactor, device, bitmap.offsetBytes, there * BITMAP_BLOCK_BYTES);
  for (let index = 0; index < blocks; index += 1) {
    const key: BitmapBlockKey = { arrayUuid, regionBlocks: bitmap.regionBlocks, index };
    const at = index * BITMAP_BLOCK_BYTES;
    let block: Uint8Array | null = null;
    if (index < there) {
      // One bad sector must not cost more than its own block.
      block =
        bytes?.subarray(at, at + BITMAP_BLOCK_BYTES) ??
        (await readOrNull(reactor, device, bitmap.offsetBytes + at, BITMAP_BLOCK_BYTES));
    }
    const ok = block !== null && decodeBitmapBlock(block, key, states) === 'ok';
    if (!ok) damaged[index] = 1;
  }
  return { states, damaged, damagedBlocks: countSet(damaged) };
}

async function readOrNull(
  reactor: Reactor,
  device: BlockDevice,
  at: number,
  bytes: number,
): Promise<Uint8Array | null> {
  try {
    return await readArea(reactor, device, at, bytes);
  } catch (error) {
    if (error instanceof BandstandError && error.code === 'BANDSTAND_DEVICE_IO') return null;
    throw error;
  }
}

/**
 * What several members' copies say together: a bit is set when a copy that can be believed has it,
 * or when no copy of its block can be believed. Without any copy everything is set.
 */
export function mergeBitmaps(copies: readonly BitmapCopy[], regions: number): BitmapCopy {
  const states = new Uint8Array(regions);
  const damaged = new Uint8Array(bitmapBlocks(regions));
  for (let index = 0; index < damaged.length; index += 1) {
    const first = index * REGIONS_PER_BLOCK;
    const end = Math.min(first + REGIONS_PER_BLOCK, regions);
    const believed = copies.filter((copy) => copy.damaged[index] === 0);
    if (believed.length === 0) {
      damaged[index] = 1;
      states.fill(REGION_ALL, first, end);
    }
    for (const copy of believed) {
      assert(copy.states.length === regions, 'copies of a bitmap have the same regions');
      for (let region = first; region < end; region += 1) states[region]! |= copy.states[region]!;
    }
  }
  return { states, damaged, damagedBlocks: countSet(damaged) };
}

/** Writes the whole bitmap and flushes. Throws BANDSTAND_DEVICE_IO. */
export async function writeBitmap(
  reactor: Reactor,
  device: BlockDevice,
  bitmap: LabelBitmap,
  arrayUuid: string,
  states: Uint8Array,
): Promise<void> {
  await writeArea(reactor, device, bitmap.offsetBytes, encodeBitmap(bitmap, arrayUuid, states));
  await flushDevice(device);
}

/** All blocks of a bitmap, one after another. */
export function encodeBitmap(
  bitmap: LabelBitmap,
  arrayUuid: string,
  states: Uint8Array,
): Uint8Array {
  const blocks = bitmapBlocks(states.length);
  assert(blocks * BITMAP_BLOCK_BYTES === bitmap.bytes, 'the label describes the bitmap written');
  const bytes = new Uint8Array(bitmap.bytes);
  for (let index = 0; index < blocks; index += 1) {
    const key: BitmapBlockKey = { arrayUuid, regionBlocks: bitmap.regionBlocks, index };
    encodeBitmapBlock(states, key, bytes, index * BITMAP_BLOCK_BYTES);
  }
  return bytes;
}

function countSet(bytes: Uint8Array): number {
  return bytes.reduce((count, byte) => count + byte, 0);
}
