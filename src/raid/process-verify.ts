/**
 * VerifyChunk: compares a range of all members, and makes them agree.                 (data plane)
 *
 * Resync and check in one: a resync is a verification that repairs. All members in service are
 * read. Mirrors agree when they are equal, a parity level when the XOR of all is zero. Where they
 * do not, blocks that need the same treatment are taken together as a *run*:
 *
 *   mirror   the winner's content is written to those that differ from it. The winner is the lowest
 *            slot (a resync: it is what was read all along), or what most members say (a check of
 *            three or more; the lowest of equals).
 *   parity   nobody can tell which block is wrong, so data is believed and parity recomputed.
 *
 * What is *unflushed* (a resync after a crash) is written even where members agree: a flush that
 * failed before the crash may have lost what a member still shows, and one that succeeds later says
 * nothing about it. So there every member with a volatile cache gets what is right once more, the
 * winner as well.
 *
 * A block that one member cannot read is repaired like one that differs, from the others; a block
 * that redundancy cannot give back is lost, which is reported, and the verification goes on.
 *
 * A failed write is the host's to judge: it ejects the member, and the slice is read again from
 * those that remain; if it cannot do without that member, the process fails.
 */

import { type BlockIo, OP_WRITE } from '../block/block-io.ts';
import { OK } from '../block/status.ts';
import { CHUNK_DONE, CHUNK_INCOMPLETE, ProcessChunk } from './process-chunk.ts';
import { type ChunkWork, canVerify } from './process-host.ts';

/** What a slot needs (`#losers`): nothing, what the others have, or what it has. */
const KEEPS = 0;
const LOSES = 1;
const REWRITES = 2;

/** What became of the read from a slot (`#reads`). */
const ABSENT = 0;
const GOOD = 1;
const BAD = 2;

export class VerifyChunk extends ProcessChunk {
  readonly #isMirror: boolean;
  readonly #slots: number;
  /** One of the above for each slot. */
  readonly #reads: Uint8Array;
  #goodCount = 0;
  #badCount = 0;
  #badSlot = 0;
  #badStatus = OK;
  #isWriting = false;
  /** The slice is unflushed. */
  #isUnflushed = false;
  /** Everything that was read agrees. */
  #allAgree = false;
  /** The run in hand, in blocks from the start of the slice. */
  #runAt = 0;
  #runEnd = 0;
  /** Writes of the run that succeeded, and the failure of a member that had to stay. */
  #writtenCount = 0;
  #stuckStatus = OK;
  #stuckSlot = 0;
  /** One of the above for each slot: in the run, and in the block looked at. */
  readonly #losers: Uint8Array;
  readonly #blockLosers: Uint8Array;
  /** Work area of the XOR kernel. */
  readonly #sources: Uint32Array;

  constructor(work: ChunkWork, buffers: number) {
    super(work, buffers);
    const slots = work.host.members.length;
    this.#isMirror = work.host.redundancy === 'mirror';
    this.#slots = slots;
    this.#reads = new Uint8Array(slots);
    this.#losers = new Uint8Array(slots);
    this.#blockLosers = new Uint8Array(slots);
    this.#sources = new Uint32Array(slots);
  }

  // data path

  protected startSlice(): void {
    if (!canVerify(this.host)) {
      this.work.cannotVerify(this.at);
      this.end(this.work.aborting ? CHUNK_INCOMPLETE : CHUNK_DONE);
      return;
    }
    const { unflushed } = this.work;
    this.#isUnflushed = unflushed?.needed(this.first, this.count) === true;
    this.#isWriting = false;
    this.#goodCount = 0;
    this.#badCount = 0;
    for (let slot = 0; slot < this.#slots; slot += 1) {
      this.#reads[slot] = ABSENT;
      if (!this.inService(slot)) continue;
      this.#reads[slot] = GOOD;
      this.#goodCount += 1;
      this.read(slot, this.buffer(slot));
    }
  }

  protected arrived(io: BlockIo, slot: number): void {
    if (this.#isWriting) {
      this.#writeArrived(io.status, slot);
    } else if (io.status !== OK) {
      this.#reads[slot] = BAD;
      this.#goodCount -= 1;
      this.#badCount += 1;
      this.#badSlot = slot;
      this.#badStatus = io.status;
    }
  }

