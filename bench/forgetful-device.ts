/**
 * ForgetfulDevice: a disk that costs next to nothing, and of which an FTL can still be made.
 *
 * A `null` device cannot be under an FTL: relocation believes nothing that its summary and its
 * checksums do not confirm. This one keeps what describes the data, and not the data: everything
 * below `wholeBytes` (superblocks and pages of the map), and the first block of a strip where it is
 * not data but the summary of a unit, or its parity, of which the first KiB is not zero. Any other
 * block consists of PAYLOAD_WORD, and whoever writes data must write that. Memory into which such a
 * block has been read before has it already, so a read looks at a block's first and last word and
 * copies nothing.
 *
 * What remains is what a disk with DMA costs its driver: nothing per byte.
 */

import { assert } from '../src/block/assert.ts';
import { checkIo, type DeviceDescription, FEATURE_FUA } from '../src/block/block-device.ts';
import { type BlockIo, OP_READ, OP_WRITE } from '../src/block/block-io.ts';
import type { Reactor } from '../src/block/reactor.ts';
import { OK } from '../src/block/status.ts';
import { LeafDevice } from '../src/device/leaf-device.ts';
import { createMemoryStore, type MemoryStore } from '../src/device/memory-store.ts';

/** What every data block consists of. */
export const PAYLOAD_WORD = 0x5bd1e995;

const BLOCK_BYTES = 4096;
const BLOCK_WORDS = BLOCK_BYTES / 4;
/** Header and entries of a unit of 48 blocks take less, and nothing is trimmed. */
const SUMMARY_BYTES = 1024;
const REQUEST_BYTES_MAX = 2 ** 25;

function isPayload(u32: Uint32Array, word: number): boolean {
  return u32[word] === PAYLOAD_WORD && u32[word + BLOCK_WORDS - 1] === PAYLOAD_WORD;
}

export class ForgetfulDevice extends LeafDevice {
  blocksRead = 0;
  blocksWritten = 0;
  readonly #stripBlocks: number;
  readonly #wholeBlocks: number;
  #store: MemoryStore | null = null;
  /** 1 for each strip whose first block is kept. */
  readonly #kept: Uint8Array;

  /** `wholeBytes` is a multiple of `stripBytes`. */
  constructor(name: string, sizeBytes: number, stripBytes: number, wholeBytes: number) {
    super(name, {
      blockBytes: BLOCK_BYTES,
      blockCount: Math.floor(sizeBytes / BLOCK_BYTES),
      writeUnitBlocks: 1,
      optimalBoundaryBlocks: 0,
      requestBlocksMax: REQUEST_BYTES_MAX / BLOCK_BYTES,
      physicalBlockBytes: BLOCK_BYTES,
      rotational: false,
      volatileCache: false,
      features: FEATURE_FUA,
      trimGranularityBlocks: 1,
    });
    this.#stripBlocks = stripBytes / BLOCK_BYTES;
    this.#wholeBlocks = wholeBytes / BLOCK_BYTES;
    this.#kept = new Uint8Array(Math.ceil(this.geometry.blockCount / this.#stripBlocks));
    assert(this.#wholeBlocks % this.#stripBlocks === 0, 'what is kept whole consists of strips');
  }

  override async open(reactor: Reactor): Promise<void> {
    await super.open(reactor);
    const strips = (this.geometry.blockCount - this.#wholeBlocks) / this.#stripBlocks;
    const bytes = this.#wholeBlocks * BLOCK_BYTES + Math.ceil(strips) * SUMMARY_BYTES;
    this.#store = createMemoryStore(reactor, bytes);
  }

  override async close(): Promise<void> {
    await super.close();
    this.#store?.dispose();
    this.#store = null;
  }

  submit(io: BlockIo): void {
    assert(this.reactor !== null, 'the device is open');
    assert(checkIo(this.geometry, io) === OK, 'the operation fits the device');
    if (io.op === OP_READ) this.blocksRead += io.blockCount;
    else if (io.op === OP_WRITE) this.blocksWritten += io.blockCount;
    if (io.op === OP_READ || io.op === OP_WRITE) this.#keep(io);
    this.reactor!.finish(io, OK);
  }

  #keep(io: BlockIo): void {
    const end = io.block + io.blockCount;
    let block = io.block;
    for (; block < Math.min(end, this.#wholeBlocks); block += 1) {
      this.#move(io, block, block * BLOCK_BYTES, BLOCK_BYTES);
    }
    if (io.op === OP_READ) this.#fill(io, block);
    const strip = this.#stripBlocks;
    for (let at = Math.ceil(block / strip); at * strip < end; at += 1) {
      if (io.op === OP_WRITE) this.#kept[at] = this.#isPayload(io, at * strip) ? 0 : 1;
      if (this.#kept[at] === 1) this.#moveSummary(io, at);
    }
  }

  #moveSummary(io: BlockIo, strip: number): void {
    const first = this.#wholeBlocks / this.#stripBlocks;
    const kept = this.#wholeBlocks * BLOCK_BYTES + (strip - first) * SUMMARY_BYTES;
    const { u32 } = this.reactor!.arena;
    const block = strip * this.#stripBlocks;
    const rest = (this.#at(io, block) + SUMMARY_BYTES) / 4;
    if (io.op === OP_READ) u32.fill(0, rest, rest + (BLOCK_BYTES - SUMMARY_BYTES) / 4);
    else assert(u32[rest] === 0, 'what is not kept of a summary is zero');
    this.#move(io, block, kept, SUMMARY_BYTES);
  }

  /** What is read from `block` on is the payload. */
  #fill(io: BlockIo, block: number): void {
    const { u32 } = this.reactor!.arena;
    const end = (io.buffer + io.blockCount * BLOCK_BYTES) / 4;
    let word = this.#at(io, block) / 4;
    for (; word < end; word += BLOCK_WORDS) {
      if (!isPayload(u32, word)) u32.fill(PAYLOAD_WORD, word, word + BLOCK_WORDS);
    }
  }

  /** Byte of the operation's buffer where the block is. */
  #at(io: BlockIo, block: number): number {
    return io.buffer + (block - io.block) * BLOCK_BYTES;
  }

  #isPayload(io: BlockIo, block: number): boolean {
    return isPayload(this.reactor!.arena.u32, this.#at(io, block) / 4);
  }

  /** Between the operation's buffer and the store. */
  #move(io: BlockIo, block: number, storeByte: number, bytes: number): void {
    if (io.op === OP_READ) this.#store!.read(storeByte, this.#at(io, block), bytes);
    else this.#store!.write(storeByte, this.#at(io, block), bytes);
  }

  describe(): DeviceDescription {
    return { kind: 'forgetful', name: this.name, children: [], details: {} };
  }
}
