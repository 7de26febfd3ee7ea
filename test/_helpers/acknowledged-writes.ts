/**
 * AcknowledgedWrites: a client that keeps a log of what it was told is written.
 *
 * Every 4 KiB block that it writes carries its number and a version that is never used twice for
 * that block, under a checksum, and the rest of it is made from both. One write per block is in
 * flight at a time. So of each block exactly this may be read:
 *
 *   the version acknowledged last, or that of the write in flight when the server died
 *
 * Anything older is lost, anything that does not fit its own checksum is torn, and what has once
 * been read after a restart has to stay.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { crc32c } from '../../src/block/crc32c.ts';
import { type NbdClient, NbdRequestError } from './nbd-client.ts';

export const LOG_BLOCK_BYTES = 4096;
/** Number, version, checksum of the block with this field zero. */
const CRC_AT = 8;
const BODY_AT = 12;

/** Small and good enough to choose blocks; the same numbers for the same seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function blockContent(block: number, version: number): Buffer {
  const words = new Uint32Array(LOG_BLOCK_BYTES / 4);
  words[0] = block;
  words[1] = version;
  let state = (Math.imul(block + 1, 2_654_435_761) ^ Math.imul(version, 40_503)) >>> 0;
  for (let index = BODY_AT / 4; index < words.length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[index] = state ^ (state >>> 15);
  }
  const bytes = Buffer.from(words.buffer);
  bytes.writeUInt32LE(crc32c(bytes), CRC_AT);
  return bytes;
}

/** The version that the block has; 0 for one that was never written. Throws what is wrong. */
function versionIn(bytes: Buffer, block: number, where: string): number {
  if (bytes.every((byte) => byte === 0)) return 0;
  const what = `block ${block} on ${where}`;
  const blank = Buffer.from(bytes);
  blank.writeUInt32LE(0, CRC_AT);
  if (crc32c(blank) !== bytes.readUInt32LE(CRC_AT)) throw new Error(`${what} is torn`);
  const number = bytes.readUInt32LE(0);
  if (number !== block) throw new Error(`${what} holds block ${number}`);
  const version = bytes.readUInt32LE(4);
  if (!bytes.equals(blockContent(block, version))) throw new Error(`${what} was never written so`);
  return version;
}

export interface LoadOptions {
  readonly depth: number;
  /** No new operation begins once this is true. */
  readonly until?: () => boolean;
  /** After each acknowledgement, with how many there were since the start of this load. */
  readonly acknowledged?: (count: number) => void;
}

export class AcknowledgedWrites {
  /** Block numbers, in units of 4 KiB. */
  readonly blocks: readonly number[];
  readonly #random: () => number;
  /** By index into `blocks`. */
  readonly #issued: Uint32Array;
  readonly #acknowledged: Uint32Array;
  /** The version whose fate is unknown since the server died; 0: there is none. */
  readonly #unknown: Uint32Array;
  readonly #busy = new Set<number>();
  total = 0;

  constructor(blocks: readonly number[], seed: number) {
    this.blocks = blocks;
    this.#random = generator(seed);
    this.#issued = new Uint32Array(blocks.length);
    this.#acknowledged = new Uint32Array(blocks.length);
    this.#unknown = new Uint32Array(blocks.length);
  }

  /**
   * Writes random blocks, and reads one now and then, until told to end or until the connection is
   * gone; true for the latter. Throws when the server answers with an error or a wrong block.
   */
  async load(client: NbdClient, options: LoadOptions): Promise<boolean> {
    let count = 0;
    let gone = false;
    let wrong = false;
    const tell = (): void => {
      count += 1;
      this.total += 1;
      options.acknowledged?.(count);
    };
    const worker = async (): Promise<void> => {
      while (!gone && !wrong && options.until?.() !== true) {
        try {
          gone ||= !(await this.#operation(client, tell));
        } catch (error) {
          wrong = true;
          throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: options.depth }, worker));
    return gone;
  }

  /** False when the connection is gone. */
  async #operation(client: NbdClient, tell: () => void): Promise<boolean> {
    const index = this.#pick();
    this.#busy.add(index);
    try {
      const block = this.blocks[index]!;
      if (this.#random() < 1 / 8) {
        const bytes = await client.read(block * LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
        this.#check(index, bytes, 'the running export');
        return true;
      }
      this.#issued[index]! += 1;
      const version = this.#issued[index]!;
      this.#unknown[index] = version;
      await client.write(block * LOG_BLOCK_BYTES, blockContent(block, version));
      this.#acknowledged[index] = version;
      this.#unknown[index] = 0;
      tell();
      return true;
    } catch (error) {
      const lost = error instanceof Error && error.message === 'the server closed the connection';
      if (!lost || error instanceof NbdRequestError) throw error;
      return false;
    } finally {
      this.#busy.delete(index);
    }
  }

  #pick(): number {
    for (;;) {
      const index = Math.floor(this.#random() * this.blocks.length);
      if (!this.#busy.has(index)) return index;
    }
  }

  #check(index: number, bytes: Buffer, where: string): number {
    const block = this.blocks[index]!;
    const version = versionIn(bytes, block, where);
    const [acknowledged, unknown] = [this.#acknowledged[index]!, this.#unknown[index]!];
    if (version === acknowledged || (unknown !== 0 && version === unknown)) return version;
    throw new Error(
      `block ${block} on ${where} has version ${version}; ${acknowledged} was acknowledged, ` +
        `${unknown === 0 ? 'none' : unknown} was in flight at the end of the server`,
    );
  }

  /** Reads every block; what it finds is what has to be there from now on. */
  async verify(client: NbdClient): Promise<void> {
    const reads = this.blocks.map((block) => client.read(block * LOG_BLOCK_BYTES, LOG_BLOCK_BYTES));
    for (const [index, bytes] of (await Promise.all(reads)).entries()) {
      this.#acknowledged[index] = this.#check(index, bytes, 'the export');
      this.#unknown[index] = 0;
    }
  }

  /** The same for one mirror, whose data begins at `dataAt`; decides nothing. */
  verifyMirror(disk: string, dataAt: number): void {
    const fd = openSync(disk, 'r');
    try {
      for (const [index, block] of this.blocks.entries()) {
        const bytes = Buffer.alloc(LOG_BLOCK_BYTES);
        readSync(fd, bytes, 0, LOG_BLOCK_BYTES, dataAt + block * LOG_BLOCK_BYTES);
        this.#check(index, bytes, disk);
      }
    } finally {
      closeSync(fd);
    }
  }
}
