/**
 * ForgetfulDevice: a disk that costs next to nothing, and of which an FTL can still be made.
 *
 * A `null` device cannot be under an FTL: relocation believes nothing that its summary and its
 * checksums do not confirm. This one keeps what describes the data, and not the data: everything
 * below `wholeBytes` (superblocks and pages of the map), and the first block of a strip where it is
 * not data: the summary of a unit, or its parity. Any other block consists of PAYLOAD_WORD, and whoever writes data
 * must write that. Memory into which such a block has been read before has it already, so a read
 * looks at a block's first and last word and copies nothing.
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
    const blocks = this.#wholeBlocks + Math.ceil(strips);
    this.#store = createMemoryStore(reactor, blocks * BLOCK_BYTES);
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
    for (; block < Math.min(end, this.#wholeBlocks); block += 1) this.#move(io, block, block);
    if (io.op === OP_READ) this.#fill(io, block);
    const strip = this.#stripBlocks;
    for (let at = Math.ceil(block / strip); at * strip < end; at += 1) {
      if (io.op === OP_WRITE) this.#kept[at] = this.#isPayload(io, at * strip) ? 0 : 1;
      if (this.#kept[at] === 0) continue;
      this.#move(io, at * strip, this.#wholeBlocks + at - this.#wholeBlocks / strip);
    }
  }

  /** What is read from `block` on is the payload. */
  #fill(io: BlockIo, block: number): void {
    const { u32 } = this.reactor!.arena;
    const end = (io.buffer + io.blockCount * BLOCK_BYTES) / 4;
    let word = (io.buffer + (block - io.block) * BLOCK_BYTES) / 4;
    for (; word < end; word += BLOCK_WORDS) {
      if (!isPayload(u32, word)) u32.fill(PAYLOAD_WORD, word, word + BLOCK_WORDS);
    }
  }

  #isPayload(io: BlockIo, block: number): boolean {
    const at = io.buffer + (block - io.block) * BLOCK_BYTES;
    return isPayload(this.reactor!.arena.u32, at / 4);
  }

  /** Between the operation's buffer and a block of the store. */
  #move(io: BlockIo, block: number, kept: number): void {
    const at = io.buffer + (block - io.block) * BLOCK_BYTES;
    if (io.op === OP_READ) this.#store!.read(kept * BLOCK_BYTES, at, BLOCK_BYTES);
    else this.#store!.write(kept * BLOCK_BYTES, at, BLOCK_BYTES);
  }

  describe(): DeviceDescription {
    return { kind: 'forgetful', name: this.name, children: [], details: {} };
  }
}