  #writeArrived(status: number, slot: number): void {
    if (status === OK) {
      this.#writtenCount += 1;
      return;
    }
    const block = this.at + this.#runAt;
    this.host.memberWriteFailed(slot, status, block, this.#runEnd - this.#runAt);
    if (!this.inService(slot)) return;
    this.#stuckStatus = status;
    this.#stuckSlot = slot;
  }

  protected allArrived(): void {
    if (this.#isWriting) this.#runWritten();
    else this.#allRead();
  }

  #allRead(): void {
    this.#allAgree = false;
    if (this.#membersChanged()) {
      this.startSlice();
    } else if (this.#badCount !== 0) {
      if (this.narrow()) return;
      const spare = this.#isMirror ? this.#goodCount : 2 - this.#badCount;
      if (spare <= 0) {
        this.lose(this.#badStatus, this.#badSlot);
        return;
      }
      if (!this.#isMirror) this.#reconstruct(this.#badSlot);
      this.#nextRun(0);
    } else {
      this.#allAgree = this.#agree();
      if (this.#allAgree && !this.#isUnflushed) this.nextSlice();
      else this.#nextRun(0);
    }
  }

  /** True when a member that was read is no longer in service. */
  #membersChanged(): boolean {
    for (let slot = 0; slot < this.#slots; slot += 1) {
      if (this.#reads[slot] !== ABSENT && !this.inService(slot)) return true;
    }
    return false;
  }

  /** Compares the whole slice; leaves the XOR of a parity level behind the members' buffers. */
  #agree(): boolean {
    const { blockBytes, reactor } = this.host;
    const bytes = this.size * blockBytes;
    if (!this.#isMirror) {
      const sum = this.buffer(this.#slots);
      for (let slot = 0; slot < this.#slots; slot += 1) this.#sources[slot] = this.buffer(slot);
      reactor.kernels.xor(sum, this.#sources, this.#slots, bytes);
      return reactor.kernels.isZero(sum, bytes);
    }
    let base = -1;
    for (let slot = 0; slot < this.#slots; slot += 1) {
      if (this.#reads[slot] === ABSENT) continue;
      if (base === -1) base = slot;
      else if (!reactor.kernels.equal(this.buffer(base), this.buffer(slot), bytes)) return false;
    }
    return true;
  }

  /** The content of the block that `slot` could not read, into its buffer. */
  #reconstruct(slot: number): void {
    let count = 0;
    for (let other = 0; other < this.#slots; other += 1) {
      if (other === slot) continue;
      this.#sources[count] = this.buffer(other);
      count += 1;
    }
    const bytes = this.size * this.host.blockBytes;
    this.host.reactor.kernels.xor(this.buffer(slot), this.#sources, count, bytes);
  }

  /** Looks for blocks that need treatment from `from` on; without any the slice is done. */
  #nextRun(from: number): void {
    let at = from;
    for (;;) {
      while (at < this.size && this.#blockAgrees(at)) at += 1;
      if (at === this.size) {
        this.nextSlice();
        return;
      }
      this.#losers.set(this.#blockLosers);
      const end = this.#endOfRun(at);
      this.#runAt = at;
      this.#runEnd = end;
      if (this.work.repairs) {
        this.#writeRun();
        return;
      }
      this.work.mismatch(this.at + at, end - at, false);
      at = end;
    }
  }

  #endOfRun(from: number): number {
    const { stripBlocks } = this.host;
    let limit = this.size;
    if (!this.#isMirror) {
      const strip = Math.floor((this.at + from) / stripBlocks);
      limit = Math.min(limit, (strip + 1) * stripBlocks - this.at);
    }
    let end = from + 1;
    while (end < limit && !this.#blockAgrees(end) && this.#sameLosers()) end += 1;
    return end;
  }

  /** Leaves what each slot needs in `#blockLosers`; true when none needs anything. */
  #blockAgrees(block: number): boolean {
    const offset = block * this.host.blockBytes;
    const winner = this.#isMirror && !this.#allAgree ? this.#winner(offset) : -1;
    const parity = this.#isMirror || this.#allAgree ? -1 : this.#parityLoser(block, offset);
    let agrees = true;
    for (let slot = 0; slot < this.#slots; slot += 1) {
      let need = KEEPS;
      if (this.#reads[slot] !== ABSENT) {
        const loses = winner === -1 ? slot === parity : !this.#sameAs(winner, slot, offset);
        if (loses) need = LOSES;
        else if (this.#isUnflushed && this.#mayForget(slot)) need = REWRITES;
      }
      this.#blockLosers[slot] = need;
      if (need !== KEEPS) agrees = false;
    }
    return agrees;
  }

  /** The slot that gets what the others give: one that could not be read, or the parity; or -1. */
  #parityLoser(block: number, offset: number): number {
    if (this.#badCount !== 0) return this.#badSlot;
    const { blockBytes, reactor, stripBlocks } = this.host;
    if (reactor.kernels.isZero(this.buffer(this.#slots) + offset, blockBytes)) return -1;
    return this.host.paritySlot(Math.floor((this.at + block) / stripBlocks));
  }

  #mayForget(slot: number): boolean {
    return this.host.members[slot]!.device!.geometry.volatileCache;
  }

  #sameAs(winner: number, slot: number, offset: number): boolean {
    if (this.#reads[slot] !== GOOD) return false;
    if (slot === winner) return true;
    const { blockBytes, reactor } = this.host;
    return reactor.kernels.equal(
      this.buffer(winner) + offset,
      this.buffer(slot) + offset,
      blockBytes,
    );
  }

  /** The slot whose content of a block is right. */
  #winner(offset: number): number {
    const votes = this.work.majority && this.#goodCount > 2;
    let winner = -1;
    let most = 0;
    for (let slot = 0; slot < this.#slots; slot += 1) {
      if (this.#reads[slot] !== GOOD) continue;
      if (!votes) return slot;
      let count = 0;
      for (let other = 0; other < this.#slots; other += 1) {
        if (this.#sameAs(slot, other, offset)) count += 1;
      }
      if (count <= most) continue;
      most = count;
      winner = slot;
    }
    return winner;
  }

  #sameLosers(): boolean {
    for (let slot = 0; slot < this.#slots; slot += 1) {
      if (this.#losers[slot] !== this.#blockLosers[slot]) return false;
    }
    return true;
  }

  #writeRun(): void {
    this.#isWriting = true;
    this.#writtenCount = 0;
    this.#stuckStatus = OK;
    const { blockBytes } = this.host;
    const block = this.at + this.#runAt;
    const count = this.#runEnd - this.#runAt;
    const offset = this.#runAt * blockBytes;
    let from = -1;
    if (this.#isMirror) from = this.buffer(this.#winner(offset)) + offset;
    else if (this.#badCount === 0 && this.#differs) this.#correctParity(block, count);
    for (let slot = 0; slot < this.#slots; slot += 1) {
      if (this.#losers[slot] === KEEPS) continue;
      const buffer = from === -1 ? this.buffer(slot) + offset : from;
      this.send(slot, OP_WRITE, block, count, buffer);
    }
  }

  /** True when some slot of the run does not have what the others say. */
  get #differs(): boolean {
    return this.#losers.includes(LOSES);
  }

  /** Makes the XOR of the run zero in the parity's buffer. */
  #correctParity(block: number, count: number): void {
    const { blockBytes, reactor, stripBlocks } = this.host;
    const slot = this.host.paritySlot(Math.floor(block / stripBlocks));
    const offset = this.#runAt * blockBytes;
    const parity = this.buffer(slot) + offset;
    this.#sources[0] = parity;
    this.#sources[1] = this.buffer(this.#slots) + offset;
    reactor.kernels.xor(parity, this.#sources, 2, count * blockBytes);
  }

  #runWritten(): void {
    const block = this.at + this.#runAt;
    if (this.#stuckStatus !== OK) {
      this.work.fail(this.#stuckStatus, this.#stuckSlot, block);
      this.end(CHUNK_INCOMPLETE);
      return;
    }
    if (this.#differs) {
      this.work.mismatch(block, this.#runEnd - this.#runAt, this.#writtenCount !== 0);
    }
    if (this.#membersChanged()) this.startSlice();
    else this.#nextRun(this.#runEnd);
  }

  // end data path
}
