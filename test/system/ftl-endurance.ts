/**
 * A log-structured stack at its limits: filled to the last block, overwritten at random three times
 * over, half of it trimmed, all of it verified, before and after a stop.
 *
 * BANDSTAND_ENDURANCE_MIB is the size of each of three members, BANDSTAND_SEED chooses blocks. The
 * longest time that an operation took is printed; it decides nothing.
 */

import test from 'ava';
import * as nbd from '../../src/exporter/nbd/protocol.ts';
import { generator } from '../_helpers/acknowledged-writes.ts';
import type { NbdClient } from '../_helpers/nbd-client.ts';
import { StackWorld } from '../_helpers/running-stack.ts';

const SEED = Number(process.env['BANDSTAND_SEED'] ?? 20261128);
const MEMBER_MIB = Number(process.env['BANDSTAND_ENDURANCE_MIB'] ?? 32);
const MIB = 2 ** 20;
const BLOCK = 4096;
/** Blocks of a write that fills, and of a range that is trimmed. */
const FILL_BLOCKS = 64;
const TRIM_BLOCKS = 16;
const DEPTH = 32;
const TIMES_OVER = 3;

/** A block says which it is, and which of its versions. */
function content(block: number, version: number): Buffer {
  const words = new Uint32Array(BLOCK / 4).fill(Math.imul(block + 1, 2_654_435_761) ^ version);
  words[0] = block;
  words[1] = version;
  return Buffer.from(words.buffer);
}

class Endurance {
  longestMs = 0;
  readonly blocks: number;
  readonly #random = generator(SEED);
  /** Of each block; 0: it reads as zeroes. */
  readonly #versions: Uint32Array;
  readonly #busy = new Set<number>();

  constructor(blocks: number) {
    this.blocks = blocks;
    this.#versions = new Uint32Array(blocks);
  }

  async #timed(operation: Promise<void>): Promise<void> {
    const start = performance.now();
    await operation;
    this.longestMs = Math.max(this.longestMs, performance.now() - start);
  }

  /** Runs `next` at a depth until it gives null. */
  async #all(next: () => Promise<void> | null): Promise<void> {
    const worker = async (): Promise<void> => {
      for (let work = next(); work !== null; work = next()) await this.#timed(work);
    };
    await Promise.all(Array.from({ length: DEPTH }, worker));
  }

  async fill(client: NbdClient): Promise<void> {
    let at = 0;
    await this.#all(() => {
      if (at >= this.blocks) return null;
      const first = at;
      const count = Math.min(FILL_BLOCKS, this.blocks - first);
      at += count;
      this.#versions.fill(1, first, first + count);
      const parts = Array.from({ length: count }, (_, index) => content(first + index, 1));
      return client.write(first * BLOCK, Buffer.concat(parts));
    });
  }

  async overwrite(client: NbdClient, writes: number): Promise<void> {
    let left = writes;
    await this.#all(() => {
      if (left === 0) return null;
      left -= 1;
      return this.#overwriteOne(client);
    });
  }

  async #overwriteOne(client: NbdClient): Promise<void> {
    let block = -1;
    do block = Math.floor(this.#random() * this.blocks);
    while (this.#busy.has(block));
    this.#busy.add(block);
    const version = this.#versions[block]! + 1;
    this.#versions[block] = version;
    await client.write(block * BLOCK, content(block, version));
    this.#busy.delete(block);
  }

  /** Every other range. */
  async trimHalf(client: NbdClient): Promise<void> {
    let at = 0;
    await this.#all(() => {
      if (at >= this.blocks) return null;
      const first = at;
      const count = Math.min(TRIM_BLOCKS, this.blocks - first);
      at += 2 * TRIM_BLOCKS;
      this.#versions.fill(0, first, first + count);
      return client.trim(first * BLOCK, count * BLOCK);
    });
  }

  /** How many blocks the export says are holes. */
  async holes(client: NbdClient): Promise<number> {
    const size = this.blocks * BLOCK;
    let holes = 0;
    for (let at = 0; at < size; ) {
      for (const { length, flags } of await client.blockStatus(at, size - at)) {
        if (flags === nbd.STATE_HOLE + nbd.STATE_ZERO) holes += length / BLOCK;
        at += length;
      }
    }
    return holes;
  }

  /** How many blocks are not what they have to be, and how many read as zeroes. */
  async verify(client: NbdClient): Promise<{ wrong: number; zeroes: number }> {
    let at = 0;
    const found = { wrong: 0, zeroes: 0 };
    const zero = Buffer.alloc(BLOCK);
    await this.#all(() => {
      if (at >= this.blocks) return null;
      const first = at;
      const count = Math.min(FILL_BLOCKS, this.blocks - first);
      at += count;
      return client.read(first * BLOCK, count * BLOCK).then((bytes) => {
        for (let index = 0; index < count; index += 1) {
          const version = this.#versions[first + index]!;
          if (version === 0) found.zeroes += 1;
          const expected = version === 0 ? zero : content(first + index, version);
          const got = bytes.subarray(index * BLOCK, (index + 1) * BLOCK);
          if (!got.equals(expected)) found.wrong += 1;
        }
      });
    });
    return found;
  }
}

test('raid5f with an FTL bears being full, overwritten and trimmed', async (t) => {
  t.log(`seed ${SEED}, members of ${MEMBER_MIB} MiB`);
  t.timeout(60_000 + MEMBER_MIB * 2000);
  const world = new StackWorld(t);
  const disks = world.files(3, MEMBER_MIB * MIB);
  await world.ok('create', 'tank', '--raid', 'raid5f', '--strip-size', '32K', ...disks);
  await world.export('tank');
  const client = await world.connect('tank');
  const load = new Endurance(Math.floor(client.sizeBytes / BLOCK));
  await load.fill(client);
  t.deepEqual(await load.verify(client), { wrong: 0, zeroes: 0 });
  await load.overwrite(client, TIMES_OVER * load.blocks);
  t.deepEqual(await load.verify(client), { wrong: 0, zeroes: 0 });
  await load.trimHalf(client);
  const half = await load.verify(client);
  t.is(half.wrong, 0);
  t.true(Math.abs(half.zeroes - load.blocks / 2) <= TRIM_BLOCKS);
  t.is(await load.holes(client), half.zeroes);
  await load.overwrite(client, Math.floor(load.blocks / 2));
  const mixed = await load.verify(client);
  t.is(mixed.wrong, 0);
  const { ftl } = await world.status('tank');
  t.log(
    `${load.blocks} blocks, write amplification ${ftl['write_amplification']}, ` +
      `longest operation ${load.longestMs.toFixed(0)} ms`,
  );
  await client.disconnect();
  await world.ok('stop', 'tank');
  await world.export('tank');
  const again = await world.connect('tank');
  t.deepEqual(await load.verify(again), mixed);
  await again.disconnect();
  await world.ok('stop', 'tank');
});
