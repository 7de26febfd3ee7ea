/**
 * CopyChunk: fills a range of the target.                                             (data plane)
 *
 * Sources, in this order, until one can be read: the member that is being replaced; then, of a
 * mirror, the members in service from the lowest slot on (the lowest is what raid1 reads where
 * members may still differ since a crash); of a parity level, the XOR of all other members, which
 * is right for data and parity alike because the XOR of a whole stripe is zero.
 *
 * A member that is ejected while it is being read is not believed: the slice is read again from
 * those that remain. Without any source the process fails; with sources that all fail to read, the
 * slice is narrowed until the unreadable blocks stand alone, and these are lost.
 *
 * Not here: writing good data back to a source that could not be read. A check with repair does.
 */

import { type BlockIo, OP_WRITE } from '../block/block-io.ts';
import { ENODEV, OK } from '../block/status.ts';
import { CHUNK_INCOMPLETE, ProcessChunk } from './process-chunk.ts';
import { type ChunkWork, missingSlot } from './process-host.ts';

/** What is in flight. */
const STEP_READ = 0;
const STEP_RECONSTRUCT = 1;
const STEP_WRITE = 2;

/** `#cursor`: nothing was tried yet. */
const CURSOR_START = -1;

export class CopyChunk extends ProcessChunk {
  readonly #isMirror: boolean;
  /** Work area of the XOR kernel. */
  readonly #sources: Uint32Array;
  #step = STEP_READ;
  /** The slot being read, in STEP_READ. */
  #source = 0;
  /** The next slot that a mirror tries, or CURSOR_START. */
  #cursor = CURSOR_START;
  #reconstructed = false;
  /** Status and slot of the last error of this slice's reads. */
  #readStatus = OK;
  #readSlot = 0;
  #writeStatus = OK;

  constructor(work: ChunkWork, buffers: number) {
    super(work, buffers);
    this.#isMirror = work.host.redundancy === 'mirror';
    this.#sources = new Uint32Array(work.host.members.length);
  }

  // data path

  protected startSlice(): void {
    this.#cursor = CURSOR_START;
    this.#reconstructed = false;
    this.#readStatus = OK;
    this.#tryNext();
  }

  protected arrived(io: BlockIo, slot: number): void {
    if (io.status === OK) return;
    if (this.#step === STEP_WRITE) {
      this.#writeStatus = io.status;
      return;
    }
    this.#readStatus = io.status;
    this.#readSlot = slot;
  }

  protected allArrived(): void {
    if (this.#step === STEP_READ) this.#readDone();
    else if (this.#step === STEP_RECONSTRUCT) this.#reconstructDone();
    else this.#written();
  }

  /** Reads from the next source, or finds that there is none. */
  #tryNext(): void {
    const slot = this.#nextSource();
    if (slot !== -1) {
      this.#step = STEP_READ;
      this.#source = slot;
      this.read(slot, this.buffer(0));
    } else if (!this.#isMirror && !this.#reconstructed && this.#othersInService()) {
      this.#reconstruct();
    } else {
      this.#exhausted();
    }
  }

  #nextSource(): number {
    const { replaceSlot } = this.work;
    if (this.#cursor === CURSOR_START) {
      this.#cursor = 0;
      if (replaceSlot !== -1 && this.inService(replaceSlot)) return replaceSlot;
    }
    if (!this.#isMirror) return -1;
    const { members } = this.host;
    while (this.#cursor < members.length) {
      const slot = this.#cursor;
      this.#cursor += 1;
      if (slot !== replaceSlot && members[slot]!.device !== null) return slot;
    }
    return -1;
  }

  #othersInService(): boolean {
    return missingSlot(this.host, this.work.targetSlot) === -1;
  }

  #reconstruct(): void {
    const { members } = this.host;
    this.#step = STEP_RECONSTRUCT;
    this.#reconstructed = true;
    let index = 0;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (slot === this.work.targetSlot) continue;
      this.#sources[index] = this.buffer(index);
      this.read(slot, this.#sources[index]!);
      index += 1;
    }
  }

  #readDone(): void {
    if (!this.inService(this.#source)) this.startSlice();
    else if (this.ios[this.#source]!.status !== OK) this.#tryNext();
    else this.#write();
  }

  #reconstructDone(): void {
    if (!this.#othersInService()) {
      this.startSlice();
      return;
    }
    const { members } = this.host;
    for (let slot = 0; slot < members.length; slot += 1) {
      if (slot === this.work.targetSlot || this.ios[slot]!.status === OK) continue;
      this.#exhausted();
      return;
    }
    const { blockBytes, reactor } = this.host;
    const bytes = this.size * blockBytes;
    reactor.kernels.xor(this.buffer(0), this.#sources, members.length - 1, bytes);
    this.#write();
  }

  #write(): void {
    if (this.host.targetSlot === -1) {
      this.work.fail(ENODEV, null, this.at);
      this.end(CHUNK_INCOMPLETE);
      return;
    }
    this.#step = STEP_WRITE;
    this.#writeStatus = OK;
    this.sendToTarget(OP_WRITE, this.at, this.size, this.buffer(0));
  }

  #written(): void {
    if (this.#writeStatus === OK && this.host.targetSlot !== -1) {
      this.nextSlice();
      return;
    }
    this.work.fail(this.#writeStatus === OK ? ENODEV : this.#writeStatus, null, this.at);
    this.end(CHUNK_INCOMPLETE);
  }

  #exhausted(): void {
    if (this.#readStatus !== OK) {
      if (!this.narrow()) this.lose(this.#readStatus, this.#readSlot);
      return;
    }
    const { replaceSlot, targetSlot } = this.work;
    const other = missingSlot(this.host, targetSlot);
    this.work.fail(ENODEV, other === -1 ? replaceSlot : other, this.at);
    this.end(CHUNK_INCOMPLETE);
  }

  // end data path
}
